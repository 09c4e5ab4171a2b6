"""A fit in a process of its own beside one in the kernel's thread: from the call to the first epoch, and an epoch.

And one that two processes share beside one of a single process, each with one thread, where steps take long.

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
from tests.benchmark.goals import DEVICES_SPEED, PROCESS_EPOCH, PROCESS_START
from tests.benchmark.problems import CASES, Case
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale

PROBLEMS = ("Rosenbrock", "double integrator")
LONG = "10⁶ samples"
STARTS = {"thread": "in the kernel's thread", "cold": "in a process, the first", "warm": "in a process, a later one"}
STARTS["two"] = "in two processes that share it"


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
            starts["two"].append(start(cases[0], "process", Path(folder), 2))
        for case in cases:
            pairs = 2 * scale.rounds
            ratios[case.name] = [pair(case, scale.seconds / 2, Path(folder), turn) for turn in range(pairs)]
        long = next(case for case in CASES if case.name == LONG)
        speed = [shared(long, Path(folder), turn) for turn in range(2 * scale.rounds)] if scale.wants(LONG) else []
    rows = [[STARTS[kind], f"{statistics.median(taken):.2f}"] for kind, taken in starts.items()]
    spans = {name: interval(found) for name, found in ratios.items()}
    epochs = [[name, f"{mean:.3f}", f"{low:.3f}–{high:.3f}"] for name, (mean, low, high) in spans.items()]
    tables = [
        Table("From the call of a fit to its first epoch", ["", "s"], rows),
        Table("An epoch in a process / in a thread", ["problem", "×", "95 % interval"], epochs),
    ]
    if speed:
        mean, low, high = interval(speed)
        row = [LONG, f"{mean:.2f}", f"{low:.2f}–{high:.2f}"]
        tables.append(Table("An epoch on one process / on two that share it", ["problem", "×", "95 % interval"], [row]))
    figures = {PROCESS_START: statistics.median(starts["warm"])}
    figures |= {PROCESS_EPOCH.format(name): mean for name, (mean, _, _) in spans.items()}
    figures |= {DEVICES_SPEED.format(LONG): interval(speed)[0]} if speed else {}
    return Result(tables, figures, {"starts": starts, "ratios": ratios, "speed": speed})


def fit_of(case: Case, launch: str, folder: Path, epochs: int, devices: int = 1, **data_kwargs: int) -> Any:
    torch.manual_seed(0)
    given: dict[str, Any] = {"max_epochs": epochs, "launch": launch, "devices": devices}
    options = TrainerOptions(**given, seed=0, accelerator="cpu")
    return make_fit(FitRequest(case.problem(), case.data, options, data_kwargs, runs_dir=folder, echo=False))


def start(case: Case, launch: str, folder: Path, devices: int = 1) -> float:
    """Seconds from the call to the first row of the record."""
    fit = fit_of(case, launch, folder, 1, devices)
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


def shared(case: Case, folder: Path, turn: int) -> float:
    """How many times as long an epoch takes on one process as on two; who comes first alternates."""
    taken: dict[int, float] = {}
    threads = torch.get_num_threads()
    for devices in (1, 2) if turn % 2 else (2, 1):
        torch.set_num_threads(devices)  # which they share
        try:
            run = fit_of(case, "process", folder, 4, devices, **case.smaller).run_to_end()
        finally:
            torch.set_num_threads(threads)
        taken[devices] = statistics.median(run.column("seconds")[1:])
    return taken[1] / taken[2]


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The geometric mean of ratios, and its 95 % interval."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)
