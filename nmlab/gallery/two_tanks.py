"""Learning to control: a network sets a pump and a valve so that the levels of two tanks follow their set points.

Water flows from the upper tank into the lower tank and from there into a reservoir. The pump returns it; the valve
splits its flow between the tanks. With the levels h₁ (upper) and h₂ (lower), the pump p and the valve v, all relative
to their maximum, the model is that of psl's TwoTank in NeuroMANCER (after APMonitor's level control, Hedengren) ::

    dh₁/dt = 0.08 (1 - v) p - 0.04 √h₁
    dh₂/dt = 0.08 v p + 0.04 √h₁ - 0.04 √h₂

with the time in seconds. Pump and valve change every four seconds.

A network maps levels and set points to pump and valve. It is trained by simulating the closed loop over ten steps and
differentiating the tracking error through all of them, as in NeuroMANCER's example Part_3_ref_tracking_ODE. The
reference is model predictive control (MPC) with the same horizon.
"""

from collections.abc import Callable
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
from nmlab.gallery.canvas import THEME, add_legend, create_figure
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

INFLOW = 0.08  # 1/s, of a tank at full pump
OUTFLOW = 0.04  # 1/s, of a full tank
MIN_LEVEL = 1e-4  # the square root has no derivative at zero
STEP = 4.0  # s
HORIZON = 10  # steps
SETPOINT_STEPS = 15  # steps for which the check holds each set point

Fraction = Annotated[float, Field(ge=0, le=1)]


def square_root(level: Any) -> Any:
    """Return the square root of a level, which is limited to at least `MIN_LEVEL`.

    Parameters
    ----------
    level : tensor
        Level of a tank.

    Returns
    -------
    tensor
        Square root.
    """
    return level.clip(MIN_LEVEL).sqrt()


def next_levels(
    upper: Any, lower: Any, pump: Any, valve: Any, sqrt: Callable[[Any], Any] = square_root
) -> tuple[Any, Any]:
    """Compute the levels after one step, by the explicit midpoint rule.

    Parameters
    ----------
    upper, lower : tensor or symbolic expression
        Levels of the tanks.
    pump, valve : tensor or symbolic expression
        Inputs, from 0 to 1.
    sqrt : callable, default `square_root`
        Square root for this type of level.

    Returns
    -------
    upper, lower : tensor or symbolic expression
        Levels after the step.
    """

    def rates(h1: Any, h2: Any) -> tuple[Any, Any]:
        between = OUTFLOW * sqrt(h1)
        upper_rate = INFLOW * (1 - valve) * pump - between
        lower_rate = INFLOW * valve * pump + between - OUTFLOW * sqrt(h2)
        return upper_rate, lower_rate

    upper_rate, lower_rate = rates(upper, lower)
    upper_rate, lower_rate = rates(upper + STEP / 2 * upper_rate, lower + STEP / 2 * lower_rate)
    return upper + STEP * upper_rate, lower + STEP * lower_rate


def two_tanks() -> Problem:
    """Build the Problem: the closed loop of a network and the tanks, and the tracking error over ten steps.

    Returns
    -------
    Problem
        Problem with inputs `x` (initial levels) and `r` (set points).
    """
    network = MLP_bounds(4, 2, nonlin=torch.nn.GELU, hsizes=[64, 64], min=0, max=1)
    policy = Node(network, ["x", "r"], ["u"], name="policy")
    tanks = Node(lambda x, u: torch.stack(next_levels(*x.T, *u.T), -1), ["x", "u"], ["x"], name="tanks")
    loop = System([policy, tanks], name="loop", nstep_key="r")

    tracking_error = variable("x")[:, 1:] - variable("r")
    tracking = (100.0 * tracking_error**2).minimize(name="tracking")
    # near zero, the square has a small gradient, but the absolute value does not
    last = (10.0 * abs(tracking_error[:, [-1]])).minimize(name="last")
    return Problem([loop], PenaltyLoss([tracking, last], []))


