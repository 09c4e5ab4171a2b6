"""Seconds an epoch in a script, of every problem and contestant."""

from collections.abc import Callable, Mapping
from dataclasses import asdict

import torch

from tests.benchmark.contestants import (
    CLASSIC,
    CONTESTANTS,
    LIT,
    NEW,
    NMLAB,
    OLD,
    PEERS,
    PLAIN,
    Contestant,
    in_a_folder,
    quiet,
)
from tests.benchmark.goals import against_nmlab, against_plain, against_trainer
from tests.benchmark.problems import CASES, Case
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale, Timings
from tests.benchmark.turns import Pace, in_turns

ENDLESS = 1_000_000
"""Epochs that are asked for: the measuring ends each fit."""

HEADER = ["problem", "contestant", "s / epoch", "× plain loop (least–most)", "× by processor time"]


def measure(scale: Scale) -> Result:
    table, result = Table("Seconds an epoch, headless", HEADER), Result()
    for case in CASES:
        if scale.wants(case.name):
            timings = timed(case, scale)
            report(result, table, case, timings, "headless")
            classic = timed(case, scale, CLASSIC)
            if not classic.failed:
                ratio = classic.ratio(NEW, OLD)
                result.figures[against_trainer(case.name)] = ratio.median
                table.rows.append([case.name, NEW, seconds(classic.median(NEW).wall), f"{ratio} of {OLD}", ""])
    result.tables = [table]
    return result


def timed(case: Case, scale: Scale, contestants: Mapping[str, Contestant] = CONTESTANTS) -> Timings:
    kwargs = case.smaller if scale.quick else {}

    def fit(name: str) -> Callable[[Pace], None]:
        def paced(pace: Pace) -> None:
            torch.manual_seed(0)
            contestants[name](pace(case.problem()), case.data, kwargs, ENDLESS, scale.accelerator)

        return paced

    with in_a_folder(), quiet():
        return in_turns({name: fit(name) for name in contestants}, scale.rounds, scale.seconds, may_fail=PEERS)


def report(result: Result, table: Table, case: Case, timings: Timings, where: str) -> None:
    """Put a problem's timings into the table, the figures and what was measured."""
    for name in timings.taken:
        ratio, by_cpu = timings.ratio(name, PLAIN), timings.cpu_ratio(name, PLAIN)
        table.rows.append([case.name, name, seconds(timings.median(name).wall), str(ratio), f"{by_cpu.median:.2f}"])
    table.rows += [[case.name, name, "fails", why.replace("|", "/"), ""] for name, why in timings.failed.items()]
    result.figures[against_plain(case.name, where)] = timings.ratio(NMLAB, PLAIN).median
    for peer in timings.taken.keys() - {PLAIN, NMLAB}:
        result.figures[against_nmlab(case.name, where, peer)] = timings.ratio(peer, NMLAB).median
    if LIT in timings.taken:
        words = f"{case.name}: {LIT} / {NMLAB} {timings.ratio(LIT, NMLAB)}"
        table.note = f"{table.note}; {words}" if table.note else words
    result.measured[case.name] = asdict(timings)


def seconds(value: float) -> str:
    return f"{value:.4g}" if value >= 1 else f"{value:.5f}"
