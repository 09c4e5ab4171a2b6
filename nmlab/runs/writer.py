"""Writes a run's folder while the run lives."""

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
    """The one who writes a run's folder; holds the run's lock until `close`.

    Parameters: `folder`, a run's folder; `settings`, written first, or None to go on with a run that exists.
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
        }
        self.update()

    def update(self, **status: Any) -> None:
        """Change the status that readers see: `monitor`, `mode`, `state`, `test_metrics`, `error`, `remark`."""
        self._status |= status
        write_json(self.folder / "status.json", self._status)

    def describe(self, **settings: Any) -> None:
        """Add what became known of the Problem to the settings."""
        write_json(self.folder / "settings.json", {**self.run.settings, **settings})

    def checkpoint(self, name: str) -> Path:
        """Return the path of the checkpoint called 'start', 'best' or 'last'."""
        return self.folder / "checkpoints" / f"{name}.ckpt"

    def figure(self, name: str) -> Path:
        """Return the path of a picture of the run, such as 'view.png', its folder made."""
        (self.folder / FIGURES).mkdir(exist_ok=True)
        return self.folder / FIGURES / name

    def profile(self, name: str) -> Path:
        """Return the path of a file of the run's profile, such as a trace, its folder made."""
        self.run.profile_folder.mkdir(exist_ok=True)
        return self.run.profile_folder / name

    def keep_profile(self, details: Mapping[str, Any], report: str) -> None:
        """Write where the training's time went, as numbers and as a report to read."""
        with atomic_write(self.profile(PROFILE_REPORT)) as aside:
            aside.write_text(report, encoding="utf-8")
        write_json(self.profile(PROFILE_DETAILS), details)

    def keep_epochs(self, epochs: int) -> None:
        """Drop the rows from epoch `epochs` on, which a resumed run makes again, and a last row half written."""
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
        """Add one epoch's metrics; the first row's names are the columns of all."""
        if self._file is None:
            self._file = (self.folder / "metrics.csv").open("a", newline="", encoding="utf-8")
        writer = csv.writer(self._file, lineterminator="\n")
        if not self._columns:
            self._columns = list(row)
            writer.writerow(self._columns)
        writer.writerow([_text(row.get(name, math.nan)) for name in self._columns])
        self._file.flush()

    def log(self, text: str) -> None:
        """Add `text` to the run's log."""
        if self._log is None:
            self._log = self.run.log_path.open("a", encoding="utf-8", errors="backslashreplace")
        self._log.write(text if text.endswith("\n") else text + "\n")
        self._log.flush()

    def close(self, state: str, error: Mapping[str, str] | None = None) -> None:
        """Write how the run ended and let go of its lock."""
        try:
            for file in (self._file, self._log):
                if file is not None:
                    with suppress(OSError):  # a full disk must not hide how the run ended
                        file.close()
            self.update(state=state, ended=now(), error=None if error is None else dict(error))
        finally:
            self._lock.release()


def _text(value: float) -> str:
    number = float(value)  # numpy's numbers have another repr
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
