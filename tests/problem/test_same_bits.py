"""The fast loss against the Problem's own: compared once, and left where NeuroMANCER's arithmetic is another one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.constraint import Objective, variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node

import nmlab
from nmlab import Run, TrainerOptions
from nmlab.data.loader import first_batch
from nmlab.data.splits import make_splits
from nmlab.problem.fast_loss import FastProblem
from nmlab.problem.same_bits import difference
from nmlab.problem.state import preserving_state
from tests.helpers.fits import built
from tests.helpers.problems import PROBLEMS, rosenbrock
from tests.helpers.randomness import users_states

EPOCHS = 4
SAID = "nmlab's fast evaluation of the loss gives another value than the Problem itself, for {}. The Problem itself is"
LEFT = "The loss is evaluated by the Problem itself, which takes longer on small networks: not all of it is"


def data() -> Any:
    """Two batches of two, the same at every call."""
    samples = torch.linspace(0.5, 1.5, 8).reshape(4, 2)
    train, dev = ({"a": samples[:, [0]], "p": samples[:, [1]]} for _ in range(2))
    return DictDataset(train, name="train"), DictDataset(dev, name="dev"), None, 2


def fitted(problem: Problem, runs_dir: Path) -> tuple[Run, str]:
    """A run, and its log."""
    run = nmlab.fit(problem, data, TrainerOptions(max_epochs=EPOCHS, gradient_clip_val=None), runs_dir=runs_dir)
    return run, run.log_path.read_text("utf-8")


def plain_losses(problem: Problem) -> list[float]:
    """The train losses by epoch of a loop without nmlab."""
    optimizer, losses = TrainerOptions().build_optimizer(problem), []
    samples = data()[0].datadict
    for _ in range(EPOCHS):
        told = []
        for start in (0, 2):
            batch = {key: value[start : start + 2] for key, value in samples.items()}
            loss = problem({**batch, "name": "train"})["train_loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            told.append(loss.item())
        losses.append(sum(told) / 2)
    return losses


class Weighty(PenaltyLoss):  # type: ignore[misc]  # NeuroMANCER has no types
    """A loss in which penalties count twice."""

    def forward(self, input_dict: Any) -> Any:
        output = super().forward(input_dict)
        output["loss"] = output["objective_loss"] + 2.0 * output["penalty_loss"]
        return output


def test_a_loss_of_the_users_own_trains_as_in_a_plain_loop(runs_dir: Path) -> None:
    def weighty() -> Problem:
        problem = built(rosenbrock)
        problem.loss = Weighty(problem.loss.objectives, problem.loss.constraints)
        return problem

    run, log = fitted(weighty(), runs_dir)
    assert run.column("train_loss") == pytest.approx(plain_losses(weighty()), rel=1e-6)
    assert log.count(LEFT) == 1
    assert run.column("train_loss") != pytest.approx(plain_losses(built(rosenbrock)), rel=1e-2)


def other_penalties(self: PenaltyLoss, input_dict: Any, *, own: Callable[..., Any] = PenaltyLoss.forward) -> Any:
    output = own(self, input_dict)
    output["loss"] = output["objective_loss"] + 2.0 * output["penalty_loss"]
    return output


def other_weights(self: PenaltyLoss, input_dict: Any, *, own: Any = PenaltyLoss.calculate_objectives) -> Any:
    output = own(self, input_dict)
    (key,) = self.objectives[0].output_keys
    output[key] = 3.0 * output[key]
    return output


def other_gradient(self: PenaltyLoss, input_dict: Any, *, own: Callable[..., Any] = PenaltyLoss.forward) -> Any:
    output = own(self, input_dict)
    output["loss"] = output["loss"] + (output["penalty_loss"] - output["penalty_loss"].detach())
    return output


@pytest.mark.parametrize(
    ("method", "changed", "what"),
    [
        ("forward", other_penalties, "loss"),
        ("calculate_objectives", other_weights, "the term 'obj'"),
        ("forward", other_gradient, "the gradient of nodes.0.callable.linear.0.bias"),
    ],
)
def test_arithmetic_of_neuromancers_that_changed_is_noticed_and_heeded(
    method: str, changed: Any, what: str, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PenaltyLoss, method, changed)
        problem = built(rosenbrock)
        run, log = fitted(problem, runs_dir)
        expected = plain_losses(built(rosenbrock))
        assert run.column("train_loss") == pytest.approx(expected, rel=1e-6)
        assert log.count(SAID.format(what)) == 1, log
        assert fitted(problem, runs_dir)[1].count(SAID.format(what)) == 1, "each run's log says it"
    assert LEFT not in log


def test_a_problem_is_compared_once_however_often_it_is_fitted_or_scored(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    passes: list[bool] = []
    problem.nodes[0].register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    counts = []
    for _ in range(3):
        fitted(problem, runs_dir)
        counts.append(len(passes))
        passes.clear()
    steps = EPOCHS * 4  # two batches to train, two of dev
    assert counts[1] == counts[2] <= steps + 3  # the trial of each split, before the fit
    assert counts[0] == counts[1] + 2
    nmlab.score(problem, data()[1])
    assert len(passes) == 1
    problem.loss.objectives.append((variable("x") ** 2).minimize(name="more"))
    fitted(problem, runs_dir)
    assert len(passes) - 1 == counts[0]


def batch_of(name: str) -> tuple[Problem, Any]:
    builder, function = PROBLEMS[name]
    torch.manual_seed(1)
    return built(builder), first_batch(make_splits(function, {}).train)


@pytest.mark.parametrize("name", sorted(PROBLEMS.keys() - {"lagrange"}))  # which takes no batch but its whole data
def test_nothing_is_changed_by_a_comparison(name: str) -> None:
    problem, batch = batch_of(name)
    problem.train()
    for parameter in problem.parameters():
        parameter.grad = torch.rand_like(parameter)
    held = [(id(value), id(value.grad), value.data_ptr()) for value in problem.parameters()]
    state, modes = copy.deepcopy(problem.state_dict()), [module.training for module in problem.modules()]
    samples = {key: value.clone() for key, value in batch.items() if isinstance(value, torch.Tensor)}
    states = users_states()
    call = FastProblem(problem)
    call.look()
    assert difference(problem, call if call._untried is None else partial(call._untried.of, problem), batch) is None
    assert [(id(value), id(value.grad), value.data_ptr()) for value in problem.parameters()] == held
    assert all(torch.equal(value, state[key]) for key, value in problem.state_dict().items())
    assert [module.training for module in problem.modules()] == modes
    assert all(torch.equal(batch[key], value) for key, value in samples.items())
    assert users_states() == states
    copy.deepcopy(problem)  # no graph is left in its Variables


def test_what_the_problem_does_not_give_twice_is_not_compared() -> None:
    own = torch.Generator().manual_seed(1)
    noisy = Node(lambda p: p + torch.rand(p.shape, generator=own), ["p"], ["z"], name="noise")
    problem = Problem([noisy], PenaltyLoss([variable("z").minimize(name="a"), variable("p").minimize(name="b")], []))
    batch = {"p": torch.ones(3, 1), "name": "train"}
    call = FastProblem(problem)
    call.look()
    assert call._untried is not None
    evaluated = partial(call._untried.of, problem)
    assert difference(problem, evaluated, batch) is None
    key = f"train_{problem.loss.objectives[1].output_keys[0]}"
    assert difference(problem, lambda given: {**evaluated(given), key: 0.5}, batch) == "the term 'b'"


def test_values_that_are_no_numbers_are_the_same_where_both_are() -> None:
    problem = Problem(
        [Node(lambda p: p * torch.nan, ["p"], ["z"], name="nan")], PenaltyLoss([Objective(variable("z"), name="a")], [])
    )
    batch = {"p": torch.ones(3, 1), "name": "train"}
    assert difference(problem, problem, batch) is None
    assert difference(problem, lambda given: {**problem(given), "train_loss": torch.tensor(0.0)}, batch) == "loss"


def test_a_fast_evaluation_that_raises_is_one_that_differs() -> None:
    problem, batch = batch_of("rosenbrock")

    def broken(_batch: Any) -> Any:
        raise KeyError("x")

    assert difference(problem, broken, batch) == "the loss (KeyError: 'x')"
    with preserving_state(problem):
        assert difference(problem, problem, batch) is None
