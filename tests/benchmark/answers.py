"""What a user waits for apart from fits: an edit in a form, a long list, many lines in a log, a table of runs."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nmlab import RunStore, TrainerOptions, fields_of
from nmlab.form import Form
from nmlab.runs import rows
from nmlab.runtime.capture import captured_output
from tests.benchmark.goals import CHOICE, EDIT, PRINTS, RUNS
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale, Taken, clocked


def edit() -> Callable[[], object]:
    form = Form(TrainerOptions.fields(), {}, title="")

    def act() -> None:
        form.enter("lr", "0.01")
        form.state()

    return act


def choice() -> Callable[[], object]:
    names = [f"system {number}" for number in range(3000)]

    def function(system: Any = names[7]) -> None: ...

    form = Form(fields_of(function, {"system": names}), {}, title="")
    return lambda: form.enter("system", names[-1])


def prints(store: RunStore) -> Callable[[], object]:
    writer = store.create("talks", {})

    def act() -> None:
        with captured_output(writer.log, echo=False):
            for number in range(10_000):
                print(number)

    return act


def table_of_runs(store: RunStore) -> Callable[[], object]:
    for index in range(50):
        writer = store.create("data", {"data_kwargs": {"nsim": index}, "seed": index})
        for epoch in range(200):
            writer.append({"epoch": epoch, "train_loss": 1.0, "dev_loss": 1.0 / (epoch + 1), "seconds": 0.25})
        writer.close("finished")
    return lambda: rows(store.runs())


def measure(scale: Scale) -> Result:
    """Time each a few times; what counts is the median."""
    table = Table("What a user waits for apart from fits", ["what", "ms"])
    result = Result([table])
    with tempfile.TemporaryDirectory() as folder:
        acts = {
            EDIT: edit(),
            CHOICE: choice(),
            PRINTS: prints(RunStore(Path(folder) / "log")),
            RUNS: table_of_runs(RunStore(Path(folder) / "runs")),
        }
        for what, act in acts.items():
            taken: list[Taken] = [clocked(act) for _ in range(5 if scale.quick else 20)]
            milliseconds = 1e3 * statistics.median(each.wall for each in taken)
            table.rows.append([what, f"{milliseconds:.2f}"])
            result.figures[what] = milliseconds
            result.measured[what] = [asdict(each) for each in taken]
    return result
