"""A Lab whose runs have a process of their own: the bench, other Labs beside it, and what is done from code."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import nmlab
from nmlab import BusyError, Lab, TrainerOptions
from nmlab.launch.process import ProcessFit
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import GOING, Screen
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=3, seed=1, launch="process")


def lab_of(runs_dir: Path, options: TrainerOptions = QUICK, **keywords: Any) -> Lab:
    return Lab(built(rosenbrock), rosenbrock_data, options=options, runs_dir=runs_dir, **keywords)


def view(_problem: Any, splits: Any) -> Figure:
    figure = Figure()
    figure.gca().plot(splits.train.datadict["p"])
    return figure


def test_every_fit_starts_from_the_labs_start_as_in_a_thread(runs_dir: Path) -> None:
    lab, plain = lab_of(runs_dir), lab_of(runs_dir, QUICK.replace(launch="thread"), name="plain")
    first, second = lab.fit(), lab.fit()
    other = plain.fit()
    assert rows(first).equals(rows(second))
    assert rows(first).equals(rows(other))
    assert same(lab.problem.state_dict(), plain.problem.state_dict())  # type: ignore[union-attr]
    assert lab.run is second
    assert second.problem is lab.problem
    assert lab.splits is None
    assert list(lab.runs.to_pandas()["changed"])[-1] == "same settings"


def test_the_bench_shows_and_steers_it(runs_dir: Path) -> None:
    lab = lab_of(runs_dir, QUICK.replace(launch="thread"), view=view)
    screen = Screen(lab)
    screen.edit("options", launch="process", max_epochs="10000000")
    screen.send("run")
    assert screen.can(*GOING)
    assert isinstance(lab._session.fit, ProcessFit)
    until(lambda: "running" in screen.panel.progress)
    until(lambda: lab.run is not None and lab.run.epochs >= 2)
    screen.send("pause")
    until(lambda: "paused" in screen.panel.progress)
    screen.send("step")
    until(lambda: "paused" in screen.panel.progress and lab.run is not None and lab.run.epochs >= 3)
    screen.choose(tab="view")
    screen.send("resume")
    until(lambda: screen.panel.page.get("tab") == "view" and screen.panel.picture)
    screen.choose(tab="log")
    until(lambda: "GPU available" in screen.panel.page.get("html", ""))
    with pytest.raises(BusyError, match="one run at a time"):
        lab.fit()
    lab.set(max_epochs=10**6)
    until(lambda: lab.run is not None and lab.run.settings["options"]["max_epochs"] == 10**6)
    screen.send("stop")
    assert lab.wait() is lab.run
    assert lab.run is not None
    assert lab.run.status == "stopped"
    assert lab.run.view_path is not None


def test_a_lab_that_is_made_again_goes_on_with_the_run(runs_dir: Path) -> None:
    lab = lab_of(runs_dir, QUICK.replace(max_epochs=10**7))
    Screen(lab).send("run")
    until(lambda: lab.run is not None and lab.run.epochs >= 1)
    again = Lab(lab.problem, rosenbrock_data, options=QUICK, runs_dir=runs_dir)
    assert again.run is lab.run
    again.stop()
    again.wait()
    assert again.run is not None
    assert again.run.status == "stopped"


def test_runs_in_processes_and_one_in_the_kernel_go_on_side_by_side(runs_dir: Path) -> None:
    endless = QUICK.replace(max_epochs=10**7)
    away, here = lab_of(runs_dir, endless, name="away"), lab_of(runs_dir, endless.replace(launch="thread"), name="here")
    third = lab_of(runs_dir, endless.replace(launch="thread"), name="third")
    screens = {lab.name: Screen(lab) for lab in (away, here, third)}
    screens["here"].send("run")
    assert "To stop it" in screens["third"].panel.controls["hint"] or not screens["third"].can("run")
    screens["away"].send("run")
    for name in ("away", "here"):
        assert screens[name].can(*GOING), name
    until(lambda: all(lab.run is not None and lab.run.epochs >= 1 for lab in (away, here)))
    away.stop()
    until(lambda: away.run is not None and away.run.status == "stopped")
    assert here.run is not None
    assert here.run.status == "running"
    here.stop()
    here.wait()


def test_repeats_and_more_epochs(runs_dir: Path) -> None:
    lab = lab_of(runs_dir)
    group = lab.repeat(2, seed=4)
    assert [run.settings["seed"] for run in group] == [4, 5]
    longer = lab.longer(group[0], epochs=2)
    assert longer.epochs == 5
    assert longer.settings["options"]["launch"] == "process"
    plain = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=5, seed=4), runs_dir=runs_dir)
    assert rows(longer).equals(rows(plain))


def test_a_lab_on_several_devices_leaves_the_kernel_free(runs_dir: Path) -> None:
    shared = QUICK.replace(launch="thread", devices=2, accelerator="cpu", max_epochs=10**7)
    lab, here = lab_of(runs_dir, shared, name="shared"), lab_of(runs_dir, QUICK.replace(launch="thread"), name="here")
    screen = Screen(lab)
    screen.send("run")
    assert isinstance(lab._session.fit, ProcessFit)
    until(lambda: lab.run is not None and lab.run.epochs >= 2)
    assert here.fit().status == "finished"
    assert screen.can(*GOING)
    screen.send("stop")
    until(lambda: lab.run is not None and lab.run.status == "stopped")
    assert lab.run is not None
    assert lab.run.settings["ranks"] == 2
