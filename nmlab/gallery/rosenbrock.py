"""Learning to optimise: a network solves a constrained Rosenbrock problem for all values of its parameters.

For each pair of parameters (a, p), the problem is to find the point (x, y) that solves ::

    minimise    (1 - x)² + a (y - x²)²
    subject to  y ≤ x
                (p / 2)² ≤ x² + y² ≤ p²

The feasible region is one half of a ring with outer radius p and inner radius p / 2. A network maps (a, p) to (x, y).
It is trained on the objective and the constraints themselves, without any solutions computed by a solver.

The objective is that of Rosenbrock, Computer Journal 3 (1960), 175; the constraints are those of NeuroMANCER's example
Part_1_basics.
"""

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
from nmlab.gallery.canvas import THEME, create_figure
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

A_MIN = 0.2  # smallest parameter a
A_MAX = 1.2  # largest parameter a
P_MIN = 0.5  # smallest outer radius p
P_MAX = 2.0  # largest outer radius p
CONSTRAINT_WEIGHT = 20.0

Radius = Annotated[float, Field(gt=0, le=2)]


def objective(x: Any, y: Any, a: Any) -> Any:
    """Return Rosenbrock's function (1 - x)² + a (y - x²)². Its minimum is 0 at (1, 1).

    Parameters
    ----------
    x, y : array, tensor or symbolic expression
        Coordinates of the points.
    a : array, tensor or symbolic expression
        Weight of the second term.

    Returns
    -------
    array, tensor or symbolic expression
        Value at each point.
    """
    return (1 - x) ** 2 + a * (y - x**2) ** 2


def constraint_residuals(x: Any, y: Any, p: Any) -> dict[str, Any]:
    """Return the left-hand sides of the constraints, written as g(x, y, p) ≤ 0.

    Parameters
    ----------
    x, y : array, tensor or symbolic expression
        Coordinates of the points.
    p : array, tensor or symbolic expression
        Outer radius of the ring.

    Returns
    -------
    dict
        Value of g by name of the constraint; positive where the constraint is violated.
    """
    return {
        "below_diagonal": y - x,
        "outer_circle": x**2 + y**2 - p**2,
        "inner_circle": (p / 2) ** 2 - x**2 - y**2,
    }


def rosenbrock() -> Problem:
    """Build the Problem: a network from (a, p) to (x, y), the objective, and penalties on constraint violations.

    Returns
    -------
    Problem
        Problem with inputs `a` and `p` and output `xy`.
    """
    network = MLP(insize=2, outsize=2, nonlin=torch.nn.GELU, hsizes=[64, 64])
    solution = Node(network, ["a", "p"], ["xy"], name="answer")

    a = variable("a")
    p = variable("p")
    xy = variable("xy")
    x = xy[:, [0]]
    y = xy[:, [1]]

    constraints = []
    for name, residual in constraint_residuals(x, y, p).items():
        constraint = CONSTRAINT_WEIGHT * (residual <= 0)
        constraint.name = name
        constraints.append(constraint)

    loss = PenaltyLoss([objective(x, y, a).minimize(name="rosenbrock")], constraints)
    return Problem([solution], loss)


def whole_region(
    nsim: SampleCount = 1000,
    p_low: Radius = P_MIN,
    p_high: Radius = P_MAX,
    batch_size: BatchSize = 100,
) -> DataSetup:
    """Draw a from [0.2, 1.2] and p from [p_low, p_high], both uniformly.

    Parameters
    ----------
    nsim : int, default 1000
        Number of samples in each of train, dev and test.
    p_low : float, default 0.5
        Smallest outer radius p of the ring.
    p_high : float, default 2.0
        Largest outer radius p of the ring.
    batch_size : int, default 100
        Number of samples in a training step.
    """

    def make_split(name: str) -> DictDataset:
        a, p = torch.rand(2, nsim, 1)
        return DictDataset({"a": A_MIN + a, "p": p_low + (p_high - p_low) * p}, name=name)

    return train_dev_test(make_split, batch_size)


def small_rings(nsim: SampleCount = 1000, p_high: Radius = 1.0, batch_size: BatchSize = 100) -> DataSetup:
    """Draw only problems whose ring does not contain (1, 1), the minimum without constraints.

    Compare the network's solutions for larger rings with those of a network trained on `whole_region`.

    Parameters
    ----------
    nsim : int, default 1000
        Number of samples in each of train, dev and test.
    p_high : float, default 1.0
        Largest outer radius p of the ring.
    batch_size : int, default 100
        Number of samples in a training step.
    """
    return whole_region(nsim, p_high=p_high, batch_size=batch_size)


def few_problems(problems: FewSamples = 20, p_low: Radius = P_MIN, p_high: Radius = P_MAX) -> DataSetup:
    """Train on a small number of problems, which are repeated, and validate on 1000.

    Use it to find out how few training problems are sufficient.

    Parameters
    ----------
    problems : int, default 20
        Number of different problems in train.
    p_low : float, default 0.5
        Smallest outer radius p of the ring.
    p_high : float, default 2.0
        Largest outer radius p of the ring.
    """
    train, dev, test, batch_size = whole_region(p_low=p_low, p_high=p_high)
    return repeat_first_samples(train, problems), dev, test, batch_size


