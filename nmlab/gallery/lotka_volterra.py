"""Parameter estimation: the Lotka-Volterra equations are fitted to the numbers of hares and lynx at Hudson Bay.

The number of hares h and of lynx l, in thousands of pelts, satisfy ::

    dh/dt = α h - β h l
    dl/dt = δ h l - γ l

with the time in years. The four parameters and both numbers in 1900 are estimated from the pelts that the Hudson's Bay
Company collected each year from 1900 to 1920 (Hewitt, The Conservation of the Wild Life of Canada (1921), as tabulated
by Howard (2009)). The equations, the data and the loss are expressed in logarithms, so that all numbers stay positive.

The published estimates are those of Carpenter, Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan
(2018).
"""

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

from nmlab.data.splits import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import DataSetup, train_dev_test
from nmlab.options import TrainerOptions

FIRST_YEAR = 1900
LAST_YEAR = 1920
YEARS = np.arange(FIRST_YEAR, LAST_YEAR + 1)[:, None]

# pelts of each year, in thousands
# fmt: off
HARES = [
    30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1,
    40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7,
]
LYNX = [
    4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4,
    8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6,
]
# fmt: on
LOG_PELTS = np.log(np.column_stack([HARES, LYNX]))  # of shape (year, species)

PUBLISHED = np.array([0.55, 0.028, 0.80, 0.024])  # alpha, beta, gamma, delta

UseEvery = Annotated[int, Field(ge=1, le=10)]
OmitEvery = Annotated[int, Field(ge=2, le=10)]
Year = Annotated[int, Field(ge=1905, le=1920)]
Noise = Annotated[float, Field(ge=0, le=1)]


class Growth(ODESystem):  # type: ignore[misc]  # NeuroMANCER has no types
    """The equations for the logarithms x = (ln h, ln l): dx₁/dt = α - β l, dx₂/dt = δ h - γ.

    The trained parameters `logs` are the logarithms of α, β, γ, δ, and of hares and lynx in 1900.
    """

    def __init__(self) -> None:
        super().__init__(2, 2)
        # rough values from the data: cycles of ten years around 30 thousand hares and 20 thousand lynx
        initial = torch.tensor([0.7, 0.7 / 20, 0.7, 0.7 / 30, 30, 5])
        self.logs = torch.nn.Parameter(initial.log() + 0.1 * torch.randn(6))

    def ode_equations(self, x: torch.Tensor) -> torch.Tensor:
        """Return the derivatives of the logarithms of hares and lynx."""
        alpha, beta, gamma, delta = self.logs[:4].exp()
        hares, lynx = x.exp().unbind(-1)
        return torch.stack([alpha - beta * lynx, delta * hares - gamma], -1)

    def start(self, seen: torch.Tensor) -> torch.Tensor:
        """Return the logarithms of hares and lynx in 1900, once per sample.

        Parameters
        ----------
        seen : tensor
            Data, of which only the number of samples is used.

        Returns
        -------
        tensor of shape (samples, 1, 2)
            Initial state.
        """
        return self.logs[4:].expand(len(seen), 1, 2)


def lotka_volterra() -> Problem:
    """Build the Problem: the equations, integrated from 1900 to 1920, and the squared error of the logarithms.

    A year consists of four Runge-Kutta steps.

    Returns
    -------
    Problem
        Problem with inputs `seen` (logarithms of the pelts) and `counts` (weight of each of them in the loss).
    """
    growth = Growth()
    start = Node(growth.start, ["seen"], ["x"], name="start")
    quarter = RK4(growth, h=0.25)
    year = Node(torch.nn.Sequential(quarter, quarter, quarter, quarter), ["x"], ["x"], name="year")
    years = System([year], name="years", nsteps=LAST_YEAR - FIRST_YEAR)

    weighted_error = variable("counts") * (variable("x") - variable("seen")) ** 2
    return Problem([start, years], PenaltyLoss([weighted_error.minimize(name="record")], []))


