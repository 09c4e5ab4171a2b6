"""The weights that a Problem had when nmlab first saw it, and what changed them since."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch

from nmlab.problem.start import loaded, start_of, weights_fingerprint
from nmlab.problem.weights import copy_weights
from tests.helpers.problems import rosenbrock


def written(problem: Any, value: float = 0.5) -> None:
    with torch.no_grad():
        next(problem.parameters()).fill_(value)


def by_load_state_dict(problem: Any) -> None:
    problem.load_state_dict({name: value + 1 for name, value in problem.state_dict().items()})


def by_an_optimizer(problem: Any) -> None:
    optimizer = torch.optim.SGD(problem.parameters(), lr=0.1)
    sum(value.sum() for value in problem.parameters()).backward()
    optimizer.step()


def by_data(problem: Any) -> None:
    next(problem.parameters()).data.fill_(0.25)


@pytest.mark.parametrize("change", [written, by_load_state_dict, by_an_optimizer, by_data], ids=lambda f: f.__name__)
def test_weights_that_something_else_changed_are_the_new_start(change: Any) -> None:
    problem = rosenbrock()
    first = start_of(problem)
    assert first.name is None
    change(problem)
    second = start_of(problem)
    assert second is not first
    assert str(second.name).startswith("changed weights ")
    held = problem.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in second.weights.items())
    assert not all(torch.equal(value, held[name]) for name, value in first.weights.items())
    assert start_of(problem) is second


def test_a_fit_changes_no_start() -> None:
    problem = rosenbrock()
    first = start_of(problem)
    first.begin_fit()
    written(problem)
    assert start_of(problem) is first  # while it goes on
    written(problem, 0.75)
    first.end_fit(problem, "0001-run")
    assert start_of(problem) is first
    assert first.origin == "0001-run"
    problem.load_state_dict(first.weights)
    assert start_of(problem) is first  # put back by hand
    assert first.origin is None


@pytest.mark.parametrize(
    "leave", [lambda p: p.train(), lambda p: p.eval(), lambda p: p.double()], ids=["train", "eval", "double"]
)
def test_what_leaves_the_values_changes_no_start(leave: Any) -> None:
    problem = rosenbrock()
    first = start_of(problem)
    leave(problem)
    assert start_of(problem) is first


def test_what_was_loaded_on_purpose_is_the_start_under_its_name() -> None:
    problem = rosenbrock()
    first = start_of(problem)
    loaded(problem, "0001-run")  # the same values too
    assert start_of(problem) is not first
    assert (start_of(problem).name, start_of(problem).origin) == ("0001-run", "0001-run")


def test_a_buffer_that_a_user_sets_is_kept_and_statistics_are_not() -> None:
    problem = rosenbrock()
    problem.register_buffer("limit", torch.tensor(1.0))
    problem.norm = torch.nn.BatchNorm1d(2)
    first = start_of(problem)
    problem.norm(torch.randn(4, 2))
    problem.limit.fill_(3.0)
    assert start_of(problem) is first
    assert float(first.weights["limit"]) == 3.0
    assert torch.equal(first.weights["norm.running_mean"], torch.zeros(2))


def test_a_buffer_that_a_fit_changes_is_no_setting() -> None:
    problem = rosenbrock()
    problem.register_buffer("counter", torch.tensor(0.0))
    start = start_of(problem)
    start.begin_fit()
    problem.counter.fill_(7.0)
    start.end_fit(problem, "0001-run")
    problem.counter.fill_(8.0)
    assert float(start_of(problem).weights["counter"]) == 0.0


def test_the_fingerprint_is_of_values_alone() -> None:
    problem = rosenbrock()
    same = copy.deepcopy(problem)
    assert weights_fingerprint(problem) == weights_fingerprint(same.double())
    assert weights_fingerprint(copy_weights(problem)) == weights_fingerprint(copy_weights(same))
    written(same)
    assert weights_fingerprint(problem) != weights_fingerprint(same)


def test_a_problem_is_remembered_as_long_as_it_lives() -> None:
    problem = rosenbrock()
    gone = weakref.ref(start_of(problem))
    del problem
    gc.collect()
    assert gone() is None
