"""Tensors that functions hold on the CPU meet others on a device: they follow, and what holds them stays as it was."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

from nmlab import DataError
from nmlab.problem.constants import ConstantsFollow, constants_of
from nmlab.problem.fast_loss import FastProblem
from tests.helpers.fits import built
from tests.helpers.problems import integrator, rosenbrock
from tests.helpers.second_device import DEVICE, SecondDevice, There, moved

MATRIX = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
"""A global of the functions below."""


@pytest.fixture(autouse=True)
def second_device() -> Iterator[None]:
    with SecondDevice():  # type: ignore[no-untyped-call]
        yield


def _of(function: Callable[..., Any]) -> Problem:
    layer = Node(nn.Linear(2, 2), ["p"], ["x"], name="layer")
    own = Node(function, ["x"], ["y"], name="own")
    return Problem([layer, own], PenaltyLoss([(variable("y") ** 2).minimize(name="obj")], []))


def _closure() -> Problem:
    held = MATRIX.clone()
    return _of(lambda x: x @ held)


class Plain:
    """An object that is no module."""

    def __init__(self) -> None:
        self.weights = [MATRIX.clone(), MATRIX.clone()]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weights[0].T + self.weights[1][0]


def _default() -> Problem:
    def function(x: torch.Tensor, held: torch.Tensor = MATRIX.clone()) -> torch.Tensor:  # noqa: B008
        return torch.matmul(x, held)

    return _of(function)


def _written(x: torch.Tensor) -> torch.Tensor:
    made = torch.zeros(len(x), 2)
    made[:, 0] = x[:, 1]
    made += x
    made.add_(x)
    return made * x


def _own_numpy(x: torch.Tensor) -> torch.Tensor:
    return x + torch.from_numpy(torch.ones(2).numpy() * 2)


HELD: dict[str, Callable[[], Problem]] = {
    "closure": _closure,
    "default": _default,
    "global": lambda: _of(lambda x: nn.functional.linear(x, MATRIX)),
    "attributes of a plain object": lambda: _of(Plain()),
    "partial": lambda: _of(functools.partial(torch.add, MATRIX[0])),
    "made by zeros": lambda: _of(lambda x: torch.cat([x, torch.zeros(len(x), 1)], dim=1)),
    "made by tensor": lambda: _of(lambda x: torch.stack([x[:, 0].mean(), torch.tensor(2.0)])),
    "written into": lambda: _of(_written),
    "its own numpy": lambda: _of(_own_numpy),
    "indices and masks": lambda: _of(
        lambda x: torch.where(torch.tensor([True, False]), x[:, torch.tensor([1, 0])], 0.5)
    ),
    "a rollout": integrator,
}


def _batch(problem: Problem, there: bool) -> dict[str, Any]:
    torch.manual_seed(1)
    values = {"p": torch.rand(6, 2)}
    if "p" not in problem.input_keys:
        values = {"x": torch.randn(6, 1, 2), "r": torch.zeros(6, 5, 2)}
    if there:
        values = {key: value.to(DEVICE) for key, value in values.items()}
    return {**values, "name": "train"}


@pytest.mark.parametrize("how", HELD)
def test_loss_and_gradient_are_those_of_the_cpu(how: str) -> None:
    here, there = built(HELD[how]), built(HELD[how])
    moved(there)
    with pytest.raises(RuntimeError, match="same device"):
        there(_batch(there, True))
    mode = constants_of(there, _batch(there, True), DEVICE)
    assert mode is not None
    found = []
    for problem, batch in ((here, _batch(here, False)), (there, _batch(there, True))):
        with mode:
            loss = FastProblem(problem)(batch)["train_loss"]
            loss.backward()
        values = [loss, *(p.grad for p in problem.parameters() if p.grad is not None)]
        assert len(values) > 1
        found.append([value.values_here if isinstance(value, There) else value for value in values])
    assert type(loss) is There
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other)
    assert type(MATRIX) is torch.Tensor


def test_a_problem_that_needs_nothing_is_left_alone() -> None:
    problem: Any = moved(built(rosenbrock))
    batch = {"a": torch.rand(4, 1).to(DEVICE), "p": torch.rand(4, 1).to(DEVICE), "name": "train"}
    assert constants_of(problem, batch, DEVICE) is None


def test_a_copy_is_kept_until_its_tensor_is_changed() -> None:
    held, x = torch.ones(3), torch.ones(3).to(DEVICE)
    with ConstantsFollow(DEVICE) as mode:
        for _ in range(3):
            assert (held * x).values_here.tolist() == [1.0] * 3  # type: ignore[attr-defined]
        assert mode.copies == 1
        held[0] = 5.0
        assert (held * x).values_here.tolist() == [5.0, 1.0, 1.0]  # type: ignore[attr-defined]
    assert mode.copies == 2
    assert type(held) is torch.Tensor


def test_a_gradient_reaches_what_a_function_trains_on_the_cpu() -> None:
    held, x = torch.ones(3, requires_grad=True), torch.full((3,), 2.0).to(DEVICE)
    with ConstantsFollow(DEVICE):
        (held * x).sum().backward()
    assert held.grad is not None
    assert held.grad.tolist() == [2.0] * 3


def test_what_goes_through_numpy_is_named_with_what_to_write() -> None:
    def through_numpy(x: torch.Tensor) -> torch.Tensor:
        if type(x) is There:  # as a tensor on a GPU does
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        return x

    problem: Any = moved(_of(through_numpy))
    with pytest.raises(DataError, match=r"node 'own' \(.*through_numpy\) computes by numpy.*x.detach\(\).cpu\(\)"):
        constants_of(problem, _batch(problem, True), DEVICE)

    def only_here(x: torch.Tensor) -> torch.Tensor:
        if type(x) is There:
            raise ValueError("not compiled for it")
        return x

    problem = moved(_of(only_here))
    with pytest.raises(DataError, match=r"ValueError: not compiled for it\. Make its tensors there"):
        constants_of(problem, _batch(problem, True), DEVICE)