def weighted_record(name: str, years: Any, species: Any = (1, 1), seen: Any = LOG_PELTS) -> DictDataset:
    """Return a dataset with a single sample, the whole record.

    Parameters
    ----------
    name : str
        Name of the dataset.
    years : int or array of shape (21, 1)
        Weight of each year in the loss: one if it is used, else zero.
    species : tuple of int, default (1, 1)
        Weights of hares and lynx in the loss.
    seen : array of shape (21, 2), default `LOG_PELTS`
        Logarithms of the pelts.

    Returns
    -------
    DictDataset
        `seen` and `counts`, each of shape (1, 21, 2). The weights `counts` have a mean of one.
    """
    weights = np.broadcast_to(years, (len(YEARS), 1)) * np.array(species)
    columns = {"seen": seen, "counts": weights / weights.mean()}
    tensors = {key: torch.tensor(values[None], dtype=torch.float32) for key, values in columns.items()}
    return DictDataset(tensors, name=name)


def hudson_bay(every: OmitEvery = 5, last: Year = 1920) -> DataSetup:
    """Train on the record without some years. The omitted years are assigned to dev and test in turn.

    Parameters
    ----------
    every : int, default 5
        One of this number of years is omitted from train.
    last : int, default 1920
        Last year in train. All later years are omitted, to check predictions of the future.
    """
    omitted = (YEARS % every == every // 2) | (last < YEARS)
    in_dev = np.cumsum(omitted)[:, None] % 2 == 1
    train = weighted_record("train", ~omitted)
    dev = weighted_record("dev", omitted & in_dev)
    test = weighted_record("test", omitted & ~in_dev)
    return train, dev, test, 1


def hares_only(every: UseEvery = 1) -> DataSetup:
    """Train on the hares alone, and test on the lynx.

    Use it to see which of the parameters can be estimated without observing the lynx.

    Parameters
    ----------
    every : int, default 1
        One of this number of years is in train.
    """
    hares = (1, 0)
    lynx = (0, 1)
    train = weighted_record("train", YEARS % every == 0, hares)
    dev = weighted_record("dev", 1, hares)
    test = weighted_record("test", 1, lynx)
    return train, dev, test, 1


def made_up(noise: Noise = 0.0, every: UseEvery = 1) -> DataSetup:
    """Train on an artificial record, simulated with the published parameters.

    Use it to see how accurately the parameters are estimated from noisy data.

    Parameters
    ----------
    noise : float, default 0.0
        Standard deviation of the noise on the logarithms.
    every : int, default 1
        One of this number of years is in train.
    """
    parameters = np.log([*PUBLISHED, 34.0, 5.9])
    seen = follow(parameters) + noise * torch.randn(LOG_PELTS.shape).numpy()

    def make_split(name: str) -> DictDataset:
        years = YEARS % every == 0 if name == "train" else 1
        return weighted_record(name, years, seen=seen)

    return train_dev_test(make_split, batch_size=1)


def follow(logs: Any, times: Any = YEARS) -> Any:
    """Solve the equations with SciPy for given parameters.

    Parameters
    ----------
    logs : array of shape (6,)
        Logarithms of α, β, γ, δ, and of hares and lynx in 1900.
    times : array, default `YEARS`
        Times in years, from 1900 to 1920.

    Returns
    -------
    array of shape (times, 2)
        Logarithms of hares and lynx.
    """
    from scipy.integrate import solve_ivp

    alpha, beta, gamma, delta = np.exp(logs[:4])

    def derivatives(_: float, x: Any) -> list[float]:
        hares, lynx = np.exp(x)
        return [alpha - beta * lynx, delta * hares - gamma]

    solution = solve_ivp(derivatives, (FIRST_YEAR, LAST_YEAR), logs[4:], t_eval=np.ravel(times), rtol=1e-8)
    return solution.y.T


def found(problem: Problem) -> Any:
    """Return the parameters of a trained Problem.

    Parameters
    ----------
    problem : Problem
        Problem built by `lotka_volterra`.

    Returns
    -------
    array of shape (6,)
        Logarithms of α, β, γ, δ, and of hares and lynx in 1900.
    """
    year = problem.nodes[1].nodes[0].callable
    growth = year[0].block
    return growth.logs.detach().numpy().astype(float)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the solution and the record over time and in the plane of both species. The title states the parameters.

    Parameters
    ----------
    problem : Problem
        Problem to draw.
    splits : Splits
        Data of the fit.

    Returns
    -------
    Figure
        Figure with two axes.
    """
    logs = found(problem)
    parameters = "alpha {:.3f}, beta {:.3f}, gamma {:.3f}, delta {:.3f}".format(*np.exp(logs[:4]))
    figure, (time_axes, plane_axes) = create_figure("thousands of pelts; rings: not in train", parameters)

    times = np.linspace(FIRST_YEAR, LAST_YEAR, 201)
    solution = np.exp(follow(logs, times))
    pelts = np.exp(splits.train.datadict["seen"][0].numpy())
    weights = splits.train.datadict["counts"][0].numpy()
    for species, (name, color) in enumerate(zip(("hares", "lynx"), THEME.curves, strict=False)):
        time_axes.plot(times, solution[:, species], color=color, label=name)
        in_train = weights[:, species] > 0
        for years, face in ((in_train, color), (~in_train, "none")):
            time_axes.plot(YEARS[years], pelts[years, species], "o", color=color, mfc=face, markersize=4)
    time_axes.set(ylim=(0, 100), xticks=YEARS[::5, 0], xlabel="year")
    add_legend(time_axes)

    plane_axes.plot(solution[:, 0], solution[:, 1], color=THEME.curves[2])
    plane_axes.plot(pelts[:, 0], pelts[:, 1], "o", color=THEME.faint, markersize=3)
    plane_axes.set(xlabel="hares", ylabel="lynx", xlim=(0, 100), ylim=(0, 80))
    return figure


def reference() -> Answer:
    """Estimate the parameters with SciPy's least squares from the same years.

    Returns
    -------
    mapping
        `least squares`, array of shape (6,): α, β, γ, δ, and hares and lynx in 1900; `published`, array of shape (4,):
        published estimates of α, β, γ, δ.
    """
    from scipy.optimize import least_squares

    train, *_ = hudson_bay()
    root_weights = np.sqrt(train.datadict["counts"][0].numpy())

    def residuals(logs: Any) -> Any:
        return (root_weights * (follow(logs) - LOG_PELTS)).ravel()

    start = np.log([0.6, 0.03, 0.6, 0.02, 30, 5])
    return {"least squares": np.exp(least_squares(residuals, start).x), "published": PUBLISHED}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare the parameters with those of least squares and with the published ones.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `from least squares`: largest relative difference of the six numbers; `from published`: largest relative
        difference of α, β, γ, δ.
    """
    estimates = np.exp(found(problem))
    errors = {}
    for name, expected in reference.items():
        relative_differences = estimates[: len(expected)] / expected - 1
        errors[f"from {name}"] = float(np.abs(relative_differences).max())
    return errors


example = Example(
    name="lotka_volterra",
    title="Hares and lynx at Hudson Bay",
    kind="parameter estimation",
    summary="The four parameters of a differential equation are estimated from historical data. They are compared with "
    "a least-squares solution and with published estimates.",
    source="Hewitt, The Conservation of the Wild Life of Canada (1921), as tabulated by Howard (2009); Carpenter, "
    "Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan (2018)",
    problem=lotka_volterra,
    data=functions_by_name(hudson_bay, hares_only, made_up),
    options=TrainerOptions(max_epochs=6, lr=0.3, optimizer="LBFGS", gradient_clip_val=None, monitor="train_loss"),
    seconds=4,
    view=view,
    reference=reference,
    error=error,
    tolerance={"from least squares": 0.02, "from published": 0.1},
    why="Fit and SciPy solve the same least-squares problem. Carpenter’s estimates are posterior means from all years, "
    "with relative standard deviations of 11 % and more; the omitted years change the estimates by 7 %.",
)
