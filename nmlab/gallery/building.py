"""Domain example: a network heats a zone of a building, using a forecast of the weather and of the occupancy.

The zone has the linear discrete-time model ::

    x[k+1] = A x[k] + B u[k] + E d[k]

with a step of one hour. Its quantities are

    x : temperatures of the floor, the inner wall, the outer wall and the air, as differences to 20 °C in K
    u : heating power in kW, from 0 to 5 kW
    d : outdoor temperature as a difference to 20 °C in units of 10 K, heat gains by people in kW, and solar radiation
        relative to its maximum

The air should not be colder than a comfort limit, which is 20 °C by day and 17 °C at night. A network receives the
state and a forecast of the next six hours, and is trained to use as little heat as possible. This is differentiable
predictive control (Drgoňa et al., arXiv:2107.11843). The model is similar to SimpleSingleZone of psl, which needs to
download its data.
"""

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

from nmlab.data.splits import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import DataSetup, SampleCount, train_dev_test
from nmlab.options import TrainerOptions

FORECAST = 6  # hours
DAY = 24  # hours
WEEK = 168  # hours
MAX_HEAT = 5.0  # kW
OFFSET = 20.0  # °C; temperatures inside are differences to it
COMFORT_WEIGHT = 20.0
COMFORT_MARGIN = 0.05  # K, because a penalty method leaves small violations

MeanTemperature = Annotated[float, Field(ge=-20, le=20)]


def zone_matrices() -> tuple[Any, Any, Any]:
    """Return the matrices A, B and E of the zone for a step of one hour.

    They are computed from the matrices for a step of five minutes. If the inputs are constant during the hour, then ::

        A = A₅¹²,    B = (I + A₅ + ... + A₅¹¹) B₅,    E = (I + A₅ + ... + A₅¹¹) E₅

    Returns
    -------
    a : array of shape (4, 4)
        State matrix A.
    b : array of shape (4, 1)
        Input matrix B.
    e : array of shape (4, 3)
        Disturbance matrix E.
    """
    a5 = np.array([[9950, 17, 0, 31], [7, 9957, 3, 31], [0, 3, 9834, 0], [2015, 4877, 100, 2571]]) / 1e4
    b5 = np.array([[1.7586e-6], [1.7584e-6], [1.8390e-10], [5.0563e-4]]) * 1e3
    e5 = np.array([[2, 0, 0], [2, 0, 0], [163, 0, 0], [536, 5, 1]]) / 1e4 * [10, 1e3, 1e3]
    steps_per_hour = 12
    sum_of_powers = sum(np.linalg.matrix_power(a5, step) for step in range(steps_per_hour))
    a = np.linalg.matrix_power(a5, steps_per_hour)
    b = sum_of_powers @ b5
    e = sum_of_powers @ e5
    return a, b, e


def closed_loop(controller: Node) -> SystemPreview:
    """Connect a controller and the zone.

    A controller named "policy" also receives the comfort limit and the disturbances of the next six hours. Near the end
    of the data, this forecast continues with the first hours of the data.

    Parameters
    ----------
    controller : Node
        Node with the output `u`, the heating power.

    Returns
    -------
    SystemPreview
        System with the inputs `x`, `low` and `d`, which is simulated for the length of `d`.
    """
    # x, u and d are row vectors, one per sample, so the matrices are transposed
    a, b, e = (torch.tensor(matrix.T, dtype=torch.float32) for matrix in zone_matrices())
    zone = Node(lambda x, u, d: x @ a + u @ b + d @ e, ["x", "u", "d"], ["x"], name="zone")
    return SystemPreview(
        [controller, zone],
        preview_keys_map={"low": ["policy"], "d": ["policy"]},
        preview_length={"low": FORECAST, "d": FORECAST},
        pad_mode="circular",
        name="loop",
        nstep_key="d",
    )


def building() -> Problem:
    """Build the Problem: the closed loop of a network and the zone, the mean heat, and a penalty on low temperatures.

    Returns
    -------
    Problem
        Problem with inputs `x` (initial state), `low` (comfort limit) and `d` (disturbances).
    """
    state_size = 4
    signal_size = 1 + 3  # comfort limit and disturbances, each now and for every hour of the forecast
    network = MLP_bounds(
        state_size + signal_size * (1 + FORECAST),
        1,
        nonlin=torch.nn.GELU,
        hsizes=[64, 64],
        min=0,
        max=MAX_HEAT,
    )
    policy = Node(network, ["x", "low", "d"], ["u"], name="policy")

    heat = variable("u").minimize(name="heat")
    air = variable("x")[:, 1:-1, [3]]
    low = variable("low")[:, 1:]
    cold: Any = COMFORT_WEIGHT * (air >= low + COMFORT_MARGIN)
    cold.name = "cold"
    return Problem([closed_loop(policy)], PenaltyLoss([heat], [cold]))


