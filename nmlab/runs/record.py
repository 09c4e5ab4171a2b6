"""A run, read from its folder; read-only."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nmlab.errors import RunError
from nmlab.identity.differences import Identity
from nmlab.problem.metric_names import RAW
from nmlab.runs.json_files import read_object
from nmlab.runs.keeper import Gap
from nmlab.runs.layout import FIGURES, GUARD, LABEL, LAYOUT, LOCK, PROFILE_DETAILS, PROFILE_REPORT, STATES
from nmlab.runs.lock import is_alive
from nmlab.runs.metrics import MetricsFile, Table
from nmlab.runs.place import RunFolder, absolute
from nmlab.runs.uses import Uses
from nmlab.runtime.text import number_text

if TYPE_CHECKING:
    import pandas as pd
    from neuromancer.problem import Problem


class Run(Uses):
    """The record of one fit, read from its folder.

    Each access reads what the files hold now, so that a `Run` also follows a fit that is still running.

    Parameters
    ----------
    folder : str or path-like
        The run's folder.

    Attributes
    ----------
    folder : pathlib.Path
        Absolute path of the run's folder.
    problem : neuromancer.problem.Problem or None
        The trained Problem, in the process that made the run. Elsewhere None until `restore` is called.

    See Also
    --------
    RunStore : A folder of runs, which lists and finds them.

    Examples
    --------
    >>> import tempfile
    >>> import nmlab
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = nmlab.RunStore(folder).create("demo", {"seed": 1})  # as a fit does
    ...     writer.append({"epoch": 0, "train_loss": 2.0, "dev_loss": 3.0})
    ...     writer.append({"epoch": 1, "train_loss": 1.0, "dev_loss": 1.5})
    ...     writer.close("finished")
    ...     run = nmlab.Run(writer.folder)
    ...     run.id, run.status, run.column("train_loss"), run.best_epoch
    ('0001-demo', 'finished', [2.0, 1.0], 1)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._place = RunFolder(absolute(folder))
        self.problem: Problem | None = None
        self.restored: Literal["best", "last", "start"] = "best"
        """Which weights `restore` loaded; with these `predict` and the like compute."""
        self.make_data: Callable[[], Any] | None = None
        """What makes the splits of the run again, in the process that made the run."""
        self.is_written = False
        """Whether a fit of this process writes it now, which no fault of a disk ends."""
        self._metrics = MetricsFile(self._place.path / "metrics.csv")
        self.held: dict[str, dict[str, Any]] = {}
        """What the fit of this process could not write yet, by the name of the file."""
        self.gaps: list[Gap] = []
        """Times in which the fit of this process could not write."""
        self.elsewhere: dict[str, Path] = {}
        """Checkpoints that could not be written into the folder, by name."""

    # --- its folder ---

    @property
    def folder(self) -> Path:
        """Absolute path of the run's folder; if it was renamed within its folder of runs, the new one."""
        return self._place.path

    @property
    def uid(self) -> str | None:
        """What identifies the run wherever its folder is; None if that cannot be read."""
        return self._place.uid

    @property
    def gone(self) -> str | None:
        """Reason why the folder of this run, which was there, cannot be found any more; None if it can."""
        if self.is_written or self.held:  # what waits in memory is read there
            return None
        return self._place.gone

    def _there(self) -> None:
        """Raise RunError if the folder is gone."""
        if (reason := self.gone) is not None:
            raise RunError(f"Run {self._place.name} cannot be read: {reason}.")

    # --- settings ---

    @property
    def id(self) -> str:
        """Name of the run's folder, such as '0007-rosenbrock'; unique in its folder of runs."""
        return self.folder.name

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the run: data kwargs, options, seed, versions, sources; {} if they cannot be read.

        Raises
        ------
        RunError
            If the run's folder was there and is gone.
        """
        self._there()
        return self._read("settings.json")[0]

    @property
    def name(self) -> str:
        """Name that the user gave the run, when it was made or by `rename`; its id if that cannot be read."""
        named = self._read(LABEL)[0].get("name") or self._read("settings.json")[0].get("name")
        return str(named or self.id)

    @property
    def note(self) -> str:
        """The user's note about the run; '' if there is none."""
        return str(self._read(LABEL)[0].get("note") or "")

    @property
    def guess(self) -> list[tuple[float, float]]:
        """The user's guess of the loss curve before it was shown, as (epoch, loss) pairs; [] if there is none."""
        points = self._read(LABEL)[0].get("guess")
        try:
            return [(float(epoch), float(loss)) for epoch, loss in points or []]
        except (TypeError, ValueError):
            return []

    @property
    def data_name(self) -> str | None:
        """Name of the data function; None if it is unknown."""
        name = (self.settings.get("data_function") or {}).get("name")
        return None if name is None else str(name)

    @property
    def source(self) -> str | None:
        """Source code of the data function as the run called it; None if it could not be read."""
        source = (self.settings.get("data_function") or {}).get("source")
        return None if source is None else str(source)

    @property
    def created(self) -> str:
        """Time when the run was made, in ISO 8601 with the offset from UTC; '' if it is unknown."""
        return str(self.settings.get("created") or "")

    @property
    def starts_from(self) -> str | None:
        """Where the initial weights came from, such as another run's id; None if they were new."""
        name = self.settings.get("starts_from")
        return None if name is None else str(name)

    @property
    def identities(self) -> dict[str, Identity]:
        """What the run's 'problem', 'data', 'data_kwargs' and 'builder' were; {} for a run of an earlier version."""
        return identities_in(self.settings)

    @property
    def term_weights(self) -> dict[str, float]:
        """Weights of the Problem's terms at the start of the run, by name; {} for a run of an earlier version.

        Terms whose weight is not a fixed number have none. `changes` says which were changed later.
        """
        stored = self.settings.get("term_weights")
        return {str(name): float(weight) for name, weight in stored.items()} if isinstance(stored, dict) else {}

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Changes of the learning rate and of weights while the run trained, as in `TrainerOptions`; [] without any."""
        stored = (self.settings.get("options") or {}).get("changes")
        return [dict(change) for change in stored] if isinstance(stored, list) else []

    def term_weights_in(self, epoch: int) -> dict[str, float]:
        """Return the weights of the Problem's terms in an epoch, counted from 0; {} as for `term_weights`.

        Parameters
        ----------
        epoch : int
            The epoch.

        Returns
        -------
        dict of str to float
            Weights by the names of the terms.
        """
        weights = self.term_weights
        for change in self.changes:
            if weights and int(change.get("epoch", 0)) <= epoch:
                weights |= change.get("weights") or {}
        return weights

    @property
    def damage(self) -> str | None:
        """Reason why this folder cannot be read as a run; None if it can."""
        if reason := self.settings_damage:
            return reason
        if (self.folder / "status.json").exists() and (reason := self._read("status.json")[1]):
            return reason
        self._table()
        return self._metrics.fault

    @property
    def settings_damage(self) -> str | None:
        """Reason why the settings, and therefore the run, cannot be read; None if they can."""
        if (gone := self.gone) is not None:
            return gone
        settings, reason = self._read("settings.json")
        layout = settings.get("layout")
        if not reason and (not isinstance(layout, int) or layout > LAYOUT):
            return f"layout {layout!r} was written by another version of nmlab; this one reads up to {LAYOUT}"
        return reason

    # --- state ---

    @property
    def status(self) -> str:
        """'running', 'finished', 'stopped', 'failed' or 'interrupted'; 'damaged' if the folder cannot be read."""
        if self.damage:
            return "damaged"
        state = self._state()
        if state == "running" and not any(is_alive(self.folder / lock) for lock in (LOCK, GUARD)):
            state = self._state()  # it may have ended between the two reads
            return "interrupted" if state == "running" else state
        return state if state in STATES else "damaged"

    def _state(self) -> str:
        return str(self._read("status.json")[0].get("state", "running"))

    @property
    def error(self) -> str | None:
        """Error that ended the run, as 'Type: message', or the folder's damage; None if there was no error."""
        error = self._read("status.json")[0].get("error")
        return self.damage or (f"{error.get('type')}: {error.get('message')}" if error else None)

    @property
    def traceback(self) -> str | None:
        """Traceback of the error that ended the run, from the user's code on, or None; the log has all of it."""
        error = self._read("status.json")[0].get("error")
        return str(error.get("traceback")) if error else None

    @property
    def remark(self) -> str | None:
        """Remark of the fit, such as that there was no dev split, or None."""
        status = self._read("status.json")[0]
        remark = status.get("remark") or status.get("note")  # the name of it in old runs
        return str(remark) if remark else None

    @property
    def pruned(self) -> bool:
        """Whether a sweep ended the run early, since other trials were better; the remark says more."""
        return self._read("status.json")[0].get("pruned") is True

    @property
    def test_metrics(self) -> dict[str, float]:
        """Metrics of the test split with the best weights: `test_loss` and each term; {} if there are none."""
        metrics = self._read("status.json")[0].get("test_metrics") or {}
        return {key: float(value) for key, value in metrics.items() if isinstance(value, (int, float))}

    @property
    def monitor(self) -> str:
        """Metric that decides which epoch is the best."""
        return str(self._read("status.json")[0].get("monitor") or "dev_loss")

    @property
    def mode(self) -> str:
        """'min' or 'max': whether a lower or a higher value of `monitor` is better."""
        return str(self._read("status.json")[0].get("mode") or "min")

    @property
    def seconds(self) -> float:
        """Duration of all epochs so far, in seconds."""
        seconds = self.arrays("seconds")[1]
        return math.fsum(seconds[np.isfinite(seconds)])

    # --- metrics ---

    def column(self, name: str) -> list[float]:
        """Return the values of one metric.

        Parameters
        ----------
        name : str
            Name of the metric, one of `columns`.

        Returns
        -------
        list of float
            One value per epoch; [] if there is no such metric.
        """
        return self.curve(name)[1]

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Return the epochs and the values of one metric, which have the same length even while the fit is running.

        Parameters
        ----------
        name : str
            Name of the metric, one of `columns`.

        Returns
        -------
        epochs : list of float
            Epochs, counted from 0; [] if there is no such metric.
        values : list of float
            One value per epoch; [] if there is no such metric.
        """
        epochs, values = self.arrays(name)
        return epochs.tolist(), values.tolist()

    def arrays(self, name: str) -> tuple[Table, Table]:
        """Return the same as `curve` as arrays, which is faster for many epochs.

        Parameters
        ----------
        name : str
            Name of the metric, one of `columns`.

        Returns
        -------
        epochs : numpy.ndarray of shape (epochs,)
            Epochs, counted from 0; empty if there is no such metric.
        values : numpy.ndarray of shape (epochs,)
            One value per epoch; empty if there is no such metric.
        """
        columns, table = self._look()
        stored = name if name in columns else self._same_as(name, columns)
        if stored is None:
            return np.empty(0), np.empty(0)
        return table[0], table[columns.index(stored)]

    def _same_as(self, name: str, columns: Sequence[str]) -> str | None:
        """Return the column of a term whose weight is 1, which its raw value is too; None for any other name."""
        weighted = name.removesuffix(RAW)
        own = name.endswith(RAW) and weighted in columns
        return weighted if own and self.term_weights.get(weighted.partition("_")[2]) == 1.0 else None

    @property
    def columns(self) -> list[str]:
        """Names of the metrics as they are stored, 'epoch' first; [] before the first epoch has ended.

        The raw value of a term with weight 1, which is that of the term, is not stored a second time; `metrics`,
        `column`, `curve` and `arrays` have it all the same.
        """
        return list(self._look()[0])

    @property
    def epochs(self) -> int:
        """Number of epochs that have ended."""
        return int(self._look()[1].shape[1])

    @property
    def metrics(self) -> pd.DataFrame:
        """Metrics, one row per epoch: epoch (from 0), train_loss, dev_loss, lr, seconds and every term.

        Terms are as weighted in the loss, and without their weights as `…_raw`.
        """
        import pandas as pd

        columns, table = self._look()
        frame = pd.DataFrame(table.T.copy(), columns=columns, dtype=float)
        names = [f"{split}{term}{RAW}" for split in ("train_", "dev_") for term in self.term_weights]
        same = {name: same for name in names if name not in columns and (same := self._same_as(name, columns))}
        frame = frame.assign(**{name: frame[weighted] for name, weighted in same.items()})
        return frame.astype({"epoch": int}) if "epoch" in frame else frame

    @property
    def profile(self) -> pd.DataFrame | None:
        """Profile of the training time; None if no profiler was used. Complete once the training has ended.

        One row per step of the training loop, with the columns step, calls, seconds, mean_ms, and share, which adds up
        to 100 (%). Drawing in another thread has a row without a share. `report_path` is the full report.
        """
        import pandas as pd

        steps = self.profile_details.get("steps")
        return None if steps is None else pd.DataFrame(steps).astype({"mean_ms": float, "share": float})

    @property
    def profile_details(self) -> dict[str, Any]:
        """The whole profile as JSON: `profiler`, `device`, `seconds`, `epochs`, `steps` and the profiler's own data.

        {} if no profiler was used. For a resumed run it is the profile of the last training that had one, and `epochs`
        are its first and last epoch.
        """
        return self._read(f"{self.profile_folder.name}/{PROFILE_DETAILS}")[0]

    @property
    def best_epoch(self) -> int | None:
        """Epoch with the best value of `monitor`, whose weights are kept; None before there is a value."""
        best = self._best()
        return None if best is None else int(best[0])

    @property
    def best_value(self) -> float | None:
        """Best value of `monitor`; None before there is a value."""
        best = self._best()
        return None if best is None else best[1]

    def _best(self) -> tuple[float, float] | None:
        sign = -1.0 if self.mode == "max" else 1.0
        epochs, values = self.arrays(self.monitor)
        scored = self.scored
        finite = np.isfinite(values) & (epochs >= float(scored.get("since") or 0))
        found = []
        if finite.any():
            best = int(np.argmin(np.where(finite, sign * values, np.inf)))
            found.append((float(epochs[best]), float(values[best])))
        if scored.get("value") is not None and len(epochs):
            found.append((float(scored["epoch"]), float(scored["value"])))
        return min(found, key=lambda candidate: sign * candidate[1], default=None)

    @property
    def scored(self) -> dict[str, Any]:
        """Weights that were scored beside the epochs' rows: `epoch`, `value` of the monitored metric, and `since`.

        These are what a training ended with, where no epoch scored it, or, where a resumed run goes on with other data,
        the best of the epochs before `since`, whose own values no longer count. {} if there are none.
        """
        scored = self._read("status.json")[0].get("scored")
        return scored if isinstance(scored, dict) else {}

    # --- files ---

    @property
    def log_dir(self) -> Path:
        """The run's folder, which contains its TensorBoard events."""
        return self.folder

    @property
    def profile_folder(self) -> Path:
        """Folder of the profile's report and traces; it exists only if a profiler was used."""
        return self.folder / "profile"

    @property
    def report_path(self) -> Path | None:
        """Path of the profile's full report; None if no profiler was used."""
        path = self.profile_folder / PROFILE_REPORT
        return path if path.is_file() else None

    @property
    def log_path(self) -> Path:
        """Path of the run's log."""
        return self.folder / "log.txt"

    @property
    def checkpoint_path(self) -> Path | None:
        """Path of the checkpoint with the best weights; None if there is none."""
        return self.weights_path("best")

    @property
    def last_checkpoint_path(self) -> Path | None:
        """Path of the checkpoint from which `resume=run` continues; None if there is none."""
        return self.weights_path("last")

    @property
    def start_checkpoint_path(self) -> Path | None:
        """Path of the checkpoint with the initial weights; None if there is none."""
        return self.weights_path("start")

    def weights_path(self, name: Literal["best", "last", "start"]) -> Path | None:
        """Return the path of one of the run's checkpoints.

        Parameters
        ----------
        name : {'best', 'last', 'start'}
            The checkpoint.

        Returns
        -------
        pathlib.Path or None
            None if there is no such checkpoint.
        """
        path = self.elsewhere.get(name, self.folder / "checkpoints" / f"{name}.ckpt")
        return path if path.is_file() else None

    @property
    def view_path(self) -> Path | None:
        """Path of the last picture of the user's view; None if there is none."""
        path = self.folder / FIGURES / "view.png"
        return path if path.is_file() else None

    @property
    def size(self) -> int:
        """Size on disk, in bytes."""
        return sum(_size(Path(place, name)) for place, _, names in os.walk(self.folder) for name in names)

    def restore(self, problem: Problem, which: Literal["best", "last", "start"] = "best") -> Problem:
        """Load this run's weights into a Problem, in place.

        Parameters
        ----------
        problem : neuromancer.problem.Problem
            A Problem with the same parameters as the trained one.
        which : {'best', 'last', 'start'}, default 'best'
            Weights of the best epoch, of the last epoch, or the initial ones.

        Returns
        -------
        neuromancer.problem.Problem
            The same Problem.

        Raises
        ------
        RunError
            If the run has no such checkpoint, or its weights do not fit the Problem, which is then unchanged.
        """
        from nmlab.problem.start import loaded
        from nmlab.problem.weights import load_weights, read_weights

        path = self.weights_path(which)
        if path is None:
            where = self.folder / "checkpoints"
            raise RunError(f"Run {self.id} has no checkpoint {which!r} in {where}: nothing to restore.")
        load_weights(problem, read_weights(path), source=f"run {self.id}")
        loaded(problem, self.id if which == "best" else f"{which} weights of {self.id}")
        self.problem, self.restored = problem, which
        return problem

    # --- reading ---

    def _look(self) -> tuple[list[str], Table]:
        self._there()
        return self._table()

    def _table(self) -> tuple[list[str], Table]:
        self._metrics.path = self.folder / "metrics.csv"
        return self._metrics.look()

    def hold_rows(self, columns: list[str], rows: list[list[float]]) -> None:
        """Take in rows that are not written yet; for the fit that makes them.

        Parameters
        ----------
        columns : list of str
            Names of the metrics.
        rows : list of list of float
            Their values, a list for each epoch.
        """
        self._metrics.held = columns, rows

    @property
    def unwritten(self) -> str | None:
        """From which epoch on nothing could be written, and why, as text; None if everything is on disk.

        In the process of the fit this says what holds now. Elsewhere, and later, it is what the record says.
        """
        if self.gaps and self.gaps[-1].until is None:
            gap = self.gaps[-1]
            return f"nothing could be written since epoch {gap.since} ({gap.error}); it is kept in memory"
        told = self._read("status.json")[0].get("unwritten")
        if isinstance(told, list) and told and isinstance(told[-1], dict) and told[-1].get("until") is None:
            return f"nothing could be written since epoch {told[-1].get('since')} ({told[-1].get('error')})"
        return None

    def _read(self, name: str) -> tuple[dict[str, Any], str | None]:
        if name in self.held:
            return dict(self.held[name]), None
        return read_object(self.folder / name)

    def __repr__(self) -> str:
        if (reason := self.gone) is not None:
            return f"Run {self.id}: gone; {reason}"
        best = (
            ""
            if self.best_value is None
            else f", best {self.monitor} {number_text(self.best_value)} in epoch {self.best_epoch}"
        )
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        unwritten = f"; {text}" if (text := self.unwritten) else ""
        return f"Run {self.id}: {self.status}, {epochs}{best}{unwritten}\n  {self.folder}"


def identities_in(settings: Mapping[str, Any]) -> dict[str, Identity]:
    """Return the identities that a run's settings hold, by what they are of; those that cannot be read are left out."""
    stored = settings.get("identity")
    found = {part: Identity.from_json(each) for part, each in stored.items()} if isinstance(stored, dict) else {}
    return {str(part): identity for part, identity in found.items() if identity is not None}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # moved into its place since it was listed
        return 0
