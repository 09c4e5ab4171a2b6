"""Learning to control: a network brings a cart to rest at the origin, with limited force and speed.

The cart has a mass of 1 kg and moves without friction. With a step of 1 s, and a force that is constant during each
step, its state x = (position in m, speed in m/s) and the force u in N satisfy ::

    x[k+1] = A x[k] + B u[k],    A = [1 1; 0 1],    B = [0.5; 1]

The force is limited to 1 N and the speed to 1 m/s. The cost of a trajectory is the sum of x'x + u² over all steps.

A network u(x) is trained by simulating the closed loop over ten steps and differentiating the cost through all of them.
This is differentiable predictive control (Drgoňa, Tuor and Vrabie, arXiv:2004.11184). Where no limit is reached, the
optimal controller is the linear-quadratic regulator (LQR), which serves as the reference (Bertsekas, Dynamic
Programming and Optimal Control, vol. 1).
"""

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

from nmlab.data.splits import Splits
from nmlab.gallery.canvas import THEME, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import (
    BatchSize,
    DataSetup,
    FewSamples,
    SampleCount,
    repeat_first_samples,
    train_dev_test,
)
from nmlab.options import TrainerOptions

A = np.array([[1.0, 1.0], [0.0, 1.0]])
B = np.array([[0.5], [1.0]])
MAX_FORCE = 1.0  # N
MAX_SPEED = 1.0  # m/s
HORIZON = 10  # steps of 1 s
SPEED_WEIGHT = 200.0
SPEED_MARGIN = 0.95  # fraction of the maximum speed, because a penalty method leaves small violations

Distance = Annotated[float, Field(gt=0, le=6)]
Speed = Annotated[float, Field(ge=0, le=1)]


def double_integrator() -> Problem:
    """Build the Problem: the closed loop of a network and the cart, the cost, and a penalty on high speeds.

    The last layer of the network keeps the force within its limits.

    Returns
    -------
    Problem
        Problem with input `x`, the initial state.
    """
    network = MLP_bounds(2, 1, nonlin=torch.nn.GELU, hsizes=[64, 64], min=-MAX_FORCE, max=MAX_FORCE)
    policy = Node(network, ["x"], ["u"], name="policy")

    a = torch.tensor(A, dtype=torch.float32)
    b = torch.tensor(B, dtype=torch.float32)
    cart = Node(lambda x, u: x @ a.T + u @ b.T, ["x", "u"], ["x"], name="cart")
    loop = System([policy, cart], name="loop", nsteps=HORIZON)

    x = variable("x")
    u = variable("u")
    # an objective is the mean over steps and entries, but the cost of the LQR is their sum
    state_cost = (2.0 * (HORIZON + 1) * x**2).minimize(name="state")
    force_cost = (HORIZON * u**2).minimize(name="force")
    speed_limit: Any = SPEED_WEIGHT * (torch.abs(x[:, :, [1]]) <= SPEED_MARGIN * MAX_SPEED)
    speed_limit.name = "speed"
    return Problem([loop], PenaltyLoss([state_cost, force_cost], [speed_limit]))


def everywhere(
    nsim: SampleCount = 300,
    far: Distance = 4.5,
    fast: Speed = 1.0,
    batch_size: BatchSize = 300,
) -> DataSetup:
    """Draw initial positions from [-far, far] and initial speeds from [-fast, fast].

    On average, half of the states are drawn uniformly. The others are multiplied by a random factor from 0 to 1, so
    that states near the origin, where the cost is small, are more frequent.

    Parameters
    ----------
    nsim : int, default 300
        Number of initial states in each of train, dev and test.
    far : float, default 4.5
        Largest initial distance to the origin, in m.
    fast : float, default 1.0
        Largest initial speed, in m/s.
    batch_size : int, default 300
        Number of initial states in a training step.
    """

    def make_split(name: str) -> DictDataset:
        is_scaled = torch.rand(nsim, 1, 1) < 0.5
        scale = torch.where(is_scaled, torch.rand(nsim, 1, 1), 1.0)
        limits = torch.tensor([far, fast])
        x = scale * limits * (2 * torch.rand(nsim, 1, 2) - 1)
        return DictDataset({"x": x}, name=name)

    return train_dev_test(make_split, batch_size)


def near_the_origin(
    nsim: SampleCount = 300,
    far: Distance = 0.8,
    fast: Speed = 0.4,
    batch_size: BatchSize = 300,
) -> DataSetup:
    """Draw initial states from which the optimal controller reaches no limit.

    Use it to see how a network that was trained on them behaves farther away from the origin.

    Parameters
    ----------
    nsim : int, default 300
        Number of initial states in each of train, dev and test.
    far : float, default 0.8
        Largest initial distance to the origin, in m.
    fast : float, default 0.4
        Largest initial speed, in m/s.
    batch_size : int, default 300
        Number of initial states in a training step.
    """
    return everywhere(nsim, far, fast, batch_size)


def few_starts(starts: FewSamples = 5, far: Distance = 4.5, fast: Speed = 1.0) -> DataSetup:
    """Train on a small number of initial states, which are repeated, and validate on 300.

    Use it to find out how few initial states are sufficient.

    Parameters
    ----------
    starts : int, default 5
        Number of different initial states in train.
    far : float, default 4.5
        Largest initial distance to the origin, in m.
    fast : float, default 1.0
        Largest initial speed, in m/s.
    """
    train, dev, test, batch_size = everywhere(far=far, fast=fast)
    return repeat_first_samples(train, starts), dev, test, batch_size


