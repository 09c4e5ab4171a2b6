"""Learning to model: a Koopman model of a stirred tank reactor, which is linear in latent states that networks compute.

The reactor is CSTR of NeuroMANCER's psl (after APMonitor, Hedengren). Its outputs y are the concentration in mol/m³ and
the temperature in K, its input is the temperature of the cooling jacket in K. With scaled outputs y and input u, the
model is ::

    z[0] = encoder(y[0])
    z[k+1] = K z[k] + B u[k] + b
    y[k] = decoder(z[k])

where encoder and decoder are networks (deep Koopman: Lusch, Kutz and Brunton, Nature Communications 9 (2018), 4950).
The matrix K is scaled such that its largest singular value is at most 0.99, so the model is stable, as in NeuroMANCER's
Koopman examples.
"""

from functools import cache
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.psl.nonautonomous import CSTR
from neuromancer.system import Node, System
from pydantic import Field

from nmlab.data.splits import Splits
from nmlab.gallery.canvas import THEME, add_legend, create_figure
from nmlab.gallery.example import Answer, Example, functions_by_name
from nmlab.gallery.samples import BatchSize, DataSetup, SampleCount, train_dev_test
from nmlab.options import TrainerOptions

LATENT_SIZE = 8  # latent states
MAX_SINGULAR_VALUE = 0.99
STEP = 0.1  # min
HORIZON = 20  # steps of a training trajectory
PREDICTION_STEPS = 100  # steps of a prediction in the check
OUTPUT_CENTRE = np.array([0.87, 325.0])  # mol/m³, K
OUTPUT_SCALE = np.array([0.05, 4.0])  # mol/m³, K
INPUT_CENTRE = 300  # K
INPUT_SCALE = 3  # K

TemperatureDifference = Annotated[float, Field(gt=0, le=5)]
Noise = Annotated[float, Field(ge=0, le=1)]


@cache
def reactor() -> CSTR:
    """Return psl's reactor. It is created only once, because it simulates itself on creation.

    Returns
    -------
    CSTR
        The reactor.
    """
    return CSTR()


def simulate(jacket: Any) -> Any:
    """Simulate the reactor from its steady state, by the classical Runge-Kutta method.

    Parameters
    ----------
    jacket : array of shape (n, steps, 1)
        Temperature of the jacket in each step, as a difference to 300 K in K.

    Returns
    -------
    array of shape (n, steps + 1, 2)
        Scaled concentration and temperature, including the initial ones.
    """
    cstr = reactor()
    x = np.tile([[cstr.Ca_ss], [cstr.T_ss]], len(jacket))
    states = [x]
    for u in INPUT_CENTRE + jacket[..., 0].T:
        k1 = np.array(cstr.equations(0.0, x, [u]))
        k2 = np.array(cstr.equations(0.0, x + STEP / 2 * k1, [u]))
        k3 = np.array(cstr.equations(0.0, x + STEP / 2 * k2, [u]))
        k4 = np.array(cstr.equations(0.0, x + STEP * k3, [u]))
        x = x + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(x)
    outputs = np.moveaxis(np.array(states), 2, 0)
    return (outputs - OUTPUT_CENTRE) / OUTPUT_SCALE