def network_solution(problem: Problem, a: Any, p: Any) -> tuple[Any, Any]:
    """Evaluate the network.

    Parameters
    ----------
    problem : Problem
        Problem built by `rosenbrock`.
    a, p : array of shape (n,)
        Parameters.

    Returns
    -------
    x, y : array of shape (n,)
        The network's solutions.
    """
    inputs = {
        "a": torch.as_tensor(a, dtype=torch.float32).reshape(-1, 1),
        "p": torch.as_tensor(p, dtype=torch.float32).reshape(-1, 1),
    }
    with torch.no_grad():
        xy = problem.nodes[0](inputs)["xy"].numpy()
    return xy[:, 0], xy[:, 1]


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the network's solutions for a = 0.7 while p increases from 0.5 to 2, over contours of the objective.

    The exact solutions form a line that reaches (1, 1), marked by a star, and stays there.

    Parameters
    ----------
    problem : Problem
        Problem to draw.
    splits : Splits
        Data of the fit; not used.

    Returns
    -------
    Figure
        Figure with one axes.
    """
    figure, (axes,) = create_figure("solutions for a = 0.7 and p from 0.5 to 2")
    a = 0.7
    p = np.linspace(P_MIN, P_MAX, 100)
    x, y = network_solution(problem, np.full_like(p, a), p)

    coordinates = np.linspace(0, 2, 100)
    grid_x, grid_y = np.meshgrid(coordinates, coordinates)
    axes.contour(coordinates, coordinates, objective(grid_x, grid_y, a), np.geomspace(0.01, 3, 8), colors=THEME.grid)
    axes.plot(coordinates, coordinates, ":", color=THEME.faint)
    axes.plot(1, 1, "*", color=THEME.best, markersize=12)
    axes.plot(x, y)
    axes.set(xlim=(0, 2), ylim=(0, 2), aspect="equal", xlabel="x", ylabel="y")
    return figure


def parameter_grid() -> tuple[Any, Any]:
    """Return the parameters of the 25 problems of the check, on a regular grid over the whole region.

    Returns
    -------
    a, p : array of shape (25,)
        Parameters.
    """
    a, p = np.meshgrid(np.linspace(A_MIN, A_MAX, 5), np.linspace(P_MIN, P_MAX, 5))
    return a.ravel(), p.ravel()


def reference() -> Answer:
    """Solve the 25 problems of the check with IPOPT.

    IPOPT finds local minima. It is therefore started from five points in the middle of the half ring, which spans the
    angles from -135° to 45°, and the best of its solutions is kept.

    Returns
    -------
    mapping
        `objective`, array of shape (25,): the smallest objective of each problem.
    """
    import casadi as ca

    xy = ca.SX.sym("xy", 2)
    parameters = ca.SX.sym("ap", 2)
    x = xy[0]
    y = xy[1]
    a = parameters[0]
    p = parameters[1]
    nlp = {
        "x": xy,
        "p": parameters,
        "f": objective(x, y, a),
        "g": ca.vertcat(*constraint_residuals(x, y, p).values()),
    }
    quiet: Any = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": False}
    solver = ca.nlpsol("reference", "ipopt", nlp, quiet)

    def smallest_objective(a_value: float, p_value: float) -> float:
        objectives = []
        for angle in np.deg2rad([-120, -80, -40, 0, 40]):
            start = 0.75 * p_value * np.array([np.cos(angle), np.sin(angle)])
            solution = solver(x0=start, p=[a_value, p_value], ubg=0)
            if solver.stats()["success"]:
                objectives.append(float(solution["f"]))
        return min(objectives)

    smallest = [smallest_objective(a, p) for a, p in zip(*parameter_grid(), strict=True)]
    return {"objective": np.array(smallest)}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare the network's solutions with those of the solver.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `mean gap`: mean absolute difference to the smallest objective; `worst violation`: largest violation of any
        constraint.
    """
    a, p = parameter_grid()
    x, y = network_solution(problem, a, p)
    gap = np.abs(objective(x, y, a) - reference["objective"]).mean()
    worst_residual = max(float(residual.max()) for residual in constraint_residuals(x, y, p).values())
    return {"mean gap": float(gap), "worst violation": max(0.0, worst_residual)}


example = Example(
    name="rosenbrock",
    title="Rosenbrock’s function in a half ring",
    kind="learning to optimise",
    summary="A network learns the minimiser of Rosenbrock’s function within half a ring, for all values of two "
    "parameters. Its solutions are compared with those of IPOPT.",
    source="Rosenbrock, Computer Journal 3 (1960), 175, with constraints as in NeuroMANCER’s example Part_1_basics; "
    "reference by IPOPT (Wächter and Biegler, Mathematical Programming 106, 2006) through CasADi",
    problem=rosenbrock,
    data=functions_by_name(whole_region, small_rings, few_problems),
    options=TrainerOptions(max_epochs=60, lr=5e-3, optimizer="Adam", lr_scheduler="CosineAnnealingLR"),
    seconds=4,
    view=view,
    reference=reference,
    error=error,
    tolerance={"mean gap": 0.02, "worst violation": 0.01},
    why="The gap is an absolute value because a point outside the ring can have a smaller objective than the best "
    "feasible one. Untrained networks have errors of about 0.8 and 1.0. With a finite penalty weight, neither error "
    "becomes exactly zero.",
)
