"""The Lab from code, and its panel without a browser."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

import nmlab
from nmlab import BusyError, FieldError, Lab, RunError, TrainerOptions
from nmlab.notebook.bench import Bench
from nmlab.problem.weights import copy_weights
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import GOING, IDLE, Screen
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=3, seed=1)


def narrow_data(nsim: int = 60, p_high: float = 1.0, tilt: float = 0.5) -> Any:
    return rosenbrock_data(nsim, p_high=p_high)


@pytest.fixture
def problem() -> Any:
    torch.manual_seed(0)
    return rosenbrock()


@pytest.fixture
def lab(problem: Any, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(problem, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")
    yield lab
    lab.stop()


def rows(run: Any) -> Any:
    return run.metrics.drop(columns="seconds")


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


# --- weights from run to run ---


def test_every_run_starts_from_the_weights_of_the_labs_making(lab: Lab) -> None:
    assert rows(lab.fit()).equals(rows(lab.fit()))


def test_fit_swap_fit_gives_what_the_second_fit_alone_gives(lab: Lab, tmp_path: Path) -> None:
    lab.fit()
    lab.swap(narrow_data)
    second = lab.fit()
    torch.manual_seed(0)
    alone = nmlab.fit(rosenbrock(), narrow_data, QUICK, runs_dir=tmp_path / "alone")
    assert rows(second).equals(rows(alone))


def test_swap_can_go_on_from_the_trained_weights(lab: Lab, problem: Any) -> None:
    lab.fit()
    trained = copy_weights(problem)
    lab.swap(narrow_data, keep_weights=True)
    first, again = lab.fit(), lab.fit()
    start = torch.load(first.folder / "checkpoints" / "start.ckpt", weights_only=True)["state_dict"]
    assert same({f"problem.{name}": value for name, value in trained.items()}, start)
    assert rows(first).equals(rows(again))  # a second run starts there too


def test_a_builder_is_called_anew_for_every_run(tmp_path: Path) -> None:
    lab = Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")
    first, again, other = lab.fit(), lab.fit(), lab.fit(seed=2)
    assert rows(first).equals(rows(again))
    assert not rows(first).equals(rows(other))
    assert first.problem is not again.problem
    assert [run.id for run in lab.runs] == [first.id, again.id, other.id]


# --- keywords ---


def test_keywords_are_data_or_options_by_where_they_are_known(lab: Lab) -> None:
    run = lab.fit(nsim=40, max_epochs=2, lr=0.01)
    assert run.settings["data_kwargs"]["nsim"] == 40
    assert (run.epochs, run.column("lr")[0]) == (2, 0.01)
    assert lab.fit().epochs == 3  # for that run alone


def test_keywords_that_nobody_knows_or_both_know_are_said_at_once(problem: Any, tmp_path: Path) -> None:
    def both(lr: float = 0.5, nsim: int = 10) -> Any:
        return rosenbrock_data(nsim)

    lab = Lab(problem, both, options=QUICK, runs_dir=tmp_path / "runs")
    with pytest.raises(FieldError) as caught:
        lab.fit(lr=1.0, nsmi=3)
    assert set(caught.value.faults) == {"lr", "nsmi"}
    assert "data_kwargs" in caught.value.faults["lr"]
    run = lab.fit(data_kwargs={"lr": 0.25}, options=QUICK.replace(lr=0.02))
    assert (run.settings["data_kwargs"]["lr"], run.column("lr")[0]) == (0.25, 0.02)


def test_a_mistyped_option_is_met_with_the_one_that_is_meant_first(lab: Lab, problem: Any) -> None:
    with pytest.raises(FieldError) as caught:
        lab.fit(max_epoch=20, nsmi=3, quite_other=1)
    assert caught.value.faults["max_epoch"].startswith("did you mean 'max_epochs'? It is neither a parameter")
    assert caught.value.faults["nsmi"].startswith("did you mean 'nsim'? It is neither a parameter")
    assert caught.value.faults["quite_other"].startswith("It is neither a parameter")
    told = "unknown name; did you mean 'max_epochs'? It is an option: options=TrainerOptions(max_epochs=…). Known here"
    for call in (nmlab.fit, nmlab.find_lr):
        with pytest.raises(FieldError) as caught:
            call(problem, rosenbrock_data, max_epoch=20)
        assert caught.value.faults["max_epoch"].startswith(told)


def test_a_lab_that_is_gone_holds_nothing(problem: Any, tmp_path: Path) -> None:
    lab = Lab(problem, rosenbrock_data, options=QUICK, runs_dir=tmp_path)
    lab.fit()
    gone: list[Any] = [weakref.ref(lab), weakref.ref(lab._session), weakref.ref(lab.splits)]
    gc.disable()  # so that it is not a later collection that lets go
    try:
        del lab
        assert [each() for each in gone] == [None, None, None]
    finally:
        gc.enable()


MADE_AGAIN = """
lab = nmlab.Lab(problem, data, options=quick, runs_dir=folder)
display(lab)
run = lab.fit()
seen += [weakref.ref(split) for split in (lab.splits.train, lab.splits.dev, lab.splits.test)]
lab
"""


def test_a_lab_made_again_lets_go_of_the_data_of_the_one_before(
    cell: Callable[[str], Any], problem: Any, tmp_path: Path
) -> None:
    """Though its panel may be on screen still, and IPython keeps what cells returned."""
    names = cell("import gc, weakref, nmlab\nfrom IPython.display import display\nseen = []")
    names |= {"problem": problem, "data": rosenbrock_data, "quick": QUICK, "folder": tmp_path}
    for _ in range(4):
        cell(MADE_AGAIN)
    kept = names["lab"]
    cell("other = nmlab.Lab(problem, data, options=quick, runs_dir=folder)\ndisplay(other)\nother.fit()")
    gc.collect()
    assert [split() is not None for split in names["seen"]] == 9 * [False] + 3 * [True]
    assert kept.splits is not None


def test_a_labs_stop_is_for_its_own_fits(lab: Lab, problem: Any, capsys: pytest.CaptureFixture[str]) -> None:
    other = Lab(rosenbrock(), rosenbrock_data, options=QUICK, runs_dir=lab._session.store.folder, name="other")
    beside = Screen(other)
    long_run(lab)
    run = lab.run
    assert run is not None
    capsys.readouterr()
    other.stop()
    assert capsys.readouterr().out.startswith(f"Lab 'other' is not running. Run {run.id} of Lab 'lab' is running.")
    assert run.status == "running"
    with pytest.raises(BusyError, match=f"Run {run.id} of Lab .lab. is running"):
        other.fit()
    until(lambda: run.id in beside.panel.controls["hint"])
    assert beside.can()
    lab.stop()
    lab.wait()
    until(lambda: beside.can(*IDLE))
    capsys.readouterr()
    lab.stop()  # harmless
    assert capsys.readouterr().out == ""


def test_wrong_values_of_data_and_options_are_said_at_once(lab: Lab) -> None:
    with pytest.raises(FieldError) as caught:
        lab.fit(nsim="few", lr="fast")
    assert set(caught.value.faults) == {"nsim", "lr"}
    with pytest.raises(FieldError) as caught:
        lab.fit(nsim=10, lr="fast")
    assert set(caught.value.faults) == {"lr"}


def test_free_keywords_of_a_data_function_never_catch_an_option(problem: Any, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def free(**kwargs: Any) -> Any:
        seen.update(kwargs)
        return rosenbrock_data(20)

    run = Lab(problem, free, options=QUICK, runs_dir=tmp_path / "runs").fit(anything=1, max_epochs=2)
    assert (seen, run.epochs) == ({"anything": 1}, 2)


def test_values_by_name_and_values_no_widget_can_make(problem: Any, tmp_path: Path) -> None:
    seen: list[Any] = []

    def chosen(system: Any, scale: Any = None) -> Any:
        seen.append((system, scale))
        return rosenbrock_data(20)

    systems, scale = {"small": object(), "large": object()}, torch.ones(3)
    lab = Lab(
        problem,
        chosen,
        options=QUICK,
        choices={"system": systems},
        data_kwargs={"scale": scale},
        runs_dir=tmp_path / "runs",
    )
    run = lab.fit(system="large")
    assert seen == [(systems["large"], scale)]
    assert run.settings["data_kwargs"]["system"] == "large"


# --- one run at a time ---


def long_run(lab: Lab) -> Screen:
    """Begin a run with the button that goes on until it is stopped."""
    screen = Screen(lab)
    screen.edit("options", max_epochs="1000000")
    screen.send("run")
    return screen


def test_a_button_run_leaves_the_caller_free_and_is_stopped(lab: Lab) -> None:
    screen = long_run(lab)
    assert lab.run is not None
    assert lab.run.status == "running"
    assert screen.can(*GOING)
    with pytest.raises(BusyError, match=lab.run.id):
        lab.fit()
    screen.send("run", turn=0)  # a double click begins no second run, and is no fault
    assert screen.message == ""
    screen.send("stop")
    run = lab.wait()
    assert run is not None
    assert (run.status, len(lab.runs)) == ("stopped", 1)
    assert screen.can(*IDLE)
    assert lab.fit(max_epochs=2).status == "finished"  # the stop was that run's alone


def test_stop_after_the_end_changes_nothing_on_screen(lab: Lab) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("mine")

    screen = Screen(lab)
    lab.swap(broken)
    with pytest.raises(ZeroDivisionError):
        lab.fit()
    before = screen.message
    assert "mine" in before
    lab.stop()
    assert screen.message == before


def test_an_interrupt_before_the_waiting_stops_the_fit_and_frees_the_panel(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(lab)
    refresh = Bench.refresh

    def interrupted(bench: Bench) -> None:
        patch.undo()
        refresh(bench)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bench, "refresh", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"■ stopped run 0001-rosenbrock_data .*The Problem holds its"):
            lab.fit(max_epochs=1_000_000)
    assert lab.run is not None
    assert lab.run.status == "stopped"
    assert screen.can(*IDLE)


def test_kept_weights_of_a_builder_are_those_of_its_last_run(tmp_path: Path) -> None:
    lab = Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")
    with pytest.raises(RunError, match="no weights to keep"):
        lab.swap(narrow_data, keep_weights=True)
    first = lab.fit()
    lab.swap(narrow_data, keep_weights=True)
    assert first.problem is not None
    second = lab.fit()
    start = torch.load(second.folder / "checkpoints" / "start.ckpt", weights_only=True)["state_dict"]
    assert same({f"problem.{name}": value for name, value in copy_weights(first.problem).items()}, start)


def test_wait_raises_what_ended_a_button_run(lab: Lab) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("mine")

    assert lab.wait() is None
    lab.swap(broken)
    screen = Screen(lab)
    screen.send("run")
    with pytest.raises(ZeroDivisionError, match="mine"):
        lab.wait()
    assert "mine" in screen.message
    assert screen.can(*IDLE)


def test_a_lab_made_again_over_the_same_problem_takes_the_run_over(lab: Lab, problem: Any, tmp_path: Path) -> None:
    old = long_run(lab)
    newer = Lab(problem, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")
    assert newer.run is not None
    assert lab.run is not None
    assert newer.run.id == lab.run.id
    assert "replaced" in old.panel.retired
    screen = Screen(newer)
    assert screen.can(*GOING)
    screen.send("stop")
    newer.wait()
    assert newer.run.status == "stopped"
    assert screen.can(*IDLE)
    lab.wait()
    first = newer.fit(max_epochs=3)  # from the start weights, not from those that the stopped run left
    torch.manual_seed(0)
    fresh = Lab(rosenbrock(), rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs")
    assert rows(first).equals(rows(fresh.fit()))


def test_the_old_data_are_let_go_of_before_the_new_are_made(problem: Any, tmp_path: Path) -> None:
    held: list[Any] = []

    def watched(nsim: int = 20) -> Any:
        alive = [reference() is not None for reference in held]
        train, dev, test, batch_size = rosenbrock_data(nsim)
        held.append(weakref.ref(train))
        assert not any(alive), "the data of the run before are still there"
        if nsim == 21:
            raise ValueError("after the data were made")
        return train, dev, test, batch_size

    lab = Lab(problem, watched, options=QUICK, runs_dir=tmp_path / "runs")
    lab.fit()
    assert lab.splits is not None
    assert len(lab.splits.train) == 20
    with pytest.raises(ValueError, match="after the data"):
        lab.fit(nsim=21)
    lab.fit(nsim=22)
    assert len(lab.splits.train) == 22


# --- the panel ---


def test_the_form_holds_what_the_function_and_the_options_say(lab: Lab) -> None:
    screen = Screen(lab)
    assert screen.shown("data") == {"nsim": "100", "batch_size": "32", "p_low": "0.5", "p_high": "2"}
    assert (screen.shown("options")["max_epochs"], screen.shown("options")["patience"]) == ("3", "")
    assert screen.faults("data") == screen.faults("options") == set()


def test_faults_turn_run_off_until_all_are_put_right(lab: Lab) -> None:
    screen = Screen(lab)
    screen.edit("data", nsim="many", p_low="0.5")
    screen.edit("options", lr="-1")
    assert screen.can()
    assert "2 invalid values" in screen.panel.controls["hint"]
    assert (screen.faults("data"), screen.faults("options")) == ({"nsim"}, {"lr"})
    screen.edit("data", nsim="30")
    assert screen.can()
    screen.edit("options", lr="0.01")
    assert screen.can(*IDLE)
    assert lab.fit().settings["data_kwargs"]["nsim"] == 30  # code begins where the form stands


def test_swap_makes_the_form_anew_and_keeps_values_of_equal_names(lab: Lab) -> None:
    screen = Screen(lab)
    screen.edit("data", nsim="33", p_high="1.5")
    screen.edit("options", max_epochs="2")
    lab.swap(narrow_data, data_kwargs={"p_high": 0.75})
    assert screen.shown("data") == {"nsim": "33", "p_high": "0.75", "tilt": "0.5"}
    assert screen.shown("options")["max_epochs"] == "2"
    assert lab.fit().epochs == 2


def test_swap_leaves_defaults_to_the_new_function(lab: Lab) -> None:
    screen = Screen(lab)
    lab.swap(narrow_data)
    assert screen.shown("data") == {"nsim": "60", "p_high": "1", "tilt": "0.5"}


def test_a_value_that_does_not_fit_the_new_function_is_not_kept(lab: Lab) -> None:
    def named(nsim: str = "few") -> Any:
        return rosenbrock_data(20)

    lab.swap(named)
    assert Screen(lab).shown("data") == {"nsim": "few"}


def test_runs_are_this_labs_and_all_on_request(lab: Lab, tmp_path: Path) -> None:
    first = lab.fit()
    other = Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path / "runs", name="other").fit()
    assert [run.id for run in lab.runs] == [first.id]
    assert [run.id for run in lab.runs.all()] == [first.id, other.id]
    frame = lab.runs.to_pandas()
    assert list(frame["id"]) == [first.id]
    assert frame["best_value"][0] == first.best_value


def test_in_a_notebook_the_cell_shows_its_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published: list[Any] = []

    class Publisher:
        def publish(self, data: Any, metadata: Any = None, transient: Any = None, update: bool = False) -> None:
            published.append((data, transient, update, threading.current_thread().name))

    shell = InteractiveShell.instance()
    try:
        monkeypatch.setattr(shell, "display_pub", Publisher())
        run = lab.fit()
    finally:
        InteractiveShell.clear_instance()
    assert len({transient["display_id"] for _, transient, _, _ in published}) == 1  # one place, updated
    assert [update for _, _, update, _ in published] == [False] + [True] * (len(published) - 1)
    last = published[-1][0]["text/html"]
    assert run.id in last
    assert "finished" in last
    assert "data:image/png;base64," in last
    assert len(last) < 40_000


def test_an_argument_that_is_wrong_is_said_when_the_lab_is_made(problem: Any, tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="nsmi"):
        Lab(problem, rosenbrock_data, data_kwargs={"nsmi": 3}, runs_dir=tmp_path)
