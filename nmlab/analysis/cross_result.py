"""What came of scoring runs across data sets: a table of numbers, a heat map, and why cells are empty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from nmlab.plots import EITHER, HeatMap, Picture, Theme, draw_heat, heat_figure, picture_html
from nmlab.plots.paper import PaperFigure
from nmlab.runs.shown import html_table, text_table
from nmlab.runtime.text import number_text, typeset_number

if TYPE_CHECKING:
    import pandas as pd


class Cross:
    """Scores of runs across data sets; shows itself in a notebook as a heat map, a table and what could not be scored.

    Parameters: `runs`, ids; `data`, the data sets' names; `cells`, by run and data set a score or why there is none;
    `own`, which of them are a run on the data that it was trained on; `split`, `metric`, what was scored.
    """

    def __init__(
        self,
        runs: Sequence[str],
        data: Sequence[str],
        cells: Mapping[tuple[str, str], float | str],
        own: set[tuple[str, str]],
        split: str,
        metric: str,
    ) -> None:
        self.split, self.metric, self.own = split, metric, frozenset(own)
        self._runs, self._data, self._cells = list(runs), list(data), dict(cells)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The scores: one row a run, one column a data set, NaN where there is none."""
        import pandas as pd

        scores = [[self._score(run, data) for data in self._data] for run in self._runs]
        frame = pd.DataFrame(scores, index=self._runs, columns=self._data, dtype=float)
        return frame.rename_axis(index="run", columns="data")

    @property
    def reasons(self) -> dict[tuple[str, str], str]:
        """Why a run was not scored on a data set, by both."""
        return {cell: told for cell, told in self._cells.items() if isinstance(told, str)}

    @cached_property
    def best(self) -> dict[str, str]:
        """The run that scores least, and so best, on each data set, where any has a score; of equal ones the first."""
        found = {}
        for data in self._data:
            scores = {run: value for run in self._runs if math.isfinite(value := self._score(run, data))}
            if scores:
                found[data] = min(scores, key=scores.__getitem__)
        return found

    def _score(self, run: str, data: str) -> float:
        told = self._cells[run, data]
        return math.nan if isinstance(told, str) else told

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
            starred=frozenset((self._runs.index(run), self._data.index(data)) for data, run in self.best.items()),
            framed=frozenset((self._runs.index(run), self._data.index(data)) for run, data in self.own),
            title=f"{self.what} of each run's weights on each data set",
        )

    @property
    def what(self) -> str:
        """What was scored, in words."""
        return f"{self.split} {self.metric.replace('_', ' ')}"

    def plot(self) -> PaperFigure:
        """Return the scores as a heat map, a figure of its own."""
        return heat_figure(self._heat)

    def png(self, scale: float = 1.5, theme: Theme = EITHER) -> tuple[bytes, int, int]:
        """Return the heat map as a PNG, and its width and height in CSS pixels; `scale`, its pixels for each."""
        picture = Picture(300, 100)
        png = picture.png(lambda figure: draw_heat(figure, self._heat, theme=theme), scale=scale)
        return png, picture.width, picture.height

    def alt(self) -> str:
        """Return what the picture shows as a sentence."""
        told = "; ".join(
            f"on {data} run {run} is best with {typeset_number(self._score(run, data))}"
            for data, run in list(self.best.items())[:5]
        )
        return (
            f"{self.what} of {len(self._runs)} runs on {len(self._data)} data sets: {told or 'none could be scored'}."
        )

    def told(self) -> list[str]:
        """Return why cells could not be scored, each reason once, with the runs and data sets it holds for."""
        holds: dict[str, list[tuple[str, str]]] = {}
        for cell, reason in self.reasons.items():
            holds.setdefault(reason, []).append(cell)
        lines = []
        for reason, cells in holds.items():
            runs, data = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))
            where = [f"run {', '.join(runs)}"] if len(runs) < len(self._runs) or len(data) == len(self._data) else []
            where += [f"on {', '.join(data)}"] if len(data) < len(self._data) else []
            lines.append(f"{' '.join(where)}: {reason}")
        return lines

    def _table(self) -> tuple[list[str], list[list[str]]]:
        reasons, best = self.reasons, {(run, data) for data, run in self.best.items()}

        def text(run: str, data: str) -> str:
            if (run, data) in reasons:
                return "–"
            return ("★ " if (run, data) in best else "") + number_text(self._score(run, data))

        return [f"run \\ {self.what} on", *self._data], [
            [run, *(text(run, d) for d in self._data)] for run in self._runs
        ]

    def __repr__(self) -> str:
        head, rows = self._table()
        return "\n".join([text_table([head, *rows]), *self.told()])

    def _repr_html_(self) -> str:
        png, width, _ = self.png()
        image = picture_html(png, width, self.alt())
        head, rows = self._table()
        table = html_table(head, [[escape(cell) for cell in row] for row in rows])
        return image + table + "".join(f"<p>{escape(line)}</p>" for line in self.told())
