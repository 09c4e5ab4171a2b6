"""A run as its folder tells it; reading only."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nmlab.errors import RunError
from nmlab.runs.json_files import read_object
from nmlab.runs.lock import is_held
from nmlab.runs.metrics import MetricsFile, Table
from nmlab.runtime.text import number_text

if TYPE_CHECKING:
    import pandas as pd
    from neuromancer.problem import Problem

LOCK = "alive.lock"
"""The lock file of a run's folder."""

LABEL = "label.json"
"""What a user calls a run, notes about it, and guessed of it."""

FIGURES = "figures"
"""The folder of a run's pictures."""

PROFILE_DETAILS, PROFILE_REPORT = "profile.json", "report.txt"
"""The files of a run's profile, beside what a profiler itself writes."""

TOLD_BY = ("settings.json", "status.json", "metrics.csv", LABEL)
"""The files that say all of a run but its weights."""

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
        self._metrics = MetricsFile(self.folder / "metrics.csv")

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
        """What the user called the run, at first or by `rename`; its id where that cannot be read."""
        return str(self._read(LABEL)[0].get("name") or self.settings.get("name") or self.id)

    @property
    def note(self) -> str:
        """What the user noted about the run; '' where nothing was."""
        return str(self._read(LABEL)[0].get("note") or "")

    @property
    def guess(self) -> list[tuple[float, float]]:
        """What the user guessed before the curve was seen, as (epoch, loss); [] where nothing was."""
        points = self._read(LABEL)[0].get("guess")
        try:
            return [(float(epoch), float(loss)) for epoch, loss in points or []]
        except (TypeError, ValueError):
            return []

    @property
    def data_name(self) -> str | None:
        """The name of the data function; None where it is unknown."""
        name = (self.settings.get("data_function") or {}).get("name")
        return None if name is None else str(name)

    @property
    def source(self) -> str | None:
        """The source of the data function as the run called it, or None where it had none to read."""
        source = (self.settings.get("data_function") or {}).get("source")
        return None if source is None else str(source)

    @property
    def created(self) -> str:
        """When the run was made, as ISO 8601 with the offset from UTC; '' where unknown."""
        return str(self.settings.get("created") or "")

    @property
    def starts_from(self) -> str | None:
        """Whose weights the run began with, such as another run's id; None where it began afresh."""
        name = self.settings.get("starts_from")
        return None if name is None else str(name)

    @property
    def damage(self) -> str | None:
        """Why this folder cannot be read as a run, or None where it can."""
        if reason := self.settings_damage:
            return reason
        if (self.folder / "status.json").exists() and (reason := self._read("status.json")[1]):
            return reason
        self._metrics.look()
        return self._metrics.fault

    @property
    def settings_damage(self) -> str | None:
        """Why the settings, and with them the run, cannot be read, or None where they can."""
        settings, reason = self._read("settings.json")
        layout = settings.get("layout")
        if not reason and (not isinstance(layout, int) or layout > LAYOUT):
            return f"layout {layout!r} was written by another version of nmlab; this one reads up to {LAYOUT}"
        return reason

    # --- how it stands ---

    @property
    def status(self) -> str:
        """'running', 'finished', 'stopped', 'failed' or 'interrupted'; 'damaged' where the folder is unreadable."""
        if self.damage:
            return "damaged"
        state = self._state()
        if state == "running" and not is_held(self.folder / LOCK):
            state = self._state()  # it may have ended between the two looks
            return "interrupted" if state == "running" else state
        return state if state in STATES else "damaged"

    def _state(self) -> str:
        return str(self._read("status.json")[0].get("state", "running"))

    @property
    def error(self) -> str | None:
        """The error that ended the run, as 'Type: message', or the folder's damage; None where all is well."""
        error = self._read("status.json")[0].get("error")
        return self.damage or (f"{error.get('type')}: {error.get('message')}" if error else None)

    @property
    def traceback(self) -> str | None:
        """The traceback of the error that ended the run, from the user's lines on, or None; the log has all of it."""
        error = self._read("status.json")[0].get("error")
        return str(error.get("traceback")) if error else None

    @property
    def remark(self) -> str | None:
        """What the fit had to say of itself, such as that there was no dev split; or None."""
        status = self._read("status.json")[0]
        remark = status.get("remark") or status.get("note")  # its name until users had notes of their own
        return str(remark) if remark else None

    @property
    def test_metrics(self) -> dict[str, float]:
        """Metrics of the test split under the best weights, by name (`test_loss`, each term); or {}."""
        metrics = self._read("status.json")[0].get("test_metrics") or {}
        return {key: float(value) for key, value in metrics.items() if isinstance(value, (int, float))}

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
        seconds = self.arrays("seconds")[1]
        return math.fsum(seconds[np.isfinite(seconds)])

    # --- metrics ---

    def column(self, name: str) -> list[float]:
        """Return one metric's values, one an epoch; [] where there is no such metric."""
        return self.curve(name)[1]

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Return the epochs and one metric's values over them, as of one look; both [] without such a metric."""
        epochs, values = self.arrays(name)
        return epochs.tolist(), values.tolist()

    def arrays(self, name: str) -> tuple[Table, Table]:
        """Return what `curve` does as arrays, which is quicker where there are many epochs."""
        columns, table = self._metrics.look()
        if name not in columns:
            return np.empty(0), np.empty(0)
        return table[0], table[columns.index(name)]

    @property
    def columns(self) -> list[str]:
        """The metrics' names, 'epoch' first; [] before the first epoch has ended."""
        return list(self._metrics.look()[0])

    @property
    def epochs(self) -> int:
        """How many epochs have ended."""
        return int(self._metrics.look()[1].shape[1])

    @property
    def metrics(self) -> pd.DataFrame:
        """One row an epoch: epoch (from 0), train_loss, dev_loss, lr, seconds and every term."""
        import pandas as pd

        columns, table = self._metrics.look()
        frame = pd.DataFrame(table.T.copy(), columns=columns, dtype=float)
        return frame.astype({"epoch": int}) if "epoch" in frame else frame

    @property
    def profile(self) -> pd.DataFrame | None:
        """Where the training's time went, if a profiler was asked for, else None; whole once the training has ended.

        One row a step of the loop: step, calls, seconds, mean_ms, and share, which adds up to 100 (%). What was drawn
        beside the loop has a row without a share. `profile_folder` holds the full report.
        """
        import pandas as pd

        steps = self.profile_details.get("steps")
        return None if steps is None else pd.DataFrame(steps).astype({"mean_ms": float, "share": float})

    @property
    def profile_details(self) -> dict[str, Any]:
        """All of the profile as JSON, or {}: `profiler`, `device`, `seconds`, `epochs`, `steps`, the profiler's own.

        Of a resumed run it is the profile of the last training that had one, from the first to the last of `epochs`.
        """
        return self._read(f"{self.profile_folder.name}/{PROFILE_DETAILS}")[0]

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
        epochs, values = self.arrays(self.monitor)
        finite = np.isfinite(values)
        if not finite.any():
            return None
        best = int(np.argmin(np.where(finite, sign * values, np.inf)))
        return float(epochs[best]), float(values[best])

    # --- files ---

    @property
    def log_dir(self) -> Path:
        """The run's folder, which holds its TensorBoard events."""
        return self.folder

    @property
    def profile_folder(self) -> Path:
        """Where the profile's report and traces lie, if a profiler was asked for."""
        return self.folder / "profile"

    @property
    def report_path(self) -> Path | None:
        """The profile's full report, or None where no profiler was asked for."""
        path = self.profile_folder / PROFILE_REPORT
        return path if path.is_file() else None

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
    def view_path(self) -> Path | None:
        """The last picture that the user's view drew of the run, or None where there is none."""
        path = self.folder / FIGURES / "view.png"
        return path if path.is_file() else None

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(_size(Path(place, name)) for place, _, names in os.walk(self.folder) for name in names)

    def restore(self, problem: Problem, which: Literal["best", "last", "start"] = "best") -> Problem:
        """Put this run's weights into `problem` and return it.

        Parameters
        ----------
        problem : a Problem of the shape that was trained
        which : 'best', what the run keeps; 'last', after its last epoch; 'start', what it began with

        Raises `RunError` where the run has no such checkpoint or its weights do not fit.
        """
        from nmlab.problem.weights import load_weights, read_weights

        path = self._checkpoint(which)
        if path is None:
            where = self.folder / "checkpoints"
            raise RunError(f"Run {self.id} has no checkpoint {which!r} in {where}: nothing to restore.")
        load_weights(problem, read_weights(path), source=f"run {self.id}")
        self.problem = problem
        return problem

    # --- reading ---

    def _read(self, name: str) -> tuple[dict[str, Any], str | None]:
        return read_object(self.folder / name)

    def __repr__(self) -> str:
        best = (
            ""
            if self.best_value is None
            else f", best {self.monitor} {number_text(self.best_value)} in epoch {self.best_epoch}"
        )
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        return f"Run {self.id}: {self.status}, {epochs}{best}\n  {self.folder}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # moved into its place since it was listed
        return 0
