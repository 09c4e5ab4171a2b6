"""Runs that are trained longer: from the bench, from code, and while they go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch.optim import lr_scheduler as schedulers

import nmlab
from nmlab import FieldError, Lab, Run, RunError, TrainerOptions
from nmlab.notebook.status_line import still_falling
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen
from tests.helpers.waiting import until

OPTIONS = TrainerOptions(max_epochs=5, seed=3, lr=0.01, shuffle=True)


def made(runs_dir: Path, **options: Any) -> Lab:
    return Lab(built(noisy), noisy_data, options=OPTIONS.replace(**options), runs_dir=runs_dir)


def alone(runs_dir: Path, **options: Any) -> Run:
    given = OPTIONS.replace(**options)
    return nmlab.fit(built(noisy), noisy_data, given, runs_dir=runs_dir)


def test_a_run_trained_longer_is_as_if_it_had_been_so_from_the_start(runs_dir: Path) -> None:
    lab = made(runs_dir)
    run = lab.fit()
    lab.fit(seed=8)  # which the Problem holds now
    longer = lab.longer(run, epochs=4)
    whole = alone(runs_dir, max_epochs=9)
    assert longer.id == run.id
    assert rows(longer).equals(rows(whole))
    assert same(longer.problem.state_dict(), whole.problem.state_dict())  # type: ignore[union-attr]
    assert longer.settings["extended"] == [[5, 5, 9]]
    assert lab.longer(epochs=1).epochs == 10, "the newest, by default"


def test_the_button_and_the_status_line(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmlab.notebook.actions.LONGER", 3)
    lab = Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS, runs_dir=runs_dir)
    screen = Screen(lab)
    run = lab.fit()
    assert still_falling(run)
    until(lambda: "still falling" in screen.panel.progress)
    screen.send("longer", run=run.id)
    assert lab.wait().epochs == 8  # type: ignore[union-attr]
    whole = nmlab.fit(built(rosenbrock), rosenbrock_data, OPTIONS.replace(max_epochs=8), runs_dir=runs_dir)
    assert rows(run).equals(rows(whole))


def test_what_it_needs_to_know_is_asked_for(runs_dir: Path) -> None:
    still = {"max_epochs": 30, "lr": 1e-12, "optimizer": "SGD", "patience": 2}
    lab = made(runs_dir, **still)
    run = lab.fit()
    with pytest.raises(FieldError, match="patience: 2 ended run"):
        lab.longer(run)
    more = lab.longer(run, epochs=27, patience=9)
    assert rows(more).equals(rows(alone(runs_dir, **{**still, "max_epochs": run.epochs + 27, "patience": 9})))
    with pytest.raises(FieldError, match="epochs: 0; give"):
        lab.longer(run, epochs=0)


def test_a_schedule_by_a_function_is_asked_about(runs_dir: Path) -> None:
    lab = made(runs_dir, lr_scheduler=lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 5))
    run = lab.fit()
    with pytest.raises(FieldError, match="a function made it for max_epochs=5"):
        lab.longer(run, epochs=5)
    more = lab.longer(run, epochs=5, lr_scheduler=lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 10))
    assert more.epochs == 10


def changing(lab: Lab, problem: Any, at: int, **wanted: Any) -> None:
    """Change options of the lab's run within this epoch."""
    done: list[int] = []

    def look(*_: Any) -> None:
        fit = lab._session.fit
        training = fit is not None and fit.control.phase == "training"
        if training and not done and fit.control.progress.epoch == at:  # type: ignore[union-attr]
            done.append(at)
            lab.set(**wanted)

    problem.nodes[0].register_forward_pre_hook(look)


@pytest.mark.parametrize("at", [0, 2, 4])
@pytest.mark.parametrize("schedule", [None, "CosineAnnealingLR", "OneCycleLR", "ReduceLROnPlateau"])
def test_a_run_that_goes_on_can_be_made_longer(schedule: Any, at: int, runs_dir: Path) -> None:
    problem = built(noisy)
    options = OPTIONS.replace(lr_scheduler=schedule)
    lab = Lab(problem, noisy_data, options=options, runs_dir=runs_dir)
    changing(lab, problem, at, max_epochs=9)
    run = lab.fit()
    assert run.epochs == 9
    assert run.settings["options"]["max_epochs"] == 9
    assert run.settings["extended"] == [[at + 1, 5, 9]]
    whole = alone(runs_dir, max_epochs=9, lr_scheduler=schedule)
    if schedule in (None, "ReduceLROnPlateau"):
        assert rows(run).equals(rows(whole))
    else:
        short = alone(runs_dir, lr_scheduler=schedule)
        assert run.column("lr")[: at + 1] == short.column("lr")[: at + 1]
        after = nmlab.fit(
            built(noisy),
            noisy_data,
            TrainerOptions(max_epochs=9),
            resume=alone(runs_dir, lr_scheduler=schedule),
            runs_dir=runs_dir,
        )
        if at == 4:  # as a run that is resumed at its end
            assert run.column("lr") == pytest.approx(after.column("lr"))
    again = Run(run.folder)
    assert (again.best_epoch, again.best_value) == (run.best_epoch, run.best_value)


def test_patience_can_be_raised_while_a_run_goes_on(runs_dir: Path) -> None:
    problem = built(noisy)
    still = {"max_epochs": 30, "lr": 1e-12, "optimizer": "SGD", "patience": 2}
    lab = Lab(problem, noisy_data, options=OPTIONS.replace(**still), runs_dir=runs_dir)
    changing(lab, problem, 1, patience=6)
    run = lab.fit()
    assert rows(run).equals(rows(alone(runs_dir, **{**still, "patience": 6})))
    assert run.settings["options"]["patience"] == 6


def test_what_cannot_be_changed_is_refused(runs_dir: Path) -> None:
    problem = built(noisy)
    lab = Lab(problem, noisy_data, options=OPTIONS, runs_dir=runs_dir)
    with pytest.raises(RunError, match="No run of this Lab is going on"):
        lab.set(max_epochs=9)
    told: list[str] = []

    def look(*_: Any) -> None:
        fit = lab._session.fit
        if not told and fit is not None and fit.control.phase == "training" and fit.control.progress.epoch == 2:
            for wanted in ({"seed": 1}, {"max_epochs": 1}, {"patience": 3}, {"max_epochs": 0}):
                with pytest.raises(FieldError) as caught:
                    lab.set(**wanted)
                told.append(str(caught.value))

    problem.nodes[0].register_forward_pre_hook(look)
    assert lab.fit().epochs == 5
    parts = ["only max_epochs, patience, lr and weights", "epoch 3 is going on", "without early stopping", "too small"]
    assert all(part in text for part, text in zip(parts, told, strict=True))
