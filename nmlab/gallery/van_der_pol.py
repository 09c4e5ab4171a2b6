"""Learning to model: a neural ODE learns the Van der Pol oscillator from short trajectories.

The states of the oscillator satisfy ::

    dx₁/dt = x₂
    dx₂/dt = (1 - x₁²) x₂ - x₁

(Van der Pol, Philosophical Magazine 2 (1926), 978). The states are dimensionless; the time is in seconds. From every
initial state other than the origin, the trajectories approach the same limit cycle.

A network takes the place of the right-hand side in a Runge-Kutta step (neural ODE: Chen et al., NeurIPS 2018,
arXiv:1806.07366). It is trained on trajectories of half a second and checked on predictions over ten seconds.
"""

from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.dynamics.integrators import RK4
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
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

STEP = 0.1  # s
HORIZON = 5  # steps of a training trajectory
PREDICTION_STEPS = 100  # steps of a prediction in the check, about one and a half periods
PREDICTION_TIMES = STEP * np.arange(PREDICTION_STEPS + 1)  # s

Size = Annotated[float, Field(gt=0, le=5)]
Noise = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=0, le=1000)]


def derivatives(x: Any) -> list[Any]:
    """Return the time derivatives of the states.

    Parameters
    ----------
    x : array or tensor of shape (..., 2)
        States.

    Returns
    -------
    list of array or tensor
        Derivatives of the first and the second state, each of shape (...).
    """
    first = x[..., 0]
    second = x[..., 1]
    return [second, (1 - first**2) * second - first]


