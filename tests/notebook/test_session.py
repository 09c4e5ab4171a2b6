"""What a Lab holds apart from a screen: locked and hidden values, start weights, a run's settings."""

from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem

from nmlab import FieldError, Lab, RunError, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.notebook.session import Session
from tests.helpers.problems import rosenbrock, rosenbrock_data

QUICK = TrainerOptions(max_epochs=2, seed=1)


def make(tmp_path: Path, **keywords: Any) -> Lab:
    torch.manual_seed(0)
    return Lab(rosenbrock(), rosenbrock_data, runs_dir=tmp_path, **{"options": QUICK, **keywords})


def test_a_locked_value_is_refused_from_code_and_taken_by_every_run(tmp_path: Path) -> None:
    lab = make(tmp_path, lock={"lr": 0.01, "nsim": 40})
    for refused in ({"lr": 0.1}, {"nsim": 41}, {"options": TrainerOptions(lr=0.1)}, {"data_kwargs": {"nsim": 41}}):
        with pytest.raises(FieldError, match="locked by this Lab"):
            lab.fit(**refused)
    run = lab.fit(lr=0.01, options=QUICK)
    assert (run.column("lr")[0], run.settings["data_kwargs"]["nsim"]) == (0.01, 40)
    with pytest.raises(FieldError, match="locked"):
        lab.swap(rosenbrock_data, data_kwargs={"nsim": 50})


def test_a_locked_value_of_other_data_waits_for_them(tmp_path: Path) -> None:
    def other(tilt: float = 0.5) -> Any:
        return rosenbrock_data(20)

    lab = make(tmp_path, lock={"nsim": 40})
    lab.swap(other)
    lab.swap(rosenbrock_data)
    assert lab.fit().settings["data_kwargs"]["nsim"] == 40


def test_locks_that_cannot_be_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(FieldError) as caught:
        make(tmp_path, lock={"learning_rate": 1.0}, hide=["nsmi"])
    assert set(caught.value.faults) == {"learning_rate", "nsmi"}
    with pytest.raises(FieldError, match="nsim"):
        make(tmp_path, lock={"nsim": "many"})
    with pytest.raises(FieldError, match="lr"):
        make(tmp_path, lock={"lr": -1.0})
    with pytest.raises(FieldError, match=r"locked by this Lab at 0\.01"):
        make(tmp_path, options=TrainerOptions(lr=0.1), lock={"lr": 0.01})


def test_hidden_values_are_not_shown_and_hold(tmp_path: Path) -> None:
    session = Session(
        FitRequest(rosenbrock, rosenbrock_data, runs_dir=tmp_path, data_kwargs={"nsim": 30}), hide=["nsim", "lr"]
    )
    names = {field["name"] for form in (session.data.form, session.options_form) for field in form.describe()["fields"]}
    assert not {"nsim", "lr"} & names
    assert {"p_low", "max_epochs"} <= names
    assert session.data_kwargs["nsim"] == 30


def test_a_lock_may_hold_what_only_code_can_make(tmp_path: Path) -> None:
    lab = make(tmp_path, lock={"optimizer": torch.optim.SGD})
    assert "SGD" in str(lab.fit().settings["options"]["optimizer"])
    with pytest.raises(FieldError, match="optimizer"):
        lab.fit(optimizer="adamw")


def test_settings_of_a_run_name_what_is_lost(tmp_path: Path) -> None:
    def scaled(scale: Any, nsim: int = 20) -> Any:
        return rosenbrock_data(nsim)

    session = Session(
        FitRequest(rosenbrock, scaled, options=QUICK, runs_dir=tmp_path, data_kwargs={"scale": torch.ones(3)})
    )
    run, other = session.start().wait(), session.start(data_kwargs={"scale": torch.zeros(3)}).wait()
    session.data.form.enter("nsim", "21")
    assert session.take_settings(run) == []  # what code gives is here as it was there
    assert session.data_kwargs["nsim"] == 20
    assert torch.equal(session.data_kwargs["scale"], torch.ones(3))
    assert session.take_settings(other) == []  # and what this session gave that run
    assert torch.equal(session.data_kwargs["scale"], torch.zeros(3))
    session._recipes.forget()  # as after a restart
    assert session.take_settings(run) == ["scale"]


def test_starting_from_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    lab = make(tmp_path)
    run = lab.fit(checkpoint=False)
    with pytest.raises(RunError, match="no checkpoint"):
        lab.start_from(run)
    first = lab.fit()
    lab.start_from(first.id)
    assert lab.fit().starts_from == first.id
    lab.start_from(None)
    assert lab.fit().starts_from is None


def test_runs_of_another_builder_are_not_among_a_labs_own(tmp_path: Path) -> None:
    from tests.helpers.problems import noisy, noisy_data

    Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path).fit()
    lab = Lab(noisy, noisy_data, options=QUICK, runs_dir=tmp_path)
    first, second = lab.fit(), lab.fit()
    lab._session.fit = None  # as while the builder is at work
    assert [run.id for run in lab.runs] == [first.id, second.id]


def test_runs_of_an_edited_problem_are_among_a_labs_own_and_told_apart(tmp_path: Path) -> None:
    def edited() -> Any:
        problem = rosenbrock()
        return Problem(list(problem.nodes), PenaltyLoss(list(problem.loss.objectives), []))

    first = Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=tmp_path).fit()
    lab = Lab(edited, rosenbrock_data, options=QUICK, runs_dir=tmp_path)
    second = lab.fit()
    assert [run.id for run in lab.runs] == [first.id, second.id]
    changed = lab.runs.rows()[1]["changed"]
    assert changed.startswith("constraint `circle` x[:, [0]]² + x[:, [1]]² ≤ p² → none")
    assert not any(row["is_best"] for row in lab.runs.rows())
    assert "they differ in Problem (constraint `circle`" in lab.compare(first, second).verdict