def comfort_and_disturbances(n: int, count: int, cold: float, mild: float) -> dict[str, Any]:
    """Draw comfort limits and disturbances of periods that start at a random hour of the day.

    The comfort limit is 20 °C from 7 to 22 h and 17 °C otherwise. People are present only from 7 to 22 h. The outdoor
    temperature and the solar radiation follow a cosine with its maximum at 15 h.

    Parameters
    ----------
    n : int
        Number of periods.
    count : int
        Length of a period in hours.
    cold, mild : float
        Limits of the mean outdoor temperature of a period, in °C.

    Returns
    -------
    dict
        `low`, tensor of shape (n, count, 1): comfort limit as a difference to 20 °C in K; `d`, tensor of shape
        (n, count, 3): disturbances.
    """
    hour = (torch.arange(count) + torch.randint(24, (n, 1))) % 24
    awake = (abs(hour - 14) <= 7).float()
    daily_cycle = torch.cos((hour - 15) * torch.pi / 12)

    mean, amplitude, clearness = torch.rand(3, n, 1)
    outdoor = cold + (mild - cold) * mean + 4 * amplitude * daily_cycle  # °C
    people = awake * torch.rand(n, count)  # kW
    sun = clearness * daily_cycle.relu()  # relative to the maximum
    low = 3 * awake[..., None] - 3
    return {"low": low, "d": torch.stack([outdoor / 10 - 2, people, sun], -1)}


def winter(nsim: SampleCount = 200, cold: MeanTemperature = -6.0, mild: MeanTemperature = 9.0) -> DataSetup:
    """Draw winter days that start at a random hour, with initial temperatures of the zone that are typical of them.

    All samples form one batch.

    Parameters
    ----------
    nsim : int, default 200
        Number of days in each of train, dev and test.
    cold : float, default -6.0
        Lowest mean outdoor temperature of a day, in °C.
    mild : float, default 9.0
        Highest mean outdoor temperature of a day, in °C.
    """

    def make_split(name: str) -> DictDataset:
        signals = comfort_and_disturbances(nsim, DAY, cold, mild)
        common = 3 * torch.rand(nsim, 1, 1) - 2
        x = common + torch.rand(nsim, 1, 4) - 0.5
        x[..., 2] = 9 * signals["d"][:, :1, 0]  # the outer wall is nearly as cold as the outdoor air
        return DictDataset({"x": x, **signals}, name=name)

    return train_dev_test(make_split, nsim)


def spring(nsim: SampleCount = 200, cold: MeanTemperature = 9.0, mild: MeanTemperature = 18.0) -> DataSetup:
    """Draw mild days, on which little heat is needed.

    Use it to see how a network that was trained on mild days behaves in winter.

    Parameters
    ----------
    nsim : int, default 200
        Number of days in each of train, dev and test.
    cold : float, default 9.0
        Lowest mean outdoor temperature of a day, in °C.
    mild : float, default 18.0
        Highest mean outdoor temperature of a day, in °C.
    """
    return winter(nsim, cold, mild)


