"""Learning to optimise: a network solves a parametric quadratic program for all values of its parameters.

For each parameter vector p in [-1, 1]², the problem is to find the vector x that solves ::

    minimise    x'Qx / 2 + (Fp)'x
    subject to  Gx ≤ 1 + Sp

Its solution is a continuous, piecewise affine function of p (Bemporad, Morari, Dua and Pistikopoulos, Automatica 38
(2002), 3). A network learns this function. It is trained on the cost and the constraints themselves, without any
solutions computed by a solver. The matrices are drawn at random with a fixed seed.
"""

from typing import Annotated, Any, NamedTuple

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

CONSTRAINT_WEIGHT = 100.0  # per variable
CONSTRAINT_MARGIN = 0.01  # distance to keep from each constraint, because a penalty method leaves small violations

Reach = Annotated[float, Field(gt=0, le=2)]
Least = Annotated[float, Field(ge=-1, lt=1)]


class QuadraticProgram(NamedTuple):
    """The matrices of the program: minimise x'Qx / 2 + (Fp)'x subject to Gx ≤ 1 + Sp.

    Parameters
    ----------
    q : array or tensor of shape (n, n)
        Symmetric positive definite matrix Q.
    f : array or tensor of shape (n, 2)
        Matrix F.
    g : array or tensor of shape (m, n)
        Matrix G. Its rows have length one.
    s : array or tensor of shape (m, 2)
        Matrix S.
    """

    q: Any
    f: Any
    g: Any
    s: Any

    def cost(self, x: Any, p: Any) -> Any:
        """Return the cost of each sample.

        Parameters
        ----------
        x : array or tensor of shape (samples, n)
            Points.
        p : array or tensor of shape (samples, 2)
            Parameters.

        Returns
        -------
        array or tensor of shape (samples, 1)
            Cost.
        """
        quadratic_terms = (x @ self.q) * x / 2
        linear_terms = (p @ self.f.T) * x
        return (quadratic_terms + linear_terms).sum(-1)[:, None]

    def excess(self, x: Any, p: Any) -> Any:
        """Return Gx - 1 - Sp, which is positive where a constraint is violated.

        As the rows of G have length one, it is the signed distance of x to the boundary of each constraint.

        Parameters
        ----------
        x : array or tensor of shape (samples, n)
            Points.
        p : array or tensor of shape (samples, 2)
            Parameters.

        Returns
        -------
        array or tensor of shape (samples, m)
            Signed distance, negative inside.
        """
        return x @ self.g.T - 1 - p @ self.s.T


def quadratic_program(n: int) -> QuadraticProgram:
    """Create the program with `n` variables, 2 `n` constraints and two parameters.

    The point x = 0 satisfies all constraints for each p in [-1, 1]².

    Parameters
    ----------
    n : int
        Number of variables, which is also the seed of the random numbers.

    Returns
    -------
    QuadraticProgram
        Program with NumPy arrays.
    """
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n)) / np.sqrt(n)
    g = rng.normal(size=(2 * n, n))
    f = 2 * rng.normal(size=(n, 2))
    s = rng.uniform(-0.3, 0.3, size=(2 * n, 2))
    q = np.eye(n) + root @ root.T
    g = g / np.linalg.norm(g, axis=1, keepdims=True)
    return QuadraticProgram(q, f, g, s)


def quadratic(n: int = 2) -> Problem:
    """Build the Problem: a network from p to x, the cost, and penalties on constraint violations.

    Parameters
    ----------
    n : int, default 2
        Number of variables x.

    Returns
    -------
    Problem
        Problem with input `p` and output `x`.
    """
    matrices = [torch.tensor(matrix, dtype=torch.float32) for matrix in quadratic_program(n)]
    program = QuadraticProgram(*matrices)

    network = MLP(insize=2, outsize=n, nonlin=torch.nn.ReLU, hsizes=[128, 128])
    solution = Node(network, ["p"], ["x"], name="answer")
    terms = Node(
        lambda x, p: (program.cost(x, p), program.excess(x, p)), ["x", "p"], ["cost", "excess"], name="program"
    )

    cost = variable("cost").minimize(name="cost")
    within = CONSTRAINT_WEIGHT * n * (variable("excess") <= -CONSTRAINT_MARGIN)
    within.name = "within"
    return Problem([solution, terms], PenaltyLoss([cost], [within]))


def everywhere(nsim: SampleCount = 1000, reach: Reach = 1.1, batch_size: BatchSize = 100) -> DataSetup:
    """Draw parameters uniformly from the square [-reach, reach]².

    By default the square is slightly larger than that of the check, because a network is least accurate near the edges
    of its training data.

    Parameters
    ----------
    nsim : int, default 1000
        Number of samples in each of train, dev and test.
    reach : float, default 1.1
        Largest absolute value of both parameters.
    batch_size : int, default 100
        Number of samples in a training step.
    """

    def make_split(name: str) -> DictDataset:
        p = reach * (2 * torch.rand(nsim, 2) - 1)
        return DictDataset({"p": p}, name=name)

    return train_dev_test(make_split, batch_size)


def a_corner(nsim: SampleCount = 1000, least: Least = 0.0, batch_size: BatchSize = 100) -> DataSetup:
    """Draw parameters uniformly from [least, 1]², the upper right corner of the square.

    Compare the network's solutions in the rest of the square with those of a network trained on `everywhere`.

    Parameters
    ----------
    nsim : int, default 1000
        Number of samples in each of train, dev and test.
    least : float, default 0.0
        Smallest value of both parameters. The largest is 1.
    batch_size : int, default 100
        Number of samples in a training step.
    """

    def make_split(name: str) -> DictDataset:
        p = least + (1 - least) * torch.rand(nsim, 2)
        return DictDataset({"p": p}, name=name)

    return train_dev_test(make_split, batch_size)


