"""Preserves the state of a Problem, whatever a block of code does to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from neuromancer.problem import Problem
from neuromancer.system import MovingHorizon

from nmlab.runtime.interrupts import undone
from nmlab.runtime.rng import RandomStreams

Home = tuple[torch.device, torch.dtype]


def homes_of(problem: Problem) -> dict[str, Home]:
    """Return device and dtype of all parameters and buffers of a Problem, by name."""
    named = [*problem.named_parameters(), *problem.named_buffers()]
    return {name: (value.device, value.dtype) for name, value in named}


@contextmanager
def preserving_state(problem: Problem, seed: int = 0, homes: Mapping[str, Home] | None = None) -> Iterator[None]:
    """Restore a Problem and the random states after the block.

    Within the block parameters and buffers are copies. Weights, gradients, buffers, train and eval modes and all
    attributes of modules are restored exactly, and an optimizer's references to parameters stay valid.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    seed : int, default 0
        Seed of the random numbers within the block.
    homes : mapping of str to (torch.device, torch.dtype), optional
        Device and dtype of parameters and buffers within the block, by name. Default: unchanged.
    """
    homes = homes if homes is not None else homes_of(problem)
    attributes = [(vars(module), _contents(vars(module))) for module in problem.modules()]
    histories = [m.history for m in problem.modules() if isinstance(m, MovingHorizon)]
    lists = [(history, {key: list(seen) for key, seen in history.items()}) for history in histories]
    parameters = [(p, p.data, p.grad, p.requires_grad) for p in problem.parameters()]

    def restore() -> None:
        for parameter, data, grad, requires_grad in parameters:
            parameter.grad = None
            parameter.data = data
            parameter.grad = grad
            parameter.requires_grad_(requires_grad)
        for held, contents in attributes:
            for values, before in ((held, contents[0]), *contents[1]):
                values.update(before)
                for name in values.keys() - before.keys():
                    del values[name]
        for history, seen in lists:  # a MovingHorizon stores past inputs
            history.update(seen)

    with undone(restore):
        for name, parameter in problem.named_parameters():
            data, grad = parameter.data, parameter.grad
            parameter.grad = None
            parameter.data = _copied(data, homes.get(name))
            parameter.grad = None if grad is None else _copied(grad, homes.get(name))
        copies: dict[torch.Tensor, torch.Tensor] = {}
        for name, buffer in list(problem.named_buffers(remove_duplicate=False)):
            owner, _, own_name = name.rpartition(".")
            copies[buffer] = copies.get(buffer, _copied(buffer, homes.get(name)))
            problem.get_submodule(owner)._buffers[own_name] = copies[buffer]
        with RandomStreams(seed):
            yield


_TORCHS_DICTS = tuple(name for name, value in vars(torch.nn.Module()).items() if isinstance(value, dict))


def _contents(attributes: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Return copies of a module's attributes, and of its dicts of parameters, buffers, submodules and hooks."""
    return dict(attributes), [(attributes[name], dict(attributes[name])) for name in _TORCHS_DICTS]


def _copied(value: torch.Tensor, home: Home | None) -> torch.Tensor:
    device, dtype = home or (value.device, value.dtype)
    return value.detach().to(device, dtype, copy=True)
