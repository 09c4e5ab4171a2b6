"""A fit in a process of its own beside one in the kernel's thread: from the call to the first epoch, and an epoch.

Epochs are compared in pairs of fits that take turns, by the seconds that the runs' rows say. The interval is that of
Student's t over the logarithms of the pairs' ratios.
"""

import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t

from nmlab import TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.launch.server import end_server
from tests.benchmark.goals import PROCESS_EPOCH, PROCESS_START
from tests.benchmark.problems import CASES, Case
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale

PROBLEMS = ("Rosenbrock", "double integrator")
STARTS = {"thread": "in the kernel's thread", "cold": "in a process, the first", "warm": "in a process, a later one"}


def measure(scale: Scale) -> Result:
    cases = [case for case in CASES if case.name in PROBLEMS and scale.wants(case.name)]
    starts: dict[str, list[float]] = {kind: [] for kind in STARTS}
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for _ in range(scale.rounds):
            starts["thread"].append(start(cases[0], "thread", Path(folder)))
            end_server()
            starts["cold"].append(start(cases[0], "process", Path(folder)))
            starts["warm"].append(start(cases[0], "process", Path(folder)))
        for case in cases:
            pairs = 2 * scale.rounds
            ratios[case.name] = [pair(case, scale.seconds / 2, Path(folder), turn) for turn in range(pairs)]
    rows = [[STARTS[kind], f"{statistics.median(taken):.2f}"] for kind, taken in starts.items()]
    spans = {name: interval(found) for name, found in ratios.items()}
    epochs = [[name, f"{mean:.3f}", f"{low:.3f}–{high:.3f}"] for name, (mean, low, high) in spans.items()]
    tables = [
        Table("From the call of a fit to its first epoch", ["", "s"], rows),
        Table("An epoch in a process / in a thread", ["problem", "×", "95 % interval"], epochs),
    ]
    figures = {PROCESS_START: statistics.median(starts["warm"])}
    figures |= {PROCESS_EPOCH.format(name): mean for name, (mean, _, _) in spans.items()}
    return Result(tables, figures, {"starts": starts, "ratios": ratios})


def fit_of(case: Case, launch: str, folder: Path, epochs: int) -> Any:
    torch.manual_seed(0)
    options = TrainerOptions(max_epochs=epochs, seed=0, launch=launch, accelerator="cpu")  # type: ignore[arg-type]
    return make_fit(FitRequest(case.problem(), case.data, options, runs_dir=folder, echo=False))


def start(case: Case, launch: str, folder: Path) -> float:
    """Seconds from the call to the first row of the record."""
    fit = fit_of(case, launch, folder, 1)
    began = time.perf_counter()
    fit.start()
    while not fit.run.epochs:
        time.sleep(0.005)
    taken = time.perf_counter() - began
    fit.wait()
    return taken


def pair(case: Case, seconds: float, folder: Path, turn: int) -> float:
    """How many times as long an epoch takes in a process; who comes first alternates."""
    taken: dict[str, float] = {}
    for launch in ("thread", "process") if turn % 2 else ("process", "thread"):
        fit = fit_of(case, launch, folder, 10**7)
        fit.start()
        began = time.perf_counter()
        while time.perf_counter() - began < seconds / 2 or fit.run.epochs < 3:
            time.sleep(0.05)
        fit.control.stop()
        fit.wait()
        taken[launch] = statistics.median(fit.run.column("seconds")[1:])
    return taken["process"] / taken["thread"]


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The geometric mean of ratios, and its 95 % interval."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)
