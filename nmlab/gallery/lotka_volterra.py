"""Hares and lynx: the four numbers of Lotka and Volterra's equations, from what trappers brought to Hudson Bay."""

from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.dynamics.integrators import RK4
from neuromancer.dynamics.ode import ODESystem
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from pydantic import Field

from nmlab.data import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import DataSetup, train_dev_test
from nmlab.options import TrainerOptions

HARES = "30 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22 25.4 27.1 40.3 57 76.6 52.3 19.5 11.2 7.6 14.6 16.2 24.7"
LYNX = "4 6.1 9.8 35.2 59.4 41.7 19 13 8.3 9.1 7.4 8 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 8.6"
PELTS = np.log(np.array([HARES.split(), LYNX.split()], dtype=float).T)
"""Logarithms of the pelts of hares and lynx that the Hudson's Bay Company got in each year, in thousands."""
YEARS = np.arange(1900, 1921)[:, None]
PUBLISHED = np.array([0.55, 0.028, 0.80, 0.024])
Every = Annotated[int, Field(ge=1, le=10, description="One of so many years is learnt from.")]
Left = Annotated[int, Field(ge=2, le=10, description="One of so many years is left out.")]
Last = Annotated[int, Field(ge=1905, le=1920, description="Last year to learn from: are those after it foretold?")]
Noise = Annotated[float, Field(ge=0, le=1, description="Standard deviation of the noise on the logarithms.")]


class Growth(ODESystem):  # type: ignore[misc]  # NeuroMANCER has no types
    """What a year integrates, in logarithms: h' = alpha - beta e^l, l' = delta e^h - gamma; and where 1900 starts."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        # what the record shows at once: swings of ten years, about 30 thousand hares and 20 thousand lynx
        self.logs = torch.nn.Parameter(torch.tensor([0.7, 0.7 / 20, 0.7, 0.7 / 30, 30, 5]).log() + 0.1 * torch.randn(6))

    def ode_equations(self, x: torch.Tensor) -> torch.Tensor:
        alpha, beta, gamma, delta = self.logs[:4].exp()
        hares, lynx = x.exp().unbind(-1)
        return torch.stack([alpha - beta * lynx, delta * hares - gamma], -1)

    def start(self, seen: torch.Tensor) -> torch.Tensor:
        return self.logs[4:].expand(len(seen), 1, 2)


def lotka_volterra() -> Problem:
    """Build the equations from 1900 to 1920 with four numbers and the start to train, on the record's logarithms."""
    growth = Growth()
    start = Node(growth.start, ["seen"], ["x"], name="start")
    year = Node(torch.nn.Sequential(*4 * [RK4(growth, h=0.25)]), ["x"], ["x"], name="year")
    off = variable("counts") * (variable("x") - variable("seen")) ** 2
    return Problem([start, System([year], name="years", nsteps=20)], PenaltyLoss([off.minimize(name="record")], []))


def record(name: str, years: Any, species: Any = (1, 1), seen: Any = PELTS) -> DictDataset:
    """Return a record as the only sample, with what its entries (year, species) count in the loss."""
    counts = np.broadcast_to(years, (21, 1)) * np.array(species)
    both = torch.tensor(np.stack([seen, counts / counts.mean()])[:, None], dtype=torch.float32)
    return DictDataset({"seen": both[0], "counts": both[1]}, name=name)


