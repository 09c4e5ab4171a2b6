"""Physics-informed learning: a network solves the diffusion equation from the equation alone.

The solution y(x, t) satisfies, for x in [-1, 1] and t in [0, 1], ::

    y_t = y_xx + (π² - 1) exp(-t) sin(πx)
    y(x, 0) = sin(πx)
    y(-1, t) = y(1, t) = 0

The source term is chosen such that the exact solution is exp(-t) sin(πx), as in NeuroMANCER's and DeepXDE's examples of
diffusion. All quantities are dimensionless.

A network y(x, t) is trained to make the residuals of the equation, of the initial condition and of the boundary
conditions zero at random collocation points (Raissi, Perdikaris and Karniadakis, Journal of Computational Physics 378
(2019), 686). No values of the solution are given, except at t = 0 and at both ends.
"""

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

from nmlab.data.splits import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import (
    BatchSize,
    DataSetup,
    FewSamples,
    SampleCount,
    repeat_first_samples,
    train_dev_test,
)
from nmlab.options import TrainerOptions

CONDITION_WEIGHT = 10.0  # weight of the initial and the boundary conditions; the equation has weight 1

LatestTime = Annotated[float, Field(gt=0, le=1)]


def exact_solution(x: Any, t: Any) -> Any:
    """Return the exact solution exp(-t) sin(πx).

    Parameters
    ----------
    x, t : array
        Positions in [-1, 1] and times in [0, 1], of the same shape.

    Returns
    -------
    array
        Solution, of this shape.
    """
    return np.exp(-t) * np.sin(np.pi * x)


def physics_informed_problem(initial_value: Callable[[Any], Any], residual: Callable[[Any, Any, Any], Any]) -> Problem:
    """Build the Problem of a network y(x, t) for a given equation and initial condition, with y = 0 at both ends.

    The same network is evaluated at the points inside, at t = 0, and at the ends. The loss is the sum of the mean
    squared residuals.

    Parameters
    ----------
    initial_value : callable
        Function that returns y(x, 0) for a NeuroMANCER variable x.
    residual : callable
        Function that returns the residual of the equation for the NeuroMANCER variables y, x and t.

    Returns
    -------
    Problem
        Problem with inputs `x`, `t`, `x_start`, `t_start`, `x_end` and `t_end`, and outputs `y`, `y_start` and `y_end`.
    """
    network = MLP(insize=2, outsize=1, nonlin=torch.nn.Tanh, hsizes=[32, 32, 32])
    nodes = [
        Node(network, ["x", "t"], ["y"], name="inside"),
        Node(network, ["x_start", "t_start"], ["y_start"], name="at_start"),
        Node(network, ["x_end", "t_end"], ["y_end"], name="at_ends"),
    ]

    equation = residual(variable("y"), variable("x"), variable("t"))
    initial_condition = variable("y_start") - initial_value(variable("x_start"))
    boundary_condition = variable("y_end")
    objectives = [
        (equation**2).minimize(name="equation"),
        (initial_condition**2).minimize(weight=CONDITION_WEIGHT, name="start"),
        (boundary_condition**2).minimize(weight=CONDITION_WEIGHT, name="ends"),
    ]
    # the equation contains derivatives of y, so gradients are also needed on dev and test
    return Problem(nodes, PenaltyLoss(objectives, []), grad_inference=True)


def diffusion() -> Problem:
    """Build the Problem of the diffusion equation.

    Returns
    -------
    Problem
        See `physics_informed_problem`.
    """

    def residual(y: Any, x: Any, t: Any) -> Any:
        source = (math.pi**2 - 1) * torch.exp(-t) * torch.sin(math.pi * x)
        return y.grad(t) - y.grad(x).grad(x) - source

    return physics_informed_problem(lambda x: torch.sin(math.pi * x), residual)


def collocation_points(name: str, nsim: int, latest: float = 1.0, crowded: float = 0.0) -> DictDataset:
    """Draw points inside, at t = 0, and at both ends.

    Parameters
    ----------
    name : str
        Name of the dataset.
    nsim : int
        Number of points of each of the three kinds.
    latest : float, default 1.0
        Latest time of all points.
    crowded : float, default 0.0
        Expected fraction of the points inside that are drawn from [-0.2, 0.2] instead of [-1, 1].

    Returns
    -------
    DictDataset
        Columns `x`, `t`, `x_start`, `t_start`, `x_end` and `t_end`, each of shape (nsim, 1).
    """
    x, x_start = 2 * torch.rand(2, nsim, 1) - 1
    t, t_end = latest * torch.rand(2, nsim, 1)
    x = torch.where(torch.rand(nsim, 1) < crowded, 0.2 * x, x)
    x_end = 2.0 * torch.randint(2, (nsim, 1)) - 1
    points = {
        "x": x.requires_grad_(),
        "t": t.requires_grad_(),
        "x_start": x_start,
        "t_start": torch.zeros(nsim, 1),
        "x_end": x_end,
        "t_end": t_end,
    }
    return DictDataset(points, name=name)


