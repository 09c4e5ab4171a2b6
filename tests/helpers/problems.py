"""Small NeuroMANCER problems and the data functions they are fitted on, for the tests.

A builder needs no arguments and draws its weights from torch's global generator, a data function draws its
samples from the same: whoever calls them seeds. An epoch of any of `PROBLEMS` takes a few milliseconds.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset, SequenceDataset
from neuromancer.loss import AugmentedLagrangeLoss, PenaltyLoss
from neuromancer.modules.blocks import MLP, MLP_bounds
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from torch import nn
from torch.utils.data import DataLoader

Returned = tuple[Any, Any, Any, int]


def three(make: Callable[[str], Any], batch_size: int) -> Returned:
    """What a data function returns, its splits made by name."""
    return make("train"), make("dev"), make("test"), batch_size


# A parametric nonlinear program: minimize Rosenbrock's function within bounds that the sample gives ---------


def rosenbrock() -> Problem:
    """Objective `obj`, constraints `order` and `circle`; a network from (a, p) to x."""
    solution = Node(MLP(2, 2, hsizes=[8], nonlin=nn.ReLU), ["a", "p"], ["x"], name="map")
    return Problem([solution], _rosenbrock_loss(PenaltyLoss))


def _rosenbrock_loss(kind: Any, *arguments: Any, weight: float = 1.0) -> Any:
    x = variable("x")
    x1, x2, a, p = x[:, [0]], x[:, [1]], variable("a"), variable("p")
    objective = ((1 - x1) ** 2 + a * (x2 - x1**2) ** 2).minimize(weight=weight, name="obj")
    order = 10.0 * (x1 >= x2)
    order.name = "order"
    circle = 10.0 * (x1**2 + x2**2 <= p**2)
    circle.name = "circle"
    return kind([objective], [order, circle], *arguments)


def sized(hidden: Annotated[int, Ge(1)] = 8, weight: float = 1.0, nsim: int = 100) -> Problem:
    """`rosenbrock` with parameters: one that changes shapes, one that the loss reads, one that its data have too.

    Parameters
    ----------
    hidden : int
        Width of the hidden layer.
    weight : float
        Weight of the objective.
    nsim : int
        Not used.
    """
    solution = Node(MLP(2, 2, hsizes=[hidden], nonlin=nn.ReLU), ["a", "p"], ["x"], name="map")
    return Problem([solution], _rosenbrock_loss(PenaltyLoss, weight=weight))


def rosenbrock_data(nsim: int = 100, batch_size: int = 32, p_low: float = 0.5, p_high: float = 2.0) -> Returned:
    def split(name: str) -> DictDataset:
        between = p_low + (p_high - p_low) * torch.rand(nsim, 1)
        return DictDataset({"a": 0.2 + torch.rand(nsim, 1), "p": between}, name=name)

    return three(split, batch_size)


def odd_data(nsim: int = 33, batch_size: int = 16) -> Returned:
    """Rosenbrock's samples, the last batch being a single one."""
    return rosenbrock_data(nsim, batch_size)


# A double integrator steered by a network, rolled out by a System -------------------------------------------


def integrator() -> Problem:
    """Objectives `regulation` and `action`, constraint `bounds`; all over a rollout of 4 steps."""
    policy = Node(MLP_bounds(2, 1, hsizes=[8], min=-1.0, max=1.0), ["x"], ["u"], name="policy")
    steps = torch.tensor([[1.2, 1.0], [0.0, 1.0]]), torch.tensor([[1.0], [0.5]])
    dynamics = Node(lambda x, u: x @ steps[0].T + u @ steps[1].T, ["x", "u"], ["x"], name="integrator")
    loop = System([policy, dynamics], name="loop", nsteps=4)
    x, u, r = variable("x"), variable("u"), variable("r")
    regulation, bounds = 5.0 * ((x == r) ^ 2), 10.0 * (x < 10.0)
    # a constraint among the objectives, as in many of NeuroMANCER's examples
    regulation.update_name("regulation")
    bounds.update_name("bounds")
    action = (u**2).minimize(weight=0.01, name="action")
    return Problem([loop], PenaltyLoss([regulation, action], [bounds]))


def integrator_data(nsim: int = 60, spread: float = 3.0) -> Returned:
    """Start states, and the origin as reference; full batches."""

    def split(name: str) -> DictDataset:
        return DictDataset({"x": spread * torch.randn(nsim, 1, 2), "r": torch.zeros(nsim, 5, 2)}, name=name)

    return three(split, nsim)


# A physics-informed network: du/dx = cos(x), u(0) = 0, which needs gradients by x in every pass -------------


