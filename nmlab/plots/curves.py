"""Curves of runs drawn onto one `Axes`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmlab.plots.axes import epochs_seen, frame, limits, place, size_of, wipe
from nmlab.plots.legend import add_legend
from nmlab.plots.theme import DASHES, EITHER, PX, Theme
from nmlab.plots.thin import thin
from nmlab.plots.words import run_label
from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nmlab.runs import Run

Curve = tuple[np.ndarray, np.ndarray]
ALL = (-math.inf, math.inf)


def draw_losses(
    axes: Axes,
    run: Run | None,
    earlier: Sequence[Run] = (),
    *,
    theme: Theme = EITHER,
    log: bool = True,
    last: int | None = None,
) -> None:
    """Draw train and dev loss of `run` by epoch onto `axes`, its best epoch marked, earlier runs faint behind.

    A guess that is kept with the run is drawn dashed beside them. What was drawn onto `axes` before goes. The limits
    follow what is seen of `run`, and where earlier runs end.

    Parameters
    ----------
    theme : colours and sizes; default: readable on white and on dark
    log : whether the losses' axis is logarithmic; it is linear anyway where a loss that is seen is not positive
    last : how many of the newest epochs are seen; all by default
    """
    wipe(axes)
    curves: dict[str, Curve] = {}
    if run is not None:
        curves = {name: newest(run, name, last) for name in ("train_loss", "dev_loss")}
        curves = {name: curve for name, curve in curves.items() if len(curve[0])}
    behind = [curve_of(old, "dev_loss" if "dev_loss" in old.columns else "train_loss") for old in earlier]
    xlim = epochs_seen([x for x, _ in curves.values() or behind])
    behind = [between(curve, xlim) for curve in behind]
    for name, curve in curves.items():
        line(axes, curve, label=name.partition("_")[0], **(theme.train if name == "train_loss" else theme.dev))
    if run is not None and run.best_epoch is not None and run.best_value is not None:
        what = f"{typeset_number(run.best_value, 4)} in epoch {run.best_epoch}"
        at = np.array([run.best_epoch], float)
        if run.monitor in curves:
            best = at, np.array([run.best_value])
            line(axes, best, theme.best, "none", marker="*", markersize=12, zorder=5, label=f"best: {what}")
        else:  # its value is not on this axis
            ends = np.repeat(at, 2), np.array([0.0, 1.0])
            label = f"best {run.monitor}: {what}"
            line(axes, ends, theme.best, width=1, label=label, transform=axes.get_xaxis_transform())
    draw_behind(axes, behind, theme)
    seen = [y for _, y in curves.values()]
    if run is not None and (guess := run.guess):
        x, y = np.array(guess).T
        if len(guess) == 1:  # a final loss alone
            x, y = np.array(xlim), np.repeat(y, 2)
        line(axes, (x, y), theme.curves[4], DASHES[3], label="guess", width=1.6)
        seen.append(np.interp(xlim, x, y))
    seen += [y[np.isfinite(y)][-1:] if seen else y for _, y in behind]
    _finish(axes, theme, xlim, seen, log, "loss")


def draw_overlay(
    axes: Axes,
    runs: Sequence[Run],
    metric: str = "dev_loss",
    *,
    theme: Theme = EITHER,
    log: bool = True,
    last: int | None = None,
    labels: Sequence[str] | None = None,
) -> None:
    """Draw one metric of several runs over each other onto `axes`, each by its number and name.

    Parameters: `metric`, a column of `run.metrics`; the others as in `draw_losses`, where the newest epochs are those
    of the longest run; `labels`, other names for the runs.
    """
    wipe(axes)
    curves = [curve_of(run, metric) for run in runs]
    end = max((x[-1] for x, _ in curves if len(x)), default=0.0)
    curves = [between(curve, (end - last + 0.5, end) if last else ALL) for curve in curves]
    names = labels or [run_label(run) for run in runs]
    for index, (name, curve) in enumerate(zip(names, curves, strict=True)):
        points = len(thin(*curve, _columns(axes))[0])
        marks = slice(points * (index % 3) // 24, None, max(1, points // 8))  # not all at the same epochs
        line(axes, curve, label=name, markevery=marks, **theme.nth(index))
    xlim = epochs_seen([x for x, _ in curves])
    _finish(axes, theme, xlim, [y for _, y in curves], log, metric.replace("_", " "))


def draw_rate(axes: Axes, run: Run | None, *, theme: Theme = EITHER, log: bool = True, last: int | None = None) -> None:
    """Draw the learning rate of `run` by epoch onto `axes`; parameters as in `draw_losses`."""
    wipe(axes)
    curve = newest(run, "lr", last) if run is not None else (np.empty(0), np.empty(0))
    line(axes, curve, theme.curves[0], label="_")
    _finish(axes, theme, epochs_seen([curve[0]]), [curve[1]], log, "learning rate")


def curve_of(run: Run, name: str) -> Curve:
    """Return a metric of `run` over its epochs, NaN where it is not finite; empty where there is no such metric."""
    x, y = run.arrays(name)
    return x, np.where(np.isfinite(y), y, np.nan)


def newest(run: Run, name: str, last: int | None) -> Curve:
    """Return a metric over the newest `last` epochs of `run`, over all without `last`."""
    curve = curve_of(run, name)
    return between(curve, (curve[0][-1] - last + 0.5, math.inf)) if last and len(curve[0]) else curve


def between(curve: Curve, xlim: tuple[float, float]) -> Curve:
    """Return the part of a curve within limits."""
    seen = (curve[0] >= xlim[0]) & (curve[0] <= xlim[1])
    return curve[0][seen], curve[1][seen]


def line(
    axes: Axes,
    curve: Curve,
    color: str,
    linestyle: Any = "-",
    *,
    label: str,
    width: float = 2,
    marker: str = "",
    markersize: float = 6,
    **more: Any,
) -> None:
    """Draw a curve, thinned to what can be seen; sizes in CSS pixels.

    A single point gets a marker, else it could not be seen. Every property that `rcParams` would choose is given.
    """
    if not marker and np.isfinite(curve[1]).sum() == 1:
        marker = "o"
    style: dict[str, Any] = {
        "color": color, "linestyle": linestyle, "linewidth": width * PX, "antialiased": True,
        "marker": marker, "markersize": markersize * PX,
        "markerfacecolor": color, "markeredgecolor": color, "markeredgewidth": 0, "fillstyle": "full",
        "solid_capstyle": "round", "solid_joinstyle": "round", "dash_capstyle": "butt", "dash_joinstyle": "round",
    }  # fmt: skip
    axes.plot(*thin(*curve, _columns(axes)), label=label, scalex=False, scaley=False, **style, **{"zorder": 3, **more})


def draw_behind(axes: Axes, curves: Sequence[Curve], theme: Theme) -> None:
    """Draw curves that others are compared with, under one label."""
    label = "earlier"
    for curve in curves:
        line(axes, curve, theme.faint, label=label, width=1, zorder=2)
        label = "_earlier"


def _columns(axes: Axes) -> int:
    """Return into how many stretches a curve is thinned: one for every second CSS pixel."""
    return max(int(axes.get_position().width * size_of(axes)[0]) // 2, 50)


def _finish(
    axes: Axes, theme: Theme, xlim: tuple[float, float], seen: Sequence[np.ndarray], log: bool, what: str
) -> None:
    """Give `axes` limits, ticks, words and a place."""
    values = np.concatenate([np.empty(0), *seen])
    log = log and bool((values > 0).any() and not (values <= 0).any())
    width, height = size_of(axes)
    row = theme.size * 1.5
    counts = int(min(max((width - 80) // (4.5 * theme.size), 2), 8)), int(min(max(height // (4 * theme.size), 2), 6))
    numbers = frame(axes, theme, xlim, limits(values, log), log, counts)
    left = 8 * math.ceil((numbers + 12 + row) / 8)  # in steps, so that it stays while the numbers change
    inside = width - left - theme.size
    lines = [item for item in axes.lines if not str(item.get_label()).startswith("_")]
    top = add_legend(axes, lines, theme, (width - 16, 0.45 * height), ((8 - left) / inside, 1.0))
    top = max(top + 6, row / 2)
    bottom = 2.2 * row
    place(axes, left, top, inside, height - top - bottom)
    words: dict[str, Any] = {"fontproperties": theme.text(0.95), "color": theme.ink}
    axes.set_xlabel("epoch", loc="center", **words)
    axes.set_ylabel(what, loc="center", **words)
    axes.xaxis.set_label_coords(0.5, -1.15 * row / max(height - top - bottom, 1))
    axes.yaxis.set_label_coords(-(numbers + 10) / inside, 0.5)
