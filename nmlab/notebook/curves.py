"""The curves of a tab for the page, which draws them: all points once, thinned, and then those that are new."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nmlab.notebook.status_line import BYTES_A_SECOND, SHARE
from nmlab.plots import alt_text, change_marks, mean_curve, term_states, thin
from nmlab.plots.words import run_label
from nmlab.runs import Run
from nmlab.runs.repeats import grouped
from nmlab.runs.summary import summary_of
from nmlab.runtime.text import typeset_number

AT_ONCE = 500
"""Intervals to which a whole curve is thinned; of one among many charts a fifth."""

ADDED = 8
"""Intervals to which the new part of a curve is thinned."""

EVERY = 0.1
"""Seconds at least between two messages to the page."""

WORDS_EVERY = 0.5
"""Seconds at least between two descriptions of a chart."""

BEHIND = -1
"""The colour of earlier runs."""

Points = tuple[np.ndarray, np.ndarray]


@dataclass
class Line:
    """A curve of the page: what it is called and how it looks; `points` returns all that is known of it."""

    name: str
    points: Callable[[], Points]
    grows: bool = False
    chart: int = 0
    colour: int = 0
    """Place in the palette of `Theme.curves`, or BEHIND."""
    dash: int = 0
    width: float = 2.0
    legend: bool = True
    role: str = "line"
    """'line', or 'low' or 'high': the edge of a band around the line of this name."""

    @property
    def look(self) -> dict[str, Any]:
        """What the page knows of it, as JSON."""
        return {name: value for name, value in vars(self).items() if name not in ("points", "grows")}


@dataclass
class Chart:
    """Axes of the page."""

    name: str
    what: str
    """What y is."""
    words: str = ""
    zero: bool = False
    """Whether zeros have a place on a logarithmic axis."""
    best: tuple[int, float | None] | None = None
    """The best epoch and its value; without a value where y is something else."""
    best_text: str = ""
    marks: list[tuple[int, str]] = field(default_factory=list)
    """Epochs from which on something was changed, and what."""


@dataclass
class Drawing:
    """What a tab draws."""

    charts: list[Chart]
    lines: list[Line]
    alt: str = ""
    run: str = ""
    """The run that is seen: a page keeps its zoom for it."""


class Curves:
    """Sends the page what it needs to draw, and no more.

    Parameters
    ----------
    send : callable
        Called with a message as JSON and a list of buffers, and returns whether it was sent.
    """

    def __init__(self, send: Callable[[dict[str, Any], list[bytes]], object]) -> None:
        self._send = send
        self._key: tuple[Any, ...] | None = None
        self._sent: list[int] = []
        self._lines: list[Line] = []
        self._number = 0
        self._described = 0.0
        self._next = 0.0
        self._charts: list[dict[str, Any]] = []

    def ask(self) -> None:
        """Send everything with the next `update`, as to a page that was loaded anew."""
        self._key = None

    def update(self, key: tuple[Any, ...], describe: Callable[[], Drawing], ended: bool) -> None:
        """Send what is new.

        Parameters
        ----------
        key : tuple
            Changes where the lines are others.
        describe : callable
            Returns what is to be drawn; called where the key has changed, and now and then.
        ended : bool
            Whether the run has ended, after which nothing waits.
        """
        now, began = time.perf_counter(), time.thread_time()  # what a busy machine makes wait costs no training
        anew = key != self._key
        if not anew and not ended and now < self._next:
            return
        message: dict[str, Any] = {"anew": anew}
        if anew or ended or now - self._described >= WORDS_EVERY:
            drawing = describe()
            self._described = now
            charts = [asdict(chart) for chart in drawing.charts]
            if anew or [line.look for line in drawing.lines] != [line.look for line in self._lines]:
                self._key, self._lines, self._sent = key, drawing.lines, [0] * len(drawing.lines)
                message |= {"anew": True, "run": drawing.run, "lines": [line.look for line in self._lines]}
                anew = True
            if anew or charts != self._charts:
                self._charts = charts
                message |= {"charts": charts, "alt": drawing.alt}
        counts, arrays = self._added(anew)
        if not anew and not counts and "charts" not in message:
            return
        self._number += 1
        message |= {"number": self._number, "counts": counts, "lines": message.get("lines", [])}
        content = np.concatenate([np.empty(0), *arrays]).astype("<f4").tobytes()
        self._send({"curves": message}, [content])
        took = time.thread_time() - began
        self._next = now + max(EVERY, took / SHARE, len(content) / BYTES_A_SECOND)

    def _added(self, anew: bool) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
        counts: list[tuple[int, int]] = []
        arrays: list[np.ndarray] = []
        whole = AT_ONCE if len(self._charts) < 4 else AT_ONCE // 5
        for place, line in enumerate(self._lines):
            if not (anew or line.grows):
                continue
            x, y = line.points()
            before, self._sent[place] = self._sent[place], len(x)
            x, y = thin(x[before:], y[before:], ADDED if before else whole)
            if len(x):
                counts.append((place, len(x)))
                arrays += [x, y]
        return counts, arrays


# --- what the tabs draw ---


def losses(run: Run, earlier: Sequence[Run], growing: bool) -> Drawing:
    """Return the losses of a run, with earlier runs behind them and its guess."""
    lines = [
        Line(name.partition("_")[0], _points(run, name), growing, colour=colour, dash=colour)
        for colour, name in enumerate(("train_loss", "dev_loss"))
        if name in run.columns
    ]
    for place, old in enumerate(each for each in earlier if each.gone is None):
        column = "dev_loss" if "dev_loss" in old.columns else "train_loss"
        lines.insert(place, Line("earlier", _points(old, column), colour=BEHIND, width=1, legend=place == 0))
    if guess := run.guess:
        x, y = np.array(guess, float).T
        if len(guess) == 1:  # a final loss alone
            x, y = np.array([0.0, max(run.epochs - 1, 1)]), np.repeat(y, 2)
        lines.append(Line("guess", lambda: (x, y), colour=GUESS, dash=3, width=1.6))
    chart = Chart("losses", "loss", marks=change_marks(run))
    if run.best_epoch is not None and run.best_value is not None:
        seen = run.monitor in ("train_loss", "dev_loss")
        chart.best = run.best_epoch, run.best_value if seen else None
        of = "best" if seen else f"best {run.monitor}"
        chart.best_text = f"{of}: {typeset_number(run.best_value, 4)} in epoch {run.best_epoch}"
    return Drawing([chart], lines, alt_text(run), run.id)


def overlay(runs: Sequence[Run], growing: Run | None) -> Drawing:
    """Return the dev losses of several runs; of runs on several seeds their mean with a band."""
    lines: list[Line] = []
    for colour, group in enumerate(grouped(runs, lambda run: summary_of(run).settings)):
        if len(group) == 1:
            name, run = run_label(group[0]), group[0]
            lines.append(Line(name, _points(run, "dev_loss"), run is growing, colour=colour, dash=colour))
            continue
        name = f"{run_label(group[0])}, mean of {len(group)} seeds"
        for role, curve in zip(("line", "low", "high"), mean_curve(group, "dev_loss"), strict=True):
            x, y = curve
            whole: Points = (x, y)
            lines.append(
                Line(name, lambda whole=whole: whole, colour=colour, dash=colour, legend=role == "line", role=role)  # type: ignore[misc]
            )
    return Drawing([Chart("losses", "dev loss")], lines, alt_text(runs, "dev_loss"), " ".join(run.id for run in runs))


def terms(run: Run, earlier: Sequence[Run], growing: bool) -> Drawing:
    """Return every term of a run in a chart of its own, the worst first."""
    lines: list[Line] = []
    charts: list[Chart] = []
    behind = [each for each in earlier[-1:] if each.gone is None]
    columns = set(run.columns)
    for place, state in enumerate(term_states(run)):
        charts.append(Chart(state.name, "", state.words, zero=state.constraint, marks=change_marks(run)))
        lines += [
            Line("earlier", _points(old, f"{state.split}_{state.column}"), chart=place, colour=BEHIND, width=1)
            for old in behind
        ]
        lines += [
            Line(split, _points(run, f"{split}_{state.column}"), growing, place, colour=colour, dash=colour)
            for colour, split in enumerate(("train", "dev"))
            if f"{split}_{state.column}" in columns
        ]
        if state.constraint:
            name, column = f"{state.split}, worst sample", f"{state.split}_{state.column}_max"
            lines.append(Line(name, _points(run, column), growing, place, colour=WORST, dash=2, width=1.5))
    return Drawing(charts, lines, alt_text(run, "terms"), run.id)


def rate(run: Run, growing: bool) -> Drawing:
    """Return the learning rate of a run."""
    lines = [Line("learning rate", _points(run, "lr"), growing, legend=False)] if "lr" in run.columns else []
    charts = [Chart("learning rate", "learning rate", marks=change_marks(run))]
    if "grad_norm" in run.columns:
        charts.append(Chart("gradient norm", "gradient norm", marks=change_marks(run)))
        for name, column, colour in (("mean", "grad_norm", 0), ("largest", "grad_norm_max", 3)):
            lines.append(Line(name, _points(run, column), growing, 1, colour=colour, dash=colour))
        limit = (run.settings.get("options") or {}).get("gradient_clip_val")
        if limit and (run.arrays("grad_norm_max")[1] > 0.1 * limit).any():
            ends = np.array([0.0, max(run.epochs - 1, 1)]), np.repeat(float(limit), 2)
            lines.append(
                Line(f"clipped at {typeset_number(limit)}", lambda: ends, chart=1, colour=WORST, dash=1, width=1)
            )
    return Drawing(charts, lines, alt_text(run, "rate"), run.id)


GUESS, WORST = 3, 3
"""Colours, as in `draw_losses` and `Theme.worst`."""


def _points(run: Run, column: str) -> Callable[[], Points]:
    return lambda: run.arrays(column)
