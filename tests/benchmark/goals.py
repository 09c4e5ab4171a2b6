"""What is to be reached, all in one place; a part of the benchmark says what it found under the same words."""

from dataclasses import dataclass

PAGE = "in the kernel, bench on screen"
EVERY = ("Rosenbrock", "double integrator", "Van der Pol neural ODE", "diffusion PINN", "10⁶ samples")


@dataclass(frozen=True)
class Goal:
    """A bound on a figure: at most so much, or at least; with its unit."""

    bound: float
    at_least: bool = False
    unit: str = "×"

    def reached(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}"


def against_plain(problem: str, where: str = "headless") -> str:
    return f"{problem}, {where}: nmlab / plain loop"


def against_nmlab(problem: str, where: str = "headless", peer: str = "LitTrainer") -> str:
    return f"{problem}, {where}: {peer} / nmlab"


def against_trainer(problem: str) -> str:
    return f"{problem}, headless: nmlab.Trainer / NeuroMANCER's Trainer"


END_OF_LONG = "an epoch at the end of the longest fit / of one of 10³ epochs"
COLD = "kernel's start to first drawn epoch: nmlab / LitTrainer"
SESSION = "memory of a session: server, kernel with a fit, TensorBoard"
SWAPS = "peak memory after three swaps / size of the data"
LARGE_FILE = "peak memory of reading and previewing a file of 400 MB / size of its numbers"
LARGE_PREVIEW = "preview of a file of 400 MB"
EDIT = "an edit in the form of options, answered"
CHOICE = "a choice among 3000, taken"
PRINTS = "10 000 lines printed into a run's log"
RUNS = "the table of 50 runs of 200 epochs, read"
LOADER = "an epoch of 79 batches from the loader, {}"
PROCESS_START = "a warm process: from the call to the first epoch"
PROCESS_EPOCH = "{}: an epoch in a process / in a thread"
DEVICES_SPEED = "{}: an epoch on 1 / on 2 processes of a thread each"

GOALS = {
    **{
        against_plain(problem, where): Goal(0.8 if problem == "Rosenbrock" else 1.0)
        for where in ("headless", PAGE)
        for problem in EVERY
    },
    against_nmlab("Rosenbrock"): Goal(3.0, at_least=True),
    against_nmlab("Rosenbrock", PAGE): Goal(4.0, at_least=True),
    against_nmlab("double integrator"): Goal(8.0, at_least=True),
    against_nmlab("double integrator", PAGE): Goal(8.0, at_least=True),
    against_trainer("Rosenbrock"): Goal(0.8),
    against_trainer("double integrator"): Goal(0.3),
    COLD: Goal(0.25),
    SESSION: Goal(1.5, unit="GB"),
    f"nmlab: {END_OF_LONG}": Goal(1.1),
    f"nmlab, bench drawn: {END_OF_LONG}": Goal(1.1),
    SWAPS: Goal(1.2),
    LARGE_FILE: Goal(2.0),
    LARGE_PREVIEW: Goal(5.0, unit="s"),
    EDIT: Goal(5.0, unit="ms"),
    CHOICE: Goal(50.0, unit="ms"),
    PRINTS: Goal(1000.0, unit="ms"),
    RUNS: Goal(250.0, unit="ms"),
    LOADER.format("plain"): Goal(0.5, unit="ms"),
    LOADER.format("shuffled"): Goal(0.5, unit="ms"),
    PROCESS_START: Goal(2.0, unit="s"),
    DEVICES_SPEED.format("10⁶ samples"): Goal(1.6, at_least=True),
    **{PROCESS_EPOCH.format(problem): Goal(1.05) for problem in ("Rosenbrock", "double integrator")},
}