def references(nsim: SampleCount = 300, least: Fraction = 0.0, batch_size: BatchSize = 300) -> DataSetup:
    """Draw set points that can be held, and initial levels around them.

    A set point of the upper tank can be held only if it does not exceed that of the lower tank.

    Parameters
    ----------
    nsim : int, default 300
        Number of samples in each of train, dev and test.
    least : float, default 0.0
        Smallest ratio of the upper tank's set point to the lower tank's. The largest is 1.
    batch_size : int, default 300
        Number of samples in a training step.
    """

    def make_split(name: str) -> DictDataset:
        lower = 0.2 + 0.7 * torch.rand(nsim, 1, 1)
        upper = (least + (1 - least) * torch.rand(nsim, 1, 1)) * lower
        r = torch.cat([upper, lower], dim=-1)
        deviation = torch.rand(nsim, 1, 1)
        random_levels = 0.05 + 0.9 * torch.rand(nsim, 1, 2)
        x = r + deviation * (random_levels - r)
        return DictDataset({"x": x, "r": r.repeat(1, HORIZON, 1)}, name=name)

    return train_dev_test(make_split, batch_size)


def tanks_alike(nsim: SampleCount = 300, batch_size: BatchSize = 300) -> DataSetup:
    """Draw the same set point for both tanks, as NeuroMANCER's example does.

    Use it to see how a network that was trained on equal set points follows different ones.

    Parameters
    ----------
    nsim : int, default 300
        Number of samples in each of train, dev and test.
    batch_size : int, default 300
        Number of samples in a training step.
    """
    return references(nsim, 1.0, batch_size)


def few_references(samples: FewSamples = 5, least: Fraction = 0.0) -> DataSetup:
    """Train on a small number of levels and set points, which are repeated, and validate on 300.

    Use it to find out how few samples are sufficient.

    Parameters
    ----------
    samples : int, default 5
        Number of different samples in train.
    least : float, default 0.0
        Smallest ratio of the upper tank's set point to the lower tank's. The largest is 1.
    """
    train, dev, test, batch_size = references(least=least)
    return repeat_first_samples(train, samples), dev, test, batch_size


def simulate(problem: Problem, setpoints: Any) -> tuple[Any, Any]:
    """Simulate the closed loop from half full tanks.

    Parameters
    ----------
    problem : Problem
        Problem built by `two_tanks`.
    setpoints : array of shape (n, steps, 2)
        Set points of the upper and the lower tank.

    Returns
    -------
    levels : array of shape (n, steps, 2)
        Levels of the upper and the lower tank after each step.
    inputs : array of shape (n, steps, 2)
        Pump and valve in each step.
    """
    r = torch.as_tensor(setpoints, dtype=torch.float32)
    half_full = torch.full_like(r[:, :1], 0.5)
    with torch.no_grad():
        trajectories = problem.nodes[0]({"x": half_full, "r": r})
    return trajectories["x"][:, 1:].numpy(), trajectories["u"].numpy()


def evaluation_setpoints() -> Any:
    """Return the set points of the check: four sequences of three set points, each held for one minute.

    Returns
    -------
    array of shape (4, 45, 2)
        Set points of the upper and the lower tank in each step.
    """
    rng = np.random.default_rng(0)
    lower = rng.uniform(0.25, 0.85, (4, 3))
    upper = rng.uniform(0.2, 1, (4, 3)) * lower
    return np.repeat(np.stack([upper, lower], -1), SETPOINT_STEPS, axis=1)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the levels and the inputs while the network follows three set points.

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
    figure, (level_axes, input_axes) = create_figure("levels; dotted: set points", "inputs")
    setpoints = evaluation_setpoints()[:1]
    levels, inputs = simulate(problem, setpoints)
    seconds = STEP * np.arange(setpoints.shape[1])

    level_axes.step(seconds, setpoints[0], ":", where="post", color=THEME.ink, linewidth=1)
    level_axes.plot(seconds + STEP, levels[0], label=("upper tank", "lower tank"))
    input_axes.step(seconds, inputs[0], where="post", label=("pump", "valve"))
    for axes in (level_axes, input_axes):
        axes.set(xlabel="time in s", ylim=(-0.05, 1.05))
        add_legend(axes)
    return figure


