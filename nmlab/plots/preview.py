"""A few samples of each split, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nmlab.plots.axes import epochs_seen, frame, limits, panels, place
from nmlab.plots.curves import Curve, line
from nmlab.plots.legend import add_legend
from nmlab.plots.paper import PaperFigure, white_figure
from nmlab.plots.theme import DASHES, EITHER, MARKERS, PX, Theme
from nmlab.plots.words import elide

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 12
"""Maximum number of columns that are drawn."""

_PANEL, _HEIGHT, _WORDS, _NUMBERS, _LEFT, _RIGHT = 240, 158, 24, 36, 52, 14  # of a panel, and around its curves


@dataclass(frozen=True)
class SampleColumn:
    """A column of a data set, and some of its samples."""

    name: str
    curves: tuple[tuple[str, Curve], ...]
    """Names, such as splits, and curves: one curve per window, or one for all samples that are single numbers."""
    points: bool
    """Whether samples are single numbers, drawn as points by sample; otherwise windows, drawn by step."""


def draw_samples(figure: Figure, columns: Sequence[SampleColumn], *, theme: Theme = EITHER) -> tuple[int, int]:
    """Draw samples by split or other name into a figure, one panel per column; set its height and return its size.

    Of more than 12 columns, the first 12 are drawn, with a note. The width of the figure determines how many panels are
    side by side.
    """
    drawn = columns[:MOST]
    styles: dict[str, dict[str, Any]] = {
        "train": {**theme.train, "marker": MARKERS[0]},
        "dev": {**theme.dev, "marker": MARKERS[1]},
        "test": {"color": theme.curves[2], "linestyle": DASHES[2], "marker": MARKERS[2]},
    }
    others = dict.fromkeys(name for column in drawn for name, _ in column.curves if name not in styles)
    for index, name in enumerate(others):
        color, dashes, marker = (each[index % len(each)] for each in (theme.curves, DASHES, MARKERS))
        styles[name] = {"color": color, "linestyle": dashes, "marker": marker}
    width = float(figure.get_size_inches()[0]) * 96
    across = min(max(int(width // _PANEL), 1), max(len(drawn), 1))
    down = -(-len(drawn) // across)
    head, foot = 2.2 * theme.size, 1.8 * theme.size * (len(columns) > MOST)
    height = round(head + max(down, 0.5) * _HEIGHT + foot)
    figure.set_size_inches(width / 96, height / 96)
    every = panels(figure, len(drawn))
    words: dict[str, Any] = {"color": theme.ink, "va": "baseline", "fontproperties": theme.text(0.95)}
    if not drawn:
        figure.text(12 / width, 0.5, "There is nothing to draw.", **words)
        return round(width), height
    slot = width / across
    for index, (axes, column) in enumerate(zip(every, drawn, strict=True)):
        row, at = divmod(index, across)
        left, top = at * slot, head + row * _HEIGHT
        title = elide(f"{column.name} by {'sample' if column.points else 'step'}", theme.text(), (slot - 20) * PX)
        figure.text((left + 12) / width, 1 - (top + 17) / height, title, **words | {"fontproperties": theme.text()})
        place(axes, left + _LEFT, top + _WORDS, slot - _LEFT - _RIGHT, _HEIGHT - _WORDS - _NUMBERS)
        shown: set[str] = set()
        for split, curve in column.curves:
            style = dict(styles[split])
            if column.points:
                style |= {"linestyle": "none", "markersize": 3.5}
            else:
                style |= {"marker": "", "width": 1.3}
            line(axes, curve, label=split if split not in shown else f"_{split}", **style)
            shown.add(split)
        ylim = limits(np.concatenate([np.empty(0), *(y for _, (_, y) in column.curves)]), log=False)
        numbers = frame(axes, theme, epochs_seen([x for _, (x, _) in column.curves]), ylim, False, (4, 4))
        if (more := numbers + 12 - _LEFT) > 0:
            place(axes, left + _LEFT + more, top + _WORDS, slot - _LEFT - more - _RIGHT, _HEIGHT - _WORDS - _NUMBERS)
    lines = {str(item.get_label()): item for axes in every for item in axes.lines}
    labelled = [item for label, item in lines.items() if not label.startswith("_")]
    add_legend(figure, labelled, theme, (width - 16, head), (8 / width, 1 - 2 / height), "upper left")
    if len(columns) > MOST:
        note = f"The first {MOST} of {len(columns)} columns."
        figure.text(12 / width, 0.6 * theme.size / height, note, **words)
    return round(width), height


def samples_figure(columns: Sequence[SampleColumn]) -> PaperFigure:
    """Return samples as a new figure on white."""
    return white_figure(lambda figure: draw_samples(figure, columns, theme=Theme(dark=False)), 7.5, 3.0)
