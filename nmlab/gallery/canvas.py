"""Figures for the views: no pyplot, on a transparent ground, in colours that are read on white and on dark."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nmlab.plots import Theme

THEME = Theme()
"""Its `curves` are the colours of lines, in their order; `ink` that of words, `grid` and `faint` of what is behind."""


def canvas(*titles: str, width: float = 4.5, height: float = 3.8) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels side by side, one for each title, each `width` by `height` inches."""
    figure = Figure(figsize=(width * len(titles), height), layout="constrained", facecolor="none")
    panels: list[Axes] = [
        figure.add_subplot(1, len(titles), place + 1, facecolor="none") for place in range(len(titles))
    ]
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, color=THEME.ink, fontsize=11)
        axes.set_prop_cycle(color=THEME.curves)
        axes.tick_params(colors=THEME.ink, labelsize=9)
        axes.spines[:].set_color(THEME.faint)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_color(THEME.ink)
            axis.offsetText.set_color(THEME.ink)
    return figure, panels


def legend(axes: Axes, **where: Any) -> None:
    """Explain what has a label, without a box."""
    axes.legend(frameon=False, labelcolor=THEME.ink, fontsize=9, **where)
