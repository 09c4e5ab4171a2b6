"""What comes before a training, in a fit or a search: the Problem built, its data made and tried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from neuromancer.problem import Problem

from nmlab.data.splits import Splits, make_splits, place_of
from nmlab.data.workers import workers_faults
from nmlab.errors import DataError, FieldError, RunError
from nmlab.fitting.batch_sizes import check_batch_sizes
from nmlab.fitting.dry_run import dry_run, initialize, split_fault
from nmlab.fitting.request import FitRequest
from nmlab.options import TrainerOptions
from nmlab.problem.lazy import has_lazy
from nmlab.problem.weights import misfits, read_weights
from nmlab.provenance.settings import describe_values
from nmlab.runs.shown import value_text
from nmlab.runtime.interrupts import users_code
from nmlab.runtime.rng import RandomStreams
from nmlab.training.user_hooks import UserHooks


def build_problem(
    source: Callable[..., Any], streams: RandomStreams, kwargs: Mapping[str, Any] | None = None
) -> Problem:
    """Return the Problem that a builder makes of its keywords; raises `FieldError` where it makes something else."""
    with streams, users_code():
        problem = source(**(kwargs or {}))
    if not isinstance(problem, Problem):
        raise FieldError({"problem": f"its builder {place_of(source)} returned a {type(problem).__name__}"})
    return problem


def refuse_unfit(request: FitRequest) -> None:
    """Refuse start weights that do not fit the Problem, before anything is made; for that a builder is called once.

    Parameters
    ----------
    request : FitRequest
        As `FitRequest.checked` returns it.

    Raises
    ------
    RunError
        Where names or shapes differ; says by which keywords the Problem was built then and is now.
    """
    resumed = request.resumed
    weights, origin = dict(request.start_weights or {}), request.starts_from
    if resumed is not None and resumed.start_checkpoint_path is not None:
        weights, origin = read_weights(resumed.start_checkpoint_path), resumed.id
    if not weights:
        return
    problem = request.problem
    if not isinstance(problem, Problem):
        try:
            problem = build_problem(problem, RandomStreams(request.seed or 0), request.problem_kwargs)
        except Exception:  # its error belongs to the run, which keeps it
            return
    source = f"run {origin}" if origin and " " not in origin else origin or "the Lab's start"
    if not has_lazy(problem) and (faults := misfits(problem, weights, source)):
        faults += _why(request, origin)
        raise RunError("\n  ".join([f"The weights of {source} do not fit this Problem:", *faults]))


def _why(request: FitRequest, origin: str | None) -> list[str]:
    """Return by which keywords the Problem of the run `origin` was built otherwise, as a line; [] where by none."""
    before: Mapping[str, Any] = {}
    with suppress(RunError):
        before = request.store.get(origin or "").settings.get("problem_kwargs") or {}
    now = describe_values(request.problem_fields, request.problem_kwargs)
    names = [name for name in now if name in before and before[name] != now[name]]
    told = [", ".join(f"{name}={value_text(each[name])}" for name in names) for each in (before, now)]
    return [f"That Problem was built with {told[0]}, this one with {told[1]}."] if names else []


def splits_of(
    function: Callable[..., Any], data_kwargs: Mapping[str, Any], batch_size: int | None, streams: RandomStreams
) -> Splits:
    """Return a data function's splits, made from the streams' first numbers on.

    Parameters: `batch_size`, in place of the function's own; None for that. Raises as `make_splits` does.
    """
    streams.reseed()
    with streams:
        splits = make_splits(function, data_kwargs)
    return replace(splits, batch_size=batch_size or splits.batch_size)


def initialize_lazy(problem: Problem, splits: Splits, request: FitRequest, seed: int) -> None:
    """Give the lazy modules of a Problem their weights, if it has any; raises as `initialize` does."""
    if has_lazy(problem):
        initialize(problem, splits, place_of(request.data_setup_function), seed, _converts(request.options))


def _converts(options: TrainerOptions) -> bool:
    """Return whether samples are converted to the Problem's own precision."""
    return options.precision in ("64-true", "16-true", "bf16-true")


def check_data(
    problem: Problem,
    splits: Splits,
    function: Callable[..., Any],
    options: TrainerOptions,
    user_hooks: UserHooks | None,
) -> None:
    """Try out the data as they will be trained on; raises as `dry_run` and `check_batch_sizes` do.

    A `DataError` too where worker processes cannot load them. A test split that cannot be scored is left out, with a
    warning.
    """
    converted = _converts(options)
    untried = user_hooks.untried if user_hooks is not None else ()
    faults = workers_faults(splits, options.num_workers)
    fault = faults.pop("test", None)
    if faults:
        raise DataError(faults.values(), subject=f"{place_of(function)} returned what worker processes cannot load")
    dry_run(problem, splits, place_of(function), converted, without=untried)
    if splits.unscored:
        splits.leave_out_test(splits.unscored)
    elif splits.test is not None:
        if fault is None and "test" not in untried:
            fault = split_fault(problem, "test", splits.test, splits.batch_size, converted)
        if fault is not None:
            splits.leave_out_test(fault)
    if "train" not in untried:
        check_batch_sizes(problem, splits, place_of(function), options, converted)
