"""What is asked for on the panel, and what stands there afterwards."""

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import nmlab
from nmlab import Lab, RunError, TrainerOptions
from nmlab.identity.functions import known_functions
from nmlab.problem.weights import copy_weights, read_weights
from nmlab.runtime import one_fit
from nmlab.training.profile import BESIDE, STEPS
from tests.helpers import problems
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import GOING, IDLE, Screen
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=3, seed=1)


def other_data(nsim: int = 60, tilt: float = 0.5) -> Any:
    return rosenbrock_data(nsim)


@pytest.fixture
def problem() -> Any:
    torch.manual_seed(0)
    return rosenbrock()


@pytest.fixture
def lab(problem: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.chdir(tmp_path)
    return Lab(problem, rosenbrock_data, options=QUICK)


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Let no run of a failed test stand in the way of the next."""
    yield
    if (running := one_fit.current()) is not None:
        running.stop()
        until(lambda: one_fit.current() is None)


@pytest.fixture
def screen(lab: Lab) -> Screen:
    return Screen(lab)


def fitted(lab: Lab, **kwargs: Any) -> Any:
    return lab.fit(**kwargs)


def open_tab(screen: Screen, tab: str) -> str:
    """Open a tab and return its HTML."""
    screen.choose(tab=tab)
    until(lambda: screen.panel.page.get("tab") == tab)
    return str(screen.panel.page["html"])


# --- run, pause, step ---


def test_step_pause_and_resume(lab: Lab, screen: Screen) -> None:
    screen.edit("options", max_epochs="100000")
    screen.send("step")
    assert screen.can(*GOING)
    assert lab.run is not None
    until(lambda: "paused" in screen.panel.progress)
    assert lab.run.epochs == 1
    screen.send("step")
    until(lambda: lab.run is not None and lab.run.epochs == 2)
    until(lambda: screen.panel.controls["paused"])
    screen.send("resume")
    until(lambda: lab.run is not None and lab.run.epochs > 4)
    assert not screen.panel.controls["paused"]
    screen.send("pause")
    until(lambda: "paused" in screen.panel.progress)
    epochs = lab.run.epochs
    time.sleep(0.1)
    assert lab.run.epochs == epochs
    screen.send("stop")
    run = lab.wait()
    assert run is not None
    assert (run.status, run.epochs) == ("stopped", epochs)
    assert screen.can(*IDLE)


def test_what_was_clicked_for_one_run_never_reaches_a_later_one(lab: Lab, screen: Screen) -> None:
    screen.edit("options", max_epochs="100000")
    screen.send("run")
    turn = screen.panel.controls["turn"]
    lab.stop()
    lab.wait()
    screen.send("run")
    screen.send("stop", turn=turn)
    screen.send("run", turn=turn)
    time.sleep(0.2)
    assert lab.run is not None
    assert (lab.run.status, len(lab.runs)) == ("running", 2)


def test_buttons_are_off_while_a_cell_waits(lab: Lab, screen: Screen) -> None:
    seen: list[Any] = []

    def watched(nsim: int = 20) -> Any:
        until(lambda: "■" in screen.panel.controls["hint"])
        seen.append(screen.panel.controls["enabled"])
        return rosenbrock_data(nsim)

    lab.swap(watched)
    lab.fit()
    assert seen == [[]]
    assert screen.can(*IDLE)


# --- weights ---


def test_the_next_runs_start_where_the_user_says(lab: Lab, screen: Screen, problem: Any) -> None:
    first = fitted(lab)
    assert [value for value, _ in screen.panel.controls["starts"]] == ["", first.id]
    screen.send("from", runs=[first.id])
    assert screen.panel.controls["start"] == first.id
    second = fitted(lab)
    assert first.checkpoint_path is not None
    assert second.start_checkpoint_path is not None
    best, start = read_weights(first.checkpoint_path), read_weights(second.start_checkpoint_path)
    assert all(torch.equal(best[name], start[name]) for name in best)
    assert second.starts_from == first.id
    screen.send("from", runs=[])
    third = fitted(lab)
    assert third.metrics.drop(columns="seconds").equals(first.metrics.drop(columns="seconds"))


def test_restore_puts_a_runs_weights_into_the_problem(lab: Lab, screen: Screen, problem: Any) -> None:
    first = fitted(lab)
    weights = copy_weights(problem)
    fitted(lab, seed=5, lr=0.05)
    screen.send("restore", runs=[first.id])
    assert first.id in screen.message
    assert all(torch.equal(value, weights[name]) for name, value in copy_weights(problem).items())


def test_nothing_is_restored_into_weights_that_are_being_trained(lab: Lab, screen: Screen) -> None:
    first = fitted(lab)
    screen.edit("options", max_epochs="100000")
    screen.send("run")
    screen.send("restore", runs=[first.id])
    assert f"Run {lab.runs[-1].id} of Lab &#x27;lab&#x27; is running. To stop it" in screen.message


# --- runs ---


def test_rename_note_delete_and_undo(lab: Lab, screen: Screen) -> None:
    first, second = fitted(lab), fitted(lab)
    screen.send("rename", runs=[first.id], text="<b>base</b>")
    screen.send("note", runs=[first.id], text="the first of all")
    assert (screen.panel.runs[0]["name"], screen.panel.runs[0]["note"]) == ("<b>base</b>", "the first of all")
    screen.choose(ticked=[first.id])
    screen.send("delete", runs=[first.id, second.id])
    assert screen.runs == screen.panel.ticked == []
    assert screen.panel.message["undo"]
    screen.send("undo")
    assert screen.runs == [first.id, second.id]
    assert screen.message == ""


def test_a_running_run_is_not_deleted_and_what_is_gone_is_no_error(lab: Lab, screen: Screen) -> None:
    screen.edit("options", max_epochs="100000")
    screen.send("run")
    assert lab.run is not None
    screen.send("delete", runs=[lab.run.id])
    assert "stop it first" in screen.message
    screen.send("rename", runs=["0099-nobody"], text="x")
    assert "0099-nobody" in screen.message
    screen.send("run again, please")
    assert "KeyError" in screen.message
    lab.stop()
    assert lab.wait() is not None


def test_settings_of_a_run_return_to_the_form_with_their_data_function(lab: Lab, screen: Screen) -> None:
    first = fitted(lab, nsim=40, lr=0.02)
    lab.swap(other_data)
    fitted(lab)
    screen.send("settings", runs=[first.id])
    assert screen.panel.form["data"]["title"] == "Data: rosenbrock_data"
    assert screen.shown("data")["nsim"] == "40"
    assert screen.shown("options")["lr"] == "0.02"
    screen.send("again", run=first.id)
    again = lab.wait()
    assert again is not None
    assert again.metrics.drop(columns="seconds").equals(first.metrics.drop(columns="seconds"))


def test_settings_made_by_a_function_that_is_not_here_say_what_to_do(
    lab: Lab, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fitted(lab)
    monkeypatch.delattr(problems, "rosenbrock_data")  # as in a kernel that has not defined it
    known_functions.forget()
    elsewhere = Lab(rosenbrock, other_data, options=QUICK)
    other = Screen(elsewhere)
    other.send("again", run=first.id)
    assert "rosenbrock_data" in other.message
    assert "lab.swap" in other.message
    assert len(elsewhere.runs.all()) == 1


def test_two_runs_are_compared(lab: Lab, screen: Screen) -> None:
    first, second = fitted(lab), fitted(lab, lr=0.02)
    screen.choose(ticked=[first.id, second.id])
    screen.send("compare", runs=[first.id, second.id])
    until(lambda: "0.02" in screen.panel.page["html"])
    assert screen.panel.tab == "details"
    assert "0.02" in lab.compare(first, second.id)._repr_html_()
    until(lambda: screen.panel.page["tab"] == "details")


def test_export_and_load(lab: Lab, screen: Screen, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        lab.export()
    run = fitted(lab)
    screen.send("export")
    path = tmp_path / "lab-runs.zip"
    assert str(path.name) in screen.message
    names = zipfile.ZipFile(path).namelist()
    assert {f"code/{run.id}.py", f"figures/{run.id}.pdf"} <= set(names)
    loaded = nmlab.load(path, tmp_path / "elsewhere")
    assert loaded[0].metrics.equals(run.metrics)


# --- presets, lock, hide ---


def test_presets(lab: Lab, screen: Screen) -> None:
    screen.edit("data", nsim="44")
    screen.edit("options", lr="0.5")
    screen.send("save preset", name="large steps")
    assert screen.panel.presets == lab.presets == ["large steps"]
    screen.send("reset")
    assert (screen.shown("data")["nsim"], screen.shown("options")["lr"]) == ("100", "0.001")
    screen.send("load preset", name="large steps")
    assert (screen.shown("data")["nsim"], screen.shown("options")["lr"]) == ("44", "0.5")
    screen.send("delete preset", name="large steps")
    assert screen.panel.presets == []
    lab.save_preset("again")
    assert screen.panel.presets == ["again"]


def test_reset_goes_back_to_what_the_author_gave_and_can_be_undone(problem: Any, tmp_path: Path) -> None:
    options = QUICK.replace(max_epochs=7, optimizer="SGD")
    lab = Lab(problem, rosenbrock_data, options=options, data_kwargs={"nsim": 33}, runs_dir=tmp_path / "runs")
    screen = Screen(lab)

    def changed() -> set[str]:
        return {n for which in ("data", "options") for n, on in screen.panel.entries[which]["changed"].items() if on}

    assert changed() == set()
    screen.edit("data", nsim="44", p_low="many")
    screen.edit("options", max_epochs="8", lr="0.5")
    assert changed() == {"nsim", "p_low", "max_epochs", "lr"}
    edited = screen.panel.entries
    screen.send("reset")
    assert (changed(), screen.shown("data")["nsim"]) == (set(), "33")
    assert (screen.shown("options")["max_epochs"], screen.shown("options")["optimizer"]) == ("7", "SGD")
    screen.send("undo")
    assert screen.panel.entries == edited
    screen.send("reset")
    assert (fitted(lab).epochs, lab.runs[-1].settings["data_kwargs"]["nsim"]) == (7, 33)

    # other data: what the author gave stays the default, what the user changed stays changed
    screen.edit("data", p_low="0.7")
    lab.swap(sized_data)
    assert (screen.shown("data"), changed()) == ({"p_low": "0.7", "nsim": "33"}, {"p_low"})
    screen.send("reset")
    assert screen.shown("data") == {"p_low": "0.5", "nsim": "33"}

    # a run made with other values shows those, not the author's
    run = lab.fit(options=TrainerOptions(max_epochs=2, seed=1))
    screen.send("settings", runs=[run.id])
    assert (screen.shown("options")["max_epochs"], screen.shown("options")["optimizer"]) == ("2", "default")


def sized_data(p_low: float = 0.5, nsim: int = 1000) -> Any:
    return rosenbrock_data(nsim, p_low=p_low)


def test_reset_of_one_field(screen: Screen) -> None:
    screen.edit("data", nsim="44", p_low="0.7")
    assert screen.panel.entries["data"]["changed"]["nsim"]
    screen.send("reset", form="data", name="nsim")
    assert (screen.shown("data")["nsim"], screen.shown("data")["p_low"]) == ("100", "0.7")
    assert not screen.panel.entries["data"]["changed"]["nsim"]


# --- tabs ---


def test_every_tab_shows_its_run(lab: Lab, screen: Screen) -> None:
    run = fitted(lab)
    shown = {tab: open_tab(screen, tab) for tab, _ in screen.panel.tabs}
    without_view = ["overview", "losses", "terms", "rate", "try", "values", "log", "profile", "details", "code"]
    assert list(shown) == without_view
    assert "train_obj" in shown["values"]
    assert run.id in shown["details"] or run.name in shown["details"]
    assert "def rosenbrock_data" in shown["details"]
    assert "nmlab.fit(" in shown["code"]
    assert "profiler='simple'" in shown["profile"]  # says how to get one
    assert not screen.panel.page.get("curves")
    open_tab(screen, "terms")
    assert screen.panel.page["curves"]
    until(lambda: any("obj" in chart["name"] for chart in screen.curves[-1].get("charts", ())))
    assert screen.panel.picture == b""  # the page draws them


def test_a_profile_comes_when_its_run_has_ended(lab: Lab, screen: Screen) -> None:
    profiled = fitted(lab, profiler="simple")
    assert "the optimizer" in open_tab(screen, "profile")
    assert profiled.profile is not None
    assert set(profiled.profile["step"]) - {BESIDE} == set(STEPS)
    fitted(lab, profiler=None)
    until(lambda: "not profiled" in screen.panel.page["html"])
    screen.choose(ticked=[profiled.id])
    until(lambda: "the optimizer" in screen.panel.page["html"])


def test_the_tab_shows_the_ticked_run(lab: Lab, screen: Screen) -> None:
    first = fitted(lab, nsim=41)
    fitted(lab, nsim=42)
    screen.choose(ticked=[first.id])
    assert "41" in open_tab(screen, "details")
    screen.choose(ticked=[])
    until(lambda: "42" in screen.panel.page["html"])


def test_a_change_of_theme_or_width_draws_the_problem_anew(lab: Lab, screen: Screen) -> None:
    fitted(lab)
    seen = [open_tab(screen, "details")]
    for dark in (False, True):
        screen.choose(screen={"width": 500, "ratio": 2.0, "dark": dark})
        until(lambda: screen.panel.page["html"] not in seen)
        seen.append(screen.panel.page["html"])


def test_curves_are_sent_once_and_again_where_a_page_asks(lab: Lab, screen: Screen) -> None:
    run = fitted(lab)
    open_tab(screen, "losses")
    until(lambda: sum(len(message["numbers"]) for message in screen.curves) >= 4 * run.epochs)
    screen.curves.clear()
    expected = [value for name in ("train_loss", "dev_loss") for column in run.arrays(name) for value in column]
    screen.send("curves")
    until(lambda: any(message["anew"] for message in screen.curves))
    whole = next(message for message in screen.curves if message["anew"])
    assert [line["name"] for line in whole["lines"]] == ["train", "dev"]
    assert whole["charts"][0]["best_text"].startswith("best: ")
    assert whole["numbers"].tolist() == pytest.approx(expected, rel=1e-6)


def test_the_view_is_drawn_as_it_learns_and_its_error_ends_nothing(problem: Any, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    broken = False

    def view(problem: Any, splits: Any) -> Figure:
        if broken:
            raise ValueError("<b>no picture</b>")
        figure = Figure()
        figure.subplots().plot(splits.dev.datadict["p"])
        return figure

    lab = Lab(problem, rosenbrock_data, options=QUICK.replace(max_epochs=100_000), runs_dir=tmp_path, view=view)
    screen = Screen(lab)
    screen.choose(tab="view")
    screen.send("run")
    until(lambda: screen.panel.picture.startswith(b"\x89PNG"))
    broken = True
    until(lambda: "no picture" in screen.panel.page["html"])
    assert "<b>no" not in screen.panel.page["html"]
    assert lab.run is not None
    assert lab.run.status == "running"
    broken = False
    lab.stop()
    run = lab.wait()
    assert run is not None
    assert run.view_path is not None


def test_what_a_button_run_prints_is_in_its_log_alone(
    lab: Lab, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    def talking(nsim: int = 20) -> Any:
        print("<i>making</i>", nsim)
        return rosenbrock_data(nsim)

    lab.swap(talking)
    screen.send("run")
    run = lab.wait()
    assert run is not None
    assert "making" not in capsys.readouterr().out
    html = open_tab(screen, "log")
    assert "&lt;i&gt;making&lt;/i&gt; 20" in html
    assert str(run.log_path) in html
    lab.fit()
    assert "making" in capsys.readouterr().out  # of a cell that waits, in that cell too


def test_a_second_bench_over_the_same_runs_begins_with_the_newest(lab: Lab, screen: Screen, tmp_path: Path) -> None:
    run = fitted(lab)
    later = Screen(Lab(rosenbrock, rosenbrock_data, options=QUICK))
    assert later.runs == [run.id]
    until(lambda: later.panel.page.get("curves"))


def test_a_run_without_dev_is_exported_and_drawn(problem: Any, tmp_path: Path) -> None:
    def without(nsim: int = 20) -> Any:
        train, _, test, batch_size = rosenbrock_data(nsim)
        return train, None, test, batch_size

    lab = Lab(problem, without, options=QUICK.replace(monitor="train_loss"), runs_dir=tmp_path)
    run = lab.fit()
    assert lab.figure().axes
    names = zipfile.ZipFile(lab.export(tmp_path / "runs.zip")).namelist()
    assert {f"code/{run.id}.py", f"figures/{run.id}.pdf"} <= set(names)


def test_a_view_that_fails_is_called_no_more_often_than_one_that_works(problem: Any, tmp_path: Path) -> None:
    calls: list[float] = []

    def view(problem: Any, splits: Any) -> Any:
        calls.append(time.monotonic())
        time.sleep(0.06)
        raise ValueError("mine")

    lab = Lab(problem, rosenbrock_data, options=QUICK.replace(max_epochs=100_000), runs_dir=tmp_path, view=view)
    screen = Screen(lab)
    screen.choose(tab="view")
    screen.send("run")
    until(lambda: len(calls) >= 2)
    lab.stop()
    lab.wait()
    assert calls[1] - calls[0] > 1.0  # 3 % of the time would be 2 s


def test_run_again_takes_free_keywords_and_asks_for_what_is_lost(problem: Any, tmp_path: Path) -> None:
    def free(nsim: int = 20, system: Any = None, **more: Any) -> Any:
        return rosenbrock_data(nsim)

    here, other = torch.ones(2), torch.zeros(2)
    lab = Lab(problem, free, options=QUICK, runs_dir=tmp_path, data_kwargs={"noise": 0.1, "system": here})
    screen = Screen(lab)
    run, odd = lab.fit(noise=0.5), lab.fit(system=other)
    screen.send("again", run=run.id)
    again = lab.wait()
    assert again is not None
    assert again.settings["data_kwargs"] == run.settings["data_kwargs"]
    lab._session._recipes.forget()  # as after a restart
    screen.send("again", run=odd.id)
    assert "system" in screen.message
    assert len(lab.runs) == 3
    lab.save_preset("free")
    lab._session.data._beyond = {}
    lab.load_preset("free")
    assert lab._session.data_kwargs["noise"] == 0.1


def test_an_earlier_run_may_go(lab: Lab, screen: Screen) -> None:
    """Whose curve was drawn behind the newest."""
    first, newest = fitted(lab), fitted(lab)
    screen.send("delete", runs=[first.id])
    assert screen.message == f"Moved to the trash: {first.id}"
    assert screen.runs == [newest.id]
    screen.send("undo")
    assert set(screen.runs) == {first.id, newest.id}


def test_deleting_is_all_or_nothing_and_the_newest_run_may_go(lab: Lab, screen: Screen) -> None:
    first = fitted(lab)
    screen.edit("options", max_epochs="100000")
    screen.send("run")
    assert lab.run is not None
    screen.send("delete", runs=[first.id, lab.run.id])
    assert "Nothing was deleted" in screen.message
    assert first.folder.exists()
    lab.stop()
    newest = lab.wait()
    assert newest is not None
    screen.send("delete", runs=[newest.id])
    until(lambda: screen.panel.progress == "")
    assert screen.runs == [first.id]
    screen.send("undo")
    until(lambda: newest.id in screen.panel.progress)


def test_kept_weights_can_be_chosen_again(lab: Lab, screen: Screen) -> None:
    run = fitted(lab)
    lab.swap(other_data, keep_weights=True)
    assert screen.panel.controls["start"] == "kept weights"
    screen.send("from", runs=[run.id])
    screen.send("from", runs=["kept weights"])
    assert screen.panel.controls["start"] == "kept weights"
    assert "kept weights" in screen.message
    assert fitted(lab).starts_from == "kept weights"


def test_a_rename_shows_above_the_curves(lab: Lab, screen: Screen) -> None:
    run = fitted(lab)
    open_tab(screen, "losses")
    screen.send("rename", runs=[run.id], text="new name")
    until(lambda: "new name" in screen.panel.page["html"])


def test_a_run_that_begins_within_a_look_is_not_taken_for_ended(
    lab: Lab, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lab._bench is not None
    bench, session = lab._bench, lab._session
    until(lambda: screen.can(*IDLE))

    def begins_meanwhile(_bench: Any) -> None:
        monkeypatch.undo()
        session.start(options=QUICK.replace(max_epochs=100_000))

    monkeypatch.setattr(type(bench), "_fit", property(begins_meanwhile))
    bench._look()
    assert screen.can(*GOING)
