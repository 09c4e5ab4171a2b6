"""A zone of a building: a network heats it by a forecast of weather and people, no more than comfort needs."""

import functools
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP_bounds
from neuromancer.problem import Problem
from neuromancer.system import Node, SystemPreview
from pydantic import Field

from nmlab.data import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import DataSetup, SampleCount, train_dev_test
from nmlab.options import TrainerOptions

AHEAD, MOST, WEEK = {"low": 6, "d": 6}, 5.0, 168  # hours, kW, hours; temperatures inside count from 20 °C
Mean = Annotated[float, Field(ge=-20, le=20, description="Limit of a day's mean temperature outside, in °C.")]


def zone() -> tuple[Any, Any, Any]:
    """Return what an hour makes of floor, walls and air, of heat (kW), and of outside (10 °C), people (kW) and sun."""
    a = np.array([[9950, 17, 0, 31], [7, 9957, 3, 31], [0, 3, 9834, 0], [2015, 4877, 100, 2571]]) / 1e4
    b = np.array([[1.7586e-6], [1.7584e-6], [1.8390e-10], [5.0563e-4]]) * 1e3
    e = np.array([[2, 0, 0], [2, 0, 0], [163, 0, 0], [536, 5, 1]]) / 1e4 * [10, 1e3, 1e3]
    held = sum(np.linalg.matrix_power(a, step) for step in range(12))  # the matrices are those of five minutes
    return np.linalg.matrix_power(a, 12), held @ b, held @ e


def heated(by: Node) -> SystemPreview:
    """Return the closed loop of the zone and what heats it; a policy sees the next hours, and all again at the end."""
    a, b, e = (torch.tensor(matrix.T, dtype=torch.float32) for matrix in zone())
    air = Node(lambda x, u, d: x @ a + u @ b + d @ e, ["x", "u", "d"], ["x"], name="zone")
    return SystemPreview([by, air], {key: ["policy"] for key in AHEAD}, AHEAD, "circular", name="loop", nstep_key="d")


def building() -> Problem:
    """Build the closed loop of network and zone, rolled out over a day and trained on the heat that comfort takes."""
    network = MLP_bounds(4 + 4 * (1 + AHEAD["d"]), 1, nonlin=torch.nn.GELU, hsizes=[64, 64], min=0, max=MOST)
    policy = Node(network, ["x", "low", "d"], ["u"], name="policy")
    cold: Any = 20.0 * (variable("x")[:, 1:-1, [3]] >= variable("low")[:, 1:] + 0.05)  # a margin: never closed whole
    cold.name = "cold"
    return Problem([heated(policy)], PenaltyLoss([variable("u").minimize(name="heat")], [cold]))


def hours(n: int, count: int, cold: float, mild: float) -> dict[str, Any]:
    """Return the lowest comfortable temperature, 20 °C from 7 to 22 h and 17 °C at night, and the disturbances."""
    hour = (torch.arange(count) + torch.randint(24, (n, 1))) % 24
    awake, daily = (abs(hour - 14) <= 7).float(), torch.cos((hour - 15) * torch.pi / 12)
    mean, swing, clear = torch.rand(3, n, 1)
    d = [(cold + (mild - cold) * mean + 4 * swing * daily) / 10 - 2, awake * torch.rand(n, count), clear * daily.relu()]
    return {"low": 3 * awake[..., None] - 3, "d": torch.stack(d, -1)}


def winter(nsim: SampleCount = 200, cold: Mean = -6.0, mild: Mean = 9.0) -> DataSetup:
    """Draw winter days, each from any hour on, and temperatures of the building as they may be then."""

    def split(name: str) -> DictDataset:
        known = hours(nsim, 24, cold, mild)
        x = 3 * torch.rand(nsim, 1, 1) - 2 + torch.rand(nsim, 1, 4) - 0.5
        x[..., 2] = 9 * known["d"][:, :1, 0]  # the outer wall is nearly as cold as it is outside
        return DictDataset({"x": x, **known}, name=name)

    return train_dev_test(split, nsim)


def spring(nsim: SampleCount = 200, cold: Mean = 9.0, mild: Mean = 18.0) -> DataSetup:
    """Draw mild days, on which little is heated. What will the network do in frost?"""
    return winter(nsim, cold, mild)