class Koopman(torch.nn.Module):
    """One step of the latent states, z[k+1] = K z[k] + B u[k] + b, with a bounded matrix K.

    The trained parameters are the matrix `free`, from which K is computed by scaling, and the linear layer `inputs`
    with the weight B and the bias b.
    """

    def __init__(self) -> None:
        super().__init__()
        self.free = torch.nn.Parameter(torch.eye(LATENT_SIZE) + 0.1 * torch.randn(LATENT_SIZE, LATENT_SIZE))
        self.inputs = torch.nn.Linear(1, LATENT_SIZE)

    def operator(self) -> torch.Tensor:
        """Return the matrix K, whose largest singular value is at most `MAX_SINGULAR_VALUE`.

        The absolute values of the eigenvalues do not exceed the largest singular value.

        Returns
        -------
        tensor of shape (8, 8)
            Matrix K.
        """
        scaled = MAX_SINGULAR_VALUE * self.free
        largest_singular_value = torch.linalg.matrix_norm(self.free, 2)
        return scaled / largest_singular_value.clamp(min=1.0)  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the latent states of the next step."""
        return x @ self.operator().T + self.inputs(u)  # type: ignore[no-any-return]


def koopman_cstr() -> Problem:
    """Build the Problem: encoder, linear model and decoder, and the prediction errors of outputs and latent states.

    The latent states are compared with the encoded outputs of the same step.

    Returns
    -------
    Problem
        Problem with inputs `start` (first outputs), `u` (inputs) and `seen` (measured outputs).
    """
    encoder = MLP(2, LATENT_SIZE, hsizes=[32, 32], nonlin=torch.nn.ELU)
    decoder = MLP(LATENT_SIZE, 2, hsizes=[32, 32], nonlin=torch.nn.ELU)
    step = Node(Koopman(), ["x", "u"], ["x"], name="koopman")
    nodes = [
        Node(encoder, ["start"], ["x"], name="start"),
        Node(encoder, ["seen"], ["encoded"], name="targets"),
        System([step], name="model", nsteps=HORIZON),
        Node(decoder, ["x"], ["y"], name="decoder"),
    ]

    output_error = variable("y") - variable("seen")
    latent_error = variable("x") - variable("encoded")
    objectives = [
        (output_error**2).minimize(weight=10.0, name="outputs"),
        (latent_error**2).minimize(name="latent"),
    ]
    return Problem(nodes, PenaltyLoss(objectives, []))


def measured_trajectories(name: str, nsim: int, low: float, high: float, noise: float) -> DictDataset:
    """Simulate runs in which the jacket temperature changes every 15 steps, and measure their last 20 steps.

    Parameters
    ----------
    name : str
        Name of the dataset.
    nsim : int
        Number of runs.
    low, high : float
        Limits of the jacket temperature, as differences to 300 K in K.
    noise : float
        Standard deviation of the noise on the scaled outputs.

    Returns
    -------
    DictDataset
        `seen`, of shape (nsim, 21, 2): scaled outputs; `start`, of shape (nsim, 1, 2): the first of them; `u`, of shape
        (nsim, 20, 1): scaled inputs.
    """
    levels = low + (high - low) * torch.rand(nsim, 7, 1)
    jacket = levels.repeat_interleave(15, 1)
    outputs = simulate(jacket.numpy())[:, -HORIZON - 1 :]
    seen = torch.tensor(outputs, dtype=torch.float32)
    seen += noise * torch.randn_like(seen)
    return DictDataset({"seen": seen, "start": seen[:, :1].clone(), "u": jacket[:, -HORIZON:] / INPUT_SCALE}, name=name)


def around(
    nsim: SampleCount = 300,
    swing: TemperatureDifference = 3.0,
    noise: Noise = 0.0,
    batch_size: BatchSize = 50,
) -> DataSetup:
    """Draw jacket temperatures below and above 300 K.

    Parameters
    ----------
    nsim : int, default 300
        Number of runs in each of train, dev and test.
    swing : float, default 3.0
        Largest difference of the jacket temperature to 300 K, in K.
    noise : float, default 0.0
        Standard deviation of the measurement noise on the scaled outputs.
    batch_size : int, default 50
        Number of runs in a training step.
    """
    return train_dev_test(lambda name: measured_trajectories(name, nsim, -swing, swing, noise), batch_size)


def cold(
    nsim: SampleCount = 300,
    swing: TemperatureDifference = 3.0,
    noise: Noise = 0.0,
    batch_size: BatchSize = 50,
) -> DataSetup:
    """Draw jacket temperatures below 300 K only, where the reaction is slow.

    Use it to see what a model that was trained on them predicts for a warmer jacket.

    Parameters
    ----------
    nsim : int, default 300
        Number of runs in each of train, dev and test.
    swing : float, default 3.0
        Largest difference of the jacket temperature to 300 K, in K.
    noise : float, default 0.0
        Standard deviation of the measurement noise on the scaled outputs.
    batch_size : int, default 50
        Number of runs in a training step.
    """
    return train_dev_test(lambda name: measured_trajectories(name, nsim, -swing, 0.0, noise), batch_size)


def predict(problem: Problem, start: Any, inputs: Any) -> Any:
    """Predict the outputs from the first outputs and all inputs.

    Parameters
    ----------
    problem : Problem
        Problem built by `koopman_cstr`.
    start : array of shape (n, 2)
        Scaled outputs at the start.
    inputs : array of shape (n, steps, 1)
        Scaled inputs.

    Returns
    -------
    array of shape (n, steps + 1, 2)
        Predicted scaled outputs, including those at the start.
    """
    encoder = problem.nodes[0].callable
    linear_model = problem.nodes[2].nodes[0].callable
    decoder = problem.nodes[3].callable
    with torch.no_grad():
        x = encoder(torch.tensor(start, dtype=torch.float32))
        states = [x]
        for u in torch.tensor(inputs, dtype=torch.float32).unbind(1):
            x = linear_model(x, u)
            states.append(x)
        return decoder(torch.stack(states, 1)).numpy()


def eigenvalues(problem: Problem) -> Any:
    """Return the eigenvalues of the matrix K.

    Parameters
    ----------
    problem : Problem
        Problem built by `koopman_cstr`.

    Returns
    -------
    array of shape (8,)
        Complex eigenvalues.
    """
    linear_model = problem.nodes[2].nodes[0].callable
    return np.linalg.eigvals(linear_model.operator().detach().numpy())


def view(problem: Problem, splits: Splits) -> Figure:
    """Draw the predicted and the true outputs of a run of ten minutes, and the eigenvalues in the complex plane.

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
    figure, (time_axes, plane_axes) = create_figure(
        "scaled outputs of an unseen run; dotted: true", "eigenvalues; dotted: bound"
    )
    answer = reference()
    true = answer["outputs"][:1]
    inputs = answer["inputs"][:1]
    predicted = predict(problem, true[:, 0], inputs)
    minutes = STEP * np.arange(PREDICTION_STEPS + 1)
    for output, name in enumerate(("concentration", "temperature")):
        time_axes.plot(minutes, predicted[0, :, output], color=THEME.curves[output], label=name)
        time_axes.plot(minutes, true[0, :, output], ":", color=THEME.curves[output])
    time_axes.set(ylim=(-3, 3), xlabel="time in min")
    add_legend(time_axes)

    values = eigenvalues(problem)
    angle = np.linspace(0, 2 * np.pi, 100)
    plane_axes.plot(values.real, values.imag, "o")
    plane_axes.plot(MAX_SINGULAR_VALUE * np.cos(angle), MAX_SINGULAR_VALUE * np.sin(angle), ":", color=THEME.faint)
    plane_axes.set(aspect="equal", xlabel="real part", ylabel="imaginary part")
    return figure