class VanDerPol(torch.nn.Module):
    """The right-hand side of the oscillator as a module, which an integrator takes like a network."""

    in_features = 2
    out_features = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the derivatives of the states."""
        return torch.stack(derivatives(x), -1)


def simulate(right_hand_side: torch.nn.Module, start: torch.Tensor, steps: int) -> torch.Tensor:
    """Integrate a differential equation by the classical Runge-Kutta method.

    Parameters
    ----------
    right_hand_side : Module
        Module from states to their time derivatives.
    start : tensor of shape (n, 2)
        Initial states.
    steps : int
        Number of steps of 0.1 s.

    Returns
    -------
    tensor of shape (n, steps + 1, 2)
        States, including the initial ones.
    """
    integrator = RK4(right_hand_side, h=STEP)
    states = [start]
    with torch.no_grad():
        for _ in range(steps):
            states.append(integrator(states[-1]))
    return torch.stack(states, 1)


def van_der_pol() -> Problem:
    """Build the Problem: five Runge-Kutta steps with a network as the right-hand side, and the prediction error.

    Returns
    -------
    Problem
        Problem with inputs `x` (initial state) and `seen` (measured states).
    """
    network = MLP(insize=2, outsize=2, nonlin=torch.nn.GELU, hsizes=[64, 64])
    step = Node(RK4(network, h=STEP), ["x"], ["x"], name="step")
    model = System([step], name="model", nsteps=HORIZON)

    prediction_error = variable("x")[:, 1:, :] - variable("seen")[:, 1:, :]
    objective = (prediction_error**2).minimize(name="way")
    return Problem([model], PenaltyLoss([objective], []))


def measured_trajectories(name: str, start: torch.Tensor, noise: float, waited: int = 0) -> DictDataset:
    """Simulate the oscillator and add measurement noise.

    Parameters
    ----------
    name : str
        Name of the dataset.
    start : tensor of shape (n, 2)
        Initial states of the simulation.
    noise : float
        Standard deviation of the noise.
    waited : int, default 0
        Number of steps of 0.1 s to simulate before the first measurement.

    Returns
    -------
    DictDataset
        `seen`, of shape (n, 6, 2): measured states; `x`, of shape (n, 1, 2): the first of them.
    """
    states = simulate(VanDerPol(), start, waited + HORIZON)[:, waited:]
    seen = states + noise * torch.randn_like(states)
    return DictDataset({"seen": seen, "x": seen[:, :1].clone()}, name=name)


def everywhere(
    nsim: SampleCount = 500,
    far: Size = 2.5,
    noise: Noise = 0.0,
    batch_size: BatchSize = 50,
) -> DataSetup:
    """Measure trajectories of half a second from initial states that are uniformly distributed in a square.

    Parameters
    ----------
    nsim : int, default 500
        Number of trajectories in each of train, dev and test.
    far : float, default 2.5
        Largest absolute value of both initial states.
    noise : float, default 0.0
        Standard deviation of the measurement noise of each state.
    batch_size : int, default 50
        Number of trajectories in a training step.
    """

    def make_split(name: str) -> DictDataset:
        start = far * (2 * torch.rand(nsim, 2) - 1)
        return measured_trajectories(name, start, noise)

    return train_dev_test(make_split, batch_size)


def on_the_cycle(
    nsim: SampleCount = 500,
    waited: Steps = 100,
    noise: Noise = 0.0,
    batch_size: BatchSize = 50,
) -> DataSetup:
    """Measure trajectories after the oscillator has approached its limit cycle.

    Use it to see how a network that was trained on them predicts trajectories inside the limit cycle.

    Parameters
    ----------
    nsim : int, default 500
        Number of trajectories in each of train, dev and test.
    waited : int, default 100
        Number of steps of 0.1 s before the first measurement.
    noise : float, default 0.0
        Standard deviation of the measurement noise of each state.
    batch_size : int, default 50
        Number of trajectories in a training step.
    """

    def make_split(name: str) -> DictDataset:
        start = 5 * torch.rand(nsim, 2) - 2.5
        return measured_trajectories(name, start, noise, waited)

    return train_dev_test(make_split, batch_size)


def noisy(
    nsim: SampleCount = 500,
    far: Size = 2.5,
    noise: Noise = 0.1,
    batch_size: BatchSize = 50,
) -> DataSetup:
    """Measure all states with noise, including the initial state of the model.

    Use it to see how much of the noise the network learns.

    Parameters
    ----------
    nsim : int, default 500
        Number of trajectories in each of train, dev and test.
    far : float, default 2.5
        Largest absolute value of both initial states.
    noise : float, default 0.1
        Standard deviation of the measurement noise of each state.
    batch_size : int, default 50
        Number of trajectories in a training step.
    """
    return everywhere(nsim, far, noise, batch_size)


def few_trajectories(trajectories: FewSamples = 10, far: Size = 2.5, noise: Noise = 0.0) -> DataSetup:
    """Train on a small number of trajectories, which are repeated, and validate on 500.

    Use it to find out how few trajectories are sufficient.

    Parameters
    ----------
    trajectories : int, default 10
        Number of different trajectories in train.
    far : float, default 2.5
        Largest absolute value of both initial states.
    noise : float, default 0.0
        Standard deviation of the measurement noise of each state.
    """
    train, dev, test, batch_size = everywhere(far=far, noise=noise)
    return repeat_first_samples(train, trajectories), dev, test, batch_size


def predict(problem: Problem, start: Any) -> Any:
    """Predict the states over ten seconds from initial states.

    Parameters
    ----------
    problem : Problem
        Problem built by `van_der_pol`.
    start : array of shape (n, 2)
        Initial states.

    Returns
    -------
    array of shape (n, 101, 2)
        Predicted states, including the initial ones.
    """
    network = problem.nodes[0].nodes[0].callable.block
    return simulate(network, torch.as_tensor(start, dtype=torch.float32), PREDICTION_STEPS).numpy()


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw predictions over ten seconds from three initial states, with the true trajectories and some training data.

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
    figure, (plane_axes, time_axes) = create_figure(
        "states; dots: training data", "first state over time; dotted: true"
    )
    training_states = splits.train.datadict["seen"][:100].reshape(-1, 2)
    plane_axes.plot(training_states[:, 0], training_states[:, 1], ".", markersize=2, color=THEME.grid)

    start = np.array([[0.1, 0.0], [-2.5, 2.5], [2.5, -1.0]])
    all_predicted = predict(problem, start)
    all_true = simulate(VanDerPol(), torch.tensor(start, dtype=torch.float32), PREDICTION_STEPS).numpy()
    for predicted, true, color in zip(all_predicted, all_true, THEME.curves, strict=False):
        plane_axes.plot(predicted[:, 0], predicted[:, 1], color=color)
        plane_axes.plot(true[:, 0], true[:, 1], ":", color=THEME.faint)
        time_axes.plot(PREDICTION_TIMES, predicted[:, 0], color=color)
        time_axes.plot(PREDICTION_TIMES, true[:, 0], ":", color=THEME.faint)
    plane_axes.set(xlim=(-4, 4), ylim=(-4, 4), xlabel="first state", ylabel="second state")
    time_axes.set(ylim=(-4, 4), xlabel="time in s")
    return figure


def reference() -> Answer:
    """Integrate the oscillator over ten seconds from 25 initial states, with a relative tolerance of 1e-9.

    SciPy's implementation of DOP853 is used (Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I,
    1993).

    Returns
    -------
    mapping
        `states`, array of shape (25, 101, 2): states at each step of 0.1 s.
    """
    from scipy.integrate import solve_ivp

    coordinates = np.linspace(-2.5, 2.5, 5)
    initial_states = np.stack(np.meshgrid(coordinates, coordinates), -1).reshape(-1, 2) + 0.1
    trajectories = []
    for initial_state in initial_states:
        solution = solve_ivp(
            lambda _, x: derivatives(x),
            (0, PREDICTION_TIMES[-1]),
            initial_state,
            method="DOP853",
            t_eval=PREDICTION_TIMES,
            rtol=1e-9,
            atol=1e-9,
        )
        trajectories.append(solution.y.T)
    return {"states": np.stack(trajectories)}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare predictions over ten seconds with the true states.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `open loop`: root mean square distance to the true states; `worst start`: the same for the initial state from
        which it is largest.
    """
    true = reference["states"]
    squared_distances = ((predict(problem, true[:, 0]) - true) ** 2).sum(-1)
    return {
        "open loop": float(np.sqrt(squared_distances.mean())),
        "worst start": float(np.sqrt(squared_distances.mean(1).max())),
    }


example = Example(
    name="van_der_pol",
    title="The Van der Pol oscillator as a neural ODE",
    kind="learning to model",
    summary="A network in a Runge–Kutta step learns the differential equation of an oscillator from trajectories of "
    "half a second. It is checked on predictions over ten seconds.",
    source="Van der Pol, Philosophical Magazine 2 (1926), 978; neural ODEs: Chen et al., NeurIPS 2018, "
    "arXiv:1806.07366; reference by DOP853 (Hairer, Nørsett and Wanner, Solving ODEs I, 1993) through SciPy",
    problem=van_der_pol,
    data=functions_by_name(everywhere, on_the_cycle, noisy, few_trajectories),
    options=TrainerOptions(max_epochs=45, lr=0.03, optimizer="Adam", lr_scheduler="CosineAnnealingLR"),
    seconds=6,
    view=view,
    reference=reference,
    error=error,
    tolerance={"open loop": 0.3, "worst start": 1.0},
    why="The states have absolute values of up to 2.7. Over ten seconds, trained networks have a root mean square "
    "error of 0.1, mostly a phase error on the correct limit cycle; untrained ones have 3 to 5. The error is largest "
    "for initial states near the origin, because it grows together with the amplitude.",
)
