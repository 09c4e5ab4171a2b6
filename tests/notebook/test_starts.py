"""What runs start from: the weights that a Problem had when nmlab first saw it, whatever was made again since."""

from pathlib import Path
from typing import Any

import pytest
import torch

import nmlab
from nmlab import Lab, TrainerOptions
from nmlab.runs import Comparison, best_of, changed_text
from tests.helpers.fits import built, rows
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen

QUICK = TrainerOptions(max_epochs=2, seed=1)


def made(problem: Any, tmp_path: Path) -> Lab:
    return Lab(problem, rosenbrock_data, options=QUICK, data_kwargs={"nsim": 40}, runs_dir=tmp_path)


def changed(problem: Any) -> None:
    with torch.no_grad():
        for value in problem.parameters():
            value.mul_(1.5)


def test_a_lab_made_again_starts_where_the_first_one_did(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    first = made(problem, tmp_path).fit()
    lab = made(problem, tmp_path)
    again = lab.fit()
    assert rows(first).equals(rows(again))
    assert (again.starts_from, changed_text(again, first)) == (None, "same settings")
    assert first.settings["start_fingerprint"] == again.settings["start_fingerprint"]
    assert best_of(lab.runs) == {first.id}


def test_a_fit_from_code_starts_from_what_the_problem_holds_and_a_lab_after_it_does_not(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    first, second = (nmlab.fit(problem, rosenbrock_data, QUICK, nsim=40, runs_dir=tmp_path) for _ in range(2))
    assert (first.starts_from, second.starts_from) == (None, first.id)
    assert not rows(first).equals(rows(second))
    assert changed_text(second, first) == f"starts from {first.id}"
    assert rows(made(problem, tmp_path).fit()).equals(rows(first))


@pytest.mark.parametrize("again", [False, True], ids=["the Lab stays", "the Lab is made again"])
def test_changed_weights_are_the_new_start_and_the_lab_says_so(again: bool, tmp_path: Path) -> None:
    problem = built(rosenbrock)
    lab = made(problem, tmp_path)
    first = lab.fit()
    changed(problem)
    held = {name: value.clone() for name, value in problem.named_parameters()}
    lab = made(problem, tmp_path) if again else lab
    second, third = lab.fit(), lab.fit()
    start = torch.load(second.folder / "checkpoints" / "start.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(start[f"problem.{name}"], value) for name, value in held.items())
    assert str(second.starts_from).startswith("changed weights ")
    assert "changed weights" in changed_text(second, first)
    assert "were changed" in second.log_path.read_text()
    assert rows(second).equals(rows(third))
    assert changed_text(third, second) == "same settings"
    assert "were changed" not in third.log_path.read_text()


def test_restored_weights_are_the_new_start_under_the_runs_name(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    lab = made(problem, tmp_path)
    first, second = lab.fit(), lab.fit(lr=0.05)
    first.restore(problem)
    third = lab.fit()
    assert third.starts_from == first.id
    second.restore(problem, "start")  # where all of them began
    assert rows(lab.fit()).equals(rows(first))
    assert changed_text(next(reversed(lab.runs)), first) == "same settings"


def test_restore_on_the_bench_is_shown_as_what_the_next_runs_start_from(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    lab = made(problem, tmp_path)
    screen = Screen(lab)
    first = lab.fit()
    assert screen.panel.controls["starts"][0] == ["", "fresh weights"]
    screen.send("restore", runs=[first.id])
    assert "start from them" in screen.message
    assert screen.panel.controls["starts"][0] == ["", f"weights of run {first.id}"]
    assert lab.fit().starts_from == first.id


def test_other_start_weights_under_one_seed_are_told_and_not_starred(tmp_path: Path) -> None:
    runs = [made(built(rosenbrock, seed), tmp_path).fit() for seed in (0, 0, 1)]
    assert [changed_text(run, runs[0]) for run in runs[1:]] == ["same settings", "other start weights"]
    assert best_of(runs) == {runs[0].id}
    assert best_of(runs[1:]) == set()
    assert "start weights" in Comparison(runs[0], runs[2]).verdict


def test_start_weights_of_other_seeds_may_differ(tmp_path: Path) -> None:
    lab = Lab(rosenbrock, rosenbrock_data, options=QUICK, data_kwargs={"nsim": 40}, runs_dir=tmp_path)
    one, two = lab.fit(), lab.fit(seed=2)
    assert changed_text(two, one) == "seed 1 → 2"
    assert "so do the weights that they start from" in Comparison(one, two).verdict
    assert len(best_of([one, two])) == 1


def test_what_leaves_the_weights_alone_is_no_new_start(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    lab = made(problem, tmp_path)
    first = lab.fit()
    nmlab.score(problem, lab.splits)
    lab.find_lr(num_training=15)
    lab.cross([first])
    assert rows(lab.fit()).equals(rows(first))


def test_the_lab_goes_on_from_its_start_after_a_sweep(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    config = {"method": "grid", "parameters": {"lr": {"values": [1e-3, 1e-2]}}}
    first = made(problem, tmp_path).fit()
    done = nmlab.sweep(problem, rosenbrock_data, config, options=QUICK, data_kwargs={"nsim": 40}, runs_dir=tmp_path)
    assert {run.starts_from for run in done.runs} == {first.id}
    assert rows(made(problem, tmp_path).fit()).equals(rows(first))
