"""Burgers' equation: a wave grows steep until diffusion holds it; the physics-informed network must follow it there."""

import math
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.problem import Problem
from pydantic import Field

from nmlab.data import Splits
from nmlab.gallery import diffusion
from nmlab.gallery.example import Answer, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, SampleCount, train_dev_test

VISCOSITY = 0.1 / math.pi
"""Ten times the paper's, whose front is too narrow for a fit of seconds."""
Part = Annotated[float, Field(ge=0, le=1, description="Part of the points that lie about the middle.")]


def exact(x: Any, t: Any) -> Any:
    """Return the solution at places x and times t by Cole and Hopf's transform, integrated by Gauss and Hermite."""
    node, weight = np.polynomial.hermite.hermgauss(100)
    place = x[..., None] - np.sqrt(4 * VISCOSITY * t)[..., None] * node
    heat = weight * np.exp(-np.cos(np.pi * place) / (2 * np.pi * VISCOSITY))
    return -(heat * np.sin(np.pi * place)).sum(-1) / heat.sum(-1)


def burgers() -> Problem:
    """Build the network of y_t + y y_x = viscosity y_xx, which starts as -sin(πx)."""

    def equation(y: Any, x: Any, t: Any) -> Any:
        slope = y.grad(x)
        return y.grad(t) + y * slope - VISCOSITY * slope.grad(x)

    return diffusion.solution(lambda x: -torch.sin(math.pi * x), equation)


def crowded(nsim: SampleCount = 600, part: Part = 0.5, batch_size: BatchSize = 200) -> DataSetup:
    """Crowd points about the middle, where the front will be. What does it gain there, and what is lost elsewhere?"""
    return train_dev_test(lambda name: diffusion.points(name, nsim, crowded=part), batch_size)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw y over place and time, and four moments beside the exact ones."""
    return diffusion.view(problem, splits, exact)


def reference() -> Answer:
    """Return the exact solution on the grid."""
    return {"y": exact(*diffusion.grid())}


example = replace(
    diffusion.example,
    name="burgers",
    title="Burgers’ equation by a physics-informed network",
    summary="A wave grows steep until diffusion holds it. Can the network follow from the equation alone?",
    source="Raissi, Perdikaris and Karniadakis, Journal of Computational Physics 378 (2019), 686, with ten times their "
    "viscosity; exact solution by Cole, Quarterly of Applied Mathematics 9 (1951), 225, and Hopf (1950)",
    problem=burgers,
    data=functions_by_name(diffusion.everywhere, crowded, diffusion.early, diffusion.few_points),
    view=view,
    options=diffusion.example.options.replace(max_epochs=240),
    seconds=6,
    reference=reference,
    tolerance={"relative distance": 0.05, "largest distance": 0.12},
    why="Trained networks are 1 to 3 % away, untrained ones 100 %. The largest distance is at the front: where it "
    "is steep, a little to the left or right is much up or down.",
)
