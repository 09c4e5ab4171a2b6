"""A double integrator in closed loop: a network brings a cart to rest at the origin, with limited force and speed."""

from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP_bounds
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from pydantic import Field

from nmlab.data import Splits
from nmlab.gallery.canvas import THEME, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, FewSamples, SampleCount, repeat_first_samples, train_dev_test
from nmlab.options import TrainerOptions

A, B = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.5], [1.0]])
"""Position and speed after a second, from those before it and from the force; the mass is one."""
FORCE, SPEED, HORIZON = 1.0, 1.0, 10
Far = Annotated[float, Field(gt=0, le=6, description="Largest distance from the origin at the start.")]
Fast = Annotated[float, Field(ge=0, le=1, description="Largest speed at the start.")]


def double_integrator() -> Problem:
    """Build the closed loop of network and cart, rolled out over ten steps and trained on the cost of the whole way."""
    policy = Node(
        MLP_bounds(2, 1, nonlin=torch.nn.GELU, hsizes=[64, 64], min=-FORCE, max=FORCE), ["x"], ["u"], name="policy"
    )
    a, b = (torch.tensor(matrix, dtype=torch.float32) for matrix in (A, B))
    cart = Node(lambda x, u: x @ a.T + u @ b.T, ["x", "u"], ["x"], name="cart")
    x, u = variable("x"), variable("u")
    # a term is a mean over steps and entries, LQR's cost a sum
    state = (2.0 * (HORIZON + 1) * x**2).minimize(name="state")
    force = (HORIZON * u**2).minimize(name="force")
    fast: Any = 200.0 * (torch.abs(x[:, :, [1]]) <= 0.95 * SPEED)  # a margin, since a penalty is never closed whole
    fast.name = "speed"
    return Problem([System([policy, cart], name="loop", nsteps=HORIZON)], PenaltyLoss([state, force], [fast]))


def everywhere(nsim: SampleCount = 300, far: Far = 4.5, fast: Fast = 1.0, batch_size: BatchSize = 300) -> DataSetup:
    """Start anywhere within these limits, and more often near the origin, where costs are small and soon forgotten."""

    def split(name: str) -> DictDataset:
        share = torch.where(torch.rand(nsim, 1, 1) < 0.5, torch.rand(nsim, 1, 1), 1.0)
        return DictDataset({"x": share * torch.tensor([far, fast]) * (2 * torch.rand(nsim, 1, 2) - 1)}, name=name)

    return train_dev_test(split, batch_size)


def near_the_origin(
    nsim: SampleCount = 300, far: Far = 0.8, fast: Fast = 0.4, batch_size: BatchSize = 300
) -> DataSetup:
    """Start where no limit is ever met. What will the network do further out?"""
    return everywhere(nsim, far, fast, batch_size)


def few_starts(starts: FewSamples = 5, far: Far = 4.5, fast: Fast = 1.0) -> DataSetup:
    """Train on a few starts over and over and test on many. How few does the network need?"""
    train, *others = everywhere(far=far, fast=fast)
    return repeat_first_samples(train, starts), *others


def ways(problem: Problem, starts: Any, steps: int = 31) -> tuple[Any, Any]:
    """Return states (start, step, 2) and forces (start, step, 1) of the closed loop from these starts."""
    policy, cart = problem.nodes[0].nodes
    x, states, forces = torch.as_tensor(starts, dtype=torch.float32), [], []
    with torch.no_grad():
        for _ in range(steps):
            states.append(x)
            forces.append(policy({"x": x})["u"])
            x = cart({"x": x, "u": forces[-1]})["x"]
    return torch.stack(states, 1).numpy(), torch.stack(forces, 1).numpy()


def starts(far: float, fast: float) -> Any:
    """Return a grid of 49 starts up to these limits."""
    grid = np.meshgrid(np.linspace(-far, far, 7), np.linspace(-fast, fast, 7))
    return np.stack(grid, -1).reshape(-1, 2)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw ways from eight starts in the plane of position and speed, and their forces; limits are dotted."""
    figure, (plane, time) = create_figure("ways to the origin; dotted: the limit", "force on the way")
    states, forces = ways(problem, [(-4, -1), (-4, 1), (-2, 0), (-1, 1), (1, -1), (2, 0), (4, -1), (4, 1)], 15)
    for way, force in zip(states, forces, strict=True):
        plane.plot(*way.T, marker=".")
        time.step(range(15), force[:, 0], where="post")
    for axes, limit in ((plane, SPEED), (time, FORCE)):
        for side in (-limit, limit):
            axes.axhline(side, linestyle=":", color=THEME.faint)
    plane.plot(0, 0, "*", color=THEME.ink, markersize=10)
    plane.set(xlabel="position", ylabel="speed", xlim=(-6, 6), ylim=(-2.5, 2.5))
    time.set(xlabel="step", ylim=(-1.2, 1.2))
    return figure


def reference() -> Answer:
    """Return the cost of the discrete LQR from starts from which it meets no limit, by Riccati's equation."""
    from scipy.linalg import solve_discrete_are

    p = solve_discrete_are(A, B, np.eye(2), np.eye(1))
    gain = np.linalg.solve(np.eye(1) + B.T @ p @ B, B.T @ p @ A)
    x = near = starts(0.8, 0.4)
    for _ in range(30):
        force = -x @ gain.T
        if np.abs(force).max() > FORCE or np.abs(x[:, 1]).max() > SPEED:
            raise ArithmeticError("The LQR meets a limit from one of these starts; its cost says nothing there.")
        x = x @ A.T + force @ B.T
    return {"cost": np.einsum("ni,ij,nj->n", near, p, near)}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return how the cost differs from LQR's, how far a speed is beyond its limit, and how far from rest a way ends."""
    states, forces = ways(problem, starts(0.8, 0.4))
    cost = (states**2).sum() + (forces**2).sum()
    states, _ = ways(problem, starts(4.0, 1.0))
    return {
        "cost against LQR": float(abs(cost / reference["cost"].sum() - 1)),
        "speed beyond limit": max(0.0, float(np.abs(states[..., 1]).max()) - SPEED),
        "left after 30 steps": float(np.abs(states[:, -1]).max()),
    }


example = Example(
    name="double_integrator",
    title="A double integrator within limits",
    kind="learning to control",
    summary="A network learns to bring a cart to rest at the origin, with limited force and speed. Where no limit is "
    "met, its cost is compared with the LQR’s.",
    source="Differentiable predictive control: Drgoňa, Tuor and Vrabie, arXiv:2004.11184; reference by the discrete "
    "algebraic Riccati equation (Bertsekas, Dynamic Programming and Optimal Control, vol. 1) through SciPy",
    problem=double_integrator,
    data=functions_by_name(everywhere, near_the_origin, few_starts),
    options=TrainerOptions(
        max_epochs=300, lr=0.01, optimizer="Adam", lr_scheduler="CosineAnnealingLR", gradient_clip_val=10
    ),
    seconds=6,
    view=view,
    reference=reference,
    error=error,
    tolerance={"cost against LQR": 0.08, "speed beyond limit": 0.05, "left after 30 steps": 0.02},
    why="Where no limit is met no policy costs less than the LQR; trained networks cost 1 to 5 % more. Elsewhere the "
    "LQR answers nothing: there the speed must keep to its limit, as the force does by the network’s last layer, and "
    "the cart must come to rest.",
)
