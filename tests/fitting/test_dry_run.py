"""The trial forward: it names what does not fit, and leaves the Problem and the data as they were."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import MovingHorizon, Node
from torch import nn

from nmlab.data.splits import Splits, make_splits
from nmlab.errors import DataError
from nmlab.fitting.dry_run import dry_run
from nmlab.problem.state import homes_of, preserving_state
from tests.helpers import problems
from tests.helpers.problems import PROBLEMS
from tests.helpers.randomness import users_states

SOURCE = "my_data (file.py:7)"


def splits_of(data: Any, **changes: Any) -> Splits:
    torch.manual_seed(0)
    splits = make_splits(data, {})
    for name, value in changes.items():
        setattr(splits, name, value)
    return splits


def refused(problem: Problem, splits: Splits) -> list[str]:
    with pytest.raises(DataError) as error:
        dry_run(problem, splits, SOURCE)
    assert str(error.value).startswith(f"The Problem cannot take what {SOURCE} returned:\n- ")
    return error.value.faults


def snapshot(problem: Problem) -> dict[str, Any]:
    """All that a forward pass may change: also of the user's random numbers."""
    return {
        "state": {name: value.clone() for name, value in problem.state_dict().items()},
        "modes": [module.training for module in problem.modules()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in problem.parameters()],
        **dict(zip(("python", "numpy", "torch"), users_states(), strict=True)),
    }


def same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, (torch.Tensor, np.ndarray)):
        return a.shape == b.shape and bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def least_squares(node: Any, seen: str = "seen") -> Problem:
    return Problem([node], PenaltyLoss([((variable("y") - variable(seen)) ** 2).minimize(name="fit")], []))


# --- nothing is changed ---


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_trial_leaves_problem_data_and_random_numbers_as_they_were(name: str) -> None:
    builder, data = PROBLEMS[name]
    splits = splits_of(data)
    problem = builder()
    for parameter in problem.parameters():
        parameter.grad = torch.rand_like(parameter)
    first, *_ = problem.nodes.children()
    first.eval()  # a part that the user froze
    before, samples = snapshot(problem), [copy.deepcopy(vars(dataset)) for _, dataset in splits.items()]
    grads = torch.is_grad_enabled()
    dry_run(problem, splits, SOURCE)
    assert same(snapshot(problem), before)
    assert same([vars(dataset) for _, dataset in splits.items()], samples)
    assert torch.is_grad_enabled() == grads
    copy.deepcopy(problem)  # no graph is left in its Variables


def test_a_trial_that_fails_leaves_them_too() -> None:
    problem, splits = problems.noisy(), splits_of(problems.rosenbrock_data)
    before = snapshot(problem)
    refused(problem, splits)
    assert same(snapshot(problem), before)


def test_untouched_covers_a_training_pass() -> None:
    """BatchNorm's statistics, dropout's draws and gradients, as a preview or a view of the user's may make them."""
    problem = problems.noisy()
    splits = splits_of(problems.noisy_data)
    problem.eval()
    before = snapshot(problem)

    def view() -> None:
        problem.train()
        problem({**splits.train.datadict, "name": "train"})["train_loss"].backward()
        random.random()
        np.random.rand()
        now = snapshot(problem)
        assert [key for key in before if same(now[key], before[key])] == []
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), preserving_state(problem):
        view()
    assert same(snapshot(problem), before)


def test_within_untouched_all_is_a_copy_of_the_kind_that_is_asked_for() -> None:
    problem = problems.noisy()
    problem({"x": torch.rand(4, 1), "seen": torch.rand(4, 1), "name": "train"})["train_loss"].backward()
    before = snapshot(problem)
    parameters, gradients = list(problem.parameters()), [parameter.grad for parameter in problem.parameters()]
    homes = {
        name: (device, torch.float64) for name, (device, dtype) in homes_of(problem).items() if dtype.is_floating_point
    }
    with preserving_state(problem, homes=homes):
        assert {value.dtype for value in problem.parameters()} == {torch.float64}
        assert (
            problem({"x": torch.rand(4, 1).double(), "seen": torch.zeros(1), "name": "dev"})["dev_loss"].dtype
            == torch.float64
        )
        network = problem.nodes[0].callable
        network[0].weight.data.zero_()
        network[1].running_mean = torch.ones(8)
        network[0].bias.grad.zero_()
        network[0].bias.requires_grad_(False)
        network[4].weight = nn.Parameter(torch.ones(1, 8))
        network.add_module("more", nn.Linear(1, 1))
        network.register_buffer("buffer", torch.ones(1))
        network.mine = "an attribute"
    assert same(snapshot(problem), before)
    assert all(a is b for a, b in zip(problem.parameters(), parameters, strict=True))
    assert all(p.grad is grad for p, grad in zip(parameters, gradients, strict=True))
    assert all(p.requires_grad for p in parameters)
    assert not hasattr(problem.nodes[0].callable, "mine")


