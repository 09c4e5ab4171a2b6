"""Writes a run's folder while the run is running."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock

from nmlab.errors import RunError
from nmlab.runs import lock
from nmlab.runs.json_files import write_json
from nmlab.runs.record import FIGURES, LOCK, PROFILE_DETAILS, PROFILE_REPORT, Run
from nmlab.runtime.files import atomic_write


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
        self.folder = folder
        try:
            self._lock = lock.acquire(folder / LOCK)
        except filelock.Timeout:
            raise RunError(f"Run {folder.name} is being written by another process; wait until it has ended.") from None
        (folder / "checkpoints").mkdir(exist_ok=True)
        if settings is not None:
            write_json(folder / "settings.json", settings)
        self.run = Run(folder)
        self._file: Any = None
        self._log: Any = None
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
        self.update()

    def update(self, **status: Any) -> None:
        """Update the status: `monitor`, `mode`, `state`, `test_metrics`, `error`, `remark`, `scored`."""
        self._status |= status
        write_json(self.folder / "status.json", self._status)

    def describe(self, **settings: Any) -> None:
        """Add settings that are known only once the Problem is built."""
        write_json(self.folder / "settings.json", {**self.run.settings, **settings})

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
        with atomic_write(self.profile(PROFILE_REPORT)) as aside:
            aside.write_text(report, encoding="utf-8")
        write_json(self.profile(PROFILE_DETAILS), details)

    def keep_epochs(self, epochs: int) -> None:
        """Drop the rows from epoch `epochs` on, which a resumed run repeats, and an incomplete last row."""
        columns = [self.run.column(name) for name in self._columns]
        rows = [row for row in zip(*columns, strict=True) if row[0] < epochs]
        with (
            atomic_write(self.folder / "metrics.csv") as aside,
            aside.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(
                [*([self._columns] if self._columns else []), *(map(_text, row) for row in rows)]
            )

    def append(self, row: Mapping[str, float]) -> None:
        """Append the metrics of one epoch; the names in the first row are the columns of all rows."""
        if self._file is None:
            self._file = (self.folder / "metrics.csv").open("a", newline="", encoding="utf-8")
        writer = csv.writer(self._file, lineterminator="\n")
        if not self._columns:
            self._columns = list(row)
            writer.writerow(self._columns)
        writer.writerow([_text(row.get(name, math.nan)) for name in self._columns])
        self._file.flush()

    def log(self, text: str) -> None:
        """Append text to the run's log."""
        if self._log is None:
            self._log = self.run.log_path.open("a", encoding="utf-8", errors="backslashreplace")
        self._log.write(text if text.endswith("\n") else text + "\n")
        self._log.flush()

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
            for file in (self._file, self._log):
                if file is not None:
                    with suppress(OSError):  # a full disk must not hide how the run ended
                        file.close()
            self.update(state=state, ended=now(), error=None if error is None else dict(error))
        finally:
            self._lock.release()


def checkpoint_path(folder: Path, name: str) -> Path:
    """Return the path of a checkpoint in a run's folder."""
    return folder / "checkpoints" / f"{name}.ckpt"


def _text(value: float) -> str:
    number = float(value)  # numpy's numbers have a different repr
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def now() -> str:
    """Return the current time in ISO 8601 with the offset from UTC, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
