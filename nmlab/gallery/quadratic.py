"""A parametric quadratic program: a network gives the point that a solver would, for every parameter at once."""

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

from nmlab.data import Splits
from nmlab.gallery.canvas import THEME, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, FewSamples, SampleCount, repeat_first_samples, train_dev_test
from nmlab.options import TrainerOptions

Reach = Annotated[float, Field(gt=0, le=2, description="Largest absolute value of both parameters.")]
Least = Annotated[float, Field(ge=-1, lt=1, description="Least value of both parameters; the largest is 1.")]


class Program(NamedTuple):
    """Minimise x'Qx/2 + (Fp)'x subject to Gx <= 1 + Sp; arrays or tensors alike."""

    q: Any
    f: Any
    g: Any
    s: Any

    def cost(self, x: Any, p: Any) -> Any:
        """Return the objective of each sample, as a column."""
        return ((x @ self.q) * x / 2 + (p @ self.f.T) * x).sum(-1)[:, None]

    def excess(self, x: Any, p: Any) -> Any:
        """Return what must not be above zero: a column for each constraint, in units of the distance to it."""
        return x @ self.g.T - 1 - p @ self.s.T


def program(n: int) -> Program:
    """Return the program of `n` variables, 2 `n` constraints and two parameters; x = 0 is always allowed."""
    draw = np.random.default_rng(n)
    root = draw.normal(size=(n, n)) / np.sqrt(n)
    g = draw.normal(size=(2 * n, n))
    return Program(
        q=np.eye(n) + root @ root.T,
        f=2 * draw.normal(size=(n, 2)),
        g=g / np.linalg.norm(g, axis=1, keepdims=True),
        s=draw.uniform(-0.3, 0.3, size=(2 * n, 2)),
    )


def quadratic(n: int = 2) -> Problem:
    """Build a network from the parameters p to the point x, trained on cost and constraints of the program."""
    here = Program(*(torch.tensor(part, dtype=torch.float32) for part in program(n)))
    network = MLP(insize=2, outsize=n, nonlin=torch.nn.ReLU, hsizes=[128, 128])
    answer = Node(network, ["p"], ["x"], name="answer")
    terms = Node(lambda x, p: (here.cost(x, p), here.excess(x, p)), ["x", "p"], ["cost", "excess"], name="program")
    within = 100.0 * n * (variable("excess") <= -0.01)  # a margin, since a penalty is never closed whole
    within.name = "within"
    return Problem([answer, terms], PenaltyLoss([variable("cost").minimize(name="cost")], [within]))


def everywhere(nsim: SampleCount = 1000, reach: Reach = 1.1, batch_size: BatchSize = 100) -> DataSetup:
    """Draw parameters evenly from a square, a bit larger than the check's: a network is worst at its edge."""
    return train_dev_test(lambda name: DictDataset({"p": reach * (2 * torch.rand(nsim, 2) - 1)}, name=name), batch_size)


def a_corner(nsim: SampleCount = 1000, least: Least = 0.0, batch_size: BatchSize = 100) -> DataSetup:
    """Draw parameters from the upper right corner of the square. What does the network say of the rest?"""
    return train_dev_test(
        lambda name: DictDataset({"p": least + (1 - least) * torch.rand(nsim, 2)}, name=name), batch_size
    )


def few_problems(problems: FewSamples = 10, reach: Reach = 1.1) -> DataSetup:
    """Train on a few parameters over and over and test on many. How few does the network need?"""
    train, *others = everywhere(reach=reach)
    return repeat_first_samples(train, problems), *others


def answers(problem: Problem, p: Any) -> Any:
    """Return the network's answers x (problem, n) to the parameters p (problem, 2)."""
    with torch.no_grad():
        return problem.nodes[0]({"p": torch.as_tensor(p, dtype=torch.float32)})["x"].numpy()


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the answer, and what it is beyond the constraints, while p goes round a circle: few are met, and bend it."""
    figure, (left, right) = create_figure("answer x by the direction of p, in degrees", "excess; dotted: the most")
    angle = np.linspace(-180, 180, 181)
    p = 0.9 * np.stack([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))], -1)
    x = answers(problem, p)
    left.plot(angle, x)
    right.plot(angle, program(x.shape[1]).excess(x, p), linewidth=1)
    right.axhline(0, linestyle=":", color=THEME.faint)
    return figure


def grid() -> Any:
    """Return 49 parameters over the square."""
    return np.stack(np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7)), -1).reshape(-1, 2)


def reference(n: int = 2) -> Answer:
    """Solve the program for 49 parameters by cvxpy."""
    import cvxpy as cp

    q, f, g, s = program(n)
    x, p = cp.Variable(n), cp.Parameter(2)
    cost = cp.sum_squares(np.linalg.cholesky(q).T @ x) / 2 + (f @ p) @ x  # type: ignore[attr-defined]
    problem: Any = cp.Problem(cp.Minimize(cost), [g @ x <= 1 + s @ p])
    best = np.empty((49, n))
    for place, p.value in enumerate(grid()):
        problem.solve()
        best[place] = x.value
    return {"x": best, "cost": program(n).cost(best, grid())}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return the mean gap to the least cost, the mean distance to its point, both as parts, and the worst excess."""
    x, best, least = answers(problem, p := grid()), reference["x"], reference["cost"]
    here = program(x.shape[1])
    return {
        "mean gap": float(np.abs(here.cost(x, p) - least).mean() / np.abs(least).mean()),
        "mean distance": float(np.linalg.norm(x - best, axis=1).mean() / np.linalg.norm(best, axis=1).mean()),
        "worst violation": max(0.0, float(here.excess(x, p).max())),
    }


example = Example(
    name="quadratic",
    title="A parametric quadratic program, 2 variables",
    kind="learning to optimise",
    summary="A network learns the answers to a family of quadratic programs, which are linear in the parameters piece "
    "by piece. cvxpy solves them one by one.",
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
    why="Gap and distance are parts of the mean cost and the mean length of the answers; costs are flat around the "
    "least, so the point itself is the harder mark. The violation is a distance, of answers that are some units long.",
)
