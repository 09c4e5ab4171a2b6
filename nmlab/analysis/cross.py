"""Every run's weights scored on every run's data: how far what was learnt on one data set holds on another.

A run's data are made again from its data function, keywords and seed, one set at a time, so that no more than one is
ever held. What cannot be scored says why, and keeps nothing else from being scored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from neuromancer.problem import Problem

from nmlab.analysis.cross_result import Cross
from nmlab.analysis.score import metrics_of, split_of
from nmlab.analysis.trained import weights_in
from nmlab.data.splits import Splits
from nmlab.errors import DataError, FieldError, NmlabError, RunError
from nmlab.fields.field import unknown_name
from nmlab.fitting.dry_run import initialize
from nmlab.fitting.prepare import splits_of
from nmlab.identity.differences import Identity, differences, in_words
from nmlab.identity.functions import CHANGED
from nmlab.identity.problem import identity_of_problem
from nmlab.launch.task import Task
from nmlab.options import holds_stand_in
from nmlab.problem.lazy import has_lazy
from nmlab.problem.metric_names import RAW, is_free_of_weights
from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.state import preserving_state
from nmlab.problem.term_weights import use_weights_of
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import fingerprint, load_weights, read_weights
from nmlab.runs import Run
from nmlab.runs.helpers import helpers_of
from nmlab.runs.shown import shorten, value_text
from nmlab.runtime.capture import captured_output
from nmlab.runtime.control import StopRequested
from nmlab.runtime.rng import RandomStreams, same_state

SPLITS = ("train", "dev", "test")

OTHER_WEIGHTS = (
    "Each run is scored with the weights that its terms had in the fit, and these differ for {}: scores in one row can "
    "be compared, those of different runs cannot. A metric without weights, such as '<term>_raw' or a violation, can."
)


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
    known: DataRecipe | RunError
    """How they are made, or why they cannot be."""
    own: list[Run] = field(default_factory=list)
    """All of the runs."""

    @cached_property
    def key(self) -> str:
        """What tells these data from others: function, what it leans on, keywords, seed."""
        return f"{self.key_without_seed} {self.seed}"

    @cached_property
    def key_without_seed(self) -> str:
        """What tells these data from others, where the function draws no random numbers."""
        identities, kwargs = self.run.identities, self.described
        parts: list[Any] = []
        recipe = self.known if isinstance(self.known, DataRecipe) else None
        for name, value in kwargs.items():
            unknown = "data_kwargs" not in identities or _is_unreadable(identities["data_kwargs"], f"keyword {name}")
            if holds_stand_in(value) and recipe is not None and name in recipe.kwargs:
                # one text may stand for many objects
                kwargs[name] = [value, id(recipe.kwargs[name])] if unknown else None
        if "data" not in identities:  # a run of an earlier version
            parts = [self.run.data_name, self.run.source, helpers_of(_of_data(self.run.settings))]
        if recipe is not None and ("data" not in identities or _is_unreadable(identities["data"])):
            parts.append(id(recipe.function))  # which may hold objects that no text tells apart
        digests = [identities[part].digest for part in ("data", "data_kwargs") if part in identities]
        return json.dumps([*parts, *digests, kwargs], sort_keys=True)

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
        if isinstance(self.known, RunError):
            raise self.known
        if self.known.lost:
            raise RunError(f"no record could keep the value of {', '.join(self.known.lost)}")
        return splits_of(self.known.function, self.known.kwargs, None, streams)


def _is_unreadable(identity: Identity, subject: str = "") -> bool:
    """Return whether something in an identity could not be read, apart from what the function changes itself."""
    return any(reason != CHANGED and path.startswith(subject) for path, reason in identity.not_compared.items())


def _of_data(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a run's settings by which `helpers_of` finds what the data function alone leans on."""
    sources = settings.get("sources")
    definitions = sources.get("definitions") if isinstance(sources, dict) else None
    return {"data_function": settings.get("data_function"), "sources": {"definitions": definitions}}


