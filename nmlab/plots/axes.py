"""Position, limits and ticks of axes, independent of `rcParams`.

Creating axes takes longer than drawing a curve. The axes of a figure are therefore reused, and only their artists are
removed; ticks are placed here, and no layout engine is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullLocator

from nmlab.plots.theme import PX, Theme
from nmlab.plots.words import tick_labels, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS = "nmlab"
"""The gid of axes that nmlab created and may move."""

HUGE = 1e150
"""Larger values are not shown: limits and margins would overflow."""


def size_of(axes: Axes) -> tuple[float, float]:
    """Return the width and height of the figure of `axes` in CSS pixels."""
    figure = axes.figure
    return figure.bbox.width / figure.dpi * 96, figure.bbox.height / figure.dpi * 96


def panels(figure: Figure, count: int) -> list[Axes]:
    """Return `count` empty axes of `figure`, reusing those it has; everything else in the figure is removed."""
    for artist in [*figure.axes[count:], *figure.texts, *figure.legends]:
        artist.remove()
    for _ in range(count - len(figure.axes)):
        figure.add_axes((0.1, 0.1, 0.8, 0.8), gid=_OURS)
    for axes in figure.axes:
        wipe(axes)
    return list(figure.axes)


def panel(figure: Figure) -> Axes:
    """Return empty axes, the only ones of `figure`."""
    return panels(figure, 1)[0]


def wipe(axes: Axes) -> None:
    """Remove all artists and labels of `axes`."""
    for artist in [*axes.lines, *axes.collections, *axes.patches, *axes.texts, *axes.images]:
        artist.remove()
    if legend := axes.get_legend():
        legend.remove()
    axes.xaxis.label.set_text("")
    axes.yaxis.label.set_text("")


def place(axes: Axes, left: float, top: float, width: float, height: float) -> None:
    """Move axes to a position in CSS pixels from the upper left corner, unless nmlab did not create them."""
    if axes.get_gid() == _OURS:
        whole_width, whole_height = size_of(axes)
        width, height = max(width, 1.0), max(height, 1.0)
        bottom = whole_height - top - height
        axes.set_position((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


def ticks(low: float, high: float, log: bool, count: int) -> list[float]:
    """Return about `count` round numbers from `low` to `high`."""
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5)):
            values = [float(f"{step}e{power}") for power in powers for step in steps]
            inside = [value for value in values if low <= value <= high]
            if len(inside) >= 3:
                return inside[:: -(-len(inside) // (count + 1))]
    round_ones = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(value) for value in round_ones if low <= value <= high]


def limits(values: np.ndarray, log: bool) -> tuple[float, float]:
    """Return limits around the finite values with a margin; their width is never zero."""
    seen = values[np.isfinite(values)].clip(-HUGE, HUGE)
    if not len(seen):
        return (0.1, 10.0) if log else (0.0, 1.0)
    low, high = float(seen.min()), float(seen.max())
    if log:
        low, high = math.log10(max(low, 1 / HUGE)), math.log10(high)
    room = 0.06 * (high - low)
    if room < 1e-7 * max(abs(low), abs(high)) or not room:
        room = 0.1 if log else 0.05 * max(abs(low), abs(high)) or 1.0
    low, high = low - room, high + room
    return (10**low, 10**high) if log else (low, high)


def epochs_seen(xs: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return limits around epochs."""
    ends = [float(end) for x in xs if len(x) for end in (x[0], x[-1])]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    room = 0.02 * (high - low) or 0.5
    return low - room, high + room


def frame(
    axes: Axes,
    theme: Theme,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    log: bool,
    counts: tuple[int, int],
    zero: float | None = None,
) -> float:
    """Set scale, limits and ticks of axes.

    Parameters
    ----------
    axes : Axes
        The axes.
    theme : Theme
        Colours and sizes.
    xlim, ylim : (float, float)
        Limits.
    log : bool
        Whether the y axis is logarithmic.
    counts : (int, int)
        Approximate number of ticks along x and y.
    zero : float, optional
        Position on a logarithmic y axis at which zeros are drawn, labelled '0'.

    Returns
    -------
    float
        Width of the tick labels of the y axis in CSS pixels.
    """
    axes.set_frame_on(False)
    axes.set_axisbelow(True)
    axes.set_autoscale_on(False)
    if axes.get_yscale() != (scale := "log" if log else "linear"):
        axes.set_yscale(scale)
    axes.set_xlim(*xlim)
    axes.set_ylim(*ylim)
    font = theme.text(0.9)
    words: dict[str, Any] = {"fontproperties": font, "color": theme.ink, "alpha": 1.0}
    whole = MaxNLocator(counts[0], integer=True, steps=[1, 2, 5, 10]).tick_values(*xlim)
    epochs = sorted({float(round(epoch)) for epoch in whole if xlim[0] <= round(epoch) <= xlim[1]})
    values = ticks(*ylim, log, counts[1])
    labels = tick_labels(values)
    if zero is not None:
        above = [pair for pair in zip(values, labels, strict=True) if pair[0] > zero * 1.5]
        values, labels = [zero, *(value for value, _ in above)], ["0", *(label for _, label in above)]
    axes.set_xticks(epochs, [f"{epoch:.0f}" for epoch in epochs], **words)
    axes.set_yticks(values, labels, **words)
    *grid, opacity = to_rgba(theme.grid)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.grid(True, "major", color=grid, alpha=opacity, linewidth=PX, linestyle="-", antialiased=True)
        for tick in axis.get_major_ticks():
            tick.gridline.set_solid_capstyle("butt")
    axes.tick_params("both", which="major", length=0, pad=4 * PX, labelrotation=0, zorder=0.5)
    axes.tick_params("x", bottom=True, top=False, labelbottom=True, labeltop=False)
    axes.tick_params("y", left=True, right=False, labelleft=True, labelright=False)
    return max((width_of(label, font) / PX for label in labels), default=0.0)


def plain(figure: Figure) -> None:
    """Undo what `rcParams` may set for all artists of `figure`: sketched lines, TeX, mathematics in names."""
    for artist in figure.findobj():
        artist.set_sketch_params(None)
        artist.set_path_effects([])
        if isinstance(artist, Text):
            artist.set_usetex(False)
            artist.set_parse_math(False)
            artist.set_antialiased(True)
