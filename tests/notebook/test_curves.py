"""What the page gets of curves: all of them once, then what is new, and never more than can be seen."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmlab.notebook import curves
from nmlab.notebook.curves import Curves, Line
from nmlab.notebook.widget import front
from nmlab.plots import Theme
from nmlab.runs import Run, RunStore
from tests.helpers.clock import Clock


class Page:
    """A page that holds what was sent to it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.lines: list[list[float]] = []
        self.sent = 0

    def take(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        message = content["curves"]
        numbers = np.frombuffer(buffers[0], "<f4").tolist()
        self.sent += len(buffers[0])
        if message["anew"]:
            self.lines = [[] for _ in message["lines"]]
        at = 0
        for place, count in message["counts"]:
            self.lines[place] += numbers[at + count : at + 2 * count]
            at += 2 * count
        self.messages.append(message)


def run_of(folder: Path, **columns: list[float]) -> Run:
    writer = RunStore(folder).create("data", {})
    writer.update(monitor="dev_loss")
    for epoch, row in enumerate(zip(*columns.values(), strict=True)):
        writer.append({"epoch": epoch, **dict(zip(columns, row, strict=True))})
    writer.close("finished")
    return writer.run


class Growing:
    """A line that grows, and what a page sees of it."""

    def __init__(self, page: Page, clock: Clock) -> None:
        self.y: list[float] = []
        self.clock = clock
        self.curves = Curves(page.take)

    def update(self, ended: bool = False, key: str = "a") -> None:
        def describe() -> curves.Drawing:
            line = Line("train", lambda: (np.arange(float(len(self.y))), np.array(self.y)), grows=True)
            return curves.Drawing([curves.Chart("losses", "loss")], [line])

        self.curves.update((key,), describe, ended)


def test_only_what_is_new_travels_and_at_most_ten_times_a_second(clock: Clock) -> None:
    page = Page()
    growing = Growing(page, clock)
    for _ in range(1000):  # ten seconds
        growing.y.append(float(len(growing.y)))
        growing.update()
        clock.now += 0.01
    growing.update(ended=True)
    assert page.lines == [growing.y]
    assert len(page.messages) <= 102
    assert page.sent == 8 * 1000
    assert [message["number"] for message in page.messages] == [*range(1, len(page.messages) + 1)]


def test_a_page_that_asks_gets_all_of_it_thinned(clock: Clock) -> None:
    page = Page()
    growing = Growing(page, clock)
    growing.y = np.sin(np.arange(100_000) / 1e4).tolist()
    growing.y[77_777] = 9.0
    growing.update()
    assert len(page.lines[0]) <= 4 * curves.AT_ONCE
    assert 9.0 in page.lines[0]
    growing.curves.ask()
    growing.update()
    assert page.messages[-1]["anew"]
    assert len(page.lines[0]) <= 4 * curves.AT_ONCE
    clock.now += 10
    growing.y += [1.0] * 5000  # of a fit without a pause
    growing.update()
    assert sum(count for _, count in page.messages[-1]["counts"]) <= 4 * curves.ADDED


def test_another_run_begins_anew_and_an_idle_one_is_silent(clock: Clock) -> None:
    page = Page()
    growing = Growing(page, clock)
    growing.y = [1.0, 2.0]
    growing.update()
    for _ in range(5):
        clock.now += 1
        growing.update(ended=True)
    assert len(page.messages) == 1
    growing.y = [3.0]
    growing.update(key="b")
    assert page.lines == [[3.0]]


def test_losses_have_earlier_runs_behind_and_a_guess_in_a_colour_of_its_own(tmp_path: Path) -> None:
    old = run_of(tmp_path, train_loss=[3.0, 2.0], dev_loss=[3.0, 2.0])
    run = run_of(tmp_path, train_loss=[2.0, 1.0], dev_loss=[2.5, 1.5])
    drawing = curves.losses(run, [old], growing=False)
    assert [(line.name, line.colour) for line in drawing.lines] == [
        ("earlier", curves.BEHIND),
        ("train", 0),
        ("dev", 1),
    ]
    assert drawing.charts[0].best == (1, 1.5)
    assert curves.GUESS not in {line.colour for line in drawing.lines}


def test_every_term_has_a_chart_the_worst_first(tmp_path: Path) -> None:
    columns: dict[str, list[float]] = {"train_loss": [1.0], "dev_loss": [1.0]}
    for number in range(60):
        for split in ("train", "dev"):
            violation = number / 10
            columns |= {f"{split}_c{number}": [violation], f"{split}_c{number}_violation": [violation]}
            columns[f"{split}_c{number}_violation_max"] = [2 * violation]
    drawing = curves.terms(run_of(tmp_path, **columns), [], growing=False)
    assert [chart.name for chart in drawing.charts[:2]] == ["c59", "c58"]
    assert len(drawing.charts) == 60
    assert {line.name for line in drawing.lines if line.chart == 59} == {"train", "dev", "dev, worst sample"}


def test_the_page_has_the_colours_of_the_pictures() -> None:
    rules = re.findall(r"--nm-c(\d): (#\w+)", front("panel.css"))
    light, dark = [dict(rules[:8]), dict(rules[8:])]
    for found, theme in ((light, Theme(dark=False)), (dark, Theme(dark=True))):
        assert [found[str(place)].upper() for place in range(8)] == [colour.upper() for colour in theme.curves]
    behind = re.findall(r"--nm-behind: (#\w+)", front("panel.css"))
    assert [colour.upper() for colour in behind] == [Theme(dark=dark).faint.upper() for dark in (False, True)]


@pytest.mark.parametrize("tab", ["losses", "terms", "rate"])
def test_a_run_without_an_epoch_draws_nothing(tmp_path: Path, tab: str) -> None:
    run = run_of(tmp_path)
    drawing = {
        "losses": lambda: curves.losses(run, [], True),
        "terms": lambda: curves.terms(run, [], True),
        "rate": lambda: curves.rate(run, True),
    }[tab]()
    assert drawing.lines == []