def test_a_moving_horizons_history_is_not_lengthened() -> None:
    class Last(nn.Module):
        input_keys, output_keys, name = ("x",), ("y",), "last"

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)
            self.history = "of its own"

        def forward(self, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"y": self.layer(data["x"][-1])}

    horizon = MovingHorizon(Last(), ndelay=3)
    horizon.name = "horizon"
    problem = least_squares(horizon)
    dry_run(problem, splits_of(problems.noisy_data), SOURCE)
    assert horizon.history == {"x": []}
    assert horizon.module.history == "of its own"


# --- what does not fit ---


def test_a_missing_key_is_named_with_the_node_that_needs_it() -> None:
    faults = refused(problems.rosenbrock(), splits_of(problems.noisy_data))
    assert faults == [
        f"{name}: node 'map' needs a, which the data do not have; they have seen, x" for name in ("train", "dev")
    ]


def test_a_missing_key_of_a_term_is_named_with_the_term() -> None:
    splits = splits_of(problems.rosenbrock_data)
    plain = DictDataset({"a": torch.rand(3, 1), "p": torch.rand(3, 1)}, name="test")
    node = Node(nn.Linear(1, 1), ["a"], ["y"], name="line")
    plain.name = "dev"
    splits = Splits(splits.train, plain, None, 3)
    assert refused(least_squares(node), splits) == [
        f"{name}: term 'fit' needs seen, which the data do not have; they have a, p, y" for name in ("train", "dev")
    ]
    unnamed = Problem([node], PenaltyLoss([((variable("y") - variable("seen")) ** 2).minimize()], []))
    assert refused(unnamed, splits)[0].startswith("train: term 'objective_1' needs seen")


def test_a_missing_key_within_a_system_is_named() -> None:
    (fault, *_) = refused(problems.integrator(), splits_of(problems.noisy_data, dev=None, test=None))
    assert "node 'loop' raised RuntimeError" in fault
    assert "x (16, 1) float32" in fault, "of the first real batch"
    splits = splits_of(problems.integrator_data, dev=None, test=None)
    del splits.train.datadict["x"]
    assert refused(problems.integrator(), splits) == [
        "train: node 'loop' needs x, which the data do not have; they have r"
    ]


