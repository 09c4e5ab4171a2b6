"""Descriptions of pictures, for readers who do not see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nmlab.plots.multiples import term_states
from nmlab.plots.words import run_label
from nmlab.runs.shown import change_text
from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from nmlab.runs import Run

_NAMED = 5
"""Maximum number of runs or terms that are named; a description should be short."""


def alt_text(run: Run | Sequence[Run], what: str = "losses") -> str:
    """Return a description of a picture, such as 'Losses by epoch: train 0.12, dev 0.15 after 60 epochs, falling.'.

    Parameters
    ----------
    run : Run or sequence of Run
        The run, or several runs that are drawn over each other.
    what : str, default 'losses'
        'losses', 'terms' or 'rate'; for several runs the name of the metric.
    """
    if isinstance(run, Sequence):
        return _overlay(run, "dev_loss" if what == "losses" else what)
    if not run.epochs:
        return "No epoch has finished yet."
    return {"losses": _losses, "terms": _terms, "rate": _rate}[what](run)


def _losses(run: Run) -> str:
    values = {name: run.column(f"{name}_loss") for name in ("train", "dev")}
    now = ", ".join(f"{name} {typeset_number(values[-1])}" for name, values in values.items() if values)
    trend = _trend(values["dev"] or values["train"])
    best = ""
    if run.best_value is not None:
        best = f"; best {run.monitor.removesuffix('_loss')} {typeset_number(run.best_value)} in epoch {run.best_epoch}"
    guess = f"; guessed {typeset_number(run.guess[-1][1])} for epoch {run.guess[-1][0]:.0f}" if run.guess else ""
    return f"Losses by epoch: {now} {_after(run)}{trend}{best}{guess}.{_changed(run)}"


def _terms(run: Run) -> str:
    states = term_states(run)
    more = f"; and {len(states) - _NAMED} more" if len(states) > _NAMED else ""
    terms = "; ".join(f"{state.name}: {state.words}" for state in states[:_NAMED])
    return f"Terms by epoch {_after(run)}, the worst first: {terms}{more}."


def _rate(run: Run) -> str:
    rates = run.column("lr")
    if not rates:
        return "The learning rate was not recorded."
    norms = run.column("grad_norm")
    clipped = f", {run.column('grad_clipped')[-1]:.0%} of its steps clipped" if norms else ""
    gradient = f" Gradient norm: mean {typeset_number(norms[-1])} in the last epoch{clipped}." if norms else ""
    return (
        f"Learning rate by epoch: {typeset_number(rates[-1])} {_after(run)}, {typeset_number(rates[0])} at first."
        f"{_changed(run)}{gradient}"
    )


def _changed(run: Run) -> str:
    told = [f"{change_text(change)} from epoch {change['epoch']} on" for change in run.changes[-_NAMED:]]
    return f" Changed: {'; '.join(told)}." if told else ""


def _overlay(runs: Sequence[Run], metric: str) -> str:
    more = f"; and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
    parts = [
        f"{run_label(run)}: {typeset_number(values[-1])} {_after(run)}"
        if (values := run.column(metric))
        else run_label(run)
        for run in runs[:_NAMED]
    ]
    return f"{metric.replace('_', ' ')} of {len(runs)} runs by epoch. {'; '.join(parts)}{more}."


def _after(run: Run) -> str:
    return f"after {run.epochs} epoch{'' if run.epochs == 1 else 's'}"


def _trend(values: Sequence[float]) -> str:
    """Return ', falling', ', rising' or ', level' by the medians of the last two tenths of the epochs."""
    count = max(len(values) // 10, 2)
    if len(values) < 2 * count or not all(map(math.isfinite, values[-2 * count :])):
        return ""
    before, now = np.median(values[-2 * count : -count]), np.median(values[-count:])
    if abs(now - before) <= 0.01 * abs(before):
        return ", level"
    return ", falling" if now < before else ", rising"
