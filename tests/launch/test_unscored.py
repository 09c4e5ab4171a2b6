"""A test split that cannot be scored: the training goes on, with one warning, and the record says why."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

import nmlab
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import Returned, integrator, integrator_data, rosenbrock, rosenbrock_data


def fitted(builder: Any, data: Any, runs_dir: Path, **options: Any) -> tuple[nmlab.Run, list[str]]:
    given = nmlab.TrainerOptions(max_epochs=2, seed=5, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = nmlab.fit(built(builder), data, given, runs_dir=runs_dir)
    return run, [str(warning.message) for warning in caught if "test split" in str(warning.message)]


def with_test(test: Any) -> Any:
    def data() -> Returned:
        train, dev, _, batch_size = rosenbrock_data()
        return train, dev, dev if test == "dev" else test, batch_size

    return data


a, p = torch.rand(30, 1), torch.rand(30, 1)
CASES: dict[str, tuple[Any, str]] = {
    "lengths": ({"a": a, "p": p[:3]}, "differ in length"),
    "a key missing": ({"a": a}, "node 'map' needs p"),
    "shapes": (DictDataset({"a": a.expand(30, 3), "p": p}, name="test"), "node 'map' raised RuntimeError"),
    "the dev set": ("dev", "test is the dev set"),
    "an optimizer": (torch.optim.SGD([torch.ones(1)]), "is a SGD"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_training_is_what_it_is_without_that_split(case: str, runs_dir: Path) -> None:
    test, reason = CASES[case]
    run, told = fitted(rosenbrock, with_test(test), runs_dir)
    alone, none = fitted(rosenbrock, with_test(None), runs_dir)
    assert run.status == "finished"
    assert run.test_metrics == {}
    assert len(told) == 1
    assert reason in told[0]
    assert not none
    assert reason in (run.remark or "")
    assert rows(run).equals(rows(alone))
    assert run.problem is not None
    assert alone.problem is not None
    assert same(run.problem.state_dict(), alone.problem.state_dict())


def test_another_horizon(runs_dir: Path) -> None:
    def data() -> Returned:
        train, dev, _, batch_size = integrator_data()
        return train, dev, {"x": torch.zeros(1, 1, 2), "r": torch.zeros(1, 30, 2)}, batch_size

    run, told = fitted(integrator, data, runs_dir)
    assert (run.status, run.test_metrics, len(told)) == ("finished", {}, 1)
    assert "The test split is not scored: " in (run.remark or "")


def test_a_split_that_fails_in_a_later_batch(runs_dir: Path) -> None:
    def only_positive(a: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        if bool((a < 0).any()):
            raise ValueError("negative a")
        return a * p

    def builder() -> Problem:
        guard, line = Node(only_positive, ["a", "p"], ["b"], name="guard"), Node(nn.Linear(1, 1), ["b"], ["y"])
        return Problem([guard, line], PenaltyLoss([(variable("y") ** 2).minimize(name="size")], []))

    late = torch.cat([torch.rand(99, 1), torch.full((1, 1), -1.0)])
    run, told = fitted(builder, with_test({"a": late, "p": torch.rand(100, 1)}), runs_dir)
    assert (run.status, run.test_metrics) == ("finished", {})
    assert told == ["The test split is not scored: ValueError: negative a."]
    assert told[0] in (run.remark or "")


def test_scores_and_previews_say_why(runs_dir: Path) -> None:
    splits = tuple(with_test({"a": a, "p": p[:3]})())
    with pytest.raises(nmlab.FieldError, match="the test split cannot be scored: test_data is a dict whose"):
        nmlab.score(built(rosenbrock), splits, "test")
    assert any("differ in length" in text for text in nmlab.preview(splits).warnings)
