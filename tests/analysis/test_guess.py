"""A guess of the loss before a run: read, asked for on the panel, kept with the run, drawn beside its curve."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nmlab import FieldError, Lab, RunStore, TrainerOptions
from nmlab.analysis.guess import decades, guess_outcome, guess_text, read_guess
from nmlab.plots import Picture, alt_text, draw_losses, panel
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import IDLE, Screen
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=4, seed=1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    torch.manual_seed(0)
    lab = Lab(rosenbrock(), rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs", guess=True)
    yield lab
    lab.stop()


# --- reading ---


@pytest.mark.parametrize(
    ("given_", "points"),
    [
        (0.05, [(59, 0.05)]),
        ("0.05", [(59, 0.05)]),
        (" 5e-2 ", [(59, 0.05)]),
        ("0: 2, 20: 0.3", [(0, 2), (20, 0.3)]),
        ("20:.3; 0:2\n40 : 1e-1,", [(0, 2), (20, 0.3), (40, 0.1)]),
        ({20: 0.3, 0: 2}, [(0, 2), (20, 0.3)]),
        ([(0, 2.0), (20, 0.3)], [(0, 2), (20, 0.3)]),
    ],
)
def test_a_final_loss_or_points_are_read(given_: Any, points: Any) -> None:
    assert read_guess(given_, 60) == points


@pytest.mark.parametrize(
    ("given_", "wrong"),
    [
        ("", {"guess"}),
        ("low", {"low"}),
        ("0: 2, 0.1", {"0.1"}),
        ("0: 2, 5: x, -1: 3, 7: inf", {"5: x", "-1: 3", "7: inf"}),
        ("0: 2, 0: 3", {"0: 3"}),
        (None, {"None"}),
        (float("nan"), {"nan"}),
        ([(1, 2, 3)], {"(1, 2, 3)"}),
        (dict.fromkeys(range(201), 1.0), {"guess"}),
    ],
)
def test_all_that_cannot_be_read_is_told_at_once(given_: Any, wrong: set[str]) -> None:
    with pytest.raises(FieldError) as caught:
        read_guess(given_, 60)
    assert set(caught.value.faults) == wrong


@given(st.dictionaries(st.integers(0, 10**5), st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_a_guess_as_text_is_read_again(losses: dict[int, float]) -> None:
    again = read_guess(guess_text(sorted(losses.items())), 10)
    assert [epoch for epoch, _ in again] == sorted(losses)
    assert [loss for _, loss in again] == pytest.approx([losses[epoch] for epoch in sorted(losses)], rel=1e-3)


@given(st.lists(st.floats(allow_nan=True), max_size=5))
def test_the_axes_to_draw_on_hold_the_losses_of_the_run_before(losses: list[float]) -> None:
    low, high = decades(losses)
    assert 0 <= low < high
    assert all(low <= loss <= high for loss in losses if 1e-150 < loss < 1e150)


# --- on the panel ---


def test_a_run_waits_for_a_guess_which_is_kept_with_it(lab: Lab, tmp_path: Path) -> None:
    screen = Screen(lab)
    assert screen.can("find lr")
    assert "Guess the dev loss first" in screen.panel.controls["hint"]
    assert screen.panel.guess["open"]
    assert screen.panel.guess["epochs"] == 4
    screen.send("run")
    assert lab.run is None
    screen.send("guess", text="0: 2, 3: zero")
    assert "3: zero" in screen.message
    assert screen.can("find lr")
    screen.send("guess", text="0: 2, 3: 0.5")
    assert (screen.message, screen.panel.guess["kept"]) == ("", "0: 2, 3: 0.5")
    assert screen.can(*IDLE)
    screen.send("run")
    run = lab.wait()
    assert run is not None
    assert run.guess == [(0, 2), (3, 0.5)]
    assert RunStore(tmp_path / "runs").get(run.id).guess == run.guess
    RunStore(tmp_path / "runs").annotate(run, "a note")  # which lies in the same file
    assert run.guess == [(0, 2), (3, 0.5)]
    assert lab._bench is not None
    lab._bench._look()
    assert "Dev loss in epoch 3: guessed 0.5, it is" in screen.panel.page["html"]
    # the next one waits for another guess
    assert screen.can("find lr")
    assert screen.panel.guess["open"]
    assert screen.panel.guess["kept"] == ""


def test_a_guess_may_be_skipped(lab: Lab) -> None:
    screen = Screen(lab)
    screen.send("skip guess")
    assert screen.can(*IDLE)
    assert not screen.panel.guess["open"]
    screen.send("run")
    run = lab.wait()
    assert run is not None
    assert run.guess == []
    until(lambda: screen.can("find lr"))


def test_code_may_guess_and_need_not(lab: Lab) -> None:
    screen = Screen(lab)
    lab.guess({0: 1.0, 3: 0.2})
    assert screen.can(*IDLE)
    assert lab.fit().guess == [(0, 1), (3, 0.2)]
    assert lab.fit().guess == []
    with pytest.raises(FieldError):
        lab.guess("much")


def test_where_no_guess_is_asked_for_nothing_is_in_the_way(tmp_path: Path) -> None:
    lab = Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path)
    screen = Screen(lab)
    assert screen.can(*IDLE)
    assert screen.panel.guess == {}
    lab.guess(0.5)
    assert lab.fit().guess == [(3, 0.5)]


# --- beside the curve ---


@pytest.mark.parametrize("guess", ["0.0001", "0: 40, 3: 30"])
def test_it_is_drawn_within_the_limits_of_the_curve(lab: Lab, guess: str) -> None:
    lab.guess(guess)
    run = lab.fit()
    seen: list[Any] = []

    def draw(figure: Any) -> None:
        draw_losses(panel(figure), run)
        seen.append(figure.axes[0])

    Picture().png(draw)
    (drawn,) = (each for each in seen[0].lines if each.get_label() == "guess")
    low, high = seen[0].get_ylim()
    assert all(low < value < high for value in drawn.get_ydata())
    assert "guessed" in alt_text(run)


def test_words_say_how_far_off_it_was(lab: Lab) -> None:
    run = lab.fit()
    assert guess_outcome(run) == ""
    came = run.column("dev_loss")[-1]
    for points, words in (
        ([(3, 3 * came)], ": 3 times too high"),
        ([(0, 9.0), (3, came / 2)], ": 2 times too low"),
        ([(3, 1.01 * came)], ": close"),
        ([(3, -1.0)], "it is"),
    ):
        lab.runs._store.keep_guess(run, points)
        assert words in guess_outcome(run)


def test_a_guess_that_is_damaged_is_none(lab: Lab) -> None:
    run = lab.fit()
    (run.folder / "label.json").write_text(json.dumps({"guess": [[1], "x"], "note": "kept"}))
    assert (run.guess, run.note) == ([], "kept")
