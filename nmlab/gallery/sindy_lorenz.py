"""Sparse identification: Lorenz's equations are found from a trajectory by sparse regression (SINDy).

The states of the Lorenz system satisfy ::

    dx/dt = 10 (y - x)
    dy/dt = x (28 - z) - y
    dz/dt = x y - 8/3 z

(Lorenz, Journal of the Atmospheric Sciences 20 (1963), 130). Here the states are divided by ten, so that all candidate
terms are of order one; the coefficients of x z and x y are therefore multiplied by ten. Time is in seconds.

Each derivative is modelled as a linear combination of ten candidate terms: all products of the states up to the second
degree. Of these thirty coefficients, seven are not zero. They are estimated by minimising the squared error of the
derivatives and, as in the lasso (Tibshirani, JRSS B 58, 1996), the absolute values of all coefficients. This is sparse
identification of nonlinear dynamics (Brunton, Proctor and Kutz, PNAS 113 (2016), 3932).
"""

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

from nmlab.data.splits import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import (
    BatchSize,
    DataSetup,
    FewSamples,
    repeat_first_samples,
    train_dev_test,
)
from nmlab.options import TrainerOptions

STATE_UNIT = 10.0  # the states are divided by it
THRESHOLD = 0.3  # smaller coefficients are taken as zero
SPARSITY_WEIGHT = 0.001

Seconds = Annotated[float, Field(ge=0.2, le=100)]
Points = Annotated[int, Field(ge=10, le=10000)]
Noise = Annotated[float, Field(ge=0, le=10)]


def candidate_powers() -> Any:
    """Return the powers of x, y and z in each candidate term.

    Returns
    -------
    array of shape (10, 3)
        Powers, with a sum of at most two in each row.
    """
    powers = []
    for i in range(3):
        for j in range(3):
            for k in range(3):
                if i + j + k <= 2:
                    powers.append((i, j, k))
    return np.array(powers)


def term_name(powers: Any) -> str:
    """Return the name of a candidate term.

    Parameters
    ----------
    powers : array of shape (3,)
        Powers of x, y and z.

    Returns
    -------
    str
        Name, for example "1", "x y" or "z²".
    """
    factors = []
    for state, power in zip("xyz", powers, strict=True):
        if power == 1:
            factors.append(state)
        elif power == 2:
            factors.append(f"{state}²")
    return " ".join(factors) or "1"


POWERS = candidate_powers()
TERM_NAMES = [term_name(powers) for powers in POWERS]


def true_coefficients() -> Any:
    """Return the coefficients of the Lorenz system.

    Returns
    -------
    array of shape (10, 3)
        Coefficient of each candidate term in each derivative.
    """
    equations: Any = (
        {"x": -10, "y": 10},
        {"x": 28, "y": -1, "x z": -STATE_UNIT},
        {"z": -8 / 3, "x y": STATE_UNIT},
    )
    coefficients = np.zeros((len(TERM_NAMES), 3))
    for state, equation in enumerate(equations):
        for term, coefficient in equation.items():
            coefficients[TERM_NAMES.index(term), state] = coefficient
    return coefficients


def derivatives(x: Any, coefficients: Any) -> Any:
    """Return the time derivatives of the states for given coefficients.

    Parameters
    ----------
    x : array of shape (..., 3)
        States.
    coefficients : array of shape (10, 3)
        Coefficient of each candidate term in each derivative.

    Returns
    -------
    array of shape (..., 3)
        Derivatives in 1/s.
    """
    terms = (x[..., None, :] ** POWERS).prod(-1)
    return terms @ coefficients


