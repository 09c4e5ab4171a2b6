"""Weights: copied, put back whole or not at all, read from a file; Problems that can be copied after a pass."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

from nmlab.data.loader import Loader
from nmlab.data.splits import make_splits
from nmlab.errors import RunError
from nmlab.problem.weights import PREFIX, copy_weights, fit_multipliers, forget_values, load_weights, read_weights
from nmlab.runs import RunStore
from nmlab.training.checkpoints import save_weights
from tests.helpers import problems
from tests.helpers.fits import same
from tests.helpers.problems import PROBLEMS

Weights = dict[str, torch.Tensor]


def line(width: int = 2, extra: bool = False) -> Problem:
    layers = [nn.Linear(width, 1)] + ([nn.Linear(1, 1)] if extra else [])
    node = Node(nn.Sequential(*layers), ["x"], ["y"], name="line")
    return Problem([node], PenaltyLoss([variable("y").minimize(name="y")], []))


def trained(name: str, epochs: int = 3) -> Problem:
    """A Problem after a few steps of the plain loop, its Variables holding the last pass's values."""
    torch.manual_seed(0)
    builder, data = PROBLEMS[name]
    problem, splits = builder(), make_splits(data, {})
    optimizer = torch.optim.SGD(problem.parameters(), lr=1e-3)
    for epoch in range(epochs):
        for batch in Loader(splits.train, splits.batch_size, lambda epoch=epoch: epoch):  # type: ignore[misc]
            optimizer.zero_grad()
            problem(batch)[f"{batch['name']}_loss"].backward()
            optimizer.step()
    return problem


# --- copy and load ---


@pytest.mark.parametrize("name", PROBLEMS)
def test_weights_that_were_copied_can_be_put_back(name: str) -> None:
    problem = trained(name, epochs=1)
    kept = copy_weights(problem)
    assert same(kept, problem.state_dict())
    with torch.no_grad():
        for parameter in problem.parameters():
            parameter.add_(1.0)
    parameters = list(problem.parameters())
    assert not same(kept, problem.state_dict())
    load_weights(problem, kept)
    assert same(kept, problem.state_dict())
    assert all(a is b for a, b in zip(parameters, problem.parameters(), strict=True)), "an optimizer still holds them"
    assert not any(value.requires_grad for value in kept.values())


def test_all_that_does_not_fit_is_said_and_nothing_is_changed() -> None:
    problem, other = line(2), line(3, extra=True)
    before = copy_weights(problem)
    with pytest.raises(RunError) as error:
        load_weights(problem, copy_weights(other), source="run 0007")
    assert str(error.value).splitlines() == [
        "The weights of run 0007 do not fit this Problem:",
        "  nodes.0.callable.0.weight: run 0007 has shape (1, 3), this Problem (1, 2)",
        "  nodes.0.callable.1.bias: not in this Problem",
        "  nodes.0.callable.1.weight: not in this Problem",
    ]
    assert same(copy_weights(problem), before)
    with pytest.raises(RunError, match=r"nodes\.0\.callable\.1\.bias: missing in the weights"):
        load_weights(other, before)


def test_a_long_list_of_faults_is_cut() -> None:
    with pytest.raises(RunError, match=r"and 12 more"):
        load_weights(line(), {f"w{number}": torch.ones(1) for number in range(18)} | {})


# --- multipliers of an AugmentedLagrangeLoss ---


def test_multipliers_load_into_a_fresh_problem_and_back() -> None:
    old, new = trained("lagrange", epochs=5), problems.lagrange()
    fresh, learned = copy_weights(new), copy_weights(old)
    assert learned["loss.lm"].shape == (20, 2)
    assert learned["loss.lm"].abs().sum() > 0, "or this would test nothing"
    assert fresh["loss.lm"].shape == (0,)
    load_weights(new, learned)
    assert same(copy_weights(new), learned)
    assert not new.loss.init, "or the first batch would set the multipliers to zero"
    load_weights(new, fresh)
    assert same(copy_weights(new), fresh)
    assert new.loss.init
    load_weights(new, learned)
    batch = {**problems.lagrange_data()[0].datadict, "index": torch.arange(20), "epoch": 1, "name": "train"}
    expected = old(batch)["train_loss"]
    assert torch.equal(new(batch)["train_loss"], expected)
    assert torch.equal(new.loss.lm, learned["loss.lm"])


