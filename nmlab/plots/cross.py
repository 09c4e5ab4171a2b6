"""Scores as a heat map, one row per run and one column per data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from nmlab.plots.axes import panel, place
from nmlab.plots.paper import PaperFigure, white_figure
from nmlab.plots.theme import EITHER, PX, Theme
from nmlab.plots.words import elide, width_of
from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PALE, _DEEP = np.array([0.890, 0.933, 0.969]), np.array([0.031, 0.251, 0.443])
"""Colours of the lowest and the highest score; opaque, so that cells look the same on white and on dark."""

_CELL = (72.0, 150.0)
"""Minimum and maximum width of a cell in CSS pixels."""

_NAME = 220.0
"""Maximum width of a row's name in CSS pixels; longer names are shortened."""

_GAP = 3.0


@dataclass(frozen=True)
class HeatMap:
    """The content of a heat map; lower values are better.

    Parameters
    ----------
    rows, columns : tuple of str
        Names.
    values : tuple of tuples of float or None
        Scores by row; None where there is no score.
    starred, framed : frozenset of (int, int)
        Row and column of the cells that get a star or a frame.
    title : str
        Title of the picture.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    starred: frozenset[tuple[int, int]]
    framed: frozenset[tuple[int, int]]
    title: str


def draw_heat(figure: Figure, heat: HeatMap, *, theme: Theme = EITHER) -> tuple[int, int]:
    """Draw a heat map into a figure, set the size of the figure and return it in CSS pixels.

    The colours show how far a value is from the best of its column, by ratio if all values of the column are positive.
    """
    font, small = theme.text(), theme.text(0.9)
    row = 2.2 * theme.size
    words = [(name.partition(" ")[0], name.partition(" ")[2]) for name in heat.columns]
    names = [elide(name, font, _NAME * PX) for name in heat.rows]
    left = max((width_of(name, font) / PX for name in names), default=0.0) + 24
    widest = max((width_of(word, font) / PX for pair in words for word in pair), default=0.0) + 12
    cell = min(max(widest, _CELL[0]), _CELL[1])
    top = 2.2 * theme.size + (3.4 if any(rest for _, rest in words) else 1.9) * theme.size
    note = "★ best of its column · darker: further from the best · framed: data that the run was trained on"
    across = cell * len(heat.columns)
    # letters are drawn at whole pixels, by which a long line is some percent longer
    width = max(left + across, *(1.06 * width_of(text, font) / PX + 12 for text in (heat.title, note))) + 12
    height = top + row * len(heat.rows) + 2.4 * theme.size
    figure.set_size_inches(width / 96, height / 96)
    axes = panel(figure)
    place(axes, 0, 0, width, height)
    axes.set_frame_on(False)
    axes.set_autoscale_on(False)
    axes.set_yscale("linear")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    _text(axes, 12, theme.size, heat.title, font, theme.ink)
    for at, (name, rest) in enumerate(words):
        middle, room = left + (at + 0.5) * cell, (cell - 6) * PX
        below = top - 0.9 * theme.size
        if rest:
            _text(axes, middle, below, elide(rest, small, room), small, theme.faint, "center")
            below -= 1.4 * theme.size
        _text(axes, middle, below, elide(name, font, room), font, theme.ink, "center")
    shades = _shades(heat)
    for index, name in enumerate(names):
        y = top + index * row
        _text(axes, left - 12, y + row / 2, name, font, theme.ink, "right")
        for at in range(len(heat.columns)):
            shade = shades[at][index]
            box = left + at * cell + _GAP / 2, y + _GAP / 2, cell - _GAP, row - _GAP
            _draw_cell(axes, box, shade, theme, (index, at) in heat.framed)
            value = heat.values[index][at]
            text = "–" if value is None else ("★ " if (index, at) in heat.starred else "") + typeset_number(value)
            color = theme.ink if shade is None else _on(_color(shade))
            _text(axes, left + (at + 0.5) * cell, y + row / 2, text, font, color, "center")
    _text(axes, 12, height - 1.1 * theme.size, note, small, theme.faint)
    return round(width), round(height)


def _shades(heat: HeatMap) -> list[list[float | None]]:
    """Return for each column the distance of its values from the lowest, from 0 to 1; None for a missing score.

    Columns with positive values only are compared by ratio, on a common scale.
    """
    columns = [np.array([math.nan if v is None else v for v in column]) for column in zip(*heat.values, strict=True)]
    ratios = [_ends(column)[1] / _ends(column)[0] for column in columns if _positive(column)]
    widest = math.log(max([2.0, *ratios]))  # a factor of two is visible, a few percent are not exaggerated
    return [_far(column, widest) for column in columns]


def _ends(column: np.ndarray) -> tuple[float, float]:
    """Return the lowest and the highest finite value of a column."""
    seen = column[np.isfinite(column)]
    return (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)


def _positive(column: np.ndarray) -> bool:
    return _ends(column)[0] > 0 and not (column == -math.inf).any()


def _far(column: np.ndarray, widest: float) -> list[float | None]:
    least, most = _ends(column)
    far = np.log(column / least) / widest if _positive(column) else (column - least) / (most - least or 1.0)
    return [None if math.isnan(value) else float(value) for value in np.clip(far, 0.0, 1.0)]


def _color(shade: float) -> Any:
    return tuple(_PALE + (_DEEP - _PALE) * shade)


def _on(color: Sequence[float]) -> str:
    """Return black or white, whichever has more contrast to a colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else "#FFFFFF"


def _draw_cell(
    axes: Axes, box: tuple[float, float, float, float], shade: float | None, theme: Theme, framed: bool
) -> None:
    left, top, width, height = box
    face = "none" if shade is None else _color(shade)
    edge = theme.curves[1] if framed else theme.faint if shade is None else "none"
    patch = Rectangle((left, top), width, height)
    patch.set(facecolor=face, edgecolor=edge, linewidth=(2.0 if framed else 1.0) * PX, fill=shade is not None)
    patch.set(linestyle="-" if framed else (0, (2, 2)), hatch=None, antialiased=True, snap=True, zorder=2 + framed)
    axes.add_patch(patch)


def _text(axes: Axes, x: float, y: float, text: str, font: Any, color: str, ha: Any = "left") -> None:
    axes.text(x, y, text, fontproperties=font, color=color, ha=ha, va="center_baseline", zorder=4)


def heat_figure(heat: HeatMap) -> PaperFigure:
    """Return a heat map as a new figure on white."""
    return white_figure(lambda figure: draw_heat(figure, heat, theme=Theme(dark=False)), 4.0, 2.0)
