"""A run as its folder tells it; reading only."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from nmlab.errors import RunError

if TYPE_CHECKING:
    import pandas as pd
    from neuromancer.problem import Problem

LAYOUT = 1
"""Version of the folder's layout; a folder with a newer one is listed and not read."""

STATES = ("running", "finished", "stopped", "failed", "interrupted")


class Run:
    """One fit's record, read from its folder; it sees a running fit's newest rows at each look.

    Parameters: `folder`, the run's folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self.problem: Problem | None = None
        """The trained Problem, in the process that made the run; elsewhere None until `restore(problem)`."""
        self._columns: list[str] = []
        self._rows: list[list[float]] = []
        self._seen: tuple[int, int] = (0, 0)  # the metrics file's inode and how many of its bytes were read

    # --- what was asked for ---

    @property
    def id(self) -> str:
        """The folder's name, such as '0007-rosenbrock'; unique in its runs folder."""
        return self.folder.name

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was asked to do: data kwargs, options, seed, versions, sources; {} where unreadable."""
        return self._read("settings.json")[0]

    @property
    def name(self) -> str:
        """The run's name; its id where the settings cannot be read."""
        return str(self.settings.get("name") or self.id)

    @property
    def damage(self) -> str | None:
        """Why this folder cannot be read as a run, or None where it can."""
        settings, reason = self._read("settings.json")
        if reason:
            return reason
        layout = settings.get("layout")
        if not isinstance(layout, int) or layout > LAYOUT:
            return f"layout {layout!r} was written by another version of nmlab; this one reads up to {LAYOUT}"
        return None

    # --- how it stands ---

    @property
    def status(self) -> str:
        """'running', 'finished', 'stopped', 'failed' or 'interrupted'; 'damaged' where the folder is unreadable."""
        if self.damage:
            return "damaged"
        state = str(self._read("status.json")[0].get("state", "interrupted"))
        if state == "running" and not self._alive():
            # it may have ended between the two looks
            state = str(self._read("status.json")[0].get("state"))
            return "interrupted" if state == "running" else state
        return state if state in STATES else "damaged"

    @property
    def error(self) -> str | None:
        """The error that ended the run, as 'Type: message', or the folder's damage; None where all is well."""
        error = self._read("status.json")[0].get("error")
        return self.damage or (f"{error['type']}: {error['message']}" if error else None)

    @property
    def traceback(self) -> str | None:
        """The traceback of the error that ended the run, or None."""
        error = self._read("status.json")[0].get("error")
        return str(error["traceback"]) if error else None

    @property
    def note(self) -> str | None:
        """What the fit had to say of itself, such as that there was no dev split; or None."""
        note = self._read("status.json")[0].get("note")
        return str(note) if note else None

    @property
    def test_metrics(self) -> dict[str, float]:
        """Metrics of the test split under the best weights, by name without prefix ('loss', each term); or {}."""
        metrics = self._read("status.json")[0].get("test_metrics") or {}
        return {key: float(value) for key, value in metrics.items()}

    @property
    def monitor(self) -> str:
        """The metric by which the best epoch is chosen."""
        return str(self._read("status.json")[0].get("monitor") or "dev_loss")

    @property
    def mode(self) -> str:
        """'min' or 'max': whether less or more of `monitor` is better."""
        return str(self._read("status.json")[0].get("mode") or "min")

    @property
    def seconds(self) -> float:
        """Time spent in the epochs so far, in seconds."""
        return math.fsum(self.column("seconds"))

    # --- metrics ---

    def column(self, name: str) -> list[float]:
        """Return one metric's values, one an epoch; [] where there is no such metric."""
        self._update()
        if name not in self._columns:
            return []
        index = self._columns.index(name)
        return [row[index] for row in self._rows]

    @property
    def columns(self) -> list[str]:
        """The metrics' names, 'epoch' first; [] before the first epoch has ended."""
        self._update()
        return list(self._columns)

    @property
    def epochs(self) -> int:
        """How many epochs have ended."""
        self._update()
        return len(self._rows)

    @property
    def metrics(self) -> pd.DataFrame:
        """One row an epoch: epoch (from 0), train_loss, dev_loss, lr, seconds and every term."""
        import pandas as pd

        self._update()
        frame = pd.DataFrame(self._rows, columns=self._columns, dtype=float)
        return frame.astype({"epoch": int}) if "epoch" in frame else frame

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the run keeps, or None before the first value of `monitor`."""
        best = self._best()
        return None if best is None else int(best[0])

    @property
    def best_value(self) -> float | None:
        """The best value of `monitor`, or None before there is one."""
        best = self._best()
        return None if best is None else best[1]

    def _best(self) -> tuple[float, float] | None:
        sign = -1.0 if self.mode == "max" else 1.0
        pairs = zip(self.column("epoch"), self.column(self.monitor), strict=False)
        finite = [(epoch, value) for epoch, value in pairs if math.isfinite(value)]
        return min(finite, key=lambda pair: sign * pair[1], default=None)

    # --- files ---

    @property
    def log_dir(self) -> Path:
        """The run's folder, which holds its TensorBoard events."""
        return self.folder

    @property
    def log_path(self) -> Path:
        """The run's log."""
        return self.folder / "log.txt"

    @property
    def checkpoint_path(self) -> Path | None:
        """The checkpoint with the weights that the run keeps (the best), or None where there is none."""
        return self._checkpoint("best")

    @property
    def last_checkpoint_path(self) -> Path | None:
        """The checkpoint from which `resume=run` goes on, or None where there is none."""
        return self._checkpoint("last")

    @property
    def start_checkpoint_path(self) -> Path | None:
        """The weights that the run started from, or None where there are none."""
        return self._checkpoint("start")

    def _checkpoint(self, name: str) -> Path | None:
        path = self.folder / "checkpoints" / f"{name}.ckpt"
        return path if path.is_file() else None

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def restore(self, problem: Problem) -> Problem:
        """Put the weights that this run keeps into `problem` and return it.

        Parameters: `problem`, of the shape that was trained. Raises `RunError` where the run has no checkpoint or
        its weights do not fit.
        """
        from nmlab.weights import load_weights, read_weights

        if self.checkpoint_path is None:
            raise RunError(f"Run {self.id} has no checkpoint ({self.folder / 'checkpoints'}): nothing to restore.")
        load_weights(problem, read_weights(self.checkpoint_path), source=f"run {self.id}")
        self.problem = problem
        return problem

    # --- reading ---

    def _read(self, name: str) -> tuple[dict[str, Any], str | None]:
        """Return a JSON file's content and None, or {} and the reason why it cannot be read."""
        path = self.folder / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return {}, f"{name} cannot be read: {error}"
        return (content, None) if isinstance(content, dict) else ({}, f"{name} does not hold settings")

    def _alive(self) -> bool:
        path = self.folder / "alive.lock"
        if not path.exists():
            return False
        lock = filelock.FileLock(path, thread_local=False)
        for _ in range(3):  # another reader that asks at the same time holds it for an instant
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                time.sleep(0.002)
            except OSError:
                return False
            else:
                lock.release()
                return False
        return True

    def _update(self) -> None:
        """Read the rows that were added to the metrics file since the last look."""
        path = self.folder / "metrics.csv"
        try:
            info = path.stat()
        except OSError:
            return
        inode, seen = self._seen
        if inode != info.st_ino or info.st_size < seen:  # written anew, as where a run was resumed
            self._columns, self._rows, seen = [], [], 0
        if info.st_size == seen:
            return
        with path.open("rb") as file:
            file.seek(seen)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]  # a last row that is half written waits, or is dropped
        for row in csv.reader(whole.decode("utf-8").splitlines()):
            if not self._columns:
                self._columns = row
            elif len(row) == len(self._columns):
                self._rows.append([float(value) for value in row])
        self._seen = (info.st_ino, seen + len(whole))

    def __repr__(self) -> str:
        best = (
            "" if self.best_value is None else f", best {self.monitor} {self.best_value:.6g} in epoch {self.best_epoch}"
        )
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        return f"Run {self.id}: {self.status}, {epochs}{best}\n  {self.folder}"
