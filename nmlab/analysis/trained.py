"""The Problem of a run with that run's weights, whatever the Problem holds now, and what train covered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from neuromancer.problem import Problem

from nmlab.data.coverage import KeyCoverage
from nmlab.errors import BusyError, RunError
from nmlab.problem.start import start_of
from nmlab.problem.state import preserving_state
from nmlab.problem.term_weights import use_weights_of, weighted
from nmlab.problem.weights import load_weights, read_weights
from nmlab.runs import Run
from nmlab.runtime import one_fit


def problem_of(run: Run, problem: Problem | None = None) -> Problem:
    """Return the Problem of a run, or the one that is given for it; raises `RunError` where there is none."""
    found = problem if problem is not None else run.problem
    if found is None:
        raise RunError(
            f"Run {run.id} has no Problem in this process, only its weights: make one of the same shape, and call "
            "run.restore(problem)."
        )
    return found


@contextmanager
def trained(run: Run, problem: Problem | None = None) -> Iterator[Problem]:
    """Give the Problem of a run its weights, those of its terms too, and eval mode for a block, and restore it after.

    Parameters
    ----------
    run : Run
        The run. Its weights are those that `restore` loaded, by default the best.
    problem : neuromancer.problem.Problem, optional
        A Problem of the same shape; by default the run's own.

    Raises
    ------
    BusyError
        If a fit is running in this process, whose weights change. Its own view and callbacks may call this.
    RunError
        If there is no Problem, or no weights that fit it.
    """
    running = one_fit.current()
    if running is not None and running.thread != threading.get_ident():
        raise BusyError(f"A Problem cannot be used while a fit changes its weights. {running.busy()}")
    problem = problem_of(run, problem)
    path = run.weights_path(run.restored)
    if path is None and start_of(problem).origin != run.id:
        raise RunError(f"Run {run.id} kept no checkpoint, and the Problem does not hold its weights any more.")
    with preserving_state(problem):
        if path is not None:
            load_weights(problem, read_weights(path), source=f"run {run.id}")
        use_weights_of(problem, weights_in(run))
        problem.eval()
        yield problem


def weights_in(run: Run) -> dict[str, float]:
    """Return the weights that a run's terms had at its end, by which its best epoch is chosen; at first for its start.

    {} for a run of an earlier version.
    """
    return run.term_weights if run.restored == "start" else run.term_weights_in(run.epochs - 1)


@contextmanager
def weighted_as_in(run: Run, problem: Problem) -> Iterator[None]:
    """Give the terms of a Problem the weights of a run for a block, unless a fit is running, which has its own."""
    if one_fit.current() is not None:
        yield
        return
    with weighted(problem, weights_in(run)):
        yield


def coverage_in(run: Run) -> dict[str, KeyCoverage]:
    """Return what train covered, by key; {} for a run of an earlier version, or one that made no data."""
    stored = run.settings.get("coverage")
    try:
        return {str(key): KeyCoverage.from_json(each) for key, each in dict(stored or {}).items()}
    except (TypeError, ValueError):  # of a later version
        return {}


def dtype_of(run: Run, problem: Problem, coverage: KeyCoverage | None) -> torch.dtype:
    """Return the type in which a Problem gets the values of a key."""
    parameter = next(problem.parameters(), None)
    precision = str((run.settings.get("options") or {}).get("precision"))
    name = "float32" if coverage is None else coverage.dtype
    own: torch.dtype = getattr(torch, name)
    converted = precision in ("64-true", "16-true", "bf16-true") and own.is_floating_point
    return parameter.dtype if parameter is not None and converted else own
