"""The layout of the graph of a Problem, in CSS pixels from the upper left corner; y points down.

Each part is placed to the right of all parts that it reads from. A variable is connected directly to the next column,
on a track above all boxes to later columns, and below them to the next step of a System. No line crosses a box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nmlab.plots.theme import PX, Theme
from nmlab.plots.words import elide, width_of
from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from nmlab.problem.graph import Edge, Part, ProblemGraph

MARGIN, TRACK = 14.0, 9.0
_BEND, _PORT, _ENTRY, _GAP, _TERM_GAP, _PAD = 46.0, 15.0, 11.0, 16.0, 6.0, 16.0

_WIDEST = (170.0, 130.0, 95.0, 70.0)
"""Maximum widths of a box; the first with which all columns fit is used."""

_MOST_ROOM = 90.0
"""Maximum additional space between columns."""

TERMS = ("objective", "constraint")

Flow = tuple[int, str]
"""A variable, with the index of the part that it comes from."""


@dataclass
class Box:
    """A part in the picture."""

    part: Part
    lines: list[tuple[str, bool]]
    """Lines of text, and whether each is small."""
    width: float
    height: float
    left: float = 0.0
    top: float = 0.0
    enter: dict[str, float] = field(default_factory=dict)
    """Vertical positions at which variables enter."""
    leave: dict[str, float] = field(default_factory=dict)
    """Vertical positions at which variables leave."""

    @property
    def right(self) -> float:
        """Horizontal position of the right side."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Vertical position of the lower side."""
        return self.top + self.height

    def spread(self, count: int, pitch: float) -> list[float]:
        """Return `count` places at a side, around its middle."""
        middle = self.top + self.height / 2
        return [middle + (at - (count - 1) / 2) * pitch for at in range(count)]


def columns_of(graph: ProblemGraph) -> tuple[list[list[int]], dict[int, tuple[int, int]]]:
    """Return the parts in each column, and the first and last column of each System.

    The columns of a System contain no other parts, so that a frame can be drawn around its nodes.
    """
    home = [_home(graph, index) for index in range(len(graph.parts))]
    terms = [index for index, part in enumerate(graph.parts) if part.kind in TERMS]
    depth: dict[int, int] = {}  # of nodes and Systems of the Problem's own
    inner: dict[int, int] = {}  # of all nodes, within a System
    for index, part in enumerate(graph.parts):
        if part.kind == "system" or index in terms:
            continue
        own = home[index]
        sources = {edge.source for edge in graph.edges if edge.target == index and not edge.again}
        depth[own] = max([depth.get(own, 0), *(depth[home[each]] + 1 for each in sources if home[each] != own)])
        inner[index] = max((inner[each] + 1 for each in sources if home[each] == own), default=0)
    columns: list[list[int]] = []
    systems: dict[int, tuple[int, int]] = {}
    for level in sorted(set(depth.values())):
        here = [index for index in inner if depth[home[index]] == level]
        columns.append([index for index in here if home[index] == index])
        for system in dict.fromkeys(home[index] for index in here if home[index] != index):
            members = [index for index in here if home[index] == system]
            columns = [column for column in columns if column]
            first = len(columns)
            columns += [[i for i in members if inner[i] == at] for at in sorted({inner[i] for i in members})]
            systems[system] = first, len(columns) - 1
    return [column for column in [*columns, terms] if column], systems


def _home(graph: ProblemGraph, index: int) -> int:
    """Return the outermost System around a part, or the part itself."""
    while (outer := graph.parts[index].inside) is not None:
        index = outer
    return index


