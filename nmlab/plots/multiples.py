"""Every term of a run in a small panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nmlab.plots.axes import epochs_seen, frame, limits, panels, place
from nmlab.plots.curves import Curve, between, curve_of, draw_behind, draw_changes, line, newest, there
from nmlab.plots.legend import add_legend
from nmlab.plots.theme import EITHER, PX, Theme
from nmlab.plots.words import elide
from nmlab.problem.metric_names import RAW, VIOLATIONS
from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nmlab.runs import Run

MOST = 12
"""Maximum number of terms that are drawn; of more, the worst ones."""

PANEL = 280
"""Minimum width of a panel in CSS pixels."""

_HEIGHT, _WORDS, _NUMBERS, _LEFT, _RIGHT = 178, 40, 22, 52, 14  # of a panel, and what is around its curves

_RECENT = 5
"""Number of epochs whose median orders the terms, so that their order does not change with every epoch."""


@dataclass(frozen=True)
class TermState:
    """The current state of a term of a run."""

    name: str
    constraint: bool
    split: str
    """The split that the values are from: 'dev', or 'train' if there is no dev split."""
    value: float
    """The last value: for a constraint its mean violation, for an objective its part of the loss."""
    worst: float
    """The violation of a constraint by its worst sample; NaN for an objective."""
    share: float
    """The share of an objective in the sum of all terms, from 0 to 1."""
    rank: tuple[int, float]
    off: bool = False
    """Whether the term has the weight 0 now, so that it is not part of the loss."""

    @property
    def column(self) -> str:
        """Name of the metric that is drawn, without the prefix of the split."""
        return f"{self.name}{VIOLATIONS[0]}" if self.constraint else f"{self.name}{RAW}" if self.off else self.name

    @property
    def words(self) -> str:
        """The current state as text."""
        return f"not in the loss (weight 0) · {self._value_words}" if self.off else self._value_words

    @property
    def _value_words(self) -> str:
        if not self.constraint and self.off:
            return f"{self.split} {typeset_number(self.value)} without weight"
        if not self.constraint:
            share = f" · {self.share:.0%} of the loss" if math.isfinite(self.share) else ""
            return f"{self.split} {typeset_number(self.value)}{share}"
        if self.value == 0 == self.worst:
            return f"{self.split} not violated"
        return f"{self.split} violation {typeset_number(self.value)} · worst sample {typeset_number(self.worst)}"


def term_states(run: Run) -> list[TermState]:
    """Return the terms of a run, ordered from worst to best.

    Violated constraints come first, by mean violation over the dev samples, then objectives by their share of the loss,
    then satisfied constraints. The order follows the median of the last epochs; values that are not finite come first.
    """
    columns = run.columns
    split = "dev" if any(name.startswith("dev_") for name in columns) else "train"
    names = [name.removeprefix(f"{split}_") for name in columns if name.startswith(f"{split}_")]
    ends = ("_violation", "_violation_max")
    constraints = {name for name in names if all(f"{name}{end}" in names for end in ends)}
    its_own = {"loss", *(f"{name}{end}" for name in constraints for end in ends)}
    its_own |= {f"{name}{RAW}" for name in names}
    names = [name for name in names if name not in its_own]
    tails = {name: _tail(run, f"{split}_{name}") for name in names}
    off = {name for name, weight in run.term_weights_in(run.epochs - 1).items() if weight == 0}
    parts = {name: abs(_middle(tail)) for name, tail in tails.items()}
    whole = math.fsum(part for part in parts.values() if math.isfinite(part)) or 1.0
    states = []
    for name, tail in tails.items():
        if name in constraints:
            mean, worst = (_tail(run, f"{split}_{name}{end}") for end in ends)
            middle = _middle(mean)
            rank = (0 if middle > 0 else 2, -middle)
            states.append(TermState(name, True, split, _last(mean), _last(worst), 0.0, rank, name in off))
        else:
            share = parts[name] / whole
            rank = (1, -share) if math.isfinite(share) else (0, -math.inf)
            value = _last(run.column(f"{split}_{name}{RAW}")) if name in off else _last(tail)
            states.append(TermState(name, False, split, value, math.nan, share, rank, name in off))
    return sorted(states, key=lambda state: state.rank)


def _tail(run: Run, name: str) -> list[float]:
    values: list[float] = run.arrays(name)[1][-_RECENT:].tolist()
    return values


def draw_terms(
    figure: Figure,
    run: Run | None,
    earlier: Sequence[Run] = (),
    *,
    theme: Theme = EITHER,
    log: bool = True,
    last: int | None = None,
) -> tuple[int, int]:
    """Draw every term of a run into a figure, the worst first; set the height of the figure and return its size.

    Violations are means over the samples of a split; the worst dev sample is dotted. On a logarithmic axis, zeros are
    drawn at a tick labelled 0 below the lowest positive value. Of more than 12 terms, the 12 worst are drawn, with a
    note.

    Parameters
    ----------
    figure : Figure
        The figure. Its width determines the number of panels side by side, each at least 280 CSS pixels wide.
    run, earlier, theme, log, last
        As in `draw_losses`.

    Returns
    -------
    width, height : int
        Size of the figure in CSS pixels.
    """
    states = term_states(run) if run is not None else []
    drawn = states[:MOST]
    width = float(figure.get_size_inches()[0]) * 96
    across = min(max(int(width // PANEL), 1), max(len(drawn), 1))
    down = -(-len(drawn) // across)
    head, foot = 2.2 * theme.size, 1.8 * theme.size * (len(states) > MOST)
    height = round(head + down * _HEIGHT + foot)
    figure.set_size_inches(width / 96, height / 96)
    every = panels(figure, len(drawn))
    font = theme.text(0.95)
    words: dict[str, Any] = {"color": theme.ink, "va": "baseline"}
    if run is None or not drawn:
        figure.text(12 / width, 0.5, "Terms appear after the first epoch.", fontproperties=font, **words)
        return round(width), height
    slot = width / across
    for index, (axes, state) in enumerate(zip(every, drawn, strict=True)):
        row, column = divmod(index, across)
        left, top = column * slot, head + row * _HEIGHT
        for text, scale, below in ((state.name, 1.05, 17), (state.words, 0.9, 31)):
            size = theme.text(scale)
            text = elide(text, size, (slot - 20) * PX)
            figure.text((left + 12) / width, 1 - (top + below) / height, text, fontproperties=size, **words)
        place(axes, left + _LEFT, top + _WORDS, slot - _LEFT - _RIGHT, _HEIGHT - _WORDS - _NUMBERS)
        numbers = _draw_term(axes, run, earlier, state, theme, log, last)
        if (more := numbers + 12 - _LEFT) > 0:
            place(axes, left + _LEFT + more, top + _WORDS, slot - _LEFT - more - _RIGHT, _HEIGHT - _WORDS - _NUMBERS)
    lines = {str(item.get_label()): item for axes in every for item in axes.lines}
    shown = [item for label, item in lines.items() if not label.startswith("_")]
    add_legend(figure, shown, theme, (width - 90, head), (8 / width, 1 - 2 / height), "upper left")
    figure.text(
        1 - _RIGHT / width, 1 - 1.15 * theme.size / height, "by epoch", ha="right", fontproperties=font, **words
    )
    if len(states) > MOST:
        note = f"The {MOST} worst of {len(states)} terms."
        figure.text(12 / width, 0.6 * theme.size / height, note, fontproperties=font, **words)
    return round(width), height


def _draw_term(
    axes: Axes, run: Run, earlier: Sequence[Run], state: TermState, theme: Theme, log: bool, last: int | None
) -> float:
    """Draw the curves of a term; return the width of the tick labels of the y axis."""
    raw = " without weight" if state.off and not state.constraint else ""
    styles = {
        f"train_{state.column}": (f"train{raw}", theme.train),
        f"dev_{state.column}": (f"dev{raw}", theme.dev),
    }
    if state.constraint:
        styles[f"{state.split}_{state.column}_max"] = (f"{state.split}, worst sample", theme.worst)
    curves = {name: newest(run, name, last) for name in styles}
    xlim = epochs_seen([x for x, _ in curves.values()])
    behind = [between(curve_of(old, f"{state.split}_{state.column}"), xlim) for old in there(earlier)]
    values = np.concatenate([y for _, y in curves.values()])
    log = log and bool((values > 0).any()) and (state.constraint or not (values <= 0).any())
    low, high = limits(values[values > 0] if log else values, log)
    zero = None
    if log and (values <= 0).any():
        zero = low / (high / low) ** 0.15
        low = zero / (high / low) ** 0.06
    for name, (label, style) in styles.items():
        line(axes, _above(curves[name], zero), label=label, **style)
    draw_behind(axes, [_above(curve, zero) for curve in behind], theme)
    draw_changes(axes, run, xlim, theme)
    if not values[np.isfinite(values)].any() and state.constraint:
        low, high = -0.06, 1.0
    return frame(axes, theme, xlim, (low, high), log, (4, 4), zero)


def _above(curve: Curve, zero: float | None) -> Curve:
    """Return a curve with its zeros at the position that stands for zero."""
    return curve if zero is None else (curve[0], np.where(curve[1] <= 0, zero, curve[1]))


def _middle(values: Sequence[float]) -> float:
    """Return the median of values; infinity if the last one is not finite."""
    if values and not math.isfinite(values[-1]):
        return math.inf
    return float(np.median([value for value in values if math.isfinite(value)] or [0.0]))


def _last(values: Sequence[float]) -> float:
    return values[-1] if values else math.nan
