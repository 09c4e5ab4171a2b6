"""The problems of the benchmark, and the data they are fitted on.

A builder draws its weights, a data function its samples from torch's global generator: whoever calls them seeds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.dynamics.integrators import RK4
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP, MLP_bounds
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from torch import nn

Returned = tuple[Any, Any, Any, int]


def three(make: Callable[[int], dict[str, torch.Tensor]], train: int, dev: int, batch_size: int) -> Returned:
    """What a data function returns, from one that makes so many samples; without dev data for `dev=0`."""
    return (
        DictDataset(make(train), name="train"),
        DictDataset(make(dev), name="dev") if dev else None,
        DictDataset(make(min(train, 1000)), name="test"),
        batch_size,
    )


# A parametric nonlinear program: a network maps (a, p) to the minimiser within two circles ------------------


def rosenbrock() -> Problem:
    network = MLP(2, 2, nonlin=nn.ReLU, hsizes=[80] * 4)
    x, y = variable("z")[:, [0]], variable("z")[:, [1]]
    a, p = variable("ap")[:, [0]], variable("ap")[:, [1]]
    objective = ((1 - x) ** 2 + a * (y - x**2) ** 2).minimize(name="objective")
    constraints = [100 * (x >= y), 100 * ((p / 2) ** 2 <= x**2 + y**2), 100 * (x**2 + y**2 <= p**2)]
    return Problem([Node(network, ["ap"], ["z"], name="map")], PenaltyLoss([objective], constraints))


def rosenbrock_data(train: int = 5000, dev: int = 5000, batch_size: int = 64) -> Returned:
    def make(samples: int) -> dict[str, torch.Tensor]:
        return {"ap": torch.rand(samples, 2) * torch.tensor([1.0, 1.5]) + torch.tensor([0.2, 0.5])}

    return three(make, train, dev, batch_size)


def large_data(train: int = 1_000_000, dev: int = 100_000, batch_size: int = 4096) -> Returned:
    """Rosenbrock's samples, many of them."""
    return rosenbrock_data(train, dev, batch_size)


def many_terms(terms: int) -> Problem:
    """An objective and so many constraints less one, on the network of `rosenbrock`."""
    network = MLP(2, 2, nonlin=nn.ReLU, hsizes=[80] * 4)
    x, y = variable("z")[:, [0]], variable("z")[:, [1]]
    constraints = []
    for number in range(terms - 1):
        constraint = 10.0 * (x + y <= 1.0 + 0.01 * number)
        constraint.name = f"bound_{number}"
        constraints.append(constraint)
    objective = ((1 - x) ** 2 + (y - x**2) ** 2).minimize(name="objective")
    return Problem([Node(network, ["ap"], ["z"], name="map")], PenaltyLoss([objective], constraints))


# A double integrator steered by a network, rolled out by a System -------------------------------------------


class Plant(nn.Module):
    """The double integrator's next state."""

    a: torch.Tensor
    b: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        # of rows, as batches are
        self.register_buffer("a", torch.tensor([[1.2, 0.0], [1.0, 1.0]]))
        self.register_buffer("b", torch.tensor([[1.0, 0.5]]))

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return x @ self.a + u @ self.b


def integrator() -> Problem:
    policy = Node(MLP_bounds(2, 1, hsizes=[20] * 4, min=-1.0, max=1.0), ["x"], ["u"], name="policy")
    plant = Node(Plant(), ["x", "u"], ["x"], name="plant")
    x, u = variable("x"), variable("u")
    loss = PenaltyLoss([(x**2).minimize(weight=5.0, name="state"), (u**2).minimize(name="input")], [10.0 * (x < 10.0)])
    return Problem([System([policy, plant], nsteps=2, name="loop")], loss)


def integrator_data(train: int = 3333, dev: int = 3333, batch_size: int = 3333) -> Returned:
    """Start states."""
    return three(lambda samples: {"x": 3.0 * torch.randn(samples, 1, 2)}, train, dev, batch_size)


# A neural ODE that learns Van der Pol's oscillator from trajectories ----------------------------------------

STEPS, SECONDS_A_STEP = 20, 0.1


