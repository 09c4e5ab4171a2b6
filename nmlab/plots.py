"""Draws runs onto matplotlib axes that it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nmlab.runs import Run

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), told apart by the colour-blind too; and styles, so that
# nothing depends on colour alone
STYLES: dict[str, dict[str, Any]] = {
    "train_loss": {"color": "#0072B2", "linestyle": "-", "label": "train"},
    "dev_loss": {"color": "#D55E00", "linestyle": "--", "label": "dev"},
}
BEST = "#009E73"
INK = "#7a7f87"
"""A grey for text and axes that is readable on white and on JupyterLab's dark ground."""

POINTS = 500
"""Points drawn of a curve; more cannot be seen at a plot's width."""


def thin(x: Sequence[float], y: Sequence[float], points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve with about `points` points at most, among them the extremes of every stretch."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if len(xs) <= points:
        return xs, ys
    edges = np.linspace(0, len(xs), points // 2 + 1).astype(int)
    kept = {0, len(xs) - 1}
    for start, stop in pairwise(edges):
        part = np.where(np.isfinite(ys[start:stop]), ys[start:stop], np.nan)  # infinite ones are not drawn
        if not np.isnan(part).all():
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    index = np.array(sorted(kept))
    return xs[index], ys[index]


def draw_losses(axes: Axes, run: Run | None, earlier: Sequence[Run] = (), log: bool = True) -> None:
    """Draw train and dev loss of `run` by epoch onto `axes`, its best epoch marked, earlier runs faint behind.

    Parameters: `log`, whether the losses' axis is logarithmic; it is linear anyway where a loss is not positive.
    """
    axes.clear()
    for old in earlier:
        name = "dev_loss" if "dev_loss" in old.columns else "train_loss"
        axes.plot(*thin(*old.curve(name)), color=INK, alpha=0.35, linewidth=1, zorder=1)
    shown: list[float] = []
    if run is not None:
        for name, style in STYLES.items():
            epochs, values = run.curve(name)
            if values:
                marker = "o" if len(values) == 1 else ""
                axes.plot(*thin(epochs, values), marker=marker, linewidth=1.6, zorder=3, **style)
                shown += values
        if run.best_epoch is not None and run.best_value is not None:
            what = f"{run.best_value:.4g} in epoch {run.best_epoch}"
            if run.monitor in STYLES:
                x, y = [run.best_epoch], [run.best_value]
                axes.plot(x, y, "*", color=BEST, markersize=11, zorder=4, label=f"best: {what}")
            else:  # which is not drawn
                axes.axvline(run.best_epoch, color=BEST, linewidth=1, zorder=2, label=f"best {run.monitor}: {what}")
    positive = min(filter(math.isfinite, shown), default=0.0) > 0
    axes.set_yscale("log" if log and positive else "linear")
    axes.set_xlim(left=-0.02 * max(axes.get_xlim()[1], 1.0), right=max(axes.get_xlim()[1], 1.0))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, which="major", alpha=0.25, color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if shown:
        legend = axes.legend(loc="upper right", frameon=False, fontsize="small")
        for text in legend.get_texts():
            text.set_color(INK)
    _ink(axes)


def _ink(axes: Axes) -> None:
    axes.tick_params(which="both", colors=INK, labelcolor=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.patch.set_alpha(0.0)
    for spine in axes.spines.values():
        spine.set_color(INK)


class LossPicture:
    """A figure of its own, kept between drawings and never known to pyplot, that becomes a PNG.

    Parameters: `width`, `height` in CSS pixels; the PNG has 1.5 times as many, for sharp lines on dense screens.
    """

    def __init__(self, width: int = 640, height: int = 300) -> None:
        self.width = width
        self._figure = Figure(figsize=(width / 96, height / 96), dpi=144, layout="constrained")
        self._figure.patch.set_alpha(0.0)
        self._canvas = FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_subplot()

    def png(self, run: Run | None, earlier: Sequence[Run] = (), log: bool = True) -> bytes:
        """Draw and return the picture as a PNG file's bytes."""
        draw_losses(self._axes, run, earlier, log)
        file = BytesIO()
        self._canvas.print_png(file)  # type: ignore[no-untyped-call]  # typed elsewhere in matplotlib, not here
        return file.getvalue()
