"""Curves of runs on one `Axes`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmlab.plots.axes import epochs_seen, frame, limits, place, size_of, wipe
from nmlab.plots.legend import add_legend
from nmlab.plots.theme import DASHES, EITHER, PX, Theme
from nmlab.plots.thin import thin
from nmlab.plots.words import run_label
from nmlab.runs.repeats import grouped
from nmlab.runs.shown import change_text
from nmlab.runs.summary import summary_of
from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nmlab.runs import Run

Curve = tuple[np.ndarray, np.ndarray]
ALL = (-math.inf, math.inf)

MARKED = 2
"""Maximum number of changes in a run that are named each."""


def draw_losses(
    axes: Axes,
    run: Run | None,
    earlier: Sequence[Run] = (),
    *,
    theme: Theme = EITHER,
    log: bool = True,
    last: int | None = None,
) -> None:
    """Draw the train and dev loss of a run by epoch, with its best epoch marked and earlier runs faintly behind.

    A guess that is stored with the run is drawn dashed. The limits follow the visible part of the run and the lowest
    and last values of earlier runs.

    Parameters
    ----------
    axes : Axes
        The axes; their artists are removed first.
    run : Run or None
        The run.
    earlier : sequence of Run, optional
        Runs to compare with.
    theme : Theme, default EITHER
        Colours and sizes, by default readable on white and on dark.
    log : bool, default True
        Whether the y axis is logarithmic. It is linear if a visible loss is not positive.
    last : int, optional
        Number of epochs that are shown, the last ones; all by default.
    """
    wipe(axes)
    curves: dict[str, Curve] = {}
    if run is not None:
        curves = {name: newest(run, name, last) for name in ("train_loss", "dev_loss")}
        curves = {name: curve for name, curve in curves.items() if len(curve[0])}
    behind = [curve_of(old, "dev_loss" if "dev_loss" in old.columns else "train_loss") for old in there(earlier)]
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
        else:  # the y axis does not show this metric
            ends = np.repeat(at, 2), np.array([0.0, 1.0])
            label = f"best {run.monitor}: {what}"
            line(axes, ends, theme.best, width=1, label=label, transform=axes.get_xaxis_transform())
    draw_behind(axes, behind, theme)
    draw_changes(axes, run, xlim, theme)
    seen = [y for _, y in curves.values()]
    if run is not None and (guess := run.guess):
        x, y = np.array(guess).T
        if len(guess) == 1:  # a final loss alone
            x, y = np.array(xlim), np.repeat(y, 2)
        line(axes, (x, y), theme.curves[3], DASHES[3], label="guess", width=1.6)
        seen.append(np.interp(xlim, x, y))
    seen += [_end_and_least(y) if seen else y for _, y in behind]
    _finish(axes, theme, xlim, seen, log, "loss")


def _end_and_least(values: np.ndarray) -> np.ndarray:
    """Return the last and the least finite value: earlier runs may begin, but not end, beyond the upper limit."""
    finite = values[np.isfinite(values)]
    return np.append(finite[-1:], finite.min(initial=np.inf)) if len(finite) else finite


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
    """Draw one metric of several runs by epoch; runs on several seeds as their mean with a band.

    The band is the mean plus and minus the sample standard deviation, in the epochs that at least two of them have.

    Parameters
    ----------
    axes : Axes
        The axes; their artists are removed first.
    runs : sequence of Run
        The runs.
    metric : str, default 'dev_loss'
        A column of `run.metrics`.
    theme, log
        As in `draw_losses`.
    last : int, optional
        Number of epochs that are shown, the last ones of the longest run; all by default.
    labels : sequence of str, optional
        Names of the runs in the legend; by default their numbers and names, and each run has a line of its own where
        they are given.
    """
    wipe(axes)
    groups = [[run] for run in runs] if labels else grouped(runs, lambda run: summary_of(run).settings)
    bands = [mean_curve(group, metric) if len(group) > 1 else None for group in groups]
    curves = [band[0] if band else curve_of(group[0], metric) for band, group in zip(bands, groups, strict=True)]
    end = max((x[-1] for x, _ in curves if len(x)), default=0.0)
    curves = [between(curve, (end - last + 0.5, end) if last else ALL) for curve in curves]
    names = labels or [
        run_label(group[0]) + (f", mean of {len(group)} seeds" if len(group) > 1 else "") for group in groups
    ]
    seen = [y for _, y in curves]
    for index, band in enumerate(bands):
        if band is not None:
            low, high = (between(edge, (end - last + 0.5, end) if last else ALL) for edge in band[1:])
            if log and (high[1] > 0).any():  # no lower than a logarithmic axis can show
                low = low[0], np.maximum(low[1], np.nanmin(np.where(high[1] > 0, high[1], np.nan)) / 10)
            colour = theme.nth(index)["color"]
            axes.fill_between(low[0], low[1], high[1], color=colour, alpha=0.2, linewidth=0, zorder=2)
            seen += [low[1], high[1]]
    for index, (name, curve) in enumerate(zip(names, curves, strict=True)):
        points = len(thin(*curve, _columns(axes))[0])
        marks = slice(points * (index % 3) // 24, None, max(1, points // 8))  # not all at the same epochs
        line(axes, curve, label=name, markevery=marks, **theme.nth(index))
    xlim = epochs_seen([x for x, _ in curves])
    _finish(axes, theme, xlim, seen, log, metric.replace("_", " "))


def mean_curve(runs: Sequence[Run], metric: str) -> tuple[Curve, Curve, Curve]:
    """Return the mean of the curves of some runs, and the mean minus and plus their sample standard deviation."""
    curves = [curve_of(run, metric) for run in runs]
    x = np.unique(np.concatenate([each for each, _ in curves]))
    values = np.full((len(curves), len(x)), np.nan)
    for row, (epochs, y) in zip(values, curves, strict=True):
        row[np.searchsorted(x, epochs)] = y
    counts = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(counts, counts, np.nan)
    squares = np.nansum((values - mean) ** 2, axis=0)
    spread = np.sqrt(squares / np.where(counts > 1, counts - 1, np.nan))
    return (x, mean), (x, mean - spread), (x, mean + spread)


def draw_rate(
    axes: Axes,
    run: Run | None,
    *,
    theme: Theme = EITHER,
    log: bool = True,
    last: int | None = None,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Draw the learning rate of a run by epoch.

    Parameters
    ----------
    axes, run, theme, log, last
        As in `draw_losses`.
    part : (int, int), default (0, 1)
        Which of how many parts of the figure, one below the other, the axes take.
    """
    wipe(axes)
    curve = newest(run, "lr", last) if run is not None else (np.empty(0), np.empty(0))
    line(axes, curve, theme.curves[0], label="_")
    xlim = epochs_seen([curve[0]])
    draw_changes(axes, run, xlim, theme)
    _finish(axes, theme, xlim, [curve[1]], log, "learning rate", part)