def reference() -> Answer:
    """Compute the levels under model predictive control.

    In each step, IPOPT computes the inputs of the next ten steps with the smallest sum of squared tracking errors. Only
    the first of them is applied.

    Returns
    -------
    mapping
        `levels`, array of shape (4, 45, 2): levels after each step.
    """
    import casadi as ca

    x = ca.SX.sym("x", 2)
    u = ca.SX.sym("u", 2)
    levels_after_step = next_levels(x[0], x[1], u[0], u[1], lambda level: ca.sqrt(ca.fmax(level, MIN_LEVEL)))
    step = ca.Function("move", [x, u], [ca.vertcat(*levels_after_step)])
    all_steps = step.map(HORIZON)

    mpc = ca.Opti()
    levels = mpc.variable(2, HORIZON + 1)
    inputs = mpc.variable(2, HORIZON)
    start = mpc.parameter(2)
    setpoint = mpc.parameter(2)
    mpc.minimize(ca.sumsqr(levels[:, 1:] - ca.repmat(setpoint, 1, HORIZON)))
    mpc.subject_to([levels[:, 0] == start, levels[:, 1:] == all_steps(levels[:, :-1], inputs)])
    mpc.subject_to(mpc.bounded(0, ca.vec(inputs), 1))
    mpc.solver("ipopt", {"print_time": False, "expand": True}, {"print_level": 0, "sb": "yes"})
    levels_under_mpc = mpc.to_function("first", [start, setpoint], [levels[:, 1]])

    setpoints = evaluation_setpoints()
    result = np.empty_like(setpoints)
    for sequence in range(setpoints.shape[0]):
        level = np.full(2, 0.5)
        for k in range(setpoints.shape[1]):
            level = levels_under_mpc(level, setpoints[sequence, k]).full().ravel()
            result[sequence, k] = level
    return {"levels": result}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare the network's tracking error with that of MPC.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `error against MPC`: relative difference to the norm of MPC's tracking error; `off after a minute`: largest
        tracking error at the end of a set point; `beyond limits`: largest violation of the limits 0 and 1 by a level
        or an input.
    """
    setpoints = evaluation_setpoints()
    levels, inputs = simulate(problem, setpoints)
    tracking_error = levels - setpoints
    mpc_tracking_error = reference["levels"] - setpoints
    ratio = np.linalg.norm(tracking_error) / np.linalg.norm(mpc_tracking_error)
    at_the_end = tracking_error[:, SETPOINT_STEPS - 1 :: SETPOINT_STEPS]
    violation = max(np.abs(values - values.clip(0, 1)).max() for values in (levels, inputs))
    return {
        "error against MPC": float(abs(ratio - 1)),
        "off after a minute": float(np.abs(at_the_end).max()),
        "beyond limits": float(violation),
    }


example = Example(
    name="two_tanks",
    title="Two tanks that follow set points",
    kind="learning to control",
    summary="A network sets a pump and a valve so that the levels of two tanks follow their set points. It is compared "
    "with model predictive control, which solves an optimisation problem in each step.",
    source="psl’s TwoTank in NeuroMANCER, after APMonitor’s level control (Hedengren), and its example "
    "Part_3_ref_tracking_ODE; MPC by IPOPT (Wächter and Biegler, Mathematical Programming 106, 2006) through CasADi",
    problem=two_tanks,
    data=functions_by_name(references, tanks_alike, few_references),
    options=TrainerOptions(max_epochs=200, lr=0.01, optimizer="Adam", lr_scheduler="CosineAnnealingLR"),
    seconds=5,
    view=view,
    reference=reference,
    error=error,
    tolerance={"error against MPC": 0.05, "off after a minute": 0.03, "beyond limits": 1e-6},
    why="Most of the tracking error arises on the way to a new set point, where the inputs are at their limits: the "
    "error of trained networks is 2 to 3 % larger than that of MPC; that of untrained ones is about four times as "
    "large. After a minute, MPC has reached the set point, and trained networks are within 0.02 of it.",
)
