"""Every run's weights scored on every run's data: how far what was learnt on one data set holds on another.

A run's data are made again from its data function, keywords and seed, one set at a time, so that no more than one is
ever held. What cannot be scored says why, and keeps nothing else from being scored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from neuromancer.problem import Problem

from nmlab.analysis.cross_result import Cross
from nmlab.analysis.score import metrics_of, split_of
from nmlab.data.splits import Splits
from nmlab.errors import DataError, FieldError, NmlabError, RunError
from nmlab.fields.field import unknown_name
from nmlab.fitting.dry_run import initialize
from nmlab.fitting.prepare import splits_of
from nmlab.launch.task import Task
from nmlab.options import holds_stand_in
from nmlab.problem.lazy import has_lazy
from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.state import preserving_state
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import fingerprint, load_weights, read_weights
from nmlab.provenance.settings import describe_function
from nmlab.runs import Run
from nmlab.runs.helpers import helpers_of
from nmlab.runs.shown import shorten, value_text
from nmlab.runtime.capture import captured_output
from nmlab.runtime.control import StopRequested
from nmlab.runtime.rng import RandomStreams, same_state
from nmlab.sources import sources_of

SPLITS = ("train", "dev", "test")


class DataRecipe(NamedTuple):
    """What a kernel knows of how a run's data were made."""

    function: Callable[..., Any]
    kwargs: Mapping[str, Any]
    lost: Sequence[str] = ()
    """Keywords whose values no record could keep."""


@dataclass
class DataSet:
    """Data that one or more runs were trained on, and how to make them again."""

    run: Run
    """The first of the runs."""
    known: DataRecipe | None
    own: list[Run] = field(default_factory=list)
    """All of the runs."""

    @cached_property
    def key(self) -> str:
        """What tells these data from others: function, what it leans on, keywords, seed."""
        return f"{self.key_without_seed} {self.seed}"

    @cached_property
    def key_without_seed(self) -> str:
        """What tells these data from others, where the function draws no random numbers."""
        settings, kwargs = self.run.settings, self.described
        for name, value in kwargs.items():
            if holds_stand_in(value) and self.known is not None and name in self.known.kwargs:
                kwargs[name] = [value, id(self.known.kwargs[name])]  # one text may stand for many objects
        helpers: dict[str, Any] = {**helpers_of(_of_data(settings))}
        sources = settings.get("sources")
        unreadable = sources.get("missing") if isinstance(sources, dict) else None
        if self.known is not None and set(unreadable or ()) - {"problem", *kwargs}:
            helpers["function"] = id(self.known.function)  # which may hold objects that no text tells apart
        return json.dumps([self.run.data_name, self.run.source, helpers, kwargs], sort_keys=True)

    @property
    def name(self) -> str:
        """The name of the data function."""
        return self.run.data_name or "data"

    @property
    def described(self) -> dict[str, Any]:
        """The data function's keywords as JSON."""
        return dict(self.run.settings.get("data_kwargs") or {})

    @property
    def seed(self) -> Any:
        """The seed of the random numbers that the data function drew."""
        return self.run.settings.get("seed")

    def make(self, streams: RandomStreams) -> Splits:
        """Make the data from `streams`; raises `RunError` saying why that cannot be, and what the function raises."""
        if self.known is None:
            raise RunError(
                f"this kernel does not have {self.name} as it was; define it again and lab.swap({self.name})"
            )
        if self.known.lost:
            raise RunError(f"no record could keep the value of {', '.join(self.known.lost)}")
        if changed := self._changed():
            raise RunError(f"{', '.join(changed)}, on which {self.name} leans, changed since the run")
        return splits_of(self.known.function, self.known.kwargs, None, streams)

    def _changed(self) -> list[str]:
        """Names of constants and functions that the data function uses and that are not what they were."""
        assert self.known is not None
        function = self.known.function
        settings = {"data_function": describe_function(function), "sources": sources_of({"data": function})}
        was, now = helpers_of(_of_data(self.run.settings)), helpers_of(_of_data(settings))
        return [name for name, text in was.items() if name in now and now[name] != text]


