"""Runs scored across each other's data, through the Lab."""

import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.dataset import DictDataset

from nmlab import BusyError, FieldError, Lab, RunError, TrainerOptions, score
from nmlab.fitting.prepare import splits_of
from nmlab.identity.functions import known_functions
from nmlab.plots import HeatMap, Picture, Theme, draw_heat
from nmlab.problem.weights import copy_weights
from nmlab.runtime.rng import RandomStreams
from tests.helpers.problems import integrator, integrator_data, rosenbrock, rosenbrock_data
from tests.helpers.randomness import users_states
from tests.helpers.screen import Screen

QUICK = TrainerOptions(max_epochs=2, seed=1)

made: list["weakref.ref[Any]"] = []
"""The data sets that `watched` made."""

alive: list[int] = []
"""How many of them there were at each call of it."""


def watched(nsim: int = 40, p_high: float = 2.0) -> Any:
    gc.collect()
    alive.append(sum(data() is not None for data in made))
    returned = rosenbrock_data(nsim, p_high=p_high)
    made.extend(weakref.ref(data) for data in returned[:3])
    return returned


def fixed(scale: float = 1.0, system: Any = None) -> Any:
    """Draws nothing."""
    value = scale * torch.linspace(0.5, 1.5, 20)[:, None]
    return (*(DictDataset({"a": value, "p": value}, name=name) for name in ("train", "dev")), None, 8)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    torch.manual_seed(0)
    lab = Lab(rosenbrock(), rosenbrock_data, options=QUICK, data_kwargs={"nsim": 40}, runs_dir=tmp_path / "runs")
    yield lab
    lab.stop()


def test_every_cell_is_the_runs_weights_on_that_runs_data(lab: Lab) -> None:
    first = lab.fit()
    second = lab.fit(p_high=5.0, max_epochs=3)
    found = lab.cross(metric="circle_violation")
    assert found.frame.shape == (2, 2)
    assert [*found.frame.columns] == ["rosenbrock_data p_high=2.0", "rosenbrock_data p_high=5.0"]
    for run, row in zip((first, second), found.frame.index, strict=True):
        assert row == run.id
        torch.manual_seed(0)
        problem = run.restore(rosenbrock())
        for data, column in zip((first, second), found.frame, strict=True):
            again = splits_of(rosenbrock_data, data.settings["data_kwargs"], None, RandomStreams(1))
            expected = score(problem, again)["circle_violation"]
            assert found.frame.loc[row, column] == pytest.approx(expected, rel=1e-6)
    own = [lab.cross([run]).frame.iloc[0, 0] for run in (first, second)]
    assert own == pytest.approx([first.best_value, second.best_value], rel=1e-6)
    assert found.best == found.frame.idxmin().to_dict()
    tests = lab.cross(split="test").frame
    assert tests.iloc[0, 0] == pytest.approx(first.test_metrics["test_loss"], rel=1e-6)


def test_weights_modes_random_states_and_runs_are_as_before(lab: Lab) -> None:
    problem: Any = lab.problem
    lab.fit()
    lab.fit(p_high=4.0)
    problem.train()
    before, states = copy_weights(problem), users_states()
    lab.cross()
    assert users_states() == states
    assert all(torch.equal(value, before[name]) for name, value in copy_weights(problem).items())
    assert problem.training
    assert len(lab.runs) == 2
    assert lab.fit().status == "finished"  # and the kernel is free for the next


def test_equal_data_are_made_once_and_others_one_at_a_time(lab: Lab) -> None:
    lab.swap(watched)
    for p_high in (2.0, 2.0, 3.0, 4.0):
        lab.fit(p_high=p_high)
    made.clear()
    alive.clear()
    found = lab.cross()
    assert found.frame.shape == (4, 3)
    assert alive == [0, 0, 0]
    gc.collect()
    assert all(data() is None for data in made)
    assert not found.reasons


def test_a_seed_makes_other_data_only_where_numbers_are_drawn(lab: Lab) -> None:
    lab.fit(seed=1)
    lab.fit(seed=2)
    assert [*lab.cross().frame] == ["rosenbrock_data seed 1", "rosenbrock_data seed 2"]
    lab.swap(fixed)
    drawn = lab.fit(seed=1), lab.fit(seed=2)
    found = lab.cross(drawn)
    assert [*found.frame] == ["fixed"]
    assert len(found.own) == 2


