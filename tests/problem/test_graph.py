"""A Problem as a graph and as a picture, against NeuroMANCER's own account of it and against what a person sees."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from neuromancer.constraint import variable
from neuromancer.dynamics.integrators import RK4
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from PIL import Image
from torch import nn

from nmlab.plots import Picture, Theme, draw_graph
from nmlab.plots.layout import Box, Layout
from nmlab.problem.graph import ProblemGraph, describe_callable, graph_of
from nmlab.problem.terms import terms_of
from tests.helpers.problems import PROBLEMS, integrator, rosenbrock, sequence


def names(graph: ProblemGraph) -> set[tuple[str, str, str, bool]]:
    """The edges by their parts' names."""
    parts = graph.parts
    return {(parts[e.source].name, parts[e.target].name, e.variable, e.again) for e in graph.edges}


def problem_of(nodes: list[Any], reads: list[list[str]]) -> Problem:
    """A Problem with a term for each list of the keys that it reads."""
    terms = []
    for number, keys in enumerate(reads):
        whole = sum((variable(key) for key in keys[1:]), start=1.0 * variable(keys[0]))
        terms.append((whole**2).minimize(weight=number + 1.0, name=f"term {number} of a longish name"))
    half = len(terms) // 2
    limits = []
    for number, keys in enumerate(reads[half:]):
        limit = 3.0 * (variable(keys[0]) < 1.0 + number)
        limit.update_name(f"limit_{number}")
        limits.append(limit)
    return Problem(nodes, PenaltyLoss(terms[:half], limits))


def closed_loop() -> Problem:
    """A System whose nodes go on from each other and from their own last step, beside a node outside."""
    policy = Node(MLP(3, 2, hsizes=[20, 20]), ["x", "r"], ["u"], name="policy")
    model = Node(RK4(MLP(4, 2, hsizes=[8]), h=torch.tensor(0.1)), ["x", "u"], ["x"], name="model")
    sensor = Node(lambda x: x, ["x"], ["y"], name="sensor")
    scale = Node(nn.Linear(2, 2), ["wish"], ["r"], name="scale")
    loop = System([policy, model, sensor], name="loop", nsteps=3)
    return problem_of([scale, loop], [["y", "r"], ["u"]])


# --- the graph ---


def test_parts_and_edges_of_a_problem() -> None:
    graph = graph_of(rosenbrock())
    assert [(part.name, part.kind, part.what, part.parameters, part.weight) for part in graph.parts] == [
        ("data", "data", "", 0, None),
        ("map", "node", "MLP 2→8→2", 42, None),
        ("obj", "objective", "", 0, 1.0),
        ("order", "constraint", "", 0, 10.0),
        ("circle", "constraint", "", 0, 10.0),
    ]
    assert (graph.parts[0].gives, graph.loss) == (("a", "p"), "PenaltyLoss")
    data = {("data", "map", name, False) for name in "ap"} | {
        ("data", "obj", "a", False), ("data", "circle", "p", False)
    }  # fmt: skip
    assert names(graph) == data | {("map", term, "x", False) for term in ("obj", "order", "circle")}


def test_a_system_comes_back_to_what_its_nodes_gave() -> None:
    graph = graph_of(closed_loop())
    loop = next(index for index, part in enumerate(graph.parts) if part.kind == "system")
    assert (graph.parts[loop].what, graph.parts[loop].gives) == ("3 steps", ("u", "x", "y"))
    assert [part.name for part in graph.parts if part.inside == loop] == ["policy", "model", "sensor"]
    assert names(graph) == {
        ("data", "scale", "wish", False),
        ("scale", "policy", "r", False),
        ("data", "policy", "x", False),
        ("data", "model", "x", False),
        ("policy", "model", "u", False),
        ("model", "sensor", "x", False),
        ("model", "policy", "x", True),
        ("model", "model", "x", True),
        ("sensor", "term 0 of a longish name", "y", False),
        ("scale", "term 0 of a longish name", "r", False),
        ("policy", "limit_0", "u", False),
    }
    assert graph_of(sequence()).parts[1].what == "3 steps, init_func"


