"""Van der Pol's oscillator: a neural ODE learns what drives it from short trajectories, and goes on for a long time."""

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

from nmlab.data import Splits
from nmlab.gallery.canvas import THEME, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, FewSamples, SampleCount, repeat_first_samples, train_dev_test
from nmlab.options import TrainerOptions

STEP, HORIZON, LONG = 0.1, 5, 100
"""Seconds between two states; steps of a trajectory to learn from, and of one to check: one and a half periods."""
SECONDS = STEP * np.arange(LONG + 1)
Far = Annotated[float, Field(gt=0, le=5, description="Largest absolute value of both states at the start.")]
Noise = Annotated[float, Field(ge=0, le=1, description="Standard deviation of what is added to every state seen.")]
Waited = Annotated[int, Field(ge=0, le=1000, description="Steps before the trajectories begin.")]


def slope(x: Any) -> Any:
    """Return the time derivative of states (…, 2), arrays or tensors alike, as a list of its two parts."""
    return [x[..., 1], (1 - x[..., 0] ** 2) * x[..., 1] - x[..., 0]]


class Truth(torch.nn.Module):
    """The oscillator itself, where a network could be."""

    in_features, out_features = 2, 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack(slope(x), -1)


def rollout(block: torch.nn.Module, start: torch.Tensor, steps: int) -> torch.Tensor:
    """Return the states (start, step, 2) that follow from these starts, themselves the first."""
    step, states = RK4(block, h=STEP), [start]
    with torch.no_grad():
        for _ in range(steps):
            states.append(step(states[-1]))
    return torch.stack(states, 1)


def van_der_pol() -> Problem:
    """Build a network for the derivative within RK4's step, rolled out and trained on the states seen on the way."""
    network = MLP(insize=2, outsize=2, nonlin=torch.nn.GELU, hsizes=[64, 64])
    step = Node(RK4(network, h=STEP), ["x"], ["x"], name="step")
    way = ((variable("x")[:, 1:, :] - variable("seen")[:, 1:, :]) ** 2).minimize(name="way")
    return Problem([System([step], name="model", nsteps=HORIZON)], PenaltyLoss([way], []))


def everywhere(nsim: SampleCount = 500, far: Far = 2.5, noise: Noise = 0.0, batch_size: BatchSize = 50) -> DataSetup:
    """Follow the oscillator for half a second from starts all over a square."""
    return train_dev_test(lambda name: windows(name, far * (2 * torch.rand(nsim, 2) - 1), noise), batch_size)


def on_the_cycle(
    nsim: SampleCount = 500, waited: Waited = 100, noise: Noise = 0.0, batch_size: BatchSize = 50
) -> DataSetup:
    """Come late, when the oscillator has long gone round its cycle. What will the network say of the inside?"""
    return train_dev_test(lambda name: windows(name, 5 * torch.rand(nsim, 2) - 2.5, noise, waited), batch_size)


def noisy(nsim: SampleCount = 500, far: Far = 2.5, noise: Noise = 0.1, batch_size: BatchSize = 50) -> DataSetup:
    """Measure all states with noise, the first too, from which the model starts. How much of it is learnt?"""
    return everywhere(nsim, far, noise, batch_size)


def few_trajectories(trajectories: FewSamples = 10, far: Far = 2.5, noise: Noise = 0.0) -> DataSetup:
    """Train on a few trajectories over and over and test on many. How few does the network need?"""
    train, *others = everywhere(far=far, noise=noise)
    return repeat_first_samples(train, trajectories), *others


def windows(name: str, start: torch.Tensor, noise: float, waited: int = 0) -> DictDataset:
    """Return the states seen from these starts on, and the first of them, where the model starts."""
    states = rollout(Truth(), start, waited + HORIZON)[:, waited:]
    seen = states + noise * torch.randn_like(states)
    return DictDataset({"seen": seen, "x": seen[:, :1].clone()}, name=name)


def predicted(problem: Problem, start: Any, steps: int = LONG) -> Any:
    """Return the states (start, step, 2) that the network predicts from these starts alone."""
    network = problem.nodes[0].nodes[0].callable.block
    return rollout(network, torch.as_tensor(start, dtype=torch.float32), steps).numpy()


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw ways over ten seconds from three starts, the oscillator's own dotted, over the states to learn from."""
    figure, (plane, time) = create_figure("states; dots: to learn from", "first state by seconds; dotted: true")
    start = np.array([[0.1, 0.0], [-2.5, 2.5], [2.5, -1.0]])
    plane.plot(*splits.train.datadict["seen"][:100].reshape(-1, 2).T, ".", markersize=2, color=THEME.grid)
    true = rollout(Truth(), torch.tensor(start, dtype=torch.float32), LONG).numpy()
    for learnt, other, color in zip(predicted(problem, start), true, THEME.curves, strict=False):
        plane.plot(*learnt.T, color=color)
        plane.plot(*other.T, ":", color=THEME.faint)
        time.plot(SECONDS, learnt[:, 0], color=color)
        time.plot(SECONDS, other[:, 0], ":", color=THEME.faint)
    plane.set(xlim=(-4, 4), ylim=(-4, 4), xlabel="first state", ylabel="second state")
    time.set(ylim=(-4, 4), xlabel="seconds")
    return figure


def reference() -> Answer:
    """Integrate the oscillator's own equation for ten seconds from 25 starts, by SciPy to nine digits."""
    from scipy.integrate import solve_ivp

    ways = [
        solve_ivp(lambda _, x: slope(x), (0, SECONDS[-1]), start, "DOP853", SECONDS, rtol=1e-9, atol=1e-9).y.T
        for start in np.stack(np.meshgrid(*[np.linspace(-2.5, 2.5, 5)] * 2), -1).reshape(-1, 2) + 0.1
    ]
    return {"states": np.stack(ways)}


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Return the distance to the true states over ten seconds, its root mean square and the worst start's."""
    true = reference["states"]
    squares = ((predicted(problem, true[:, 0]) - true) ** 2).sum(-1)
    return {"open loop": float(np.sqrt(squares.mean())), "worst start": float(np.sqrt(squares.mean(1).max()))}


example = Example(
    name="van_der_pol",
    title="Van der Pol’s oscillator as a neural ODE",
    kind="learning to model",
    summary="A network within a Runge–Kutta step learns an oscillator’s differential equation from trajectories of "
    "half a second. It is marked by how far it goes astray in ten.",
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
    why="States are up to 2.7 in size. Over ten seconds trained networks are 0.1 off in the mean, ahead or behind "
    "on the right cycle; untrained ones 3 to 5. Worst are starts near the origin, whence errors grow with the swing.",
)