def test_shapes_and_types_are_said_where_a_node_cannot_take_them() -> None:
    splits = splits_of(problems.rosenbrock_data)
    splits.dev.datadict["a"] = torch.rand(100, 3)
    splits.train.datadict["p"] = splits.train.datadict["p"].double()
    train, dev = refused(problems.rosenbrock(), splits)
    assert dev.startswith("dev: node 'map' raised RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert dev.endswith("; it got a (32, 3) float32, p (32, 1) float32")
    assert train.startswith("train: node 'map' raised")
    assert train.endswith("; it got a (32, 1) float32, p (32, 1) float64")


def test_types_that_the_fit_will_convert_are_no_fault() -> None:
    splits = splits_of(problems.rosenbrock_data)
    for _, dataset in splits.items():
        dataset.datadict = {"a": dataset.datadict["a"].double(), "p": dataset.datadict["p"].half()}
    assert len(refused(problems.rosenbrock(), splits)) == 2
    dry_run(problems.rosenbrock(), splits, SOURCE, converted=True)
    dry_run(problems.rosenbrock().double(), splits, SOURCE, converted=True)


def test_an_error_of_the_users_own_is_not_taken_for_a_missing_key() -> None:
    def lookup(x: torch.Tensor) -> torch.Tensor:
        raise KeyError("x")

    splits = splits_of(problems.noisy_data, dev=None, test=None)
    assert refused(least_squares(Node(lookup, ["x"], ["y"], name="table")), splits) == [
        "train: node 'table' raised KeyError: 'x'; it got x (16, 1) float32"
    ]


def test_a_loss_that_is_no_single_number() -> None:
    splits = splits_of(problems.noisy_data, dev=None, test=None)
    node = Node(nn.Linear(1, 1), ["x"], ["y"], name="line")
    many = Problem([node], PenaltyLoss([variable("y").minimize(metric=torch.abs, name="all")], []))
    (fault,) = refused(many, splits)
    assert fault == "train: the loss has shape (16, 1); every objective must give a single number (a mean, say)"
    (fault,) = refused(Problem([node], PenaltyLoss([], [])), splits)
    assert fault == "train: the Problem has neither an objective nor a constraint: its loss is not a tensor"


class Nameless(DictDataset):  # type: ignore[misc]  # NeuroMANCER has no types
    def collate_fn(self, batch: Any) -> dict[str, Any]:
        return {"x": torch.stack([item["x"] for item in batch])}


class Broken(DictDataset):  # type: ignore[misc]
    def __getitem__(self, i: int) -> dict[str, Any]:
        raise OSError("disk gone")


def test_batches_that_cannot_be_made_or_have_no_name() -> None:
    x = {"x": torch.rand(4, 1)}
    splits = Splits(Nameless(x, name="train"), Broken(x, name="dev"), None, 2)
    assert refused(problems.noisy(), splits) == [
        "train: its batches have no 'name'; let collate_fn add it, as NeuroMANCER's do",
        "dev: its samples cannot be made into a batch: OSError: disk gone",
    ]


def test_a_problem_that_needs_gradients_is_told_how_to_say_so() -> None:
    """Its training passes have them in any case; LitTrainer without dev data trains it."""
    problem = problems.pinn()
    problem.grad_inference = False
    splits = splits_of(problems.pinn_data)
    faults = refused(problem, splits)
    assert [fault.partition(":")[0] for fault in faults] == ["dev"]
    assert all("term 'equation' raised RuntimeError" in fault for fault in faults)
    assert all("it needs gradients: make the Problem with grad_inference=True" in fault for fault in faults)
    dry_run(problem, Splits(splits.train, None, None, splits.batch_size), SOURCE)


# --- terms that two samples do not fit ---


@pytest.mark.parametrize("wanted", [20, 50])
def test_what_two_samples_do_not_fit_is_tried_on_the_first_real_batch(wanted: int) -> None:
    """As a term on the last points of a batch, where a PINN has those of its boundary."""
    node = Node(nn.Linear(1, 1), ["x"], ["y"], name="line")

    def ends(y: torch.Tensor) -> torch.Tensor:
        return y.reshape(-1)[-wanted:].reshape(wanted, 1)

    last = Node(ends, ["y"], ["end"], name="ends")
    loss = PenaltyLoss([variable("end").minimize(name="end")], [])
    problem = Problem([node, last], loss)
    splits = splits_of(lambda: problems.noisy_data(100, 40))
    if wanted <= 40:
        dry_run(problem, splits, SOURCE)
    else:
        train, dev = refused(problem, splits)
        assert "(40, 1)" in train
        assert dev.startswith("dev: node 'ends' raised")


# --- AugmentedLagrangeLoss ---


def test_the_multipliers_rules_are_checked() -> None:
    torch.manual_seed(0)
    problem = problems.lagrange(nsim=20)
    splits = make_splits(problems.lagrange_data, {"nsim": 20})
    dry_run(problem, splits, SOURCE)
    assert problem.loss.init
    assert problem.loss.lm.numel() == 0
    splits.batch_size = 64
    dry_run(problem, splits, SOURCE)
    splits.batch_size = 19
    assert refused(problem, splits) == [
        "train: AugmentedLagrangeLoss takes the whole training set as one batch, and batch_size=19 is less than its "
        "20 samples"
    ]
    fewer = make_splits(problems.lagrange_data, {"nsim": 15})
    assert refused(problem, fewer) == [
        "train: AugmentedLagrangeLoss was made for 20 training samples, and there are 15"
    ]
    both = make_splits(problems.rosenbrock_data, {"nsim": 30, "batch_size": 10})
    assert len(refused(problem, both)) == 2
    dry_run(problems.rosenbrock(), both, SOURCE)