def weeks(times: int = 1) -> dict[str, Any]:
    """Return what is known of six winter weeks, each lived through that often."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: values.repeat(1, times, 1) for name, values in hours(6, WEEK, -5.0, 8.0).items()}


def lived(loop: Any) -> tuple[Any, Any, Any]:
    """Return air, heat, and degrees too cold (week, hour) of those weeks, when each is lived through a third time."""
    with torch.no_grad():
        way = loop({"x": torch.zeros(6, 1, 4), "v": torch.zeros(6, 1, 1), **weeks(3)})
    air, heat, low = (way[name][:, 2 * WEEK : 3 * WEEK, -1].numpy() for name in ("x", "u", "low"))
    return air, heat, (low - air).clip(0)


@functools.cache
def thermostat() -> tuple[Any, Any, Any]:
    """Return the same for a radiator's valve: each hour it goes half the way to 2 kW a degree below 22.5 °C."""
    valve = Node(
        lambda x, low, v: ((v / 2 + (low + 2.5 - x[:, 3:]).relu()).clip(0, MOST),) * 2, ["x", "low", "v"], ["u", "v"]
    )
    return lived(heated(valve))


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the air's temperature and the heat over three days, the thermostat's beside the network's."""
    figure, (left, right) = create_figure(
        "air in °C; dotted: the lowest that is comfortable", "heat in kW, by the hour"
    )
    left.step(range(72), 20 + weeks()["low"][0, :72, 0], ":", where="post", color=THEME.ink, linewidth=1)
    for name, (air, heat, _) in {"network": lived(problem.nodes[0]), "thermostat": thermostat()}.items():
        left.plot(20 + air[0, :72])
        right.step(range(72), heat[0, :72], where="post", label=name)
    add_legend(right, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.05))
    return figure


def reference() -> Answer:
    """Return heat and discomfort with the thermostat, and the least heat for comfort, by linear programs of cvxpy."""
    import cvxpy as cp

    (a, b, e), least, (_, heat, cold) = zone(), 0.0, thermostat()
    for low, d in zip(*(known.numpy() for known in weeks().values()), strict=True):
        x, u = cp.Variable((WEEK + 1, 4)), cp.Variable((WEEK, 1), nonneg=True)
        within = [x[1:] == x[:-1] @ a.T + u @ b.T + d @ e.T, x[0] == x[-1], x[:-1, 3] >= low[:, 0], u <= MOST]
        least += cp.Problem(cp.Minimize(np.ones(WEEK) @ u), within).solve()  # type: ignore[no-untyped-call]
    return {"least": np.array(least), "waste": np.array(heat.sum() - least), "cold": np.array(cold.sum())}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return what share of the thermostat's waste the network makes, and of its degree hours too cold."""
    _, heat, cold = lived(problem.nodes[0])
    waste = abs(heat.sum() - reference["least"]) / reference["waste"]
    return {"waste": float(waste), "discomfort": float(cold.sum() / reference["cold"])}


example = Example(
    name="building",
    title="A zone heated by a forecast",
    kind="domain example",
    summary="A network heats a zone by a forecast of weather and people: it warms up before the morning, and lets the "
    "night cool down. A radiator’s thermostat is too late, and wastes more.",
    source="Differentiable predictive control for buildings: Drgoňa et al., arXiv:2107.11843; a zone like psl’s "
    "SimpleSingleZone, which psl downloads. Least heat by cvxpy (Diamond and Boyd, JMLR 17, 2016)",
    problem=building,
    data=functions_by_name(winter, spring),
    options=TrainerOptions(max_epochs=120, lr=0.01, optimizer="Adam", lr_scheduler="CosineAnnealingLR"),
    seconds=5,
    view=view,
    reference=reference,
    error=error,
    tolerance={"waste": 0.4, "discomfort": 0.3},
    why="Waste is heat above the least that keeps the zone comfortable, as part of the thermostat’s 5 %: trained "
    "networks show 0.1 to 0.2. Discomfort is degree hours too cold, as part of the thermostat’s: 0.1.",
)