def simulate(problem: Problem, initial_states: Any, steps: int = 31) -> tuple[Any, Any]:
    """Simulate the closed loop.

    Parameters
    ----------
    problem : Problem
        Problem built by `double_integrator`.
    initial_states : array of shape (n, 2)
        Initial positions in m and speeds in m/s.
    steps : int, default 31
        Number of states to return, including the initial one.

    Returns
    -------
    states : array of shape (n, steps, 2)
        Positions in m and speeds in m/s.
    forces : array of shape (n, steps, 1)
        Forces in N.
    """
    policy, cart = problem.nodes[0].nodes
    x = torch.as_tensor(initial_states, dtype=torch.float32)
    states = []
    forces = []
    with torch.no_grad():
        for _ in range(steps):
            u = policy({"x": x})["u"]
            states.append(x)
            forces.append(u)
            x = cart({"x": x, "u": u})["x"]
    return torch.stack(states, 1).numpy(), torch.stack(forces, 1).numpy()


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw trajectories from eight initial states in the plane of position and speed, and their forces over time.

    Parameters
    ----------
    problem : Problem
        Problem to draw.
    splits : Splits
        Data of the fit; not used.

    Returns
    -------
    Figure
        Figure with two axes.
    """
    figure, (plane_axes, force_axes) = create_figure(
        "trajectories to the origin; dotted: limits", "force over time; dotted: limits"
    )
    initial_states = [(-4, -1), (-4, 1), (-2, 0), (-1, 1), (1, -1), (2, 0), (4, -1), (4, 1)]
    steps = 15
    all_states, all_forces = simulate(problem, initial_states, steps)
    for states, forces in zip(all_states, all_forces, strict=True):
        plane_axes.plot(states[:, 0], states[:, 1], marker=".")
        force_axes.step(range(steps), forces[:, 0], where="post")

    for axes, limit in ((plane_axes, MAX_SPEED), (force_axes, MAX_FORCE)):
        axes.axhline(-limit, linestyle=":", color=THEME.faint)
        axes.axhline(limit, linestyle=":", color=THEME.faint)
    plane_axes.plot(0, 0, "*", color=THEME.ink, markersize=10)
    plane_axes.set(xlabel="position in m", ylabel="speed in m/s", xlim=(-6, 6), ylim=(-2.5, 2.5))
    force_axes.set(xlabel="time in s", ylabel="force in N", ylim=(-1.2, 1.2))
    return figure


def initial_state_grid(far: float, fast: float) -> Any:
    """Return 49 initial states on a regular grid.

    Parameters
    ----------
    far : float
        Largest distance to the origin, in m.
    fast : float
        Largest speed, in m/s.

    Returns
    -------
    array of shape (49, 2)
        Positions in m and speeds in m/s.
    """
    positions, speeds = np.meshgrid(np.linspace(-far, far, 7), np.linspace(-fast, fast, 7))
    return np.stack([positions, speeds], -1).reshape(-1, 2)


def reference() -> Answer:
    """Compute the cost of the discrete-time LQR from 49 initial states near the origin.

    With the solution P of the discrete algebraic Riccati equation, the force is u = -(1 + B'PB)⁻¹ B'PA x, and the cost
    from the initial state x is x'Px. SciPy solves the equation.

    Returns
    -------
    mapping
        `cost`, array of shape (49,): cost from each initial state.

    Raises
    ------
    ArithmeticError
        If the LQR exceeds the force or the speed limit, as its cost is then not that of an admissible controller.
    """
    from scipy.linalg import solve_discrete_are

    p = solve_discrete_are(A, B, np.eye(2), np.eye(1))
    gain = np.linalg.solve(np.eye(1) + B.T @ p @ B, B.T @ p @ A)

    initial_states = initial_state_grid(0.8, 0.4)
    x = initial_states
    for _ in range(30):
        u = -x @ gain.T
        if np.abs(u).max() > MAX_FORCE or np.abs(x[:, 1]).max() > MAX_SPEED:
            raise ArithmeticError(
                "The LQR exceeds the force or speed limit from one of these initial states. "
                "Its cost is therefore not a valid reference."
            )
        x = x @ A.T + u @ B.T
    return {"cost": np.einsum("ni,ij,nj->n", initial_states, p, initial_states)}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare the network with the LQR near the origin, and check speed and final state farther away from it.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `cost against LQR`: relative difference to the total cost of the LQR; `speed beyond limit`: largest excess of
        the speed over its limit in m/s; `left after 30 steps`: largest absolute position in m or speed in m/s after
        30 s.
    """
    states, forces = simulate(problem, initial_state_grid(0.8, 0.4))
    cost = (states**2).sum() + (forces**2).sum()
    lqr_cost = reference["cost"].sum()

    states, _ = simulate(problem, initial_state_grid(4.0, 1.0))
    largest_speed = float(np.abs(states[..., 1]).max())
    return {
        "cost against LQR": float(abs(cost / lqr_cost - 1)),
        "speed beyond limit": max(0.0, largest_speed - MAX_SPEED),
        "left after 30 steps": float(np.abs(states[:, -1]).max()),
    }


example = Example(
    name="double_integrator",
    title="A double integrator with limited force and speed",
    kind="learning to control",
    summary="A network learns to bring a cart to rest at the origin, with limited force and speed. Where no limit is "
    "reached, its cost is compared with that of the LQR.",
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
    why="Where no limit is reached, no controller has a lower cost than the LQR; trained networks have a cost that is "
    "1 to 5 % higher. Elsewhere the LQR is not applicable. There, the speed must stay within its limit, and the cart "
    "must come to rest; the last layer of the network limits the force.",
)
