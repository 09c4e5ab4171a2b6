"""Begins a run's events: what it was asked to do, and its Problem as a picture."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache, partial

from neuromancer.problem import Problem

from nmlab.errors import FieldError
from nmlab.options import TrainerOptions
from nmlab.plots import Picture, draw_graph
from nmlab.problem.graph import ProblemGraph, graph_of
from nmlab.runs import Run, RunWriter
from nmlab.training.events.hparams import hyperparameters
from nmlab.training.events.writer import EventWriter


def begin_events(writer: RunWriter, problem: Problem, options: TrainerOptions, epochs: int = 0) -> EventWriter:
    """Return the writer of a run's TensorBoard events; errors are reported in the log of the run.

    Parameters
    ----------
    writer : RunWriter
        The writer of the run.
    problem : Problem
        The Problem, of which a picture is written.
    options : TrainerOptions
        The options of the run.
    epochs : int, default 0
        For a resumed run, the number of epochs whose events are kept.
    """
    accelerator: str = options.accelerator
    with suppress(FieldError):  # the training says so
        accelerator = options.resolved_accelerator()
    hparams = hyperparameters(writer.run.settings, accelerator)
    events = EventWriter(writer.folder, hparams, epochs=epochs, tell=writer.log)
    try:
        events.add_problem(_picture(graph_of(problem)))
    except Exception as error:  # a Problem of another make than those known
        writer.log(f"The Problem could not be drawn: {type(error).__name__}: {error}")
    if events.epochs < epochs:
        _catch_up(events, writer.run, epochs)
    return events


@lru_cache(maxsize=32)  # fits of the same Problem follow each other, and drawing takes longer than some of them
def _picture(graph: ProblemGraph) -> bytes:
    return Picture(900).png(partial(draw_graph, graph=graph), scale=1.5)


def _catch_up(events: EventWriter, run: Run, epochs: int) -> None:
    """Write what a resumed run measured without events, or lost of them with its process."""
    begin, best = events.epochs, math.inf
    sign = -1.0 if run.mode == "max" else 1.0
    names = run.columns
    for values in zip(*map(run.column, names), strict=True):
        row = dict(zip(names, values, strict=True))
        value = sign * row.get(run.monitor, math.nan)
        better = math.isfinite(value) and value < best
        best = value if better else best
        if begin <= row["epoch"] < epochs:
            events.add(int(row["epoch"]), row, better)
    events.flush()
