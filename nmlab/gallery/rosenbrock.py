"""Rosenbrock's valley within a half ring: a network answers an optimisation problem for all its parameters at once."""

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
from nmlab.gallery.canvas import THEME, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, FewSamples, SampleCount, repeat_first_samples, train_dev_test
from nmlab.options import TrainerOptions

Low = Annotated[float, Field(gt=0, le=2, description="Least outer radius p of the ring.")]
High = Annotated[float, Field(gt=0, le=2, description="Largest outer radius p of the ring.")]


def objective(x: Any, y: Any, a: Any) -> Any:
    """Rosenbrock's function with curvature `a`; it is least at (1, 1)."""
    return (1 - x) ** 2 + a * (y - x**2) ** 2


def excess(x: Any, y: Any, p: Any) -> dict[str, Any]:
    """Return what must not be above zero, by the constraint's name."""
    return {
        "below_diagonal": y - x,
        "outer_circle": x**2 + y**2 - p**2,
        "inner_circle": (p / 2) ** 2 - x**2 - y**2,
    }


def rosenbrock() -> Problem:
    """Build a network from the parameters (a, p) to the point (x, y), trained on the problem's own formulas."""
    network = MLP(insize=2, outsize=2, nonlin=torch.nn.GELU, hsizes=[64, 64])
    answer = Node(network, ["a", "p"], ["xy"], name="answer")
    a, p, xy = variable("a"), variable("p"), variable("xy")
    x, y = xy[:, [0]], xy[:, [1]]
    constraints = []
    for name, amount in excess(x, y, p).items():
        constraint = 20.0 * (amount <= 0)
        constraint.name = name
        constraints.append(constraint)
    return Problem([answer], PenaltyLoss([objective(x, y, a).minimize(name="rosenbrock")], constraints))


def whole_region(
    nsim: SampleCount = 1000, p_low: Low = 0.5, p_high: High = 2.0, batch_size: BatchSize = 100
) -> DataSetup:
    """Draw problems evenly, with curvatures a from 0.2 to 1.2."""

    def split(name: str) -> DictDataset:
        a, p = torch.rand(2, nsim, 1)
        return DictDataset({"a": 0.2 + a, "p": p_low + (p_high - p_low) * p}, name=name)

    return train_dev_test(split, batch_size)


def small_rings(nsim: SampleCount = 1000, p_high: High = 1.0, batch_size: BatchSize = 100) -> DataSetup:
    """Draw the hard problems only, whose ring does not reach (1, 1). What will the network say of the others?"""
    return whole_region(nsim, p_high=p_high, batch_size=batch_size)


def few_problems(problems: FewSamples = 20, p_low: Low = 0.5, p_high: High = 2.0) -> DataSetup:
    """Train on a few problems over and over and test on many. How few does the network need?"""
    train, *others = whole_region(p_low=p_low, p_high=p_high)
    return repeat_first_samples(train, problems), *others


def answers(problem: Problem, a: Any, p: Any) -> Any:
    """Return the network's answers x and y to the problems with these parameters."""
    inputs = {key: torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1) for key, value in (("a", a), ("p", p))}
    with torch.no_grad():
        return problem.nodes[0](inputs)["xy"].numpy().T


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the answers for a = 0.7 as the ring grows: a line that should reach (1, 1), the star, and stay there."""
    figure, (plane,) = create_figure("answers for a = 0.7, p from 0.5 to 2")
    side, p = np.linspace(0, 2, 100), np.linspace(0.5, 2, 100)
    plane.contour(side, side, objective(*np.meshgrid(side, side), 0.7), np.geomspace(0.01, 3, 8), colors=THEME.grid)
    plane.plot(side, side, ":", color=THEME.faint)
    plane.plot(1, 1, "*", color=THEME.best, markersize=12)
    plane.plot(*answers(problem, np.full_like(p, 0.7), p))
    plane.set(xlim=(0, 2), ylim=(0, 2), aspect="equal", xlabel="x", ylabel="y")
    return figure


def reference() -> Answer:
    """Solve 25 problems by IPOPT, each from five starts across the ring, since it finds local minima."""
    import casadi as ca

    xy, ap = ca.SX.sym("xy", 2), ca.SX.sym("ap", 2)
    broken = ca.vertcat(*excess(xy[0], xy[1], ap[1]).values())
    nlp = {"x": xy, "p": ap, "f": objective(xy[0], xy[1], ap[0]), "g": broken}
    solver = ca.nlpsol("reference", "ipopt", nlp, {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": False})

    def least(a: float, p: float) -> float:
        found = []
        for angle in np.deg2rad([-120, -80, -40, 0, 40]):  # the half ring spans -135° to 45°
            solution = solver(x0=0.75 * p * np.array([np.cos(angle), np.sin(angle)]), p=[a, p], ubg=0)
            if solver.stats()["success"]:
                found.append(float(solution["f"]))
        return min(found)

    return {"objective": np.array([least(*each) for each in zip(*grid(), strict=True)])}


def grid() -> tuple[Any, Any]:
    """Return curvatures and radii of 25 problems over the whole region."""
    a, p = np.meshgrid(np.linspace(0.2, 1.2, 5), np.linspace(0.5, 2, 5))
    return a.ravel(), p.ravel()


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return the mean absolute gap to the least objective, and the most that any constraint is broken by."""
    a, p = grid()
    x, y = answers(problem, a, p)
    worst = max(float(amount.max()) for amount in excess(x, y, p).values())
    gap = np.abs(objective(x, y, a) - reference["objective"]).mean()
    return {"mean gap": float(gap), "worst violation": max(0.0, worst)}


example = Example(
    name="rosenbrock",
    title="Rosenbrock’s valley within a ring",
    kind="learning to optimise",
    summary="A network learns which point of a half ring is lowest in Rosenbrock’s valley, whatever curvature and "
    "radius. IPOPT marks its answers.",
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
    why="The gap is an absolute value, since an answer outside the ring can be better than the best allowed one. "
    "Untrained networks show 0.8 and 1.0; a penalty of finite weight closes neither whole.",
)