def everywhere(nsim: SampleCount = 600, latest: LatestTime = 1.0, batch_size: BatchSize = 200) -> DataSetup:
    """Draw points uniformly in position and time, further points at t = 0, and further points at both ends.

    Parameters
    ----------
    nsim : int, default 600
        Number of points of each kind in each of train, dev and test.
    latest : float, default 1.0
        Latest time of all points.
    batch_size : int, default 200
        Number of points of each kind in a training step.
    """
    return train_dev_test(lambda name: collocation_points(name, nsim, latest), batch_size)


def early(nsim: SampleCount = 600, latest: LatestTime = 0.5, batch_size: BatchSize = 200) -> DataSetup:
    """Draw points from the first half of the time interval only.

    Use it to see whether the network extrapolates to later times.

    Parameters
    ----------
    nsim : int, default 600
        Number of points of each kind in each of train, dev and test.
    latest : float, default 0.5
        Latest time of all points.
    batch_size : int, default 200
        Number of points of each kind in a training step.
    """
    return everywhere(nsim, latest, batch_size)


def few_points(few: FewSamples = 15, latest: LatestTime = 1.0) -> DataSetup:
    """Train on a small number of points, which are repeated, and validate on 600.

    Use it to find out how few points are sufficient.

    Parameters
    ----------
    few : int, default 15
        Number of different points of each kind in train.
    latest : float, default 1.0
        Latest time of all points.
    """
    train, dev, test, batch_size = everywhere(latest=latest)
    return repeat_first_samples(train, few), dev, test, batch_size


def network_solution(problem: Problem, x: Any, t: Any) -> Any:
    """Evaluate the network.

    Parameters
    ----------
    problem : Problem
        Problem built by `physics_informed_problem`.
    x, t : array
        Positions and times, of the same shape.

    Returns
    -------
    array
        The network's y, of this shape.
    """
    inputs = {
        "x": torch.tensor(x, dtype=torch.float32).reshape(-1, 1),
        "t": torch.tensor(t, dtype=torch.float32).reshape(-1, 1),
    }
    with torch.no_grad():
        y = problem.nodes[0](inputs)["y"]
    return y.numpy().reshape(np.shape(x))


def view(problem: Problem, splits: Splits, exact: Callable[[Any, Any], Any] = exact_solution) -> Figure:
    """Draw y over time and position with the first 300 collocation points, and y at four times with the exact solution.

    Parameters
    ----------
    problem : Problem
        Problem to draw.
    splits : Splits
        Data of the fit.
    exact : callable, default `exact_solution`
        Exact solution, a function of arrays x and t.

    Returns
    -------
    Figure
        Figure with two axes.
    """
    figure, (field_axes, profile_axes) = create_figure(
        "y; dots: points where the equation is imposed", "y at four times; dotted: exact"
    )
    x, t = np.meshgrid(np.linspace(-1, 1, 81), np.linspace(0, 1, 41))
    y = network_solution(problem, x, t)
    field_axes.pcolormesh(t, x, y, cmap="coolwarm", vmin=-1, vmax=1, shading="gouraud")
    points = splits.train.datadict
    field_axes.plot(points["t"].detach()[:300], points["x"].detach()[:300], ".", color=THEME.ink, markersize=2)
    field_axes.set(xlabel="time t", ylabel="position x", xlim=(0, 1), ylim=(-1, 1))

    for row in (0, 13, 26, 40):
        profile = network_solution(problem, x[row], t[row])
        profile_axes.plot(x[row], profile, label=f"t = {t[row, 0]:.2f}")
        profile_axes.plot(x[row], exact(x[row], t[row]), ":", color=THEME.faint)
    profile_axes.set(xlabel="position x", ylim=(-1.2, 1.2))
    add_legend(profile_axes)
    return figure


def evaluation_grid() -> tuple[Any, Any]:
    """Return the 41 × 21 points of the check, on a regular grid that is independent of the collocation points.

    Returns
    -------
    x, t : array of shape (21, 41)
        Positions and times.
    """
    x, t = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(0, 1, 21))
    return x, t


def reference() -> Answer:
    """Evaluate the exact solution at the points of the check.

    Returns
    -------
    mapping
        `y`, array of shape (21, 41): the exact solution.
    """
    x, t = evaluation_grid()
    return {"y": exact_solution(x, t)}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare the network with the exact solution.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `relative distance`: Euclidean norm of the error relative to that of the exact solution; `largest distance`:
        largest absolute error.
    """
    exact = reference["y"]
    x, t = evaluation_grid()
    difference = network_solution(problem, x, t) - exact
    relative = np.linalg.norm(difference) / np.linalg.norm(exact)
    return {"relative distance": float(relative), "largest distance": float(np.abs(difference).max())}


example = Example(
    name="diffusion",
    title="Diffusion by a physics-informed network",
    kind="physics-informed",
    summary="A network learns the solution of a differential equation from the equation, the initial condition and the "
    "boundary conditions alone. It is compared with the exact solution.",
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
    why="Trained networks have a relative error of 0.4 to 1 %, untrained ones of about 100 %. The largest absolute "
    "error shows what the mean hides; the maximum of the initial condition is 1.",
)
