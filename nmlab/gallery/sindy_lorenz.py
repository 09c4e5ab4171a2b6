"""Lorenz's equations found from a trajectory: of thirty coefficients seven are to remain."""

from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from pydantic import Field
from scipy.integrate import solve_ivp

from nmlab.data import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, FewSamples, repeat_first_samples, train_dev_test
from nmlab.options import TrainerOptions

POWERS = np.array([(i, j, k) for i in range(3) for j in range(3) for k in range(3) if i + j + k < 3])
NAMES = [" ".join(f"{s}{'²' if p > 1 else ''}" for s, p in zip("xyz", of, strict=True) if p) or "1" for of in POWERS]
"""All products of the three states up to the second degree: which powers, and how one writes them."""
UNIT, LEAST = 10.0, 0.3
LORENZ: Any = {"x": -10, "y": 10}, {"x": 28, "y": -1, "x z": -UNIT}, {"z": -8 / 3, "x y": UNIT}
"""States count in tens, so that all terms are of order one; smaller coefficients are taken for zero."""
Seconds = Annotated[float, Field(ge=0.2, le=100, description="Seconds that the trajectories last.")]
Points = Annotated[int, Field(ge=10, le=10000, description="Points on the trajectory, in each of train, dev and test.")]
Noise = Annotated[float, Field(ge=0, le=10, description="Standard deviation of the noise on the derivatives.")]


def truth() -> Any:
    """Return the coefficients (term, derivative) of Lorenz's equations with sigma 10, rho 28 and beta 8/3."""
    table = np.zeros((len(POWERS), 3))
    for derivative, terms in enumerate(LORENZ):
        table[[NAMES.index(term) for term in terms], derivative] = [*terms.values()]
    return table


def slope(x: Any, table: Any) -> Any:
    """Return the derivatives of states (…, 3) by the coefficients in a table."""
    return (x[..., None, :] ** POWERS).prod(-1) @ table


class Terms(torch.nn.Module):
    """The derivatives by trained coefficients of all terms, and their sizes, rounded where they are near zero."""

    powers: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(len(POWERS), 3))
        self.register_buffer("powers", torch.tensor(POWERS))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (x[:, None, :] ** self.powers).prod(-1) @ self.table, (self.table**2 + 1e-4).sqrt()


def sindy_lorenz() -> Problem:
    """Build the linear combination of terms, trained on derivatives, with a price on the size of every coefficient."""
    terms = Node(Terms(), ["x"], ["slope", "sizes"], name="terms")
    off = ((variable("slope") - variable("seen")) ** 2).minimize(name="derivatives")
    few = variable("sizes").minimize(weight=0.001, name="sizes")
    return Problem([terms], PenaltyLoss([off, few], []))


def trajectory(
    nsim: Points = 1000, seconds: Seconds = 20.0, noise: Noise = 0.1, batch_size: BatchSize = 1000
) -> DataSetup:
    """Follow the attractor for a while, and measure the derivatives on the way."""

    def split(name: str) -> DictDataset:
        times = 5 + np.linspace(0, seconds, nsim)
        start = 2 * torch.rand(3).numpy() - [1, 1, -1]
        way = solve_ivp(lambda _, x: slope(x, truth()), (0, times[-1]), start, t_eval=times, rtol=1e-6).y.T
        both = torch.tensor(np.stack([way, slope(way, truth())]), dtype=torch.float32)
        return DictDataset({"x": both[0], "seen": both[1] + noise * torch.randn(nsim, 3)}, name=name)

    return train_dev_test(split, batch_size)


def noisy(nsim: Points = 1000, seconds: Seconds = 20.0, noise: Noise = 3.0, batch_size: BatchSize = 1000) -> DataSetup:
    """Measure with much noise. Which terms are lost first, which appear?"""
    return trajectory(nsim, seconds, noise, batch_size)


def one_turn(
    nsim: Points = 1000, seconds: Seconds = 0.5, noise: Noise = 0.1, batch_size: BatchSize = 1000
) -> DataSetup:
    """See one turn about one wing, with as many points. Do they tell the terms apart?"""
    return trajectory(nsim, seconds, noise, batch_size)


def few_points(points: FewSamples = 20, noise: Noise = 0.1) -> DataSetup:
    """Measure at few points: the first of a trajectory that takes long between them."""
    train, *others = trajectory(seconds=100.0, noise=noise)
    return repeat_first_samples(train, points), *others


def found(problem: Problem) -> Any:
    """Return the coefficients (term, derivative) that were learnt, small ones as zero."""
    table = problem.nodes[0].callable.table.detach().numpy().astype(float)
    return np.where(np.abs(table) < LEAST, 0.0, table)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw four seconds from a point by the equations as found, and their coefficients; the true ones are rings."""
    figure, (plane, bars) = create_figure("states by the equations found; dots: seen", "coefficients; rings: true")
    x = way = np.array([[1.0, 1.0, 2.0]])
    for _ in range(800):
        middle = x + 0.0025 * slope(x, found(problem))
        way = np.concatenate([way, x := np.clip(x + 0.005 * slope(middle, found(problem)), -9, 9)])
    plane.plot(*splits.train.datadict["x"][:, [0, 2]].T, ".", color=THEME.grid, markersize=3)
    plane.plot(way[:, 0], way[:, 2], linewidth=1)
    for derivative, color in enumerate(THEME.curves[:3]):
        bars.plot(found(problem)[:, derivative], range(len(NAMES)), ".", color=color, label=f"{'xyz'[derivative]}’")
        bars.plot(truth()[:, derivative], range(len(NAMES)), "o", color=color, mfc="none")
    plane.set(xlim=(-3, 3), ylim=(-1, 6), xlabel="x", ylabel="z")
    bars.set(xscale="symlog", yticks=range(len(NAMES)), yticklabels=NAMES)
    add_legend(bars)
    return figure


def reference() -> Answer:
    """Return the true coefficients."""
    return {"table": truth()}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return how many terms are there that should not or the other way round, and the largest relative difference."""
    table, true = found(problem), reference["table"]
    off = (table - true)[true != 0] / true[true != 0]
    return {"wrong terms": float(((table != 0) != (true != 0)).sum()), "largest difference": float(np.abs(off).max())}


example = Example(
    name="sindy_lorenz",
    title="Lorenz’s equations from a trajectory",
    kind="sparse identification",
    summary="Of thirty terms, seven make Lorenz’s attractor. A price on coefficients finds them from a trajectory.",
    source="SINDy: Brunton, Proctor and Kutz, PNAS 113 (2016), 3932; Lorenz, Journal of the Atmospheric Sciences 20 "
    "(1963), 130; the price is the lasso’s (Tibshirani, JRSS B 58, 1996)",
    problem=sindy_lorenz,
    data=functions_by_name(trajectory, noisy, one_turn, few_points),
    options=TrainerOptions(max_epochs=20, lr=0.5, optimizer="LBFGS", gradient_clip_val=None),
    seconds=1,
    view=view,
    reference=reference,
    error=error,
    tolerance={"wrong terms": 0.5, "largest difference": 0.25},
    why="No term may be wrong. The differences are relative: price and noise take up to 0.06 from the smallest "
    "coefficient, -1, and less from the others.",
)
