"""What came of a sweep, as its runs tell it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from nmlab.errors import RunError
from nmlab.runs import Run, Runs, RunStore
from nmlab.runs.shown import html_table, text_table, value_text
from nmlab.runtime.text import number_text

if TYPE_CHECKING:
    import pandas as pd

ENDED_WELL = ("finished", "stopped")
"""States of a run whose metric says something of its parameters."""


class Sweep:
    """The trials of a sweep: a table on screen, a DataFrame by `to_pandas`, the runs themselves.

    Parameters
    ----------
    name : str
        The sweep's name.
    store : RunStore
        The folder of its runs.
    runs : Iterable[Run], default ()
        One per trial, in their order.

    Examples
    --------
    >>> import nmlab
    >>> example = nmlab.gallery.get("rosenbrock")
    >>> config = {"method": "grid", "parameters": {"nsim": {"values": [20, 40]}}}
    >>> options = nmlab.TrainerOptions(max_epochs=1, seed=0)
    >>> done = nmlab.sweep(example.problem, example.data_function(), config, options=options, quiet=True)
    >>> list(done.to_pandas()["nsim"])
    [20, 40]
    """

    def __init__(self, name: str, store: RunStore, runs: Iterable[Run] = ()) -> None:
        self.name = name
        self.store = store
        self._runs = list(runs)

    @classmethod
    def read(cls, name: str, runs_dir: str | os.PathLike[str] = "nmlab_runs") -> Sweep:
        """Return the newest sweep of this name in a folder of runs; of an interrupted one, the trials that there are.

        Parameters
        ----------
        name : str
            The sweep's name.
        runs_dir : path-like, default "nmlab_runs"
            The folder of the runs.

        Returns
        -------
        Sweep
            The sweep.

        Raises
        ------
        RunError
            There is no such sweep; names those that there are.
        """
        store = RunStore(runs_dir)
        trials = [(run, about) for run in store.runs() if (about := _sweep_of(run))]
        ids = [about.get("id") for _, about in trials if about.get("name") == name]
        if not ids:
            names = dict.fromkeys(str(about.get("name")) for _, about in trials)
            raise RunError(f"There is no sweep {name!r} in {store.folder}; there are: {', '.join(names) or 'none'}.")
        return cls(name, store, [run for run, about in trials if about.get("id") == ids[-1]])

    def add(self, run: Run) -> None:
        """Add the run of one more trial.

        Parameters
        ----------
        run : Run
            The trial's run.
        """
        self._runs.append(run)

    @property
    def runs(self) -> Runs:
        """The trials' runs, in their order; a failed trial's run says why."""
        return Runs(self.store, self._runs)

    @property
    def metric(self) -> str:
        """The metric by which trials are judged."""
        first = self._runs[0] if self._runs else None
        return str(_sweep_of(first).get("metric") or first.monitor) if first is not None else "dev_loss"

    @property
    def mode(self) -> str:
        """'min' or 'max': whether less or more of `metric` is better."""
        return str(_sweep_of(self._runs[0]).get("mode")) if self._runs else "min"

    def value(self, run: Run) -> float | None:
        """Return a trial's metric in the epoch whose weights it keeps.

        Parameters
        ----------
        run : Run
            The trial's run.

        Returns
        -------
        float or None
            None where the trial failed or has no such metric.
        """
        if run.status not in ENDED_WELL:
            return None
        if self.metric.startswith("test_"):
            value = run.test_metrics.get(self.metric)
        else:
            epoch = -1 if run.best_epoch is None else run.best_epoch
            value = dict(zip(*run.curve(self.metric), strict=True)).get(epoch)
        return value if value is not None and math.isfinite(value) else None

    @property
    def best(self) -> Run:
        """The run of the best trial, whose `problem` is the trained Problem; `RunError` where no trial has a value."""
        if (best := self._best()) is None:
            raise RunError(f"The sweep {self.name!r} has no trial with a {self.metric}.")
        return best

    def _best(self) -> Run | None:
        sign = -1.0 if self.mode == "max" else 1.0
        values = [(sign * value, run) for run in self._runs if (value := self.value(run)) is not None]
        return min(values, key=lambda pair: pair[0])[1] if values else None

    def to_pandas(self) -> pd.DataFrame:
        """Return the trials as a table.

        Returns
        -------
        pandas.DataFrame
            One row per trial: run (its id), each parameter, the metric, status.
        """
        import pandas as pd

        rows = [
            {"run": run.id, **self._shown(run), self.metric: self.value(run), "status": _status(run)}
            for run in self._runs
        ]
        frame = pd.DataFrame(rows, columns=["run", *self._names(), self.metric, "status"], index=self._numbers())
        return frame.rename_axis("trial").astype({self.metric: float})

    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for run in self._runs for name in _sweep_of(run).get("parameters", {})))

    def _numbers(self) -> list[int]:
        return [_sweep_of(run).get("trial", 0) for run in self._runs]

    def _shown(self, run: Run) -> dict[str, Any]:
        parameters = _sweep_of(run).get("parameters", {})
        return {name: value_text(v) if isinstance(v, dict | list) else v for name, v in parameters.items()}

    def _table(self) -> tuple[list[str], list[list[str]]]:
        best = self._best()
        rows = []
        for number, run in zip(self._numbers(), self._runs, strict=True):
            shown = self._shown(run)
            parameters = [_text(shown.get(name)) for name in self._names()]
            star = "★ " if run is best else ""
            rows.append([str(number), *parameters, star + number_text(self.value(run)), _status(run)])
        return ["trial", *self._names(), self.metric, "status"], rows

    def _head(self) -> str:
        trials = f"{len(self._runs)} trial{'' if len(self._runs) == 1 else 's'}"
        best = self._best()
        found = "" if best is None else f", best {self.metric} {number_text(self.value(best))} in run {best.id}"
        return f"Sweep {self.name}: {trials}{found}"

    def __repr__(self) -> str:
        titles, rows = self._table()
        return f"{self._head()}\n{text_table([titles, *rows])}" if rows else self._head()

    def _repr_html_(self) -> str:
        titles, rows = self._table()
        return f"<p>{escape(self._head())}</p>" + html_table(titles, [[*map(escape, row)] for row in rows])


def _status(run: Run) -> str:
    return "pruned" if run.pruned else run.status


def _sweep_of(run: Run) -> dict[str, Any]:
    """Return what a run's settings say of the sweep that it belongs to; {} where it belongs to none."""
    told = run.settings.get("sweep")
    return told if isinstance(told, dict) else {}


def _text(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else value_text(value)
