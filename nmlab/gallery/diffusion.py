"""Diffusion along a rod, fed by a source: a network that satisfies the equation at points, without any data of it."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node
from pydantic import Field

from nmlab.data import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, FewSamples, SampleCount, repeat_first_samples, train_dev_test
from nmlab.options import TrainerOptions

Latest = Annotated[float, Field(gt=0, le=1, description="Latest time of all points.")]


def exact(x: Any, t: Any) -> Any:
    """Return the solution at places x from -1 to 1 and times t from 0 to 1."""
    return np.exp(-t) * np.sin(np.pi * x)


def solution(start: Callable[[Any], Any], equation: Callable[[Any, Any, Any], Any]) -> Problem:
    """Build a network y(x, t) that starts as told, is zero at both ends, and brings the equation's residual to zero.

    Parameters: `start`, y at t = 0 of x; `equation`, the residual of y, x and t, NeuroMANCER's variables.
    """
    network = MLP(insize=2, outsize=1, nonlin=torch.nn.Tanh, hsizes=[32, 32, 32])
    nodes = [
        Node(network, ["x", "t"], ["y"], name="inside"),
        Node(network, ["x_start", "t_start"], ["y_start"], name="at_start"),
        Node(network, ["x_end", "t_end"], ["y_end"], name="at_ends"),
    ]
    terms = [
        (equation(variable("y"), variable("x"), variable("t")) ** 2).minimize(name="equation"),
        ((variable("y_start") - start(variable("x_start"))) ** 2).minimize(weight=10.0, name="start"),
        (variable("y_end") ** 2).minimize(weight=10.0, name="ends"),
    ]
    return Problem(nodes, PenaltyLoss(terms, []), grad_inference=True)  # the equation needs gradients on dev too


def diffusion() -> Problem:
    """Build the network of y_t = y_xx + source, where the source is such that exp(-t) sin(πx) solves it."""

    def equation(y: Any, x: Any, t: Any) -> Any:
        source = (math.pi**2 - 1) * torch.exp(-t) * torch.sin(math.pi * x)
        return y.grad(t) - y.grad(x).grad(x) - source

    return solution(lambda x: torch.sin(math.pi * x), equation)


def everywhere(nsim: SampleCount = 600, latest: Latest = 1.0, batch_size: BatchSize = 200) -> DataSetup:
    """Draw points evenly along the rod and in time, others at the start, and others at both ends."""
    return train_dev_test(lambda name: points(name, nsim, latest), batch_size)


def early(nsim: SampleCount = 600, latest: Latest = 0.5, batch_size: BatchSize = 200) -> DataSetup:
    """Draw points of the first half of the time only. Does the network go on as the equation would?"""
    return everywhere(nsim, latest, batch_size)


def few_points(few: FewSamples = 15, latest: Latest = 1.0) -> DataSetup:
    """Ask for the equation at few points over and over, and test at many. How few does the network need?"""
    train, *others = everywhere(latest=latest)
    return repeat_first_samples(train, few), *others


def points(name: str, nsim: int, latest: float = 1.0, crowded: float = 0.0) -> DictDataset:
    """Return points inside, of which a part is crowded about the middle, at the start, and at both ends."""
    x, x_start = 2 * torch.rand(2, nsim, 1) - 1
    t, t_end = latest * torch.rand(2, nsim, 1)
    x = torch.where(torch.rand(nsim, 1) < crowded, 0.2 * x, x)
    inside = {"x": x.requires_grad_(), "t": t.requires_grad_()}
    start = {"x_start": x_start, "t_start": torch.zeros(nsim, 1)}
    ends = {"x_end": 2.0 * torch.randint(2, (nsim, 1)) - 1, "t_end": t_end}
    return DictDataset({**inside, **start, **ends}, name=name)


def learnt(problem: Problem, x: Any, t: Any) -> Any:
    """Return the network's y at these places and times, arrays of one shape."""
    inputs = {key: torch.tensor(value, dtype=torch.float32).reshape(-1, 1) for key, value in (("x", x), ("t", t))}
    with torch.no_grad():
        return problem.nodes[0](inputs)["y"].numpy().reshape(np.shape(x))


def view(problem: Problem, splits: Splits, exact: Callable[[Any, Any], Any] = exact) -> Figure:
    """Draw y over place and time, the points of the equation on it, and four moments beside the exact ones, dotted."""
    figure, (plane, moments) = create_figure(
        "y over time and place; dots: the equation", "y at four times; dotted: exact"
    )
    x, t = np.meshgrid(np.linspace(-1, 1, 81), np.linspace(0, 1, 41))
    plane.pcolormesh(t, x, learnt(problem, x, t), cmap="coolwarm", vmin=-1, vmax=1, shading="gouraud")
    inside = (splits.train.datadict[key].detach()[:300] for key in ("t", "x"))
    plane.plot(*inside, ".", color=THEME.ink, markersize=2)
    for moment in (0, 13, 26, 40):
        moments.plot(x[moment], learnt(problem, x[moment], t[moment]), label=f"t = {t[moment, 0]:.2f}")
        moments.plot(x[moment], exact(x[moment], t[moment]), ":", color=THEME.faint)
    plane.set(xlabel="time t", ylabel="place x", xlim=(0, 1), ylim=(-1, 1))
    moments.set(xlabel="place x", ylim=(-1.2, 1.2))
    add_legend(moments)
    return figure


def grid() -> tuple[Any, Any]:
    """Return places and times of 41 by 21 points to check, at none of which the network was asked for anything."""
    return np.meshgrid(np.linspace(-1, 1, 41), np.linspace(0, 1, 21))


def reference() -> Answer:
    """Return the exact solution on the grid."""
    return {"y": exact(*grid())}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return the distance to the exact solution as part of its size, in the mean square, and the largest as it is."""
    off, true = learnt(problem, *grid()) - reference["y"], reference["y"]
    relative = np.linalg.norm(off) / np.linalg.norm(true)
    return {"relative distance": float(relative), "largest distance": float(np.abs(off).max())}


example = Example(
    name="diffusion",
    title="Diffusion by a physics-informed network",
    kind="physics-informed",
    summary="A network learns the solution of a differential equation from the equation alone: its residual, its start "
    "and its boundary. The exact solution marks it.",
    source="Raissi, Perdikaris and Karniadakis, Journal of Computational Physics 378 (2019), 686; equation as in "
    "NeuroMANCER’s and DeepXDE’s examples of diffusion, its source made from the solution exp(-t) sin(πx)",
    problem=diffusion,
    data=functions_by_name(everywhere, early, few_points),
    options=TrainerOptions(max_epochs=160, lr=0.02, optimizer="Adam", lr_scheduler="CosineAnnealingLR"),
    seconds=6,
    view=view,
    reference=reference,
    error=error,
    tolerance={"relative distance": 0.03, "largest distance": 0.05},
    why="Trained networks are 0.4 to 1 % away, untrained ones 100 %. The largest distance shows what the mean hides; "
    "its unit is the highest point of the start.",
)