def evaluation_weeks(repetitions: int = 1) -> dict[str, Any]:
    """Return the comfort limits and disturbances of the six winter weeks of the check.

    Parameters
    ----------
    repetitions : int, default 1
        How many times each week is repeated.

    Returns
    -------
    dict
        `low` and `d`, as of `comfort_and_disturbances`, for `repetitions` times 168 hours.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        signals = comfort_and_disturbances(6, WEEK, -5.0, 8.0)
    return {name: values.repeat(1, repetitions, 1) for name, values in signals.items()}


def simulate_weeks(loop: Any) -> tuple[Any, Any, Any]:
    """Simulate the six weeks of the check, each three times in a row, and return the third repetition.

    The third repetition no longer depends on the initial state.

    Parameters
    ----------
    loop : SystemPreview
        Closed loop, as `closed_loop` returns it.

    Returns
    -------
    air : array of shape (6, 168)
        Air temperature as a difference to 20 °C, in K.
    heat : array of shape (6, 168)
        Heating power in kW.
    discomfort : array of shape (6, 168)
        Difference between comfort limit and air temperature in K, zero where the air is warm enough.
    """
    initial = {"x": torch.zeros(6, 1, 4), "v": torch.zeros(6, 1, 1)}  # only the thermostat has the state v
    with torch.no_grad():
        trajectories = loop({**initial, **evaluation_weeks(repetitions=3)})
    third = slice(2 * WEEK, 3 * WEEK)
    air = trajectories["x"][:, third, -1].numpy()
    heat = trajectories["u"][:, third, -1].numpy()
    low = trajectories["low"][:, third, -1].numpy()
    return air, heat, (low - air).clip(0)


@functools.cache
def simulate_thermostat() -> tuple[Any, Any, Any]:
    """Simulate the six weeks of the check with a radiator thermostat instead of a network.

    The valve of the thermostat reacts with a delay. In each hour, the heating power u in kW is ::

        u[k] = u[k-1] / 2 + max(0, low[k] + 2.5 K - air[k])

    limited to the range from 0 to 5 kW. In steady state, it is 2 kW per K below a set point 2.5 K above the limit.

    Returns
    -------
    tuple of array
        Air temperature, heating power and discomfort, as of `simulate_weeks`.
    """

    def valve(x: Any, low: Any, v: Any) -> tuple[Any, Any]:
        air = x[:, 3:]
        u = (v / 2 + (low + 2.5 - air).relu()).clip(0, MAX_HEAT)
        return u, u  # the heating power, and the state v of the next hour

    return simulate_weeks(closed_loop(Node(valve, ["x", "low", "v"], ["u", "v"], name="thermostat")))


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the air temperature and the heating power during three days, with the network and with the thermostat.

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
    figure, (air_axes, heat_axes) = create_figure(
        "air temperature in °C; dotted: comfort limit", "heating power in kW; time in hours"
    )
    hours = range(72)
    low = evaluation_weeks()["low"][0, :72, 0]
    air_axes.step(hours, OFFSET + low, ":", where="post", color=THEME.ink, linewidth=1)

    simulations = {"network": simulate_weeks(problem.nodes[0]), "thermostat": simulate_thermostat()}
    for name, (air, heat, _) in simulations.items():
        air_axes.plot(OFFSET + air[0, :72])
        heat_axes.step(hours, heat[0, :72], where="post", label=name)
    add_legend(heat_axes, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.05))
    return figure


def reference() -> Answer:
    """Compute the least heat that keeps the zone comfortable, and compare the thermostat with it.

    The least heat is the sum of the solutions of one linear program per week, in which the state at the end of the week
    is the state at its start. The programs are solved with cvxpy.

    Returns
    -------
    mapping
        `least`: least heat in kWh; `waste`: heat in kWh that the thermostat uses in addition; `cold`: discomfort with
        the thermostat in K h. Each is a sum over the six weeks.
    """
    import cvxpy as cp

    a, b, e = zone_matrices()
    weeks = evaluation_weeks()
    least = 0.0
    for low, d in zip(weeks["low"].numpy(), weeks["d"].numpy(), strict=True):
        x = cp.Variable((WEEK + 1, 4))
        u = cp.Variable((WEEK, 1), nonneg=True)
        constraints = [
            x[1:] == x[:-1] @ a.T + u @ b.T + d @ e.T,
            x[0] == x[-1],
            x[:-1, 3] >= low[:, 0],
            u <= MAX_HEAT,
        ]
        total_heat = np.ones(WEEK) @ u
        least += cp.Problem(cp.Minimize(total_heat), constraints).solve()  # type: ignore[no-untyped-call]

    _, heat, discomfort = simulate_thermostat()
    return {
        "least": np.array(least),
        "waste": np.array(heat.sum() - least),
        "cold": np.array(discomfort.sum()),
    }


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare the network with the thermostat and with the least heat.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `waste`: difference between the network's heat and the least heat, relative to the thermostat's; `discomfort`:
        the network's discomfort relative to the thermostat's.
    """
    _, heat, discomfort = simulate_weeks(problem.nodes[0])
    waste = abs(heat.sum() - reference["least"])
    return {
        "waste": float(waste / reference["waste"]),
        "discomfort": float(discomfort.sum() / reference["cold"]),
    }


example = Example(
    name="building",
    title="Heating a zone with a forecast",
    kind="domain example",
    summary="A network heats a zone with a forecast of weather and occupancy: it starts to heat before the morning and "
    "lets the zone cool down at night. A radiator thermostat reacts too late and uses more heat.",
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
    why="Waste is the heat above the least heat for comfort, relative to that of the thermostat, which uses 5 % more "
    "than the least: trained networks have 0.1 to 0.2. Discomfort is measured in degree hours below the comfort limit, "
    "relative to the thermostat: trained networks have about 0.1.",
)