class CrossScoring(Task[Cross]):
    """Scores the best weights of some runs on the data of each, in a thread, and leaves the Problems as they were.

    Parameters
    ----------
    problem_for : returns the Problem into which a run's weights are put for a moment; raises where there is none
    runs : the runs
    known : says how a run's data were made; raises `RunError` where that is not known
    split : 'train', 'dev' or 'test'
    metric : 'loss', a term, or a constraint's '…_violation' or '…_violation_max'

    Raises `FieldError` for an unknown split or metric.
    """

    def __init__(
        self,
        problem_for: Callable[[Run], Problem],
        runs: Sequence[Run],
        known: Callable[[Run], DataRecipe],
        split: str = "dev",
        metric: str = "loss",
    ) -> None:
        self._split, self._metric = split, metric
        self._runs = list({run.folder: run for run in runs}.values())
        self._problems: dict[Run, Problem] = {}
        self._unfit: dict[Run, str] = {}
        """Why a run's weights cannot be scored."""
        for run in self._runs:
            try:
                self._problems[run] = problem_for(run)
            except Exception as error:
                self._unfit[run] = _words(error)
        faults = {} if split in SPLITS else {"split": unknown_name(split, SPLITS)}
        terms = {id(each): terms_of(each) for each in self._problems.values()}.values()
        names = dict.fromkeys(
            name for each in terms for name in MetricAccumulator(each, [term.name for term in each]).names
        )
        if names and metric not in names:
            faults["metric"] = unknown_name(metric, [*names])
        if faults:
            raise FieldError(faults, subject="Runs cannot be scored by this")
        self._sets: dict[str, DataSet] = {}
        for run in self._runs:
            if run.settings.get("data_function"):
                try:
                    found = DataSet(run, known(run))
                except RunError as error:
                    found = DataSet(run, error)
                self._sets.setdefault(found.key, found).own.append(run)
        super().__init__("the scoring across data sets")
        self.control.progress.batches = len(self._sets)

    def _perform(self) -> Cross:
        with captured_output(lambda _text: None, True):
            known = {id(each): _known(each) for each in self._problems.values()}
            able = self._problems.items()
            faults = {run: _row_fault(run, *known[id(problem)]) for run, problem in able}
            unfit = self._unfit | {run: fault for run, fault in faults.items() if fault is not None}
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
            of_problems = {titles[run]: _digest(run, known[id(problem)][1]) for run, problem in able}
            rows = [titles[run] for run in self._runs]
            found = Cross(rows, labels, cells, own, self._split, self._metric, of_problems)
            found.remark = self._remark()
            return found

    def _remark(self) -> str:
        """Say that scores of different runs cannot be compared where their terms have other weights."""
        if is_free_of_weights(self._metric):
            return ""
        weights = [weights_in(run) for run in self._runs if run.term_weights]
        names = [name for name in dict.fromkeys(chain(*weights)) if len({each.get(name) for each in weights}) > 1]
        depends = [name for name in names if self._metric in ("loss", name)]
        return OTHER_WEIGHTS.format(", ".join(depends)) if depends else ""

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
        problem = self._problems[run]
        try:
            dataset = split_of(splits, self._split)
            assert run.checkpoint_path is not None
            with preserving_state(problem):
                if has_lazy(problem):
                    initialize(problem, splits, "the data", 0)
                load_weights(problem, read_weights(run.checkpoint_path), source=f"run {run.id}")
                use_weights_of(problem, weights_in(run))
                scores = metrics_of(problem, dataset, self._split, splits.batch_size, self.control.check)
            name = self._metric if self._metric in scores else self._metric.removesuffix(RAW)
            return scores.get(name, f"its Problem has no {self._metric}")
        except StopRequested:
            raise
        except Exception as error:
            return _words(error)


def _known(problem: Problem) -> tuple[str | None, Identity | None]:
    """Return fingerprint and identity of a Problem; None for each where lazy modules wait for data."""
    return (None, None) if has_lazy(problem) else (fingerprint(problem), identity_of_problem(problem))


def _digest(run: Run, identity: Identity | None) -> str | None:
    """Return what tells the Problem of a run from others, apart from weights of terms that the record has."""
    if identity is None:
        return None
    return (identity.without_term_weights() if run.term_weights else identity).digest


def _row_fault(run: Run, fits: str | None, identity: Identity | None) -> str | None:
    """Say why a run's weights cannot be scored by the Problem of this fingerprint and identity; None where they can.

    Parameters: `fits`, `identity`, None where these are not known yet, as of lazy modules.
    """
    if run.damage:
        return run.damage
    if fits is not None and run.settings.get("fingerprint") not in (None, fits):
        return "made for another Problem: other keys, terms or shapes"
    made_for = run.identities.get("problem")
    if made_for is not None and identity is not None and run.term_weights:  # with which it is scored
        made_for, identity = made_for.without_term_weights(), identity.without_term_weights()
    if made_for is not None and identity is not None and (differing := differences(made_for, identity)):
        return f"made for another Problem: {in_words(differing)}"
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
