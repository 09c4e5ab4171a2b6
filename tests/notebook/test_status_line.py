"""A run in words, and how often it is drawn."""

import threading
from pathlib import Path
from typing import Any

import pytest

import nmlab
from nmlab.notebook.status_line import Pace, progress_html, state_words
from nmlab.runs import RunStore
from nmlab.runtime.control import Control
from tests.helpers.clock import Clock
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen
from tests.helpers.waiting import until


def pass_until_due(clock: Clock, pace: Pace) -> float:
    before = clock.now
    while not pace.due():
        clock.now += 0.01
    return clock.now - before


def test_the_first_drawing_is_due_at_once(clock: Clock) -> None:
    assert Pace().due()


@pytest.mark.parametrize(
    ("seconds", "size", "early", "late"),
    [
        (0.001, 1000, 0.2, 0.2),  # never over five a second
        (0.03, 1000, 1.0, 1.0),
        (0.3, 1000, 2.0, 10.0),  # in a long run at most 3 % of the time
        (0.001, 240_000, 4.0, 4.0),  # the wire comes first
    ],
)
def test_the_pace_follows_what_a_drawing_costs(
    clock: Clock, seconds: float, size: int, early: float, late: float
) -> None:
    pace = Pace()
    pace.drew(seconds, size)
    assert pass_until_due(clock, pace) == pytest.approx(early, abs=0.02)
    clock.now = 1100.0
    pace.drew(seconds, size)
    assert pass_until_due(clock, pace) == pytest.approx(late, abs=0.02)


def test_what_holds_up_the_steps_may_wait_in_a_short_run_too(clock: Clock) -> None:
    pace = Pace()
    pace.drew(0.3, 1000, hurry=False)
    assert pass_until_due(clock, pace) == pytest.approx(10.0, abs=0.02)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    writer = RunStore(tmp_path).create("<img src=x onerror=alert(1)>", {})
    yield writer.run
    writer.close("finished")


def test_a_name_is_escaped(run: Any) -> None:
    html = progress_html(run, Control(), False)
    assert "<img" not in html
    assert "running" in html


@pytest.mark.parametrize(
    ("phase", "ask", "words"),
    [
        ("training", "nothing", "running"),
        ("making the data", "nothing", "running: making the data"),
        ("making the data", "stop", "stopping after the data are made"),
        ("making the data", "pause", "pausing after the data are made"),
        ("dev pass", "stop", "stopping after this batch"),
        ("dev pass", "nothing", "running"),
    ],
)
def test_what_a_run_does_is_said_in_words(run: Any, phase: str, ask: str, words: str) -> None:
    control = Control()
    control.phase = phase
    control.progress.started = control.progress.clock()
    if ask != "nothing":
        getattr(control, ask)()
    assert state_words(run, control, False) == words


def test_a_long_phase_tells_its_time_and_so_sends_messages(run: Any, clock: Clock) -> None:
    """A server takes a kernel that sends nothing for an idle one, and Binder ends it."""
    control = Control()
    control.phase = "making the data"
    said = set()
    for _ in range(20):
        said.add(progress_html(run, control, False))
        clock.sleep(30)
    assert len(said) == 20
    assert any("making the data · 30 s" in html for html in said)
    control.phase = "trying out the data"
    assert "trying out the data ·" not in progress_html(run, control, False)


def test_the_time_left_tells_of_a_long_epoch_and_its_end_of_the_rest(run: Any, clock: Clock) -> None:
    control = Control()
    progress = control.progress
    progress.max_epochs, progress.started = 10, progress.clock()
    for phase, epoch in {"training": 0, "dev pass": 3, "scoring the test split": 10}.items():
        control.phase, progress.epoch = phase, epoch
        said = set()
        for _ in range(10):
            clock.sleep(30)
            said.add(progress_html(run, control, False))
        assert len(said) == 10, phase


def test_a_fit_that_nobody_watches_sends_messages_while_its_data_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmlab.notebook.status_line.LONG", 0.0)
    enough = threading.Event()

    def slow_data(nsim: int = 20) -> Any:
        enough.wait(30)
        return rosenbrock_data(nsim)

    lab = nmlab.Lab(rosenbrock(), slow_data, options=nmlab.TrainerOptions(max_epochs=1), runs_dir=tmp_path)
    screen, said = Screen(lab), set()
    screen.panel.observe(lambda change: said.add(change["new"]), "progress")
    screen.send("run")
    try:
        until(lambda: sum("making the data ·" in html for html in said) >= 3)
    finally:
        enough.set()
    run = lab.wait()
    assert run is not None
    assert run.status == "finished"