def pinn() -> Problem:
    """Objectives `equation` and `start`; `grad_inference` is set."""
    network = Node(MLP(1, 1, hsizes=[8], nonlin=nn.Tanh), ["x"], ["u"], name="u")
    x, u = variable("x"), variable("u")
    equation = ((u.grad(x) - torch.cos(x)) ** 2).minimize(name="equation")
    start = ((torch.exp(-100.0 * x**2) * u) ** 2).minimize(name="start")  # by the points nearest to 0
    return Problem([network], PenaltyLoss([equation, start], []), grad_inference=True)


def pinn_data(points: int = 40, batch_size: int = 20) -> Returned:
    """Points in [0, 3] that require gradients."""

    def split(name: str) -> DictDataset:
        return DictDataset({"x": (3.0 * torch.rand(points, 1)).requires_grad_()}, name=name)

    return three(split, batch_size)


# A neural ODE on windows of a sequence; the batches are called nstep_train and so on ------------------------


def sequence() -> Problem:
    """Objective `fit`, of the next window predicted from the last state of the one before."""
    step = Node(MLP(2, 2, hsizes=[8], nonlin=nn.Tanh), ["xn"], ["xn"], name="step")
    rollout = System([step], name="rollout", nsteps=3, init_func=lambda data: {**data, "xn": data["Xp"][:, -1:, :]})
    predicted, seen = variable("xn")[:, 1:, :], variable("Xf")
    fit = 1.0 * ((predicted == seen) ^ 2)
    fit.update_name("fit")
    return Problem([rollout], PenaltyLoss([fit], []))


def sequence_data(length: int = 61, batch_size: int = 8) -> Returned:
    def split(name: str) -> SequenceDataset:
        phase = float(6.28 * torch.rand(()))
        time = np.linspace(phase, phase + 9.0, length)
        states = np.stack([np.sin(time), np.cos(time)], axis=1)
        return SequenceDataset({"X": states}, nsteps=3, moving_horizon=True, name=name)

    return three(split, batch_size)


# Rosenbrock's by multipliers, one a training sample ---------------------------------------------------------


def lagrange(nsim: int = 20) -> Problem:
    """As `rosenbrock`, with an AugmentedLagrangeLoss for `nsim` samples; multipliers move every 2 epochs."""
    solution = Node(MLP(2, 2, hsizes=[8], nonlin=nn.ReLU), ["a", "p"], ["x"], name="map")
    samples = DataLoader(rosenbrock_data(nsim)[0])
    return Problem([solution], _rosenbrock_loss(AugmentedLagrangeLoss, samples, 2))


def lagrange_data(nsim: int = 20) -> Returned:
    """Full batches, as an AugmentedLagrangeLoss needs."""
    return rosenbrock_data(nsim, nsim)


# Layers that draw, and layers that keep what they see -------------------------------------------------------


def noisy() -> Problem:
    """Least squares through BatchNorm and Dropout: a forward pass changes buffers and draws numbers."""
    network = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))
    node = Node(network, ["x"], ["y"], name="network")
    fit = ((variable("y") - variable("seen")) ** 2).minimize(name="fit")
    return Problem([node], PenaltyLoss([fit], []))


def noisy_data(nsim: int = 48, batch_size: int = 16) -> Returned:
    def split(name: str) -> DictDataset:
        x = torch.rand(nsim, 1)
        return DictDataset({"x": x, "seen": torch.sin(3.0 * x)}, name=name)

    return three(split, batch_size)


PROBLEMS: dict[str, tuple[Callable[[], Problem], Callable[..., Returned]]] = {
    "rosenbrock": (rosenbrock, rosenbrock_data),
    "odd last batch": (rosenbrock, odd_data),
    "integrator": (integrator, integrator_data),
    "pinn": (pinn, pinn_data),
    "sequence": (sequence, sequence_data),
    "lagrange": (lagrange, lagrange_data),
    "noisy": (noisy, noisy_data),
}


def projection() -> Problem:
    """A network whose answer is projected onto a half-space by a layer that solves a convex problem."""
    cvxpy, layers = import_module("cvxpy"), import_module("cvxpylayers.torch")
    x, raw, p = cvxpy.Variable(2), cvxpy.Parameter(2), cvxpy.Parameter(1)
    solver = layers.CvxpyLayer(
        cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(x - raw)), [cvxpy.sum(x) <= p[0]]), [raw, p], [x]
    )
    network = Node(MLP(1, 2, hsizes=[6], nonlin=nn.ReLU), ["p"], ["raw"], name="network")
    project = Node(lambda raw, p: solver(raw, p)[0], ["raw", "p"], ["x"], name="projection")
    distance = ((variable("x") - 1.0) ** 2).minimize(name="distance")
    return Problem([network, project], PenaltyLoss([distance], []))
