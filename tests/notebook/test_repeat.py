"""`lab.repeat`: the same settings on further seeds, as one group."""

from pathlib import Path
from typing import Any

import pytest

from nmlab import FieldError, Lab, TrainerOptions
from tests.helpers.fits import built, rows
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen
from tests.helpers.waiting import until

QUICK = TrainerOptions(max_epochs=1, seed=1)


def made(tmp_path: Path, problem: Any = rosenbrock, **keywords: Any) -> Lab:
    keywords = {"options": QUICK, "data_kwargs": {"nsim": 20}, **keywords}
    return Lab(problem, rosenbrock_data, runs_dir=tmp_path, **keywords)


def seeds(runs: Any) -> list[int]:
    return [run.settings["seed"] for run in runs]


@pytest.mark.parametrize("problem", [rosenbrock, built(rosenbrock)], ids=["builder", "Problem"])
def test_further_seeds_join_the_run_with_the_same_settings(problem: Any, tmp_path: Path) -> None:
    lab = made(tmp_path, problem)
    first = lab.fit()
    group = lab.repeat(2)
    assert seeds(group) == [1, 2, 3]
    assert group[0].id == first.id
    assert seeds(lab.repeat(1)) == [1, 2, 3, 4]
    assert len({tuple(run.column("dev_loss")) for run in group}) == 3
    other = lab.repeat(2, lr=0.05)
    assert seeds(other) == [1, 2]
    assert "±" in repr(lab.compare(group, other))
    assert repr(lab.runs).count(" more seed") >= 2


def test_each_run_is_what_that_seed_alone_gives(tmp_path: Path) -> None:
    lab = made(tmp_path / "a")
    second = lab.repeat(2)[1]
    assert rows(second).equals(rows(made(tmp_path / "b").fit(seed=2)))


def test_seeds_are_drawn_where_none_is_given(tmp_path: Path) -> None:
    group = made(tmp_path, options=TrainerOptions(max_epochs=1)).repeat(3)
    assert len(set(seeds(group))) == 3
    assert {run.settings["options"]["seed"] for run in group} == {None}


def test_what_cannot_be_repeated_is_said_at_once(tmp_path: Path) -> None:
    lab = made(tmp_path, lock={"seed": 3}, options=TrainerOptions(max_epochs=1))
    with pytest.raises(FieldError) as caught:
        lab.repeat(0)
    assert set(caught.value.faults) == {"n", "seed"}
    for wrong in (True, 1.5, "5", -1):
        with pytest.raises(FieldError, match="integer"):
            made(tmp_path).repeat(wrong)  # type: ignore[arg-type]
    assert len(lab.runs) == 0


def test_the_bench_runs_several_seeds_in_turn_until_it_is_stopped(tmp_path: Path) -> None:
    lab = made(tmp_path)
    screen = Screen(lab)
    screen.send("run", count=3)
    until(lambda: len(lab.runs) == 3 and lab.runs[-1].status == "finished")
    assert seeds(lab.runs) == [1, 2, 3]
    assert "Seed 3 of 3" in screen.message
    assert [row["group"]["count"] for row in lab.runs.rows()] == [3, 3, 3]
    lab.wait()
    screen.edit("options", max_epochs="100000")
    screen.send("run", count=3)
    until(lambda: lab.run is not None and lab.run.epochs > 0 and len(lab.runs) == 4)
    lab.stop()
    until(lambda: lab.run is not None and lab.run.status == "stopped")
    lab.wait()
    assert len(lab.runs) == 4
    screen.send("run", count=0)
    assert "integer" in screen.message