def test_a_problem_within_a_problem_is_a_node() -> None:
    inner = problem_of([Node(nn.Linear(2, 2), ["x"], ["y"], name="layer")], [["y"], ["y"]])
    inner.name, inner.input_keys, inner.output_keys = "inner", ["x"], ["y"]
    graph = graph_of(problem_of([inner], [["y"], ["y"]]))
    assert (graph.parts[1].name, graph.parts[1].kind, graph.parts[1].what) == ("inner", "node", "Problem 2→2")
    assert ("inner", "term 0 of a longish name", "y", False) in names(graph)


def test_a_weight_that_is_learnt() -> None:
    weight = nn.Parameter(torch.tensor(2.5))
    term = (variable("x") ** 2).minimize(weight=weight, name="term")
    graph = graph_of(Problem([Node(lambda x: x, ["x"], ["x"])], PenaltyLoss([term], [])))
    assert graph.parts[-1].weight == 2.5


def test_what_is_read_comes_from_whoever_gave_it_last() -> None:
    nodes = [Node(lambda x: x, ["x"], ["x"], name=name) for name in ("once", "twice")]
    found = names(graph_of(problem_of(nodes, [["x"], ["x"]])))
    assert {edge for edge in found if edge[1] != "limit_0"} == {
        ("data", "once", "x", False), ("once", "twice", "x", False), ("twice", "term 0 of a longish name", "x", False)
    }  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_key_that_is_read_has_an_edge(name: str) -> None:
    problem = PROBLEMS[name][0]()
    graph = graph_of(problem)
    terms = terms_of(problem)
    assert [part.name for part in graph.parts[-len(terms) :]] == [term.name for term in terms]
    for index, part in enumerate(graph.parts):
        found = [edge.variable for edge in graph.edges if edge.target == index and not edge.again]
        assert found == ([] if part.kind == "system" else list(part.reads))
    assert sum(p.parameters for p in graph.parts if p.inside is None) == sum(v.numel() for v in problem.parameters())


def named(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("called", "words"),
    [
        (lambda: MLP(2, 3, hsizes=[20, 20]), "MLP 2→20→20→3"),
        (lambda: nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 2)), "Sequential 1→8→2"),
        (lambda: nn.Bilinear(2, 3, 4), "Bilinear"),
        (lambda: nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3)]), "ModuleList"),
        (lambda: RK4(MLP(2, 2, hsizes=[8]), h=torch.tensor(0.1)), "RK4 of MLP 2→8→2"),
        (lambda: named, "function named"),
        (lambda: partial(named, 1), "function named"),
        (lambda: lambda x: x, "function"),
    ],
)
def test_callables_in_words(called: Callable[[], Any], words: str) -> None:
    assert describe_callable(called()) == words


def test_parameters_that_have_no_size_yet_are_not_counted() -> None:
    network = nn.Sequential(nn.Linear(1, 2), nn.LazyLinear(3))
    network[0].bias.requires_grad_(False)
    assert graph_of(problem_of([Node(network, ["x"], ["y"], name="n")], [["y"], ["y"]])).parts[1].parameters == 2


# --- the picture ---


@st.composite
def graphs(draw: st.DrawFn) -> ProblemGraph:
    """Graphs of Problems with nodes, a System or two, and 2 to 20 terms, on a few variables."""
    keys = st.lists(st.sampled_from(["a", "b", "c", "d", "a_long_variable_name"]), min_size=1, max_size=3, unique=True)

    def node(name: str) -> Node:
        return Node(lambda *x: x, draw(keys), draw(keys), name=name)

    tops = []
    for number in range(draw(st.integers(1, 4))):
        inner = [node(f"n{number}{each}") for each in range(draw(st.integers(0, 3)))]
        tops.append(System(inner, name=f"s{number}", nsteps=2) if inner else node(f"node_number_{number}"))
    return graph_of(problem_of(tops, draw(st.lists(keys, min_size=2, max_size=20))))