class Terms(torch.nn.Module):
    """Derivatives as linear combinations of the candidate terms.

    The trained parameter `table`, of shape (10, 3), holds the coefficient of each candidate term in each derivative.
    The module returns the derivatives and the absolute values of all coefficients, which are smoothed near zero.
    """

    powers: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(len(POWERS), 3))
        self.register_buffer("powers", torch.tensor(POWERS))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the derivatives of the states, and a smooth absolute value of each coefficient."""
        terms = (x[:, None, :] ** self.powers).prod(-1)
        slope = terms @ self.table
        sizes = (self.table**2 + 1e-4).sqrt()
        return slope, sizes


def sindy_lorenz() -> Problem:
    """Build the Problem: the linear combination of terms, the error of the derivatives, and the size of coefficients.

    Returns
    -------
    Problem
        Problem with inputs `x` (states) and `seen` (measured derivatives).
    """
    terms = Node(Terms(), ["x"], ["slope", "sizes"], name="terms")
    derivative_error = variable("slope") - variable("seen")
    objectives = [
        (derivative_error**2).minimize(name="derivatives"),
        variable("sizes").minimize(weight=SPARSITY_WEIGHT, name="sizes"),
    ]
    return Problem([terms], PenaltyLoss(objectives, []))


def trajectory(
    nsim: Points = 1000,
    seconds: Seconds = 20.0,
    noise: Noise = 0.1,
    batch_size: BatchSize = 1000,
) -> DataSetup:
    """Measure states and derivatives along a trajectory on the attractor, which starts after five seconds.

    Parameters
    ----------
    nsim : int, default 1000
        Number of points in each of train, dev and test.
    seconds : float, default 20.0
        Duration of the trajectory in s.
    noise : float, default 0.1
        Standard deviation of the measurement noise on the derivatives.
    batch_size : int, default 1000
        Number of points in a training step.
    """

    def make_split(name: str) -> DictDataset:
        coefficients = true_coefficients()
        times = 5 + np.linspace(0, seconds, nsim)
        start = 2 * torch.rand(3).numpy() - np.array([1, 1, -1])
        solution = solve_ivp(lambda _, x: derivatives(x, coefficients), (0, times[-1]), start, t_eval=times, rtol=1e-6)
        states = np.ascontiguousarray(solution.y.T)  # else the tensors keep the transposed memory layout
        x = torch.tensor(states, dtype=torch.float32)
        slope = torch.tensor(derivatives(states, coefficients), dtype=torch.float32)
        return DictDataset({"x": x, "seen": slope + noise * torch.randn(nsim, 3)}, name=name)

    return train_dev_test(make_split, batch_size)


def noisy(
    nsim: Points = 1000,
    seconds: Seconds = 20.0,
    noise: Noise = 3.0,
    batch_size: BatchSize = 1000,
) -> DataSetup:
    """Measure the derivatives with strong noise.

    Use it to see which terms disappear first, and which wrong terms appear.

    Parameters
    ----------
    nsim : int, default 1000
        Number of points in each of train, dev and test.
    seconds : float, default 20.0
        Duration of the trajectory in s.
    noise : float, default 3.0
        Standard deviation of the measurement noise on the derivatives.
    batch_size : int, default 1000
        Number of points in a training step.
    """
    return trajectory(nsim, seconds, noise, batch_size)


def one_turn(
    nsim: Points = 1000,
    seconds: Seconds = 0.5,
    noise: Noise = 0.1,
    batch_size: BatchSize = 1000,
) -> DataSetup:
    """Measure the same number of points along a single turn around one wing of the attractor.

    Use it to see whether so short a trajectory is sufficient to distinguish the terms.

    Parameters
    ----------
    nsim : int, default 1000
        Number of points in each of train, dev and test.
    seconds : float, default 0.5
        Duration of the trajectory in s.
    noise : float, default 0.1
        Standard deviation of the measurement noise on the derivatives.
    batch_size : int, default 1000
        Number of points in a training step.
    """
    return trajectory(nsim, seconds, noise, batch_size)


def few_points(points: FewSamples = 20, noise: Noise = 0.1) -> DataSetup:
    """Train on a small number of points, which are repeated, of a trajectory with about 0.1 s between two points.

    Use it to find out how few points are sufficient.

    Parameters
    ----------
    points : int, default 20
        Number of different points in train.
    noise : float, default 0.1
        Standard deviation of the measurement noise on the derivatives.
    """
    train, dev, test, batch_size = trajectory(seconds=100.0, noise=noise)
    return repeat_first_samples(train, points), dev, test, batch_size


def learnt_coefficients(problem: Problem) -> Any:
    """Return the coefficients of the model, with those below the threshold set to zero.

    Parameters
    ----------
    problem : Problem
        Problem built by `sindy_lorenz`.

    Returns
    -------
    array of shape (10, 3)
        Coefficient of each candidate term in each derivative.
    """
    coefficients = problem.nodes[0].callable.table.detach().numpy().astype(float)
    return np.where(np.abs(coefficients) < THRESHOLD, 0.0, coefficients)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw a simulation of four seconds with the learnt equations, and the learnt and the true coefficients.

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
    figure, (plane_axes, coefficient_axes) = create_figure(
        "simulation with the learnt equations; dots: data", "coefficients; rings: true"
    )
    learnt = learnt_coefficients(problem)
    true = true_coefficients()

    # midpoint rule with steps of 5 ms; limited, because wrong equations may be unstable
    step = 0.005
    x = np.array([[1.0, 1.0, 2.0]])
    simulated = [x]
    for _ in range(800):
        middle = x + step / 2 * derivatives(x, learnt)
        x = np.clip(x + step * derivatives(middle, learnt), -9, 9)
        simulated.append(x)
    states = np.concatenate(simulated)

    data = splits.train.datadict["x"]
    plane_axes.plot(data[:, 0], data[:, 2], ".", color=THEME.grid, markersize=3)
    plane_axes.plot(states[:, 0], states[:, 2], linewidth=1)
    plane_axes.set(xlim=(-3, 3), ylim=(-1, 6), xlabel="x", ylabel="z")

    rows = range(len(TERM_NAMES))
    for state, color in enumerate(THEME.curves[:3]):
        coefficient_axes.plot(learnt[:, state], rows, ".", color=color, label=f"d{'xyz'[state]}/dt")
        coefficient_axes.plot(true[:, state], rows, "o", color=color, mfc="none")
    coefficient_axes.set(xscale="symlog", yticks=rows, yticklabels=TERM_NAMES)
    add_legend(coefficient_axes)
    return figure


def reference() -> Answer:
    """Return the true coefficients.

    Returns
    -------
    mapping
        `table`, array of shape (10, 3): coefficient of each candidate term in each derivative.
    """
    return {"table": true_coefficients()}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare the learnt with the true coefficients.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `wrong terms`: number of coefficients that are zero in only one of the two; `largest difference`: largest
        relative error of the coefficients that are not zero.
    """
    learnt = learnt_coefficients(problem)
    true = reference["table"]
    is_term = true != 0
    wrong_terms = ((learnt != 0) != is_term).sum()
    relative_errors = (learnt - true)[is_term] / true[is_term]
    return {"wrong terms": float(wrong_terms), "largest difference": float(np.abs(relative_errors).max())}


example = Example(
    name="sindy_lorenz",
    title="Lorenz’s equations from a trajectory",
    kind="sparse identification",
    summary="Of thirty candidate coefficients, the Lorenz system has seven that are not zero. Sparse regression finds "
    "them from a trajectory.",
    source="SINDy: Brunton, Proctor and Kutz, PNAS 113 (2016), 3932; Lorenz, Journal of the Atmospheric Sciences 20 "
    "(1963), 130; the penalty on the coefficients is the lasso’s (Tibshirani, JRSS B 58, 1996)",
    problem=sindy_lorenz,
    data=functions_by_name(trajectory, noisy, one_turn, few_points),
    options=TrainerOptions(max_epochs=20, lr=0.5, optimizer="LBFGS", gradient_clip_val=None),
    seconds=1,
    view=view,
    reference=reference,
    error=error,
    tolerance={"wrong terms": 0.5, "largest difference": 0.25},
    why="No term may be wrong. The differences are relative: the penalty and the noise change the smallest "
    "coefficient, -1, by up to 6 %, and the others by less.",
)
