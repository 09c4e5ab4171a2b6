"""Writes a run's folder while the run is running."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import filelock

from nmlab.errors import RunError
from nmlab.runs.json_files import write_json
from nmlab.runs.keeper import Keeper
from nmlab.runs.layout import FIGURES, LOCK, PROFILE_DETAILS, PROFILE_REPORT
from nmlab.runs.lines import LinesFile
from nmlab.runs.lock import RunLock
from nmlab.runs.record import Run
from nmlab.runtime.files import atomic_write

LOG_HELD = 200_000
"""Bytes of the log that wait at most where it cannot be written."""


class RunWriter:
    """Writes the folder of a run; holds the run's lock until `close`.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder.
    settings : mapping or None
        Settings of a new run, which are written first; None to continue an existing run.

    Raises
    ------
    RunError
        If another process is writing the run.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None) -> None:
        try:
            self._lock = RunLock(folder / LOCK)
        except filelock.Timeout:
            raise RunError(f"Run {folder.name} is being written by another process; wait until it has ended.") from None
        (folder / "checkpoints").mkdir(exist_ok=True)
        if settings is not None:
            write_json(folder / "settings.json", settings)
        self.run = Run(folder)
        self.run.is_written = True
        self._keeper = Keeper(lambda: int(self._held[0][0]) if self._held else self.run.epochs)
        self.run.gaps = self._keeper.gaps
        self._json: dict[str, dict[str, Any]] = {"settings.json": self.run.settings}
        self._rows = LinesFile(folder / "metrics.csv")
        self._held: list[list[float]] = []
        self._begins: str | None = None  # what metrics.csv is to begin with, where that is not written yet
        self._log = LinesFile(self.run.log_path, LOG_HELD)
        self._columns: list[str] = self.run.columns
        self._status: dict[str, Any] = {
            "monitor": self.run.monitor,
            "mode": self.run.mode,
            "state": "running",
            "started": now(),
            "error": None,
            "test_metrics": self.run.test_metrics,
            "remark": self.run.remark,
            "scored": self.run.scored or None,
        }
        write_json(folder / "status.json", self._status)  # a folder that cannot be written is told at once

    @property
    def folder(self) -> Path:
        """The run's folder, also after it was renamed."""
        return self.run.folder

    def update(self, **status: Any) -> None:
        """Update the status: `monitor`, `mode`, `state`, `test_metrics`, `error`, `remark`, `scored`."""
        self._status |= status
        self._keep("status.json", self._status)

    def describe(self, **settings: Any) -> None:
        """Add settings that are known only once the Problem is built."""
        self._keep("settings.json", {**self.run.settings, **settings})

    def keep(self, path: Path, write: Callable[[], object]) -> None:
        """Write a file now or, as long as that raises an `OSError`, later."""
        self._keeper.keep(path, write)

    def flush(self) -> None:
        """Try again what could not be written."""
        self._keeper.try_last()

    def waits(self, path: Path) -> bool:
        """Whether the newest content of a file is not written yet."""
        return self._keeper.waits(path)

    def _gaps(self) -> list[dict[str, Any]] | None:
        return [asdict(gap) for gap in self._keeper.gaps] or None

    def _keep(self, name: str, content: Mapping[str, Any]) -> None:
        held = self._json[name] = dict(content)
        self.run.held[name] = held  # whoever reads it here needs no disk for it

        def write() -> None:
            write_json(self.folder / name, held)
            if self.run.held.get(name) is held:
                del self.run.held[name]

        self._keeper.keep(name, write)

    def checkpoint(self, name: str) -> Path:
        """Return the path of the checkpoint called 'start', 'best' or 'last'."""
        return checkpoint_path(self.folder, name)

    def figure(self, name: str) -> Path:
        """Return the path of a picture of the run, such as 'view.png', and create its folder."""
        (self.folder / FIGURES).mkdir(exist_ok=True)
        return self.folder / FIGURES / name

    def profile(self, name: str) -> Path:
        """Return the path of a file of the run's profile, such as a trace, and create its folder."""
        self.run.profile_folder.mkdir(exist_ok=True)
        return self.run.profile_folder / name

    def keep_profile(self, details: Mapping[str, Any], report: str) -> None:
        """Write the profile of the training time, as JSON and as a text report."""

        def write() -> None:
            with atomic_write(self.profile(PROFILE_REPORT)) as aside:
                aside.write_text(report, encoding="utf-8")
            write_json(self.profile(PROFILE_DETAILS), details)

        self._keeper.keep(PROFILE_DETAILS, write)

    def keep_epochs(self, epochs: int) -> None:
        """Drop the rows from epoch `epochs` on, which a resumed run repeats, and an incomplete last row."""
        columns = [self.run.column(name) for name in self._columns]
        rows = [row for row in zip(*columns, strict=True) if row[0] < epochs]
        lines = [*([self._columns] if self._columns else []), *(map(_text, row) for row in rows)]
        self._begins = "".join(map(_line, lines))
        self._keeper.keep("metrics.csv", self._write_rows)

    def widen(self, names: Iterable[str]) -> None:
        """Add columns to the rows so far, with what the run tells of these metrics until now, or else NaN."""
        new = [name for name in names if name not in self._columns]
        if not self._columns or not new:  # without a row, the first one names all
            return
        epochs = self.run.column("epoch")
        wide = [*self._columns, *new]
        values = [self.run.column(name) or [math.nan] * len(epochs) for name in wide]
        self._columns, self._held = wide, [list(row) for row in zip(*values, strict=True)]
        self._rows.begin_anew()
        self._begins = "".join(map(_line, [wide, *(map(_text, row) for row in self._held)]))
        self.run.hold_rows(self._columns, self._held)
        self._keeper.keep("metrics.csv", self._write_rows)

    def append(self, row: Mapping[str, float]) -> None:
        """Append the metrics of one epoch; the names in the first row are the columns of all rows."""
        if not self._columns:
            self._columns = list(row)
            self._rows.add(_line(self._columns))
        values = [float(row.get(name, math.nan)) for name in self._columns]
        self._rows.add(_line(map(_text, values)))
        self._held.append(values)
        self.run.hold_rows(self._columns, self._held)
        self._keeper.keep("metrics.csv", self._write_rows)

    def _write_rows(self) -> None:
        if self._begins is not None:
            with atomic_write(self.folder / "metrics.csv") as aside:
                aside.write_text(self._begins, encoding="utf-8", newline="")
            self._begins = None
        self._rows.write()
        self._held = []
        self.run.hold_rows(self._columns, self._held)

    def log(self, text: str) -> None:
        """Append text to the run's log."""
        self._log.add(text if text.endswith("\n") else text + "\n", "backslashreplace")
        self._keeper.keep("log.txt", self._log.write)

    def hand_over(self) -> None:
        """Let go of the run, which goes on, so that another process can write it."""
        self._keeper.flush()
        self._let_go()

    def _let_go(self) -> None:
        self._rows.close()
        self._log.close()
        self.run.is_written = False
        self._lock.release()

    def close(self, state: str, error: Mapping[str, str] | None = None) -> None:
        """Write how the run ended and release its lock.

        Parameters
        ----------
        state : {'finished', 'stopped', 'failed'}
            Final state.
        error : mapping of str to str, optional
            Type, message and traceback of the error that ended the run.
        """
        try:
            self._keeper.flush()
            self.update(state=state, ended=now(), error=None if error is None else dict(error), unwritten=self._gaps())
            if self._keeper.try_last() and self._keeper.gaps:
                self.update(unwritten=self._gaps())  # what waited is there too
            if self._keeper.gap is not None:
                self.run.held.update(self._json)  # the folder may be gone
        finally:
            self._let_go()


def checkpoint_path(folder: Path, name: str) -> Path:
    """Return the path of a checkpoint in a run's folder."""
    return folder / "checkpoints" / f"{name}.ckpt"


def _line(cells: Iterable[str]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _text(value: float) -> str:
    number = float(value)  # numpy's numbers have a different repr
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def now() -> str:
    """Return the current time in ISO 8601 with the offset from UTC, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
