"""Figures on white, for papers and for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nmlab.plots.axes import panel, plain
from nmlab.plots.curves import draw_overlay
from nmlab.plots.theme import PX, Theme
from nmlab.runtime.pyplot import own_rc
from nmlab.runtime.quiet import quiet_drawing

if TYPE_CHECKING:
    from nmlab.runs import Run


class PaperFigure(Figure):
    """A figure that a notebook displays, that pyplot does not know, and that is saved with text as text."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save the figure to a file; the parameters are those of `matplotlib.figure.Figure.savefig`.

        Fonts in a PDF are TrueType, as publishers require; text in an SVG can be searched.
        """
        with quiet_drawing(), own_rc({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}):
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
    with quiet_drawing():
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
    """Return one metric of runs by epoch as a figure for a paper, with black text of 8 points on white.

    The curves differ in colour, dashes and marker, so that they can be told apart by colour-blind readers and in print.

    Parameters
    ----------
    runs : Run or sequence of Run
        The runs.
    metric : str, default 'dev_loss'
        A column of `run.metrics`.
    width : float, default 3.4
        Width in inches, by default that of a column.
    height : float, optional
        Height in inches, by default 0.62 times the width.
    log : bool, default True
        Whether the y axis is logarithmic. It is linear if a value is not positive.
    serif : bool, default False
        Whether the font is DejaVu Serif instead of DejaVu Sans.
    labels : sequence of str, optional
        Names of the runs in the legend; by default their numbers and names.

    Returns
    -------
    PaperFigure
        The figure, with `savefig` as usual.

    Raises
    ------
    ValueError
        If there are no runs, none has the metric, or the number of labels differs from the number of runs.
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