def hudson_bay(every: Left = 5, last: Last = 1920) -> DataSetup:
    """Learn from the record, but for some years, and all after the last, which are kept for dev and test in turn."""
    left = (YEARS % every == every // 2) | (last < YEARS)
    turn = np.cumsum(left)[:, None] % 2 == 1
    return record("train", ~left), record("dev", left & turn), record("test", left & ~turn), 1


def hares_only(every: Every = 1) -> DataSetup:
    """Learn from hares alone. What becomes of the lynx, and of which of the four numbers?"""
    return record("train", YEARS % every == 0, (1, 0)), record("dev", 1, (1, 0)), record("test", 1, (0, 1)), 1


def made_up(noise: Noise = 0.0, every: Every = 1) -> DataSetup:
    """Learn from a record made with the published numbers. Are they found again? How much noise hides them?"""
    seen = follow(np.log([*PUBLISHED, 34.0, 5.9])) + noise * torch.randn(PELTS.shape).numpy()
    return train_dev_test(lambda name: record(name, YEARS % every == 0 if name == "train" else 1, seen=seen), 1)


def follow(logs: Any, times: Any = YEARS) -> Any:
    """Return the logarithms (time, species) that follow from the four numbers and the start, all as logarithms."""
    from scipy.integrate import solve_ivp

    alpha, beta, gamma, delta = np.exp(logs[:4])
    rise, met = np.array([alpha, -gamma]), np.array([[0, -beta], [delta, 0]])
    return solve_ivp(lambda _, x: rise + met @ np.exp(x), (1900, 1920), logs[4:], t_eval=np.ravel(times), rtol=1e-8).y.T


def found(problem: Problem) -> Any:
    """Return the logarithms of the Problem's four numbers and of its start."""
    return problem.nodes[1].nodes[0].callable[0].block.logs.detach().numpy().astype(float)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the equations' way through the record, and round the plane of both species; rings were left out."""
    logs, (seen, counts) = found(problem), (splits.train.datadict[key][0].numpy() for key in ("seen", "counts"))
    numbers = "alpha {:.3f}, beta {:.3f}, gamma {:.3f}, delta {:.3f}".format(*np.exp(logs[:4]))
    figure, (time, plane) = create_figure("thousand pelts by year; rings: left out", numbers)
    way = np.exp(follow(logs, times := np.linspace(1900, 1920, 201)))
    for species, color in enumerate(THEME.curves[:2]):
        time.plot(times, way[:, species], color=color, label=("hares", "lynx")[species])
        for marks, face in ((counts[:, species] > 0, color), (counts[:, species] == 0, "none")):
            time.plot(YEARS[marks], np.exp(seen[marks, species]), "o", color=color, mfc=face, markersize=4)
    plane.plot(*way.T, color=THEME.curves[2])
    plane.plot(*np.exp(seen.T), "o", color=THEME.faint, markersize=3)
    time.set(ylim=(0, 100), xticks=YEARS[::5, 0])
    add_legend(time)
    plane.set(xlabel="hares", ylabel="lynx", xlim=(0, 100), ylim=(0, 80))
    return figure


def reference() -> Answer:
    """Return the numbers that SciPy's least squares finds on the same years, and those that were published."""
    from scipy.optimize import least_squares

    roots = np.sqrt(hudson_bay()[0].datadict["counts"][0].numpy())
    best = least_squares(lambda logs: (roots * (follow(logs) - PELTS)).ravel(), np.log([0.6, 0.03, 0.6, 0.02, 30, 5]))
    return {"least squares": np.exp(best.x), "published": PUBLISHED}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return the largest relative difference to the numbers of least squares, start and all, and to those published."""
    off = {name: np.exp(found(problem))[: len(true)] / true - 1 for name, true in reference.items()}
    return {f"from {name}": float(np.abs(part).max()) for name, part in off.items()}


example = Example(
    name="lotka_volterra",
    title="Hares and lynx at Hudson Bay",
    kind="parameter estimation",
    summary="A differential equation’s four numbers from a real record. Least squares and published estimates mark it.",
    source="Hewitt, The Conservation of the Wild Life of Canada (1921), as tabled by Howard (2009); Carpenter, "
    "Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan (2018)",
    problem=lotka_volterra,
    data=functions_by_name(hudson_bay, hares_only, made_up),
    options=TrainerOptions(max_epochs=6, lr=0.3, optimizer="LBFGS", gradient_clip_val=None, monitor="train_loss"),
    seconds=4,
    view=view,
    reference=reference,
    error=error,
    tolerance={"from least squares": 0.02, "from published": 0.1},
    why="Both solve one least-squares problem. Carpenter’s estimates are means of a posterior from all years, with "
    "standard deviations of 11 % and more; the years left out move them by 7 %.",
)
