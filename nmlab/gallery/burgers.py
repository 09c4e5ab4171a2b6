"""Physics-informed learning: a network solves Burgers' equation, whose solution develops a steep front.

The solution y(x, t) satisfies, for x in [-1, 1] and t in [0, 1], ::

    y_t + y y_x = ν y_xx
    y(x, 0) = -sin(πx)
    y(-1, t) = y(1, t) = 0

The problem is that of Raissi, Perdikaris and Karniadakis, Journal of Computational Physics 378 (2019), 686, with a
viscosity ν that is ten times larger. With theirs, the front is too narrow for a fit of a few seconds. All quantities
are dimensionless. The network, the loss, and most data functions are those of `diffusion`.
"""

import math
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.problem import Problem
from pydantic import Field

from nmlab.data.splits import Splits
from nmlab.gallery import diffusion
from nmlab.gallery.example import Answer, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, SampleCount, train_dev_test

VISCOSITY = 0.1 / math.pi

Fraction = Annotated[float, Field(ge=0, le=1)]


def exact_solution(x: Any, t: Any) -> Any:
    """Return the exact solution by the Cole-Hopf transformation.

    The solution is ::

        y(x, t) = -∫ sin(π(x - η)) f(x - η) exp(-η² / (4νt)) dη / ∫ f(x - η) exp(-η² / (4νt)) dη
        f(z) = exp(-cos(πz) / (2πν))

    (Cole, Quarterly of Applied Mathematics 9 (1951), 225; Hopf (1950)). Both integrals are computed by Gauss-Hermite
    quadrature with 100 nodes.

    Parameters
    ----------
    x, t : array
        Positions in [-1, 1] and times in [0, 1], of the same shape.

    Returns
    -------
    array
        Solution, of this shape.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(100)
    z = x[..., None] - np.sqrt(4 * VISCOSITY * t)[..., None] * nodes
    weighted_f = weights * np.exp(-np.cos(np.pi * z) / (2 * np.pi * VISCOSITY))
    return -(weighted_f * np.sin(np.pi * z)).sum(-1) / weighted_f.sum(-1)


def burgers() -> Problem:
    """Build the Problem of Burgers' equation.

    Returns
    -------
    Problem
        See `diffusion.physics_informed_problem`.
    """

    def residual(y: Any, x: Any, t: Any) -> Any:
        y_x = y.grad(x)
        return y.grad(t) + y * y_x - VISCOSITY * y_x.grad(x)

    return diffusion.physics_informed_problem(lambda x: -torch.sin(math.pi * x), residual)


def crowded(nsim: SampleCount = 600, part: Fraction = 0.5, batch_size: BatchSize = 200) -> DataSetup:
    """Draw more points in the middle, where the front develops, and fewer elsewhere.

    Use it to see how the error changes at the front and in the rest of the domain.

    Parameters
    ----------
    nsim : int, default 600
        Number of points of each kind in each of train, dev and test.
    part : float, default 0.5
        Expected fraction of the points inside that are drawn from [-0.2, 0.2] instead of [-1, 1].
    batch_size : int, default 200
        Number of points of each kind in a training step.
    """
    return train_dev_test(lambda name: diffusion.collocation_points(name, nsim, crowded=part), batch_size)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw y over time and position with the first 300 collocation points, and y at four times with the exact solution.

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
    return diffusion.view(problem, splits, exact_solution)


def reference() -> Answer:
    """Evaluate the exact solution at the points of the check.

    Returns
    -------
    mapping
        `y`, array of shape (21, 41): the exact solution.
    """
    x, t = diffusion.evaluation_grid()
    return {"y": exact_solution(x, t)}


example = replace(
    diffusion.example,
    name="burgers",
    title="Burgers’ equation by a physics-informed network",
    summary="The solution of Burgers’ equation develops a steep front, whose width is limited by diffusion. A network "
    "learns it from the equation, the initial condition and the boundary conditions alone.",
    source="Raissi, Perdikaris and Karniadakis, Journal of Computational Physics 378 (2019), 686, with ten times their "
    "viscosity; exact solution by Cole, Quarterly of Applied Mathematics 9 (1951), 225, and Hopf (1950)",
    problem=burgers,
    data=functions_by_name(diffusion.everywhere, crowded, diffusion.early, diffusion.few_points),
    view=view,
    options=diffusion.example.options.replace(max_epochs=240),
    seconds=6,
    reference=reference,
    tolerance={"relative distance": 0.05, "largest distance": 0.12},
    why="Trained networks have a relative error of 1 to 3 %, untrained ones of about 100 %. The largest absolute error "
    "is at the front, where the solution is steep and a small shift in position is a large difference in y.",
)