@settings(max_examples=25, deadline=None)
@given(graphs(), st.integers(300, 1400))
def test_boxes_stand_apart_inside_the_picture_and_right_of_what_they_read(graph: ProblemGraph, width: int) -> None:
    layout = Layout(graph, float(width), Theme())
    assert layout.width >= width
    boxes: dict[int, Box] = layout.boxes
    assert boxes.keys() == {index for index, part in enumerate(graph.parts) if part.kind != "system"}
    for box in boxes.values():
        assert 0 < box.left < box.right < layout.width
        assert 0 < box.top < box.bottom < layout.height
        assert all(box.top < y < box.bottom for y in [*box.enter.values(), *box.leave.values()])
    for one, other in combinations(boxes.values(), 2):
        beside = one.right <= other.left or other.right <= one.left
        assert beside or one.bottom <= other.top or other.bottom <= one.top
    for edge in graph.edges:
        if not edge.again:
            assert boxes[edge.source].right < boxes[edge.target].left
    for system in layout.systems:
        left, top, right, bottom = layout.frame(system)
        for index, box in boxes.items():
            inside = left < box.left and box.right < right and top < box.top and box.bottom < bottom
            assert inside == (index in members(graph, system))
    for flow in layout.track:
        y = layout.track_at(flow)
        between = range(layout.column[flow[0]] + 1, layout.reach(flow))
        assert all(0 < y < boxes[index].top for at in between for index in layout.columns[at])
    for flow in layout.loop:
        assert max(box.bottom for i, box in boxes.items() if graph.parts[i].inside is not None) < layout.loop_at(flow)


def members(graph: ProblemGraph, system: int) -> set[int]:
    return {index for index, part in enumerate(graph.parts) if part.inside == system}


def texts(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()
    return [text for text in figure.axes[0].texts if text.get_text()]


@settings(max_examples=8, deadline=None)
@given(graphs())
def test_words_fit_their_boxes_and_tell_all_parts(graph: ProblemGraph) -> None:
    figure = Figure(figsize=(900 / 96, 3), dpi=96)
    width, height = draw_graph(figure, graph)
    shown = texts(figure)
    assert [round(96 * side) for side in figure.get_size_inches()] == [width, height]
    for text in shown:
        assert figure.bbox.padded(1).contains(*text.get_window_extent().min)
        assert figure.bbox.padded(1).contains(*text.get_window_extent().max)
    boxes = list(Layout(graph, 900.0, Theme()).boxes.values())
    for line, small in (line for box in boxes for line in box.lines):
        assert any(text.get_text() == line for text in shown), (line, small)
    for box in boxes:
        for text in shown:
            if text.get_text() == box.lines[0][0] and text.get_horizontalalignment() == "center":
                extent = text.get_window_extent()
                assert extent.width <= box.width


@pytest.mark.parametrize("name", ["rosenbrock", "integrator", "sequence"])
@pytest.mark.parametrize("dark", [False, True])
def test_pictures_differ_from_their_ground(name: str, dark: bool) -> None:
    graph, theme = graph_of(PROBLEMS[name][0]()), Theme(dark=dark)
    picture = Image.open(io.BytesIO(Picture(900).png(partial(draw_graph, graph=graph, theme=theme)))).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "#111" if dark else "#fff")
    ground.alpha_composite(picture)
    shades = ground.convert("L").getextrema()
    assert shades[1] - shades[0] > 150  # type: ignore[operator]
    assert 0.005 < float((np.asarray(picture)[..., 3] > 0).mean()) < 0.3


def test_a_figure_is_drawn_over_and_rc_params_do_not_count() -> None:
    def png() -> bytes:
        picture = Picture(700)
        picture.png(partial(draw_graph, graph=graph_of(closed_loop())))
        return picture.png(partial(draw_graph, graph=graph_of(integrator())), width=700)

    plain = png()
    assert plain == Picture(700).png(partial(draw_graph, graph=graph_of(integrator())))
    with matplotlib.rc_context({"lines.linewidth": 9, "patch.linewidth": 9, "text.color": "red", "font.size": 30}):
        assert png() == plain
