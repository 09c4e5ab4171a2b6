"""The graph of a Problem: data on the left, each node to the right of what it reads, terms at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from nmlab.plots.axes import panel, place
from nmlab.plots.layout import TERMS, Flow, Layout
from nmlab.plots.theme import EITHER, PX, Theme
from nmlab.plots.words import elide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nmlab.problem.graph import ProblemGraph

Point = tuple[float, float]

_CORNER = 6.0


def draw_graph(figure: Figure, graph: ProblemGraph, *, theme: Theme = EITHER) -> tuple[int, int]:
    """Draw the graph of a Problem into a figure.

    Each variable has one colour and is labelled at its source; variables that nothing reads are omitted. Dashed lines
    lead to the next step of a System.

    Parameters
    ----------
    figure : Figure
        The figure; its height is set, and its width if it is too narrow.
    graph : ProblemGraph
        The graph.
    theme : Theme, default EITHER
        Colours and sizes, by default readable on white and on dark.

    Returns
    -------
    width, height : int
        Size of the figure in CSS pixels.
    """
    layout = Layout(graph, float(figure.get_size_inches()[0]) * 96, theme)
    figure.set_size_inches(layout.width / 96, layout.height / 96)
    axes = panel(figure)
    place(axes, 0, 0, layout.width, layout.height)
    axes.set_frame_on(False)
    axes.set_autoscale_on(False)
    axes.set_yscale("linear")
    axes.set_xlim(0, layout.width)
    axes.set_ylim(layout.height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    _draw_systems(axes, layout, theme)
    names = list(dict.fromkeys(edge.variable for edge in graph.edges))
    for flow in layout.flows:
        _draw_flow(axes, layout, flow, theme.nth(names.index(flow[1]))["color"])
    _draw_boxes(axes, layout, theme)
    return round(layout.width), round(layout.height)


def _draw_systems(axes: Axes, layout: Layout, theme: Theme) -> None:
    for system in layout.systems:
        left, top, right, bottom = layout.frame(system)
        _rectangle(axes, left, top, right - left, bottom - top, theme.faint, (0, (1.5, 2.5)))
        part = layout.graph.parts[system]
        title = elide(f"{part.name} · {part.what}", layout.small, (right - left + 24) * PX)
        _text(axes, left + 8, top + 0.6 * layout.row, title, layout.small, theme.faint)


def _draw_boxes(axes: Axes, layout: Layout, theme: Theme) -> None:
    for column in layout.columns:
        for before, index in zip([None, *column], column, strict=False):
            box = layout.boxes[index]
            color = theme.faint if box.part.kind in TERMS else theme.ink
            _rectangle(axes, box.left, box.top, box.width, box.height, color, "-")
            if layout.titled(before, index):
                _text(axes, box.left, box.top - 0.5 * layout.row, f"{box.part.kind}s", layout.small, theme.faint)
            for (text, small), y in zip(box.lines, box.spread(len(box.lines), layout.row), strict=True):
                font, color = (layout.small, theme.faint) if small else (layout.font, theme.ink)
                _text(axes, box.left + box.width / 2, y, text, font, color, "center")


def _draw_flow(axes: Axes, layout: Layout, flow: Flow, color: str) -> None:
    """Draw the lines of a variable from its source to the parts that read it."""
    box, column = layout.boxes[flow[0]], layout.column[flow[0]]
    y = box.leave[flow[1]]
    _text(axes, box.right + 5, y - 7.5, layout.labels[flow], layout.small, color)
    start = box.right + layout.named[column], y
    _straight(axes, color, (box.right, y), start)
    if flow in layout.track:
        up = start[0] + layout.bend, layout.track_at(flow)
        end = layout.boxes[layout.columns[layout.reach(flow)][0]].left - layout.bend
        _curve(axes, color, start, up)
        _straight(axes, color, up, (end, up[1]))
    for edge in layout.flows[flow]:
        target = layout.boxes[edge.target]
        goal = target.left, target.enter[flow[1]]
        if edge.again:
            _loop(axes, color, start, goal, layout.loop_at(flow), 4 * layout.loop[flow])
        elif layout.column[edge.target] == column + 1:
            _curve(axes, color, start, goal)
        else:
            _curve(axes, color, (target.left - layout.bend, layout.track_at(flow)), goal)
        style: dict[str, Any] = {"color": color, "markersize": 6 * PX, "markeredgewidth": 0, "fillstyle": "full"}
        axes.plot([goal[0] - 3], [goal[1]], ">", scalex=False, scaley=False, zorder=3, **style)


def _straight(axes: Axes, color: str, start: Point, end: Point) -> None:
    _path(axes, color, [start, end], [Path.MOVETO, Path.LINETO])


def _curve(axes: Axes, color: str, start: Point, end: Point) -> None:
    middle = (start[0] + end[0]) / 2
    points = [start, (middle, start[1]), (middle, end[1]), end]
    _path(axes, color, points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])


def _loop(axes: Axes, color: str, start: Point, goal: Point, y: float, aside: float) -> None:
    """Draw a line down, back below the boxes, and up again, at a distance `aside` from parallel lines."""
    right, left = start[0] + 6 + aside, goal[0] - 12 - aside
    way = [start, (right, start[1]), (right, y), (left, y), (left, goal[1]), goal]
    points, codes = [start], [Path.MOVETO]
    for before, corner, after in zip(way, way[1:], way[2:], strict=False):
        points += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    _path(axes, color, [*points, goal], [*codes, Path.LINETO], (0, (4, 2)))


def _towards(corner: Point, other: Point) -> Point:
    """Return where the rounding of a corner ends on the way to `other`."""
    across, down = other[0] - corner[0], other[1] - corner[1]
    length = max(abs(across), abs(down), 1e-9)
    part = min(_CORNER, length / 2) / length
    return corner[0] + across * part, corner[1] + down * part


def _path(axes: Axes, color: str, points: Sequence[Point], codes: Sequence[Any], dashes: Any = "-") -> None:
    axes.add_patch(_styled(PathPatch(Path(points, codes)), color, 1.4, dashes))


def _rectangle(axes: Axes, left: float, top: float, width: float, height: float, color: str, dashes: Any) -> None:
    shape = FancyBboxPatch((left, top), width, height, "round,pad=0,rounding_size=4")
    axes.add_patch(_styled(shape, color, 1.2, dashes))


def _styled(patch: Any, color: str, width: float, dashes: Any) -> Any:
    """Set every property of a patch that `rcParams` could set, and return it."""
    patch.set(facecolor="none", edgecolor=color, linewidth=width * PX, linestyle=dashes, fill=False, zorder=2)
    patch.set(antialiased=True, capstyle="butt", joinstyle="round", hatch=None, snap=False)
    return patch


def _text(axes: Axes, x: float, y: float, text: str, font: Any, color: str, ha: Any = "left") -> None:
    axes.text(x, y, text, fontproperties=font, color=color, ha=ha, va="center_baseline", zorder=4)
