"""Two tanks, one above the other: a network sets pump and valve so that both levels follow their references."""

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
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, FewSamples, SampleCount, repeat_first_samples, train_dev_test
from nmlab.options import TrainerOptions

STEP, HORIZON = 4.0, 10  # seconds; steps that network and reference look ahead
Least = Annotated[float, Field(ge=0, le=1, description="Least reference of the upper tank, by the lower tank's.")]


def after(upper: Any, lower: Any, pump: Any, valve: Any, root: Any = lambda h: h.clip(1e-4).sqrt()) -> Any:
    """Return both levels a step later, by the midpoint rule; no tank is quite empty, where a root has no slope."""
    one, two = upper, lower
    for seconds in (STEP / 2, STEP):
        passed = 0.04 * root(one)
        rates = 0.08 * (1 - valve) * pump - passed, 0.08 * valve * pump + passed - 0.04 * root(two)
        one, two = upper + seconds * rates[0], lower + seconds * rates[1]
    return one, two


def two_tanks() -> Problem:
    """Build the closed loop of network and tanks, trained on the distance to the references r over ten steps."""
    network = MLP_bounds(4, 2, nonlin=torch.nn.GELU, hsizes=[64, 64], min=0, max=1)
    policy = Node(network, ["x", "r"], ["u"], name="policy")
    tanks = Node(lambda x, u: torch.stack(after(*x.T, *u.T), -1), ["x", "u"], ["x"], name="tanks")
    off = variable("x")[:, 1:] - variable("r")
    track = (100.0 * off**2).minimize(name="tracking")
    last = (10.0 * abs(off[:, [-1]])).minimize(name="last")  # squares forget what is nearly there
    return Problem([System([policy, tanks], name="loop", nstep_key="r")], PenaltyLoss([track, last], []))


def references(nsim: SampleCount = 300, least: Least = 0.0, batch_size: BatchSize = 300) -> DataSetup:
    """Draw references that can be held, the upper tank's never above the lower's, and levels around them."""

    def split(name: str) -> DictDataset:
        lower = 0.2 + 0.7 * torch.rand(nsim, 1, 1)
        r = torch.cat([(least + (1 - least) * torch.rand(nsim, 1, 1)) * lower, lower], dim=-1)
        x = r + torch.rand(nsim, 1, 1) * (0.05 + 0.9 * torch.rand(nsim, 1, 2) - r)
        return DictDataset({"x": x, "r": r.repeat(1, HORIZON, 1)}, name=name)

    return train_dev_test(split, batch_size)


def tanks_alike(nsim: SampleCount = 300, batch_size: BatchSize = 300) -> DataSetup:
    """Draw one reference for both levels, as NeuroMANCER's example does. What if they shall differ?"""
    return references(nsim, 1.0, batch_size)


def few_references(samples: FewSamples = 5, least: Least = 0.0) -> DataSetup:
    """Train on a few levels and references over and over and test on many. How few does the network need?"""
    train, *others = references(least=least)
    return repeat_first_samples(train, samples), *others


def ways(problem: Problem, wanted: Any) -> tuple[Any, Any]:
    """Return levels and inputs of the closed loop from half full tanks, after references (way, step, 2)."""
    r = torch.as_tensor(wanted, dtype=torch.float32)
    with torch.no_grad():
        way = problem.nodes[0]({"x": torch.full_like(r[:, :1], 0.5), "r": r})
    return way["x"][:, 1:].numpy(), way["u"].numpy()


def minutes() -> Any:
    """Return four ways (way, step, 2) of three references each, held for a minute."""
    draw = np.random.default_rng(0)
    lower = draw.uniform(0.25, 0.85, (4, 3))
    return np.repeat(np.stack([draw.uniform(0.2, 1, (4, 3)) * lower, lower], -1), 15, axis=1)


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw levels after three references, and what pump and valve do for it."""
    figure, (left, right) = create_figure("levels; dotted: their references", "inputs")
    wanted, seconds = minutes()[:1], STEP * np.arange(45)
    levels, inputs = ways(problem, wanted)
    left.step(seconds, wanted[0], ":", where="post", color=THEME.ink, linewidth=1)
    left.plot(seconds + STEP, levels[0], label=("upper tank", "lower tank"))
    right.step(seconds, inputs[0], where="post", label=("pump", "valve"))
    for axes in (left, right):
        axes.set(xlabel="second", ylim=(-0.05, 1.05))
        add_legend(axes)
    return figure


def reference() -> Answer:
    """Return the levels under model predictive control: IPOPT plans ten steps anew at each step; the first is done."""
    import casadi as ca

    x, u, plan = ca.SX.sym("x", 2), ca.SX.sym("u", 2), ca.Opti()
    moved = after(x[0], x[1], u[0], u[1], lambda level: ca.sqrt(ca.fmax(level, 1e-4)))
    move = ca.Function("move", [x, u], [ca.vertcat(*moved)]).map(HORIZON)
    levels, inputs = plan.variable(2, HORIZON + 1), plan.variable(2, HORIZON)
    start, r = plan.parameter(2), plan.parameter(2)
    plan.minimize(ca.sumsqr(levels[:, 1:] - ca.repmat(r, 1, HORIZON)))
    plan.subject_to([levels[:, 0] == start, levels[:, 1:] == move(levels[:, :-1], inputs)])
    plan.subject_to(plan.bounded(0, ca.vec(inputs), 1))
    plan.solver("ipopt", {"print_time": False, "expand": True}, {"print_level": 0, "sb": "yes"})
    first = plan.to_function("first", [start, r], [levels[:, 1]])
    for way in (found := minutes()):
        level = np.full(2, 0.5)
        for place, now in enumerate(way):
            way[place] = level = first(level, now).full().ravel()
    return {"levels": found}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return how the tracking error differs from MPC's, the most that a minute leaves of it, and what breaks limits."""
    wanted = minutes()
    levels, inputs = ways(problem, wanted)
    off, best = levels - wanted, reference["levels"] - wanted
    return {
        "error against MPC": float(abs(np.linalg.norm(off) / np.linalg.norm(best) - 1)),
        "off after a minute": float(np.abs(off[:, 14::15]).max()),
        "beyond limits": float(max(np.abs(each - each.clip(0, 1)).max() for each in (levels, inputs))),
    }


example = Example(
    name="two_tanks",
    title="Two tanks that follow their references",
    kind="learning to control",
    summary="A network sets a pump and a valve so that the levels of two tanks follow their references, as model "
    "predictive control does, but without solving anything on the way.",
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
    why="Most of the error is the way to a new reference, which the inputs’ limits set: trained networks make 2 to 3 % "
    "more of it than MPC, untrained ones thrice as much more. A minute takes MPC there, a network within 0.02.",
)
