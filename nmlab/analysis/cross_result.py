"""The scores of runs across data sets: a table, a heat map, and the reasons for missing scores."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from nmlab.plots import EITHER, HeatMap, Picture, Theme, draw_heat, heat_figure, picture_html
from nmlab.plots.paper import PaperFigure
from nmlab.runs.shown import html_table, text_table
from nmlab.runtime.text import number_text, typeset_number

if TYPE_CHECKING:
    import pandas as pd


SEVERAL = (
    "Each run is scored by its own Problem, and scores of different Problems cannot be compared: ★ is the best of "
    "several runs of one Problem."
)


class Cross:
    r"""Scores of runs across data sets, as returned by `lab.cross`.

    A notebook shows it as a heat map, a table and the reasons for missing scores; `print` shows the table and the
    reasons as text.

    Parameters
    ----------
    runs : sequence of str
        Ids of the runs.
    data : sequence of str
        Names of the data sets.
    cells : mapping of (str, str) to float or str
        For each run and data set the score, or the reason why there is none.
    own : set of (str, str)
        Runs and the data sets that they were trained on.
    split : str
        Name of the split that was scored.
    metric : str
        Name of the metric.
    problems : mapping of str to Hashable, optional
        What tells the Problem of each run from others; default: all are the same.

    Examples
    --------
    >>> from nmlab.analysis.cross_result import Cross
    >>> scores = {("0001", "full"): 0.1, ("0001", "corner"): 0.5, ("0002", "full"): 0.3, ("0002", "corner"): 0.2}
    >>> cross = Cross(["0001", "0002"], ["full", "corner"], scores, {("0001", "full")}, "dev", "loss")
    >>> print(*repr(cross).splitlines()[1:], sep="\n")
    0001               ★ 0.1  0.5
    0002               0.3    ★ 0.2
    >>> cross.best
    {'full': '0001', 'corner': '0002'}
    >>> float(cross.frame.loc["0002", "corner"])
    0.2
    """

    def __init__(
        self,
        runs: Sequence[str],
        data: Sequence[str],
        cells: Mapping[tuple[str, str], float | str],
        own: set[tuple[str, str]],
        split: str,
        metric: str,
        problems: Mapping[str, Hashable] | None = None,
    ) -> None:
        self.split, self.metric, self.own = split, metric, frozenset(own)
        self._runs, self._data, self._cells = list(runs), list(data), dict(cells)
        self._problems = dict(problems or dict.fromkeys(self._runs))
        self.remark = ""
        """What is to be known of scores that cannot be compared; '' if all can."""

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The scores, one row per run and one column per data set; NaN where there is no score."""
        import pandas as pd

        scores = [[self._score(run, data) for data in self._data] for run in self._runs]
        frame = pd.DataFrame(scores, index=self._runs, columns=self._data, dtype=float)
        return frame.rename_axis(index="run", columns="data")

    @property
    def reasons(self) -> dict[tuple[str, str], str]:
        """The reason why there is no score, by run and data set."""
        return {cell: reason for cell, reason in self._cells.items() if isinstance(reason, str)}

    @cached_property
    def best(self) -> dict[str, str]:
        """The run with the lowest score on each data set that has a score; of equal ones the first.

        A data set on which runs of several Problems have a score is left out, as these cannot be compared; {} where the
        runs' terms have other weights and the metric is not free of them, see `remark`.
        """
        return {data: stars[0] for data, stars in self._stars.items() if len(self._scored(data)) == 1}

    def _scored(self, data: str) -> dict[Hashable, dict[str, float]]:
        """Return the scores on a data set, by what tells Problems apart and by run."""
        found: dict[Hashable, dict[str, float]] = {}
        for run in self._runs:
            if math.isfinite(value := self._score(run, data)):
                found.setdefault(self._problems.get(run), {})[run] = value
        return found

    @cached_property
    def _stars(self) -> dict[str, list[str]]:
        """The best runs on each data set: of the only Problem, or of each Problem with several runs there."""
        found: dict[str, list[str]] = {}
        if self.remark:
            return found
        for data in self._data:
            groups = list(self._scored(data).values())
            able = groups if len(groups) == 1 else [scores for scores in groups if len(scores) > 1]
            if stars := [min(scores, key=scores.__getitem__) for scores in able]:
                found[data] = stars
        return found

    def _score(self, run: str, data: str) -> float:
        cell = self._cells[run, data]
        return math.nan if isinstance(cell, str) else cell

    @property
    def _heat(self) -> HeatMap:
        reasons = self.reasons
        return HeatMap(
            rows=tuple(self._runs),
            columns=tuple(self._data),
            values=tuple(
                tuple(None if (run, data) in reasons else self._score(run, data) for data in self._data)
                for run in self._runs
            ),
            starred=frozenset(
                (self._runs.index(run), self._data.index(data)) for data, stars in self._stars.items() for run in stars
            ),
            framed=frozenset((self._runs.index(run), self._data.index(data)) for run, data in self.own),
            title=f"{self.what} of each run's weights on each data set",
        )

    @property
    def what(self) -> str:
        """Split and metric, such as 'dev loss'."""
        return f"{self.split} {self.metric.replace('_', ' ')}"

    def plot(self) -> PaperFigure:
        """Return the scores as a heat map, a figure on white."""
        return heat_figure(self._heat)

    def png(self, scale: float = 1.5, theme: Theme = EITHER) -> tuple[bytes, int, int]:
        """Return the heat map as a PNG.

        Parameters
        ----------
        scale : float, default 1.5
            Pixels of the PNG per CSS pixel.
        theme : Theme, default EITHER
            Colours and sizes.

        Returns
        -------
        png : bytes
            Content of the PNG file.
        width, height : int
            Size in CSS pixels.
        """
        picture = Picture(300, 100)
        png = picture.png(lambda figure: draw_heat(figure, self._heat, theme=theme), scale=scale)
        return png, picture.width, picture.height

    def alt(self) -> str:
        """Return a description of the heat map, for use as alternative text."""
        best = "; ".join(
            f"on {data} run {run} is best with {typeset_number(self._score(run, data))}"
            for data, run in list(self.best.items())[:5]
        )
        told = best or self.remark.rstrip(".") or "none could be scored"
        return f"{self.what} of {len(self._runs)} runs on {len(self._data)} data sets: {told}."

    def reason_lines(self) -> list[str]:
        """Return each reason for missing scores once, with the runs and data sets, and why some cannot be compared."""
        holds: dict[str, list[tuple[str, str]]] = {}
        for cell, reason in self.reasons.items():
            holds.setdefault(reason, []).append(cell)
        lines = []
        for reason, cells in holds.items():
            runs, data = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))
            where = [f"run {', '.join(runs)}"] if len(runs) < len(self._runs) or len(data) == len(self._data) else []
            where += [f"on {', '.join(data)}"] if len(data) < len(self._data) else []
            lines.append(f"{' '.join(where)}: {reason}")
        several = any(len(self._scored(data)) > 1 for data in self._data)
        return [*lines, *([SEVERAL] if several else []), *([self.remark] if self.remark else [])]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        reasons, best = self.reasons, {(run, data) for data, stars in self._stars.items() for run in stars}

        def text(run: str, data: str) -> str:
            if (run, data) in reasons:
                return "–"
            return ("★ " if (run, data) in best else "") + number_text(self._score(run, data))

        return [f"run \\ {self.what} on", *self._data], [
            [run, *(text(run, d) for d in self._data)] for run in self._runs
        ]

    def __repr__(self) -> str:
        head, rows = self._table()
        return "\n".join([text_table([head, *rows]), *self.reason_lines()])

    def _repr_html_(self) -> str:
        png, width, _ = self.png()
        image = picture_html(png, width, self.alt())
        head, rows = self._table()
        table = html_table(head, [[escape(cell) for cell in row] for row in rows])
        return image + table + "".join(f"<p>{escape(line)}</p>" for line in self.reason_lines())