def test_multipliers_that_do_not_fit_leave_the_problem_as_it_was() -> None:
    learned = copy_weights(trained("lagrange", epochs=1))
    problem = problems.lagrange(nsim=15)
    before = copy_weights(problem)
    with pytest.raises(RunError, match=r"loss\.mu: the weights has shape \(20, 1\), this Problem \(15, 1\)"):
        load_weights(problem, learned)
    assert same(copy_weights(problem), before)
    assert problem.loss.init
    narrow = {**learned, "loss.lm": torch.zeros(20, 1)}
    with pytest.raises(RunError, match=r"loss\.lm: the weights has shape \(20, 1\), this Problem \(20, 2\)"):
        load_weights(trained("lagrange", epochs=1), narrow)
    del learned["loss.penalty_best"]
    with pytest.raises(RunError, match=r"loss\.penalty_best: missing in the weights"):
        load_weights(problems.lagrange(), learned)


def test_other_losses_have_no_multipliers() -> None:
    problem = problems.rosenbrock()
    before = copy_weights(problem)
    fit_multipliers(problem, {"loss.lm": torch.ones(3), "loss.penalty_best": torch.ones(3)})
    assert same(copy_weights(problem), before)


# --- files ---


def test_a_file_of_weights_is_read_back_and_restored(tmp_path: Path) -> None:
    problem = trained("noisy", epochs=1)
    writer = RunStore(tmp_path).create("r", {})
    other = problems.noisy()
    with pytest.raises(RunError, match=r"0001-r has no checkpoint .*nothing to restore"):
        writer.run.restore(other)
    save_weights(copy_weights(problem), writer.checkpoint("best"), PREFIX)
    writer.close("finished")
    assert same(read_weights(writer.checkpoint("best")), copy_weights(problem))
    assert writer.run.restore(other) is other
    assert writer.run.problem is other
    assert same(copy_weights(other), copy_weights(problem))
    with pytest.raises(RunError, match=r"The weights of run 0001-r do not fit this Problem"):
        writer.run.restore(line())
    assert writer.run.problem is other


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "a list", "an object"])
def test_a_file_that_is_no_checkpoint_is_an_error_that_names_it(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "best.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"a list": [1, 2], "an object": {"state_dict": Path("evil")}}[content], path)
    with pytest.raises(RunError, match=r"The checkpoint .*best\.ckpt cannot be read"):
        read_weights(path)


# --- values that Variables keep ---


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_can_be_copied_after_a_pass_once_its_values_are_forgotten(name: str) -> None:
    problem = trained(name)
    with pytest.raises(RuntimeError, match="deepcopy protocol"):
        copy.deepcopy(problem)
    weights = copy_weights(problem)
    forget_values(problem)
    twin = copy.deepcopy(problem)
    assert same(copy_weights(twin), weights)
    assert same(copy_weights(problem), weights)
    splits = make_splits(PROBLEMS[name][1], {})
    batch = next(iter(Loader(splits.train, splits.batch_size, lambda: 1)))
    loss = f"{batch['name']}_loss"
    problem.eval()
    twin.eval()
    assert torch.equal(problem(batch)[loss], twin(batch)[loss])


def test_a_trainable_variable_and_a_constant_keep_their_values() -> None:
    x = variable(torch.ones(3, requires_grad=True), display_name="x")
    pair = variable([x], lambda value: (value, 2 * value)).unpack(2)  # a tuple is among the values
    problem = Problem([], PenaltyLoss([((pair[1] - torch.full((3,), 5.0)) ** 2).minimize(name="fit")], []))
    first = problem({"name": "train"})["train_loss"]
    forget_values(problem)
    assert torch.equal(x.value, torch.ones(3))
    assert x.value.requires_grad
    twin = copy.deepcopy(problem)
    assert torch.equal(twin({"name": "train"})["train_loss"], first)
    assert len(list(twin.parameters())) == 1


def test_values_are_forgotten_of_a_problem_with_a_buffer_that_is_a_view() -> None:
    problem = problems.rosenbrock()
    problem.nodes[0].register_buffer("turned", torch.eye(2).T)
    forget_values(problem)
    assert torch.equal(problem.nodes[0].turned, torch.eye(2))
