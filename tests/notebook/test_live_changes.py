"""Learning rate and weights of terms changed while a run goes on, and the form of these weights."""

from pathlib import Path
from typing import Any

import pytest

import nmlab
from nmlab import FieldError, Lab, Run, RunError, TrainerOptions
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import GOING, Screen
from tests.helpers.waiting import until

OPTIONS = TrainerOptions(max_epochs=5, seed=3, lr=0.01, lr_scheduler="ExponentialLR")
CHANGE = {"epoch": 1, "lr": 0.002, "weights": {"order": 3.0, "obj": 2.0}}


def lab_of(runs_dir: Path, **options: Any) -> Lab:
    return Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS.replace(**options), runs_dir=runs_dir)


def assert_as_from_the_start(run: Run, runs_dir: Path) -> None:
    options = OPTIONS.replace(changes=run.changes)
    whole = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert rows(run)[[*rows(whole)]].equals(rows(whole))
    assert same(run.problem.state_dict(), whole.problem.state_dict())  # type: ignore[union-attr]
    assert (run.best_epoch, run.best_value) == (whole.best_epoch, whole.best_value)
    assert rows(Run(run.folder)).equals(rows(run))


@pytest.mark.parametrize("launch", ["thread", "process"])
def test_from_the_bench_it_holds_from_the_next_epoch_on(launch: str, runs_dir: Path) -> None:
    lab = lab_of(runs_dir, launch=launch)
    screen = Screen(lab)
    screen.send("step")
    until(lambda: "paused" in screen.panel.progress)
    assert screen.can(*GOING)
    screen.edit("options", lr="0.002")
    screen.edit("terms", order="3", obj="2")
    assert screen.can(*GOING, "apply")
    assert "lr 0.002, weight of obj 2, weight of order 3" in screen.panel.controls["hint"]
    screen.send("apply")
    assert screen.can(*GOING)
    screen.send("resume")
    run = lab.wait()
    assert run is not None
    assert run.changes == [CHANGE]
    assert "From epoch 1 on: lr 0.002, weight of obj 2, weight of order 3." in str(run.remark)
    assert run.metrics["dev_obj_raw"].iloc[0] == run.metrics["dev_obj"].iloc[0]
    assert run.metrics["dev_obj_raw"].iloc[2] == pytest.approx(run.metrics["dev_obj"].iloc[2] / 2)
    assert_as_from_the_start(run, runs_dir)


def test_from_code_while_an_epoch_goes_on(runs_dir: Path) -> None:
    lab = lab_of(runs_dir)
    done: list[str] = []

    def look(*_: Any) -> None:
        fit = lab._session.fit
        if done or fit is None or fit.control.phase != "training" or fit.control.progress.epoch != 1:
            return
        for wrong in ({"weights": {"ordr": 1.0}}, {"lr": -1.0}, {"weights": {"order": 0, "circle": 0, "obj": 0}}):
            with pytest.raises(FieldError) as caught:
                lab.set(**wrong)
            done.append(str(caught.value))
        lab.set(lr=0.005)
        lab.set(weights={"order": 3.0})
        lab.set(weights={"circle": 0.0})

    lab.problem.nodes[0].register_forward_pre_hook(look)  # type: ignore[union-attr]
    run = lab.fit()
    parts = ["did you mean 'order'", "lr: -1.0 is too small", "all terms have the weight 0"]
    assert all(part in text for part, text in zip(parts, done, strict=True))
    assert run.changes == [{"epoch": 2, "lr": 0.005, "weights": {"order": 3.0, "circle": 0.0}}]
    assert_as_from_the_start(run, runs_dir)
    with pytest.raises(RunError, match="No run of this Lab"):
        lab.set(lr=1.0)


def test_in_the_last_epoch_nothing_follows(runs_dir: Path) -> None:
    lab = lab_of(runs_dir, max_epochs=1)
    told: list[str] = []

    def look(*_: Any) -> None:
        fit = lab._session.fit
        if not told and fit is not None and fit.control.phase == "training":
            with pytest.raises(RunError) as caught:
                lab.set(lr=0.5)
            told.append(str(caught.value))

    lab.problem.nodes[0].register_forward_pre_hook(look)  # type: ignore[union-attr]
    assert not lab.fit().changes
    assert "is in its last epoch" in told[0]


def test_the_form_of_the_terms_is_a_part_of_the_options(runs_dir: Path) -> None:
    lab = Lab(built(rosenbrock), rosenbrock_data, options=TrainerOptions(max_epochs=1, seed=1), runs_dir=runs_dir)
    screen = Screen(lab)
    assert screen.shown("terms") == {"obj": "1", "order": "10", "circle": "10"}
    helps = {field["name"]: field["help"] for field in screen.panel.form["terms"]["fields"]}
    assert helps["order"] == "x[:, [0]] ≥ x[:, [1]]"
    screen.edit("terms", order="-1")
    assert screen.faults("terms") == {"order"}
    screen.edit("terms", order="2.5")
    first = lab.fit()
    assert first.term_weights["order"] == 2.5
    assert first.settings["options"]["weights"] == {"order": 2.5}
    assert lab.fit(weights={"circle": 0}).settings["options"]["weights"] == {"order": 2.5, "circle": 0.0}
    lab.save_preset("light")
    screen.send("reset")
    assert screen.shown("terms")["order"] == "10"
    lab.load_preset("light")
    assert screen.shown("terms")["order"] == "2.5"
    screen.send("settings", runs=[lab.runs[-1].id])
    assert screen.shown("terms") == {"obj": "1", "order": "2.5", "circle": "0"}
    lab.problem.loss.constraints[0].weight = 7.0  # type: ignore[union-attr]
    lab.fit(weights={"order": 7.0})
    cross = lab.cross()
    assert "order, circle" in cross.remark
    assert cross.best == {}
    assert lab.cross(metric="order_raw").best
    assert not lab.cross(metric="obj_raw").reasons


def test_a_builders_terms_come_with_its_first_run(runs_dir: Path) -> None:
    lab = Lab(
        rosenbrock, rosenbrock_data, options=TrainerOptions(max_epochs=1, weights={"order": 4}), runs_dir=runs_dir
    )
    screen = Screen(lab)
    assert "terms" not in screen.panel.form
    assert lab.fit().term_weights == {"obj": 1.0, "order": 4.0, "circle": 10.0}
    until(lambda: "terms" in screen.panel.form)
    assert screen.shown("terms") == {"obj": "", "order": "4", "circle": ""}
    assert lab.fit().term_weights["order"] == 4.0


def test_they_can_be_locked_and_hidden(runs_dir: Path) -> None:
    lock = {"weights": {"order": 4.0}}
    lab = Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS, runs_dir=runs_dir, lock=lock)
    assert lab._session.trainer_options.weights == {"order": 4.0}
    with pytest.raises(FieldError, match="locked by this Lab"):
        lab.fit(weights={"order": 5.0})
    with pytest.raises(FieldError, match="locked by this Lab"):
        lab.fit(changes=[{"epoch": 1, "weights": {"order": 5.0}}])
    screen = Screen(Lab(built(rosenbrock), rosenbrock_data, runs_dir=runs_dir, hide=["weights"]))
    assert "terms" not in screen.panel.form
    with pytest.raises(FieldError, match=r"options.weights.ordr"):
        Lab(built(rosenbrock), rosenbrock_data, options=TrainerOptions(weights={"ordr": 5.0}), runs_dir=runs_dir)