def van_der_pol() -> Problem:
    slope = MLP(2, 2, nonlin=nn.GELU, hsizes=[60, 60])
    model = System([Node(RK4(slope, h=SECONDS_A_STEP), ["xn"], ["xn"], name="step")], nsteps=STEPS, name="steps")
    predicted, seen = variable("xn")[:, 1:, :], variable("X")[:, 1:, :]
    rollout, one_step = (predicted == seen) ^ 2, (variable("xn")[:, 1, :] == variable("X")[:, 1, :]) ^ 2
    rollout.update_name("rollout")
    one_step.update_name("one_step")
    return Problem([model], PenaltyLoss([rollout, one_step], []))


def van_der_pol_data(train: int = 500, dev: int = 500, batch_size: int = 100) -> Returned:
    """Trajectories of 20 steps from random states, and these states."""

    def slope(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0] - x[:, 0] ** 3 / 3 - x[:, 1], x[:, 0]], dim=1)

    def make(samples: int) -> dict[str, torch.Tensor]:
        seen, finer = [4.0 * torch.rand(samples, 2) - 2.0], 10
        for _ in range(STEPS):
            x = seen[-1]
            for _ in range(finer):
                x = x + slope(x) * SECONDS_A_STEP / finer
            seen.append(x)
        trajectories = torch.stack(seen, dim=1)
        return {"X": trajectories, "xn": trajectories[:, :1].clone()}

    return three(make, train, dev, batch_size)


# A physics-informed network for the diffusion y_t = y_xx + source, whose solution is exp(-t) sin(πx) ---------


def diffusion() -> Problem:
    """One network at three points of a sample: inside, at the start, and on the boundary; `grad_inference` is set."""
    network = MLP(2, 1, nonlin=nn.Tanh, hsizes=[32] * 4)
    nodes = [
        Node(network, ["x", "t"], ["y"], name="inside"),
        Node(network, ["x_start", "t_start"], ["y_start"], name="at_start"),
        Node(network, ["x_edge", "t_edge"], ["y_edge"], name="at_edge"),
    ]
    x, t, y = variable("x"), variable("t"), variable("y")
    source = torch.exp(-t) * (torch.sin(math.pi * x) - math.pi**2 * torch.sin(math.pi * x))
    equation = ((y.grad(t) - y.grad(x).grad(x) + source) ** 2).minimize(name="equation")
    start = ((variable("y_start") - torch.sin(math.pi * variable("x_start"))) ** 2).minimize(weight=10.0, name="start")
    edge = (variable("y_edge") ** 2).minimize(weight=10.0, name="edge")
    return Problem(nodes, PenaltyLoss([equation, start, edge], []), grad_inference=True)


def diffusion_data(train: int = 3000, dev: int = 3000, batch_size: int = 500) -> Returned:
    """Points in [-1, 1] × [0, 1]; those inside require gradients."""

    def make(samples: int) -> dict[str, torch.Tensor]:
        def between(low: float, high: float) -> torch.Tensor:
            return low + (high - low) * torch.rand(samples, 1)

        return {
            "x": between(-1.0, 1.0).requires_grad_(),
            "t": between(0.0, 1.0).requires_grad_(),
            "x_start": between(-1.0, 1.0),
            "t_start": torch.zeros(samples, 1),
            "x_edge": between(-1.0, 1.0).sign(),
            "t_edge": between(0.0, 1.0),
        }

    return three(make, train, dev, batch_size)


@dataclass(frozen=True)
class Case:
    """A problem, its data function, and the data's keywords where all is to be smaller."""

    name: str
    problem: Callable[[], Problem]
    data: Callable[..., Returned]
    smaller: dict[str, int] = field(default_factory=dict)


CASES = (
    Case("Rosenbrock", rosenbrock, rosenbrock_data),
    Case("double integrator", integrator, integrator_data),
    Case("Van der Pol neural ODE", van_der_pol, van_der_pol_data, {"train": 200, "dev": 200}),
    Case("diffusion PINN", diffusion, diffusion_data, {"train": 1000, "dev": 1000}),
    Case("10⁶ samples", rosenbrock, large_data, {"train": 100_000, "dev": 10_000}),
)