def reference() -> Answer:
    """Simulate ten unseen runs, in which the jacket temperature changes every 20 steps, and return ten minutes of each.

    Returns
    -------
    mapping
        `outputs`, array of shape (10, 101, 2): scaled outputs; `inputs`, array of shape (10, 100, 1): scaled inputs.
    """
    rng = np.random.default_rng(0)
    levels = rng.uniform(-3, 3, (10, 8, 1))
    jacket = levels.repeat(20, 1)
    outputs = simulate(jacket)
    return {
        "outputs": outputs[:, -PREDICTION_STEPS - 1 :],
        "inputs": jacket[:, -PREDICTION_STEPS:] / INPUT_SCALE,
    }


def error(problem: Problem, reference: Answer) -> dict[str, float]:
    """Compare predictions over ten minutes with the true outputs, and compute the largest eigenvalue.

    Parameters
    ----------
    problem : Problem
        Trained Problem.
    reference : mapping
        What `reference` returns.

    Returns
    -------
    dict
        `open loop`: root mean square error of the predictions relative to the standard deviation of the outputs;
        `largest eigenvalue`: largest absolute value of the eigenvalues.
    """
    true = reference["outputs"]
    prediction_error = predict(problem, true[:, 0], reference["inputs"]) - true
    mean_variance = true.var((0, 1)).mean()
    return {
        "open loop": float(np.sqrt((prediction_error**2).mean() / mean_variance)),
        "largest eigenvalue": float(np.abs(eigenvalues(problem)).max()),
    }


example = Example(
    name="koopman_cstr",
    title="A stirred tank reactor as a stable Koopman model",
    kind="learning to model",
    summary="Networks learn latent states of a chemical reactor in which its dynamics are linear. The linear model is "
    "stable by construction.",
    source="Deep Koopman: Lusch, Kutz and Brunton, Nature Communications 9 (2018), 4950; stability as in NeuroMANCER’s "
    "Koopman examples; reactor: NeuroMANCER’s psl, after APMonitor (Hedengren)",
    problem=koopman_cstr,
    data=functions_by_name(around, cold),
    options=TrainerOptions(max_epochs=50, lr=0.02, optimizer="Adam", lr_scheduler="CosineAnnealingLR"),
    seconds=6,
    view=view,
    reference=reference,
    error=error,
    tolerance={"open loop": 0.19, "largest eigenvalue": MAX_SINGULAR_VALUE + 1e-4},
    why="The reactor is nonlinear. With eight latent states, trained models have a relative error of about 12 % over "
    "ten minutes, untrained ones of about 100 %. The scaling of the matrix guarantees the bound on the eigenvalues.",
)
