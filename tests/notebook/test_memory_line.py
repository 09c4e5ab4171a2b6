"""What the bench says of memory: only where there is a limit, seldom, after each cell, and with a warning in time."""

import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nmlab
from nmlab.notebook import memory_line
from nmlab.notebook.memory_line import EVERY, HIGH, LOW, MemoryLine, in_words
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen
from tests.helpers.waiting import until

GB = 2**30


class Machine:
    """A container's account, a clock, and a notebook's shell, as the line finds them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used, self.limit = GB, 2 * GB
        self.looks = 0
        self.now = 1000.0
        self.after_cell: list[Callable[[object], None]] = []
        self.shown: dict[str, Any] = {}
        events = SimpleNamespace(
            register=lambda event, call: self.after_cell.append(call),
            unregister=lambda event, call: self.after_cell.remove(call),
        )
        monkeypatch.setattr(memory_line, "memory_in_use", self.look)
        monkeypatch.setattr(memory_line, "memory_limit", lambda: self.limit or None)
        monkeypatch.setattr("nmlab.notebook.memory_line.time.monotonic", lambda: self.now)
        monkeypatch.setattr(memory_line, "get_ipython", lambda: SimpleNamespace(events=events))

    def look(self) -> tuple[int, int | None]:
        self.looks += 1
        return self.used, self.limit or None

    def show(self, memory: dict[str, Any]) -> None:
        self.shown = memory

    def line(self) -> MemoryLine:
        return MemoryLine(self.show)

    def run_cell(self) -> None:
        for call in list(self.after_cell):
            call("result")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize(
    ("used", "limit", "words"),
    [
        (GB + GB // 5, 2 * GB, "memory 1.2 of 2.0 GB"),
        (100 * 2**20, 512 * 2**20, "memory 0.10 of 0.50 GB"),
        (0, 16 * GB, "memory 0.0 of 16.0 GB"),
    ],
)
def test_in_words(used: int, limit: int, words: str) -> None:
    assert in_words(used, limit) == words


def test_without_a_limit_nothing_is_shown_or_listened_to(machine: Machine) -> None:
    machine.limit = 0
    line = machine.line()
    line.update(now=True)
    assert (machine.looks, machine.shown, machine.after_cell) == (0, {}, [])


def test_it_looks_every_two_seconds_at_most_but_at_once_where_it_must(machine: Machine) -> None:
    line = machine.line()
    line.update()
    assert machine.shown == {"text": "memory 1.0 of 2.0 GB", "warning": ""}
    machine.now += EVERY / 2
    line.update()
    assert machine.looks == 1
    line.update(now=True)
    assert machine.looks == 2
    machine.now += EVERY
    line.update()
    assert machine.looks == 3


def test_after_a_cell_it_looks_again(machine: Machine) -> None:
    line = machine.line()
    line.update()
    machine.used = GB // 2
    machine.run_cell()
    assert machine.shown["text"] == "memory 0.5 of 2.0 GB"


def test_a_bench_that_is_gone_leaves_nothing_behind(machine: Machine) -> None:
    line = machine.line()
    assert len(machine.after_cell) == 1
    del line
    gc.collect()
    machine.run_cell()
    assert (machine.after_cell, machine.looks) == ([], 0)


def test_it_warns_in_time_says_what_to_do_and_does_not_flicker(machine: Machine) -> None:
    line = machine.line()
    warned = []
    for share in (0.5, HIGH - 0.01, HIGH, HIGH - 0.01, LOW + 0.01, LOW - 0.01, HIGH - 0.01, 1.2):
        machine.used = round(share * machine.limit)
        line.update(now=True)
        warned.append(bool(machine.shown["warning"]))
    assert warned == [False, False, True, True, True, False, False, True]
    for remedy in ("fewer samples", "TensorBoard", "delete", "on disk are not affected"):
        assert remedy in machine.shown["warning"]


def test_a_limit_that_goes_away_takes_the_line_along(machine: Machine) -> None:
    line = machine.line()
    line.update()
    machine.limit = 0
    line.update(now=True)
    assert machine.shown == {}


def test_it_stands_on_the_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEM_LIMIT", "10000000")  # less than any Python takes
    panel = Screen(nmlab.Lab(rosenbrock, rosenbrock_data, runs_dir=tmp_path)).panel
    until(lambda: panel.memory)
    assert panel.memory["text"].endswith("of 0.01 GB")
    assert panel.memory["warning"]