def few_problems(problems: FewSamples = 10, reach: Reach = 1.1) -> DataSetup:
    """Train on a small number of parameters, which are repeated, and validate on 1000.

    Use it to find out how few training problems are sufficient.

    Parameters
    ----------
    problems : int, default 10
        Number of different parameters in train.
    reach : float, default 1.1
        Largest absolute value of both parameters.
    """
    train, dev, test, batch_size = everywhere(reach=reach)
    return repeat_first_samples(train, problems), dev, test, batch_size


def network_solution(problem: Problem, p: Any) -> Any:
    """Evaluate the network.

    Parameters
    ----------
    problem : Problem
        Problem built by `quadratic`.
    p : array of shape (samples, 2)
        Parameters.

    Returns
    -------
    array of shape (samples, n)
        The network's solutions x.
    """
    inputs = {"p": torch.as_tensor(p, dtype=torch.float32)}
    with torch.no_grad():
        return problem.nodes[0](inputs)["x"].numpy()


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the network's solution and its constraint residuals while p moves along a circle of radius 0.9.

    The solution bends where constraints become active.

    Parameters
    ----------
    problem : Problem
        Problem to draw.
    splits : Splits
        Data of the fit; not used.

    Returns
    -------
    Figure
        Figure with two axes.
    """
    figure, (solution_axes, constraint_axes) = create_figure(
        "solution x by direction of p in degrees", "Gx - 1 - Sp; dotted: upper limit"
    )
    degrees = np.linspace(-180, 180, 181)
    radians = np.deg2rad(degrees)
    p = 0.9 * np.stack([np.cos(radians), np.sin(radians)], -1)
    x = network_solution(problem, p)
    program = quadratic_program(x.shape[1])

    solution_axes.plot(degrees, x)
    constraint_axes.plot(degrees, program.excess(x, p), linewidth=1)
    constraint_axes.axhline(0, linestyle=":", color=THEME.faint)
    return figure


def parameter_grid() -> Any:
    """Return the parameters of the 49 problems of the check, on a regular grid over [-1, 1]².

    Returns
    -------
    array of shape (49, 2)
        Parameters p.
    """
    coordinates = np.linspace(-1, 1, 7)
    return np.stack(np.meshgrid(coordinates, coordinates), -1).reshape(-1, 2)


def reference(n: int = 2) -> Answer:
    """Solve the 49 problems of the check with cvxpy.

    Parameters
    ----------
    n : int, default 2
        Number of variables x.

    Returns
    -------
    mapping
        `x`, array of shape (49, n): the solutions; `cost`, array of shape (49, 1): their costs.
    """
    import cvxpy as cp

    program = quadratic_program(n)
    x = cp.Variable(n)
    p = cp.Parameter(2)
    root = np.linalg.cholesky(program.q).T
    cost = cp.sum_squares(root @ x) / 2 + (program.f @ p) @ x  # type: ignore[attr-defined]
    constraints = [program.g @ x <= 1 + program.s @ p]
    problem: Any = cp.Problem(cp.Minimize(cost), constraints)

    parameters = parameter_grid()
    solutions = np.empty((len(parameters), n))
    for index, parameter in enumerate(parameters):
        p.value = parameter
        problem.solve()
        solutions[index] = x.value
    return {"x": solutions, "cost": program.cost(solutions, parameters)}


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
        `mean gap`: mean absolute difference to the optimal cost, relative to the mean absolute optimal cost; `mean
        distance`: mean distance to the optimal point, relative to the mean length of the optimal points; `worst
        violation`: largest distance by which any constraint is violated.
    """
    parameters = parameter_grid()
    x = network_solution(problem, parameters)
    program = quadratic_program(x.shape[1])

    gap = np.abs(program.cost(x, parameters) - reference["cost"]).mean()
    distance = np.linalg.norm(x - reference["x"], axis=1).mean()
    return {
        "mean gap": float(gap / np.abs(reference["cost"]).mean()),
        "mean distance": float(distance / np.linalg.norm(reference["x"], axis=1).mean()),
        "worst violation": max(0.0, float(program.excess(x, parameters).max())),
    }


example = Example(
    name="quadratic",
    title="A parametric quadratic program, 2 variables",
    kind="learning to optimise",
    summary="A network learns the solutions of a family of quadratic programs, which are a piecewise affine function "
    "of the parameters. They are compared with the solutions by cvxpy.",
    source="Multiparametric quadratic programming: Bemporad, Morari, Dua and Pistikopoulos, Automatica 38 (2002), 3; "
    "the matrices are drawn from a fixed seed. Reference by cvxpy (Diamond and Boyd, JMLR 17, 2016)",
    problem=quadratic,
    data=functions_by_name(everywhere, a_corner, few_problems),
    options=TrainerOptions(max_epochs=100, lr=5e-3, optimizer="Adam", lr_scheduler="CosineAnnealingLR"),
    seconds=3,
    view=view,
    reference=reference,
    error=error,
    tolerance={"mean gap": 0.01, "mean distance": 0.05, "worst violation": 0.01},
    why="Gap and distance are relative to the mean cost and the mean length of the solutions. The cost is flat around "
    "its minimum, so the distance is the stricter metric. The violation is an absolute distance; the solutions have a "
    "length of a few units.",
)
