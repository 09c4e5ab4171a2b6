"""Figures for the views of the gallery.

The figures do not use pyplot. Their background is transparent, and their colours are legible on light and dark pages.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nmlab.plots import Theme

THEME = Theme()
"""Colours of the views: `curves` for lines, in this order; `ink` for text; `grid` and `faint` for the background."""


def create_figure(*titles: str, width: float = 4.5, height: float = 3.8) -> tuple[Figure, list[Axes]]:
    """Create a figure with one axes per title, side by side.

    Parameters
    ----------
    *titles : str
        Titles of the axes, from left to right.
    width : float, default 4.5
        Width of each axes in inches.
    height : float, default 3.8
        Height of the figure in inches.

    Returns
    -------
    figure : Figure
        The new figure.
    axes : list of Axes
        Its axes, from left to right.
    """
    figure = Figure(figsize=(width * len(titles), height), layout="constrained", facecolor="none")
    all_axes: list[Axes] = []
    for index, title in enumerate(titles):
        axes = figure.add_subplot(1, len(titles), index + 1, facecolor="none")
        axes.set_title(title, color=THEME.ink, fontsize=11)
        axes.set_prop_cycle(color=THEME.curves)
        axes.tick_params(colors=THEME.ink, labelsize=9)
        axes.spines[:].set_color(THEME.faint)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_color(THEME.ink)
            axis.offsetText.set_color(THEME.ink)
        all_axes.append(axes)
    return figure, all_axes


def add_legend(axes: Axes, **kwargs: Any) -> None:
    """Add a legend without a frame.

    Parameters
    ----------
    axes : Axes
        Axes whose labelled artists are listed.
    **kwargs
        Passed on to `Axes.legend`, for example `loc`.
    """
    axes.legend(frameon=False, labelcolor=THEME.ink, fontsize=9, **kwargs)
