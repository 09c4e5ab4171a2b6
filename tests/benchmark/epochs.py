"""What an epoch costs at the end of a long fit: it must not grow with the history behind it.

The problem is tiny, so that whatever is kept, written and drawn stands out. Its network notes when it is called to
train, once an epoch since a batch is all samples; told is the last tenth of each fit.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

from tests.benchmark.contestants import CONTESTANTS, LIT, NMLAB, OLD, PLAIN, in_a_folder, quiet
from tests.benchmark.goals import END_OF_LONG
from tests.benchmark.panel import DRAWN, fit_in_lab
from tests.benchmark.problems import Returned, rosenbrock_data
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale, Taken, clocked, now

MIDDLE = 1000
"""Epochs of the fit that the longest is held against; it is repeated beside each longer one."""

Run = Callable[[Problem, int], None]


class Noting(nn.Module):
    """A network that notes when it is called to train."""

    def __init__(self) -> None:
        super().__init__()
        self.network = MLP(2, 2, nonlin=nn.ReLU, hsizes=[8])
        self.moments: list[Taken] = []

    def forward(self, ap: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.moments.append(now())
        return self.network(ap)  # type: ignore[no-any-return]


def tiny() -> tuple[Problem, Noting]:
    network, z = Noting(), variable("z")
    loss = PenaltyLoss([((z - 1.0) ** 2).minimize(name="objective")], [10.0 * (z <= 0.9)])
    return Problem([Node(network, ["ap"], ["z"], name="map")], loss), network


def few_samples(train: int = 20, dev: int = 20) -> Returned:
    return rosenbrock_data(train, dev, train)


def contestants() -> dict[str, Run]:
    def by(name: str) -> Run:
        return lambda problem, epochs: CONTESTANTS[name](problem, few_samples, {}, epochs, "cpu")

    def drawn(problem: Problem, epochs: int) -> None:
        fit_in_lab(problem, few_samples, epochs, on_screen=True)

    return {PLAIN: by(PLAIN), NMLAB: by(NMLAB), DRAWN: drawn, LIT: by(LIT), OLD: by(OLD)}


def last_tenth(run: Run, epochs: int) -> Taken:
    """Seconds an epoch in the last tenth of a fit."""
    torch.manual_seed(0)
    problem, network = tiny()
    with quiet(), in_a_folder():
        clocked(lambda: run(problem, epochs))
    last = epochs // 10
    return (network.moments[-1] - network.moments[-1 - last]) / last


def measure(scale: Scale) -> Result:
    longer = (4000,) if scale.quick else (10_000, 100_000)
    order = [100, MIDDLE, *(count for many in longer for count in (many, MIDDLE))]
    taken: dict[str, dict[int, list[Taken]]] = {name: {} for name in contestants()}
    for count in order:
        for name, run in contestants().items():
            if name not in (LIT, OLD) or (count <= MIDDLE and count not in taken[name]):
                taken[name].setdefault(count, []).append(last_tenth(run, count))
    return found(taken)


def found(taken: dict[str, dict[int, list[Taken]]]) -> Result:
    counts = sorted({count for by_count in taken.values() for count in by_count})
    header = ["contestant", *(f"{count:,} epochs" for count in counts), "longest / 1,000", "by processor time"]
    table = Table("Milliseconds an epoch in the last tenth of a fit, by its epochs", header)
    result = Result([table])
    for name, by_count in taken.items():
        wall = {count: statistics.median(each.wall for each in some) for count, some in by_count.items()}
        cpu = {count: statistics.median(each.cpu for each in some) for count, some in by_count.items()}
        cells = [f"{1e3 * wall[count]:.2f}" if count in wall else "" for count in counts]
        longest = max(by_count)
        if longest > MIDDLE:
            result.figures[f"{name}: {END_OF_LONG}"] = wall[longest] / wall[MIDDLE]
            cells += [f"{wall[longest] / wall[MIDDLE]:.2f}", f"{cpu[longest] / cpu[MIDDLE]:.2f}"]
        else:
            cells += ["", ""]
        table.rows.append([name, *cells])
        result.measured[name] = {str(count): wall_and_cpu(some) for count, some in by_count.items()}
    return result


def wall_and_cpu(taken: list[Taken]) -> dict[str, Any]:
    return {"wall": [each.wall for each in taken], "cpu": [each.cpu for each in taken]}