def draw_gradient_norm(
    axes: Axes,
    run: Run,
    *,
    theme: Theme = EITHER,
    log: bool = True,
    last: int | None = None,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Draw mean and maximum of the gradient's norm before clipping by epoch, and the norm from which on it is clipped.

    The parameters are those of `draw_rate`. The limit is drawn where a step came near it.
    """
    wipe(axes)
    curves = {label: newest(run, name, last) for name, label in (("grad_norm", "mean"), ("grad_norm_max", "largest"))}
    xlim = epochs_seen([x for x, _ in curves.values()])
    for (label, curve), index in zip(curves.items(), (0, 3), strict=True):
        line(axes, curve, theme.curves[index], label=label)
    seen = [y for _, y in curves.values()]
    limit = (run.settings.get("options") or {}).get("gradient_clip_val")
    if limit and any((y > 0.1 * limit).any() for y in seen):
        ends = np.array(xlim), np.repeat(float(limit), 2)
        line(axes, ends, theme.worst["color"], DASHES[1], label=f"clipped at {typeset_number(limit)}", width=1)
        seen.append(ends[1])
    draw_changes(axes, run, xlim, theme)
    _finish(axes, theme, xlim, seen, log, "gradient norm", part)


def change_marks(run: Run) -> list[tuple[int, str]]:
    """Return the epochs from which on a run had another learning rate or other weights of terms, and what changed."""
    return [(int(change["epoch"]), change_text(change)) for change in run.changes]


def draw_changes(axes: Axes, run: Run | None, xlim: tuple[float, float], theme: Theme) -> None:
    """Mark the epochs from which on a run had another learning rate or other weights of terms."""
    changes = [change for change in run.changes if xlim[0] <= change["epoch"] <= xlim[1]] if run is not None else []
    for number, change in enumerate(changes):
        ends = np.repeat(float(change["epoch"]), 2), np.array([0.0, 1.0])
        label = change_text(change) if len(changes) <= MARKED else "_" if number else "lr or weights changed"
        style: dict[str, Any] = {"width": 1, "transform": axes.get_xaxis_transform(), "zorder": 2}
        line(axes, ends, theme.ink, DASHES[3], label=label, **style)


def there(runs: Iterable[Run]) -> list[Run]:
    """Return the runs whose folders can still be read; one may be deleted while its curve is shown."""
    return [run for run in runs if run.gone is None]


def curve_of(run: Run, name: str) -> Curve:
    """Return epochs and values of a metric, NaN where a value is not finite; empty if there is no such metric."""
    x, y = run.arrays(name)
    return x, np.where(np.isfinite(y), y, np.nan)


def newest(run: Run, name: str, last: int | None) -> Curve:
    """Return a metric over the last `last` epochs, or over all epochs if `last` is None."""
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
    """Draw a curve, thinned to the resolution of the picture; sizes are in CSS pixels.

    A single point gets a marker. Every property that `rcParams` could set is given.
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
    """Draw curves to compare with, under one label."""
    label = "earlier"
    for curve in curves:
        line(axes, curve, theme.faint, label=label, width=1, zorder=2)
        label = "_earlier"


def _columns(axes: Axes) -> int:
    """Return the number of intervals for `thin`: one for every second CSS pixel."""
    return max(int(axes.get_position().width * size_of(axes)[0]) // 2, 50)


def _finish(
    axes: Axes,
    theme: Theme,
    xlim: tuple[float, float],
    seen: Sequence[np.ndarray],
    log: bool,
    what: str,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Set limits, ticks, labels, legend and position of axes, in a part of the figure's height."""
    values = np.concatenate([np.empty(0), *seen])
    log = log and bool((values > 0).any() and not (values <= 0).any())
    width, whole = size_of(axes)
    height = whole / part[1]
    row = theme.size * 1.5
    counts = int(min(max((width - 80) // (4.5 * theme.size), 2), 8)), int(min(max(height // (4 * theme.size), 2), 6))
    numbers = frame(axes, theme, xlim, limits(values, log), log, counts)
    left = 8 * math.ceil((numbers + 12 + row) / 8)  # in steps, so that it does not move with every new tick label
    inside = width - left - theme.size
    lines = [item for item in axes.lines if not str(item.get_label()).startswith("_")]
    top = add_legend(axes, lines, theme, (width - 16, 0.45 * height), ((8 - left) / inside, 1.0))
    top = max(top + 6, row / 2)
    bottom = 2.2 * row
    place(axes, left, part[0] * height + top, inside, height - top - bottom)
    words: dict[str, Any] = {"fontproperties": theme.text(0.95), "color": theme.ink}
    axes.set_xlabel("epoch", loc="center", **words)
    axes.set_ylabel(what, loc="center", **words)
    axes.xaxis.set_label_coords(0.5, -1.15 * row / max(height - top - bottom, 1))
    axes.yaxis.set_label_coords(-(numbers + 10) / inside, 0.5)