class Layout:
    """The positions of everything that is drawn of a graph.

    Parameters
    ----------
    graph : ProblemGraph
        The graph.
    width : float
        Width of the picture in CSS pixels; it becomes larger if the columns need more space.
    theme : Theme
        Determines the font.
    """

    def __init__(self, graph: ProblemGraph, width: float, theme: Theme) -> None:
        self.graph = graph
        self.columns, self.systems = columns_of(graph)
        self.column = {index: at for at, column in enumerate(self.columns) for index in column}
        self.flows: dict[Flow, list[Edge]] = {}
        for edge in graph.edges:
            self.flows.setdefault((edge.source, edge.variable), []).append(edge)
        self.font, self.small = theme.text(), theme.text(0.85)
        self.row = 1.35 * theme.size
        self._place_across(width)
        self._lay_tracks()
        self._place_down()

    # --- across ---

    def _place_across(self, width: float) -> None:
        gutters = max(len(self.columns) - 1, 1)
        for widest in _WIDEST:
            self.labels = {flow: elide(flow[1], self.small, 0.6 * widest * PX) for flow in self.flows}
            self.boxes = {index: self._box(index, widest) for index in self.column}
            spare = width - self._side_by_side(0.0, 0.0)
            if spare >= 0:
                break
        room = min(max(spare, 0.0) / gutters, _MOST_ROOM)
        self.width = max(width, width - spare)
        self._side_by_side(room, max(spare - room * gutters, 0.0) / 2)

    def _box(self, index: int, widest: float) -> Box:
        part = self.graph.parts[index]
        weight = "" if part.weight in (None, 1) else f"{typeset_number(part.weight)} × "
        count = f"{part.parameters:,} parameter{'' if part.parameters == 1 else 's'}".replace(",", " ")
        lines = [(weight + part.name, False), (part.what, True), (count if part.parameters else "", True)]
        lines = [(elide(text, self._font(small), (widest - _PAD) * PX), small) for text, small in lines if text]
        wide = max(width_of(text, self._font(small)) for text, small in lines) / PX + _PAD
        ports = max(_PORT * len(self.given(index)), _ENTRY * len(self._read(index)))
        return Box(part, lines, wide, max(len(lines) * self.row + 8, ports + 4))

    def _font(self, small: bool) -> Any:
        return self.small if small else self.font

    def given(self, index: int) -> list[str]:
        """Return the variables of a part that other parts read."""
        return [name for source, name in self.flows if source == index]

    def _read(self, index: int) -> list[str]:
        return list(dict.fromkeys(edge.variable for edge in self.graph.edges if edge.target == index))

    def _side_by_side(self, room: float, left: float) -> float:
        """Place the columns, `room` further apart than lines and names need; return how wide they are."""
        self.bend = _BEND + room
        """Horizontal space for a line to go up or down."""
        self.named: list[float] = []
        """Width of the variable names to the right of each column."""
        x = MARGIN + left
        for column in self.columns:
            width = max(self.boxes[index].width for index in column)
            for index in column:
                self.boxes[index].left, self.boxes[index].width = x, width
            labels = [self.labels[index, name] for index in column for name in self.given(index)]
            self.named.append(max((width_of(label, self.small) / PX for label in labels), default=0.0) + 10)
            x += width + self.named[-1] + self.bend
        return x - self.named[-1] - self.bend + MARGIN

    # --- down ---

    def _lay_tracks(self) -> None:
        """Give each variable that goes further than the next column a track, so that no two meet on one."""
        self.track: dict[Flow, int] = {}
        self.loop: dict[Flow, int] = {}
        taken: list[list[tuple[int, int]]] = []
        for flow in sorted(self.flows, key=lambda flow: self.reach(flow) - self.column[flow[0]]):
            first, last = self.column[flow[0]], self.reach(flow)
            if last - first > 1:
                free = (at for at, spans in enumerate(taken) if all(last <= a or b <= first for a, b in spans))
                self.track[flow] = next(free, len(taken))
                taken[self.track[flow] :] = taken[self.track[flow] :] or [[]]
                taken[self.track[flow]].append((first, last))
            if any(edge.again for edge in self.flows[flow]):
                self.loop[flow] = len(self.loop)
        self.above = len(taken)

    def reach(self, flow: Flow) -> int:
        """Return the last column to which a variable goes."""
        return max((self.column[edge.target] for edge in self.flows[flow] if not edge.again), default=-1)

    def _place_down(self) -> None:
        """Place boxes below one another in their columns.

        Nothing runs past the terms, so these may reach higher and lower than tracks and loops do.
        """
        heights = [self._height(column) for column in self.columns]
        tallest = max(self._height(column) for column in self.columns if not self._terms(column))
        above = TRACK * self.above + 6 + (self.row + 8 if self.systems else 0)
        below = TRACK * len(self.loop) + 22 if self.systems else 0.0
        whole = max(above + tallest + below, *heights)
        top = MARGIN + (whole - above - tallest - below) / 2
        self.height = whole + 2 * MARGIN
        self._ceiling, self._floor = top + TRACK * self.above, top + above + tallest
        for column, height in zip(self.columns, heights, strict=True):
            y = MARGIN + (whole - height) / 2 if self._terms(column) else top + above + (tallest - height) / 2
            for before, index in zip([None, *column], column, strict=False):
                y += self._gap(before, index)
                self.boxes[index].top = y
                y += self.boxes[index].height
        for index, box in self.boxes.items():
            out = sorted((-self.track.get((index, name), -1), at, name) for at, name in enumerate(self.given(index)))
            box.leave = dict(zip([name for *_, name in out], box.spread(len(out), _PORT), strict=True))
        for index, box in self.boxes.items():
            come = sorted((self._comes_at(index, name), name) for name in self._read(index))
            pitch = min(_ENTRY, (box.height - 6) / max(len(come), 1))
            box.enter = dict(zip([name for _, name in come], box.spread(len(come), pitch), strict=True))

    def _height(self, column: Sequence[int]) -> float:
        gaps = sum(self._gap(before, index) for before, index in zip([None, *column], column, strict=False))
        return gaps + sum(self.boxes[index].height for index in column)

    def _gap(self, before: int | None, index: int) -> float:
        if self.titled(before, index):
            return self.row + (0 if before is None else _TERM_GAP)
        return 0.0 if before is None else _TERM_GAP if self._terms([index]) else _GAP

    def titled(self, before: int | None, index: int) -> bool:
        """Tell whether a part is the first of a kind of terms, above which their title stands."""
        part = self.graph.parts[index]
        return part.kind in TERMS and (before is None or self.graph.parts[before].kind != part.kind)

    def _terms(self, column: Sequence[int]) -> bool:
        return self.graph.parts[column[0]].kind in TERMS

    def _comes_at(self, index: int, name: str) -> float:
        """Return how far down a variable is before it turns to where it is read."""
        sources = [
            edge.source for edge in self.graph.edges if (edge.target, edge.variable, edge.again) == (index, name, False)
        ]
        if not sources:
            return math.inf
        if self.column[index] - self.column[sources[0]] > 1:
            return self.track_at((sources[0], name))
        return self.boxes[sources[0]].leave[name]

    def track_at(self, flow: Flow) -> float:
        """Return how far down the track of a variable is that goes further than the next column."""
        return self._ceiling - (self.track[flow] + 0.5) * TRACK

    def loop_at(self, flow: Flow) -> float:
        """Return how far down a variable goes back."""
        return self._floor + 10 + self.loop[flow] * TRACK

    def frame(self, system: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the frame around a System."""
        first, last = self.systems[system]
        boxes = [self.boxes[index] for column in self.columns[first : last + 1] for index in column]
        aside = 4 * len(self.loop)
        left, right = boxes[0].left - 20 - aside, boxes[-1].right + self.named[last] + 8 + aside
        return left, min(box.top for box in boxes) - self.row - 6, right, self._floor + 16 + TRACK * len(self.loop)
