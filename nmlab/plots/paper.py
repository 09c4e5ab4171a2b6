"""Figures for papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nmlab.plots.axes import panel, plain
from nmlab.plots.curves import draw_overlay
from nmlab.plots.theme import PX, Theme

if TYPE_CHECKING:
    from nmlab.runs import Run


class PaperFigure(Figure):
    """A figure that shows itself in a notebook, is unknown to pyplot and saved with text that stays text."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save to a file whose format its name says; the options are `matplotlib.figure.Figure.savefig`'s.

        In a PDF the text is TrueType, as publishers ask, in an SVG it can be searched.
        """
        with rc_context({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png", dpi=200)
        return file.getvalue()


def white_figure(draw: Callable[[Figure], object], width: float, height: float) -> PaperFigure:
    """Return a new figure on a white background, drawn by a function.

    Parameters
    ----------
    draw : callable
        Draws into the figure that it is called with, for a white background. It may change the figure's size.
    width, height : float
        Size in inches.
    """
    figure = PaperFigure(figsize=(width, height), dpi=96, facecolor="white", edgecolor="white")
    FigureCanvasAgg(figure)
    draw(figure)
    plain(figure)
    return figure


def paper_figure(
    runs: Run | Sequence[Run],
    metric: str = "dev_loss",
    width: float = 3.4,
    height: float | None = None,
    *,
    log: bool = True,
    serif: bool = False,
    labels: Sequence[str] | None = None,
) -> PaperFigure:
    """Return one metric of runs by epoch as a figure for a paper: black text of 8 points on white.

    The curves differ in colour, dashes and marker, so they are told apart by the colour-blind and in black and white.

    Parameters
    ----------
    runs : a run or several
    metric : a column of `run.metrics`
    width, height : in inches; by default a column's width of 3.4 and 0.62 times that
    log : whether the metric's axis is logarithmic; it is linear anyway where a value is not positive
    serif : whether the text is DejaVu Serif instead of DejaVu Sans
    labels : names of the runs in the legend; by default their numbers and names

    Raises `ValueError` where there are no runs, none has the metric, or the labels are not as many as the runs.
    """
    drawn = list(runs) if isinstance(runs, Sequence) else [runs]
    if not drawn:
        raise ValueError("There is no run to draw.")
    faults = []
    if not any(metric in run.columns for run in drawn):
        names = ", ".join(sorted({name for run in drawn for name in run.columns})) or "none yet"
        faults.append(f"no run has a metric {metric!r}; there are: {names}")
    if labels is not None and len(labels) != len(drawn):
        faults.append(f"{len(labels)} labels for {len(drawn)} runs")
    if faults:
        raise ValueError("; ".join(faults))
    theme = Theme(dark=False, font="serif" if serif else "sans-serif", size=8 / PX, black=True)

    def draw(figure: Figure) -> None:
        draw_overlay(panel(figure), drawn, metric, theme=theme, log=log, labels=labels)

    return white_figure(draw, width, height or 0.62 * width)
