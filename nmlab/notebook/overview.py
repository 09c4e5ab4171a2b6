"""The tab "Overview": a run in a few numbers, and before the first one what is going to be trained."""

from __future__ import annotations

import math
from typing import Any

from neuromancer.problem import Problem

from nmlab.analysis.look import look
from nmlab.launch.base import Fit
from nmlab.plots import Theme, term_states
from nmlab.runs import Run
from nmlab.runtime.text import duration_text, typeset_number

Tile = dict[str, str]

SPAN = 10
"""Epochs over which the change of the dev loss is told."""


def tiles(run: Run, fit: Fit | None, ended: bool) -> list[Tile]:
    """Return the state of a run as labels with values and notes."""
    progress = fit.control.progress if fit is not None and not ended else None
    most = run.settings.get("options", {}).get("max_epochs") or 0
    found = [_tile("epoch", str(run.epochs), f"of {most}" if most else "")]
    for split in ("train", "dev"):
        values = run.arrays(f"{split}_loss")[1]
        if len(values):
            now, *_ = recent = values[: -SPAN - 2 : -1].tolist()
            found.append(_tile(f"{split} loss", typeset_number(now, 4), _change(recent[::-1])))
    violated = [state for state in term_states(run) if state.constraint and state.value > 0]
    worst = max(violated, key=lambda state: state.value, default=None)
    if worst is not None:
        found.append(_tile("worst violation", typeset_number(worst.value), worst.name))
    elif any(name.endswith("_violation") for name in run.columns):
        found.append(_tile("worst violation", "none"))
    if run.best_value is not None:
        name = run.monitor.replace("_", " ")
        found.append(_tile(f"best {name}", typeset_number(run.best_value, 4), f"in epoch {run.best_epoch}"))
    if "test_loss" in run.test_metrics:
        found.append(_tile("test loss", typeset_number(run.test_metrics["test_loss"], 4)))
    if progress is None:
        found.append(_tile("time", duration_text(run.seconds)))
    elif (left := progress.seconds_left) is not None:
        found.append(_tile("time left", duration_text(left)))
    return found


def before_html(problem: Problem | None, screen: dict[str, Any]) -> str:
    """Return what is shown before the first run: the graph and terms of the Problem, as far as it is known."""
    asks = "<p>No run yet. Choose values in the form and press <b>Run</b>.</p>"
    if problem is None:
        return f"{asks}<p class='nm-soft'>The Problem is built when a run begins.</p>"
    width, scale = max(280, int(screen.get("width") or 640)), min(max(float(screen.get("ratio") or 1.5), 1.0), 3.0)
    return asks + look(problem).to_html(width, scale, Theme(dark=bool(screen.get("dark"))))


def _tile(label: str, value: str, note: str = "") -> Tile:
    return {"label": label, "value": value, "note": note}


def _change(values: list[float]) -> str:
    """Return how much a loss changed over some epochs, such as '−12 % in 10 epochs'."""
    if len(values) < 2 or not values[0] > 0 or not math.isfinite(values[-1] / values[0]):
        return ""
    percent = 100 * (values[-1] / values[0] - 1)
    count = len(values) - 1
    change = f"{percent:+.2g}" if abs(percent) < 10 else f"{percent:+.0f}"
    return f"{change} % in {count} epoch{'' if count == 1 else 's'}".replace("-", "−")
