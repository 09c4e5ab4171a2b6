"""The metrics file of a run, read incrementally."""

from __future__ import annotations

import csv
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

Table = np.ndarray[Any, np.dtype[np.float64]]


class MetricsFile:
    """The rows of a metrics file; each access reads only what was added since the last one.

    Parameters
    ----------
    path : pathlib.Path
        Path of the file, which need not exist yet.
    """

    _looking = threading.Lock()  # the thread of a fit and its watchers share one Run

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []
        self._table: Table = np.empty((0, 0))
        self._rows = 0
        self._seen: tuple[int, int] = (0, 0)  # the file's inode, and how many of its bytes were read
        self.held: tuple[list[str], list[list[float]]] = [], []
        """Columns and rows that are not written yet, which come after the file's."""
        self.fault: str | None = None
        """Reason why the file could not be read in the last access; None if it could."""

    def look(self) -> tuple[list[str], Table]:
        """Return the metrics, with the rows that were added since the last access.

        Returns
        -------
        names : list of str
            Names of the metrics.
        values : numpy.ndarray of shape (metrics, epochs)
            Their values, which later rows do not change.
        """
        with self._looking:
            try:
                self._read_added()
            except FileNotFoundError:
                pass
            except (OSError, ValueError, csv.Error) as error:
                self.fault = f"{self.path.name} cannot be read: {error}"
            return self._with_held(self._columns, self._table[:, : self._rows])

    def _with_held(self, columns: list[str], table: Table) -> tuple[list[str], Table]:
        held = self.held
        if columns and columns != held[0] and held[1] and table.size and held[1][0][0] <= table[0, 0]:
            return held[0], np.array(held[1], float).T  # all rows, with columns that the file does not have yet
        last = table[0, -1] if table.size else -np.inf
        rows = [row for row in list(held[1]) if row[0] > last]  # one that is just being written is in both
        if not rows or (columns and columns != held[0]):
            return columns, table
        added = np.array(rows, float).T
        return held[0], np.concatenate([table, added], axis=1) if table.size else added

    def _read_added(self) -> None:
        info = self.path.stat()
        inode, seen = self._seen
        if inode != info.st_ino or info.st_size < seen:  # the file was replaced, as when a run is resumed
            self._columns, self._table, self._rows, seen = [], np.empty((0, 0)), 0, 0
        if info.st_size == seen:
            return
        with self.path.open("rb") as file:
            file.seek(seen)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]  # an incomplete last row is left for later
        lines = list(csv.reader(StringIO(whole.decode("utf-8"), newline="")))
        columns = self._columns or next(iter(lines), [])
        rows = [[float(value) for value in line] for line in lines[not self._columns :] if len(line) == len(columns)]
        self._columns = columns
        self._add(np.array(rows, float).reshape(len(rows), len(columns)).T)
        self._seen, self.fault = (info.st_ino, seen + len(whole)), None

    def _add(self, values: Table) -> None:
        """Append epochs; a full table is replaced by one of twice the size, so that copies are rare."""
        rows = self._rows + values.shape[1]
        if rows > self._table.shape[1] or not self._rows:
            larger = np.empty((len(values), 2 * rows))
            larger[:, : self._rows] = self._table[:, : self._rows] if self._rows else 0.0
            self._table = larger
        self._table[:, self._rows : rows] = values
        self._rows = rows
