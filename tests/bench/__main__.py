"""Times an epoch of nmlab against the plain PyTorch loop and NeuroMANCER's LitTrainer, and the bench on screen.

Called by `python -m tests.bench`; the start of a kernel and a session's memory come last.

The three take turns on the same problem and data, so that a machine's noise hits all alike; what counts is the ratio
of their medians. Arguments: rounds (default 5), epochs a round (default 10).
"""

import contextlib
import io
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules import blocks
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from neuromancer.trainer import LitTrainer

import nmlab
from tests.bench import cold, memory, panel
from tests.bench.plain import plain_loop


def rosenbrock() -> Any:
    """The first notebook's problem: a network maps (a, p) to the minimiser, two constraints."""
    net = blocks.MLP(2, 2, nonlin=torch.nn.ReLU, hsizes=[80] * 4)
    x, y = variable("z")[:, [0]], variable("z")[:, [1]]
    a, p = variable("ap")[:, [0]], variable("ap")[:, [1]]
    objective = ((1 - x) ** 2 + a * (y - x**2) ** 2).minimize(name="objective")
    constraints = [100 * (x >= y), 100 * ((p / 2) ** 2 <= x**2 + y**2), 100 * (x**2 + y**2 <= p**2)]
    return Problem([Node(net, ["ap"], ["z"], name="map")], PenaltyLoss([objective], constraints))


def rosenbrock_data() -> Any:
    """5000 samples a split, batches of 64."""

    def split(name: str) -> DictDataset:
        return DictDataset({"ap": torch.rand(5000, 2) * torch.tensor([1.0, 1.5]) + torch.tensor([0.2, 0.5])}, name)

    return split("train"), split("dev"), split("test"), 64


def integrator() -> Any:
    """A double integrator under neural control, rolled out two steps."""
    policy = Node(blocks.MLP_bounds(2, 1, hsizes=[20] * 4, min=-1.0, max=1.0), ["x"], ["u"], name="policy")
    a, b = torch.tensor([[1.2, 1.0], [0.0, 1.0]]), torch.tensor([[1.0], [0.5]])
    plant = Node(lambda x, u: x @ a.T + u @ b.T, ["x", "u"], ["x"], name="plant")
    x, u = variable("x"), variable("u")
    loss = PenaltyLoss([(x**2).minimize(weight=5.0, name="state"), (u**2).minimize(name="input")], [10.0 * (x < 10.0)])
    return Problem([System([policy, plant], nsteps=2, name="loop")], loss)


def integrator_data() -> Any:
    """3333 start states a split, full batches."""

    def split(name: str) -> DictDataset:
        return DictDataset({"x": 3.0 * torch.randn(3333, 1, 2)}, name)

    return split("train"), split("dev"), split("test"), 3333


def by_plain_loop(problem: Any, data: Callable[[], Any], epochs: int, folder: Path) -> None:
    train, dev, _, batch_size = data()
    plain_loop(problem, train, dev, batch_size, epochs)


def by_nmlab(problem: Any, data: Callable[[], Any], epochs: int, folder: Path) -> None:
    """With rows, checkpoints and TensorBoard events, as a user gets it."""
    nmlab.fit(problem, data, nmlab.TrainerOptions(max_epochs=epochs, accelerator="cpu"), runs_dir=folder)


def by_lit_trainer(problem: Any, data: Callable[[], Any], epochs: int, folder: Path) -> None:
    trainer = LitTrainer(epochs=epochs, accelerator="cpu", devices=1, weight_path=str(folder))
    trainer.fit(problem, data)


CONTESTANTS = {"plain loop": by_plain_loop, "nmlab": by_nmlab, "LitTrainer": by_lit_trainer}
PROBLEMS = {"Rosenbrock": (rosenbrock, rosenbrock_data), "double integrator": (integrator, integrator_data)}


def seconds_an_epoch(contestant: Callable[..., None], problem: Any, data: Callable[[], Any], epochs: int) -> float:
    """The slope between a short and a long fit, so that starting up is left out."""
    torch.manual_seed(0)
    short, long = max(1, epochs // 5), epochs
    taken = []
    for number in (short, long):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, quiet(Path(folder)):
            start = time.perf_counter()
            contestant(problem(), data, number, Path(folder))
            taken.append(time.perf_counter() - start)
    return (taken[1] - taken[0]) / (long - short)


@contextlib.contextmanager
def quiet(folder: Path) -> Any:
    """Keep what the peers print off the table, and their lightning_logs out of the working directory."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.chdir(folder):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield


def import_seconds(statement: str, rounds: int) -> float:
    """The quickest of some fresh interpreters' imports, less an interpreter's own start."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    empty = min(once("pass") for _ in range(rounds))
    return min(once(statement) for _ in range(rounds)) - empty


def cpu_name() -> str:
    """The processor's name where the system tells it, else its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main(rounds: int = 5, epochs: int = 10) -> None:
    """Print the table."""
    threads = torch.get_num_threads()
    print(f"{cpu_name()}, {os.cpu_count()} cores, {threads} torch threads")
    print(f"Python {platform.python_version()}, torch {torch.__version__}; {rounds} rounds of {epochs} epochs\n")
    print(f"{'problem':18s} {'contestant':12s} {'s/epoch':>9s} {'x plain':>9s}")
    for name, (problem, data) in PROBLEMS.items():
        count = epochs if problem is rosenbrock else 20 * epochs
        taken: dict[str, list[float]] = {contestant: [] for contestant in CONTESTANTS}
        for _ in range(rounds):
            for contestant, run in CONTESTANTS.items():
                taken[contestant].append(seconds_an_epoch(run, problem, data, count))
        plain = statistics.median(taken["plain loop"])
        for contestant, seconds in taken.items():
            median = statistics.median(seconds)
            print(f"{name:18s} {contestant:12s} {median:9.4f} {median / plain:9.2f}", flush=True)
    print()
    for statement in ("import nmlab", "import nmlab, neuromancer", "import torch, lightning.pytorch"):
        print(f"{statement:34s} {import_seconds(statement, 3):6.2f} s")
    print()
    panel.main(rosenbrock, rosenbrock_data, rounds, 4 * epochs)
    print()
    cold.main(min(rounds, 3))
    print()
    memory.main()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