def test_values_that_no_record_keeps_are_told_apart_by_what_they_are(lab: Lab) -> None:
    lab.swap(fixed)
    some, other = torch.ones(5000), torch.ones(5000)
    other[2500] = 2.0
    for system in (some, other, some):
        lab.fit(system=system)
    assert lab.cross().frame.shape == (3, 2)


class Opaque:
    """A number that no text of it tells."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __float__(self) -> float:
        return self.scale

    def __repr__(self) -> str:
        return "Opaque"


@pytest.mark.parametrize("holder", [float, Opaque])
def test_functions_of_one_name_and_source_are_told_apart_by_what_they_lean_on(lab: Lab, holder: Any) -> None:
    def made_with(scale: Any) -> Callable[[], Any]:
        def scaled() -> Any:
            return fixed(float(scale))

        return scaled

    runs = []
    for scale in (1.0, 3.0):
        lab.swap(made_with(holder(scale)))
        runs.append(lab.fit())
    found = lab.cross()
    assert [*found.frame] == [f"scaled of run {run.id}" for run in runs]
    torch.manual_seed(0)
    problem = runs[0].restore(rosenbrock())
    expected = [score(problem, fixed(scale))["loss"] for scale in (1.0, 3.0)]
    assert list(found.frame.iloc[0]) == pytest.approx(expected)


SCALE = 1.0


def leaning() -> Any:
    return fixed(SCALE)


def test_data_that_would_not_be_the_same_again_are_not_made(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.swap(leaning)
    lab.fit()
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    (told,) = lab.cross().reasons.values()
    assert "'leaning' as this kernel does not have it (the one that is here differs: global SCALE 1.0 → 2.0)" in told
    after = lab.fit()
    found = lab.cross()
    assert found.frame.notna().sum().to_list() == [0, 2]
    assert found.frame.columns[1].endswith(after.id)


def test_runs_of_an_earlier_kernel_are_scored_where_their_function_is_known(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_earlier = fixed
    lab.swap(fixed)
    lab.fit()
    lab.fit(system=object())
    lab.swap(rosenbrock_data)
    lab.fit()
    expected = lab.cross().frame
    torch.manual_seed(0)
    new = Lab(rosenbrock(), rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")
    new._session._recipes.forget()
    lab._session._recipes.forget()  # as after a restart, where nothing was run yet
    known_functions.forget()
    monkeypatch.delitem(globals(), "fixed")
    found = new.cross()
    assert found.frame.iloc[:, 2].to_list() == pytest.approx(expected.iloc[:, 2].to_list())
    assert {cell[1] for cell in found.reasons} == {*found.frame.columns[:2]}
    told = (
        "was made with the data function 'fixed' as this kernel does not have it; define it again and lab.swap(fixed)"
    )
    assert all(told in reason for reason in found.reasons.values())
    new.swap(made_earlier)
    found = new.cross()
    assert set(found.reasons.values()) == {"no record could keep the value of system"}
    assert found.frame.iloc[:, 0].to_list() == pytest.approx(expected.iloc[:, 0].to_list())


def broken() -> Any:
    if os.environ.get("FAILS_NOW"):
        raise ZeroDivisionError("mine")
    return fixed()


def test_a_cell_that_cannot_be_scored_says_why_and_hides_no_other(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = lab.fit()
    lab.swap(broken)
    fails = lab.fit()
    monkeypatch.setenv("FAILS_NOW", "1")
    torch.manual_seed(0)
    others = Lab(integrator(), integrator_data, options=QUICK, runs_dir=tmp_path / "others", name="steered")
    shaped = others.fit()
    lab.swap(fixed)
    bare = lab.fit(checkpoint=False)
    found = lab.cross([good, fails, shaped, bare])
    reasons = {(row.split("-")[1], column): told for (row, column), told in found.reasons.items()}
    assert reasons["rosenbrock_data", "broken"] == "ZeroDivisionError: mine"
    assert "needs a, which the data do not have; they have r, x" in reasons["rosenbrock_data", "integrator_data"]
    assert reasons["integrator_data", "fixed"] == "made for another Problem: other keys, terms or shapes"
    assert reasons["fixed", "fixed"] == "kept no checkpoint, so there are no weights to score"
    scored = found.frame.notna()
    assert scored.loc[good.id].to_list() == [True, False, False, True] == scored.loc[fails.id].to_list()
    assert not scored.loc[shaped.id].any()
    told = found.reason_lines()
    assert f"run {good.id}, {fails.id} on broken: ZeroDivisionError: mine" in told
    assert f"run {shaped.id}: made for another Problem: other keys, terms or shapes" in told


def test_a_split_that_the_data_do_not_have_is_told(lab: Lab) -> None:
    lab.swap(fixed)
    lab.fit()
    (told,) = lab.cross(split="test").reasons.values()
    assert told == "there is no split 'test'; the splits are: train, dev"


def test_what_is_asked_for_wrongly_is_refused(lab: Lab) -> None:
    with pytest.raises(RunError, match="no run to score"):
        lab.cross()
    lab.fit()
    with pytest.raises(FieldError) as caught:
        lab.cross(split="val", metric="circle_violatoin")
    assert set(caught.value.faults) == {"split", "metric"}
    assert "circle_violation" in caught.value.faults["metric"]
    screen = Screen(lab)
    screen.edit("options", max_epochs="1000000")
    screen.send("run")
    with pytest.raises(BusyError):
        lab.cross()
    lab.stop()
    lab.wait()


def interrupting(n: int = 4) -> Any:
    if os.environ.get("INTERRUPT_NOW"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    return fixed()


def test_an_interrupt_ends_it_and_leaves_all_as_it_was(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(lab)
    lab.swap(interrupting)
    lab.fit()
    lab.fit(n=5)
    problem: Any = lab.problem
    before = copy_weights(problem)
    monkeypatch.setenv("INTERRUPT_NOW", "1")
    with pytest.raises(KeyboardInterrupt, match="Everything is as it was before"):
        lab.cross()
    assert all(torch.equal(value, before[name]) for name, value in copy_weights(problem).items())
    lab._await_screen()
    monkeypatch.delenv("INTERRUPT_NOW")
    assert lab.fit().status == "finished"
    assert screen.message == ""


def test_a_lab_with_a_builder_has_its_runs_scored(tmp_path: Path) -> None:
    lab = Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")
    run = lab.fit()
    assert lab.cross().frame.iloc[0, 0] == pytest.approx(run.best_value, rel=1e-6)
    later = Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")  # which has built none yet
    assert later.cross().frame.iloc[0, 0] == pytest.approx(run.best_value, rel=1e-6)


# --- on screen ---


def test_it_shows_itself_as_picture_table_and_reasons(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "fails_now", False)
    lab.fit()
    lab.swap(broken)
    lab.fit(max_epochs=4)
    monkeypatch.setenv("FAILS_NOW", "1")
    found = lab.cross()
    html, text = found._repr_html_(), repr(found)
    assert html.count("★") == text.count("★") == 1  # of the data set on which there are scores
    assert html.count("ZeroDivisionError: mine") == text.count("ZeroDivisionError: mine") == 1
    assert html.count("<img") == 1
    assert 'alt="dev loss of 2 runs on 2 data sets: on rosenbrock_data run' in html
    assert found.plot()._repr_png_().startswith(b"\x89PNG")


HEAT = HeatMap(
    rows=("0001-a", "0002-with-a-name-that-is-much-longer-than-there-is-room-for"),
    columns=("data n=1", "other", "third n=2, seed 3"),
    values=((0.1, None, float("nan")), (12.5, -3.0, 1e-9)),
    starred=frozenset({(0, 0)}),
    framed=frozenset({(0, 0), (1, 1)}),
    title="dev loss",
)


@pytest.mark.parametrize("dark", [None, False, True])
def test_a_heat_map_fits_its_picture_and_says_every_number(dark: bool | None) -> None:
    picture = Picture(300, 100)
    seen: list[Any] = []

    def draw(figure: Any) -> None:
        seen.append(figure)
        draw_heat(figure, HEAT, theme=Theme(dark=dark))

    picture.png(draw)
    axes = seen[0].axes[0]
    words = [text.get_text() for text in axes.texts]
    assert {"★ 0.1", "–", "12.5", "−3", "10⁻⁹", "not a number", "data", "n=1"} <= set(words)
    renderer = seen[0].canvas.get_renderer()
    whole = seen[0].bbox
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, text.get_text()
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, text.get_text()
