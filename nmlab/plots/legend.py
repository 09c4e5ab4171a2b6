"""Legends above the axes, where they cover nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.lines import Line2D

from nmlab.plots.theme import PX, Theme
from nmlab.plots.words import elide, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# in heights of the legend's font
_HANDLE, _PAD, _BETWEEN, _ROW = 2.4, 0.5, 1.2, 1.55
_LONGEST = 240
"""CSS pixels of a label where there are several; a longer one is elided."""


def add_legend(
    parent: Axes | Figure,
    lines: Sequence[Line2D],
    theme: Theme,
    room: tuple[float, float],
    anchor: tuple[float, float],
    loc: Literal["lower left", "upper left"] = "lower left",
) -> float:
    """Explain `lines` in as few rows as fit; return the legend's height in CSS pixels.

    Parameters: `room`, the width and height that it may take, in CSS pixels; what does not fit is counted in its last
    entry. `anchor`, where its corner `loc` is, in parts of the parent.
    """
    if not lines:
        return 0.0
    font = theme.text(0.95)
    em = font.get_size_in_points()
    width = room[0] * PX - 2 * em
    widest = min(width, _LONGEST * PX) if len(lines) > 1 else width
    texts = [elide(str(line.get_label()), font, widest - (_HANDLE + _PAD) * em) for line in lines]
    handles, columns, rows = list(lines), 1, len(lines)
    most = max(1, int(room[1] * PX / (_ROW * em)))
    for count in range(len(texts), 0, -1):
        shown = texts[:count] + ([f"and {len(lines) - count} more"] if count < len(lines) else [])
        columns = _columns(shown, font, em, width)
        rows = -(-len(shown) // columns)
        if rows <= most or count == 1:
            handles = [*lines[:count], *[Line2D([], [], linestyle="none")] * (len(shown) - count)]
            texts = shown
            break
    style: dict[str, Any] = {
        "prop": font, "labelcolor": theme.ink, "frameon": False, "handlelength": _HANDLE, "handletextpad": _PAD,
        "columnspacing": _BETWEEN, "labelspacing": 0.3, "borderpad": 0.2, "borderaxespad": 0.0, "handleheight": 0.7,
        "markerscale": 1.0, "numpoints": 1, "alignment": "left",
    }  # fmt: skip
    parent.legend(handles, texts, loc=loc, bbox_to_anchor=anchor, ncols=columns, **style)
    return float(rows * _ROW * em / PX) + 4


def _columns(texts: Sequence[str], font: Any, em: float, width: float) -> int:
    """Return in how many columns the texts fit, as matplotlib shares them out."""
    widths = np.array([width_of(text, font) for text in texts]) + (_HANDLE + _PAD) * em
    for columns in range(len(texts), 1, -1):
        parts = np.array_split(widths, columns)
        if sum(part.max() for part in parts) + (columns - 1) * _BETWEEN * em <= width:
            return columns
    return 1
