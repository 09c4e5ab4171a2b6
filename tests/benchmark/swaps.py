"""Peak memory of a session whose data are swapped three times: it may hold one data set, and little beside.

Counted is how much higher the peak of a process with large data is than that of one that does the same with few
samples. A Lab fits, takes other data of the same size, fits, and so on.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node

from nmlab import Lab, TrainerOptions
from tests.benchmark.goals import SWAPS
from tests.benchmark.problems import Returned, three
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale

FEATURES, BATCH = 1000, 1000
FEW = 100


def measure(scale: Scale) -> Result:
    samples = 25_000 if scale.quick else 125_000
    size = samples * FEATURES * 4 / 1e6
    small, large = peak(FEW), peak(samples)
    ratio = (large - small) / size
    rows = [
        [f"a process with {FEW} samples", f"{small:.0f}"],
        [f"one with {size:.0f} MB of them", f"{large:.0f}"],
        ["more, × the size of the data", f"{ratio:.2f}"],
    ]
    table = Table("Peak memory after three swaps of the data", ["", "MB"], rows)
    return Result([table], {SWAPS: ratio}, {"data": size, "small": small, "large": large})


def peak(samples: int) -> float:
    """Megabytes at the most of a fresh process with a session over so many samples."""
    # nmlab first, so that NeuroMANCER's import is the quick and small one
    code = f"import nmlab\nfrom tests.benchmark.swaps import session\nsession({samples})"
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return float(json.loads(said.stdout.splitlines()[-1]))


def session(samples: int) -> None:
    """Fit, swap and fit three times; print this process's peak in megabytes."""

    def data() -> Returned:
        # the test split is small; train and dev are the data
        return three(lambda count: {"x": torch.rand(count, FEATURES)}, int(0.8 * samples), int(0.2 * samples), BATCH)

    def other_data() -> Returned:
        return data()

    network = Node(MLP(FEATURES, 1, hsizes=[8]), ["x"], ["y"], name="network")
    problem = Problem([network], PenaltyLoss([(variable("y") ** 2).minimize(name="square")], []))
    options = TrainerOptions(max_epochs=2, accelerator="cpu")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lab = Lab(problem, data, options=options, runs_dir=Path(folder))
        lab.fit()
        for function in (other_data, data, other_data):
            lab.swap(function)
            lab.fit()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6)
