"""The losses that a search for a learning rate measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmlab.plots.axes import frame, limits, panel, place, size_of, ticks, wipe
from nmlab.plots.curves import line
from nmlab.plots.legend import add_legend
from nmlab.plots.paper import PaperFigure, white_figure
from nmlab.plots.theme import EITHER, Theme
from nmlab.plots.words import tick_labels
from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_rates(
    axes: Axes, lrs: Sequence[float], losses: Sequence[float], suggestion: float | None, *, theme: Theme = EITHER
) -> None:
    """Draw losses by learning rate onto axes, with the suggested rate marked.

    Both axes are logarithmic; that of the losses is linear if a loss is not positive. Losses that are not finite are
    omitted.

    Parameters
    ----------
    axes : Axes
        The axes; their artists are removed first.
    lrs, losses : sequence of float
        Learning rates, and the loss measured at each.
    suggestion : float or None
        The suggested rate, one of `lrs`.
    theme : Theme, default EITHER
        Colours and sizes.
    """
    wipe(axes)
    x, y = np.asarray(lrs, float), np.asarray(losses, float)
    y = np.where(np.isfinite(y), y, np.nan)
    log = bool((y > 0).any() and not (y <= 0).any())
    width, height = size_of(axes)
    row = theme.size * 1.5
    line(axes, (x, y), theme.curves[0], label="_")
    if suggestion is not None:
        at = np.array([suggestion])
        label = f"suggestion: {typeset_number(suggestion, 2)}"
        line(axes, (at, y[x == suggestion][:1]), theme.best, "none", marker="*", markersize=12, zorder=5, label=label)
    axes.set_xscale("log")
    count = int(min(max((width - 80) // (4.5 * theme.size), 2), 8))
    xlim = limits(x, log=True)
    numbers = frame(axes, theme, xlim, limits(y, log), log, (count, 5))
    words: dict[str, Any] = {"fontproperties": theme.text(0.9), "color": theme.ink}
    rates = ticks(*xlim, True, count)
    axes.set_xticks(rates, tick_labels(rates), **words)  # `frame` knows epochs only
    left = numbers + 12 + row
    inside = width - left - 2 * theme.size
    marked = [each for each in axes.lines if each.get_label() != "_"]
    legend = add_legend(axes, marked, theme, (width - 16, 0.45 * height), ((8 - left) / inside, 1.0))
    top, bottom = max(legend + 6, row / 2), 2.2 * row
    place(axes, left, top, inside, height - top - bottom)
    axes.set_xlabel("learning rate", loc="center", **words)
    axes.set_ylabel("loss, smoothed", loc="center", **words)
    axes.xaxis.set_label_coords(0.5, -1.15 * row / max(height - top - bottom, 1))
    axes.yaxis.set_label_coords(-(numbers + 10) / inside, 0.5)


def rates_figure(lrs: Sequence[float], losses: Sequence[float], suggestion: float | None) -> PaperFigure:
    """Return losses by learning rate as a new figure on white."""
    theme = Theme(dark=False)
    return white_figure(lambda figure: draw_rates(panel(figure), lrs, losses, suggestion, theme=theme), 6.0, 3.2)