def _of_data(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a run's settings by which `helpers_of` finds what the data function alone leans on."""
    sources = settings.get("sources")
    definitions = sources.get("definitions") if isinstance(sources, dict) else None
    return {"data_function": settings.get("data_function"), "sources": {"definitions": definitions}}


class CrossScoring(Task[Cross]):
    """Scores the best weights of some runs on the data of each, in a thread, and leaves the Problem as it was.

    Parameters
    ----------
    problem : the Problem into which the weights are put for a moment
    runs : the runs
    known : says how a run's data were made, or None
    split : 'train', 'dev' or 'test'
    metric : 'loss', a term, or a constraint's '…_violation' or '…_violation_max'

    Raises `FieldError` for an unknown split or metric.
    """

    def __init__(
        self,
        problem: Problem,
        runs: Sequence[Run],
        known: Callable[[Run], DataRecipe | None],
        split: str = "dev",
        metric: str = "loss",
    ) -> None:
        faults = {} if split in SPLITS else {"split": unknown_name(split, SPLITS)}
        if metric not in (names := MetricAccumulator(terms_of(problem)).names):
            faults["metric"] = unknown_name(metric, names)
        if faults:
            raise FieldError(faults, subject="Runs cannot be scored by this")
        self._problem, self._split, self._metric = problem, split, metric
        self._runs = list({run.folder: run for run in runs}.values())
        self._sets: dict[str, DataSet] = {}
        for run in self._runs:
            if run.settings.get("data_function"):
                found = DataSet(run, known(run))
                self._sets.setdefault(found.key, found).own.append(run)
        super().__init__("the scoring across data sets")
        self.control.progress.batches = len(self._sets)

    def _perform(self) -> Cross:
        with captured_output(lambda _text: None, True):
            fits = None if has_lazy(self._problem) else fingerprint(self._problem)
            unfit = {run: fault for run in self._runs if (fault := _row_fault(run, fits))}
            scores: dict[str, tuple[DataSet, dict[Run, float | str]]] = {}
            for data in self._sets.values():
                self.control.check()
                self.control.phase = f"scoring on {data.name}"
                if data.key_without_seed in scores:  # it was seen to draw nothing, so these are the same data
                    scores[data.key_without_seed][0].own += data.own
                else:
                    told, drew = self._column(data, unfit)
                    scores[data.key if drew else data.key_without_seed] = data, told
                self.control.progress.batch += 1
            sets = [data for data, _ in scores.values()]
            labels, titles = _labels(sets), _titles(self._runs)
            cells = {
                (titles[run], label): cell
                for label, (_, told) in zip(labels, scores.values(), strict=True)
                for run, cell in told.items()
            }
            own = {(titles[run], label) for label, data in zip(labels, sets, strict=True) for run in data.own}
            return Cross([titles[run] for run in self._runs], labels, cells, own, self._split, self._metric)

    def _column(self, data: DataSet, unfit: Mapping[Run, str]) -> tuple[dict[Run, float | str], bool]:
        """Return each run's score on these data, or why it has none, and whether random numbers were drawn for them.

        The data are let go of with the return.
        """
        able = [run for run in self._runs if run not in unfit]
        streams = RandomStreams(int(data.seed or 0))
        fault: str | None = None
        try:
            if able:
                splits = data.make(streams)
        except Exception as error:
            fault = _words(error)
        drew = (
            fault is not None
            or not able
            or not same_state(streams.state_dict(), RandomStreams(streams.seed).state_dict())
        )
        return {run: unfit.get(run) or fault or self._cell(run, splits) for run in self._runs}, drew

    def _cell(self, run: Run, splits: Splits) -> float | str:
        self.control.check()
        try:
            dataset = split_of(splits, self._split)
            assert run.checkpoint_path is not None
            with preserving_state(self._problem):
                if has_lazy(self._problem):
                    initialize(self._problem, splits, "the data", 0)
                load_weights(self._problem, read_weights(run.checkpoint_path), source=f"run {run.id}")
                scores = metrics_of(self._problem, dataset, self._split, splits.batch_size, self.control.check)
            return scores[self._metric]
        except StopRequested:
            raise
        except Exception as error:
            return _words(error)


def _row_fault(run: Run, fits: str | None) -> str | None:
    """Say why a run's weights cannot be scored by the Problem with the fingerprint `fits`; None where they can.

    Parameters: `fits`, None where that is not known yet.
    """
    if run.damage:
        return run.damage
    if fits is not None and run.settings.get("fingerprint") not in (None, fits):
        return "made for another Problem: other keys, terms or shapes"
    return None if run.checkpoint_path is not None else "kept no checkpoint, so there are no weights to score"


def _words(error: Exception) -> str:
    """Return an error in a line."""
    if isinstance(error, DataError):
        return "; ".join(" ".join(fault.split()) for fault in error.faults)
    if isinstance(error, FieldError):
        return "; ".join(error.faults.values())
    text = " ".join(str(error).split())
    return text if isinstance(error, NmlabError) else f"{type(error).__name__}: {text}"


def _labels(sets: Sequence[DataSet]) -> list[str]:
    """Return a name for each data set: its function's, and where several have that, what tells them apart."""
    labels = []
    for data in sets:
        others = [other for other in sets if other.name == data.name and other is not data]
        missing = object()
        parts = [
            f"{name}={value_text(value)}"
            for name, value in data.described.items()
            if any(other.described.get(name, missing) != value for other in others)
        ]
        if any(other.seed != data.seed for other in others):
            parts.append(f"seed {data.seed}")
        labels.append(" ".join([data.name, shorten(", ".join(parts), 80)]).strip())
    twice = {label for label in labels if labels.count(label) > 1}
    return [
        f"{label} of run {data.run.id}" if label in twice else label for label, data in zip(labels, sets, strict=True)
    ]


def _titles(runs: Sequence[Run]) -> dict[Run, str]:
    """Return a run's id, with its folder where runs of several have that id."""
    ids = [run.id for run in runs]
    return {run: run.id if ids.count(run.id) == 1 else f"{run.id} in {run.folder.parent}" for run in runs}
