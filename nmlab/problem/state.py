"""Preserves the state of a Problem, whatever a block of code does to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from neuromancer.problem import Problem
from neuromancer.system import MovingHorizon
from torch.nn.parameter import is_lazy

from nmlab.problem.lazy import emptied, lazy_modules
from nmlab.runtime.interrupts import undone
from nmlab.runtime.rng import RandomStreams

Home = tuple[torch.device, torch.dtype]


def homes_of(problem: Problem) -> dict[str, Home]:
    """Return device and dtype of all parameters and buffers of a Problem, by name."""
    named = [*problem.named_parameters(), *problem.named_buffers()]
    return {name: (value.device, value.dtype) for name, value in named}


@contextmanager
def preserving_state(
    problem: Problem, seed: int = 0, homes: Mapping[str, Home] | None = None, initializing: bool = False
) -> Iterator[None]:
    """Restore a Problem and the random states after the block.

    Within the block parameters and buffers are copies. Weights, gradients, buffers, train and eval modes, all
    attributes of modules and their classes, which lazy modules change, are restored exactly, and an optimizer's
    references to parameters stay valid.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    seed : int, default 0
        Seed of the random numbers within the block.
    homes : mapping of str to (torch.device, torch.dtype), optional
        Device and dtype of parameters and buffers within the block, by name. Default: unchanged.
    initializing : bool, default False
        Whether lazy modules keep what they are initialized with in the block.
    """
    homes = homes if homes is not None else homes_of(problem)
    modes = [(module, module.training) for module in problem.modules()]
    kept = set(lazy_modules(problem)) if initializing else set()
    restored = [module for name, module in problem.named_modules() if name not in kept]
    attributes = [(module, type(module), _contents(vars(module))) for module in restored]
    histories = [m.history for m in problem.modules() if isinstance(m, MovingHorizon)]
    lists = [(history, {key: list(seen) for key, seen in history.items()}) for history in histories]
    parameters = [
        (p, type(p), p.data, p.grad, p.requires_grad) for p in problem.parameters() if not (initializing and is_lazy(p))
    ]

    def restore() -> None:
        for parameter, kind, data, grad, requires_grad in parameters:
            parameter.grad = None
            parameter.data = data
            parameter.grad = grad
            if not is_lazy(parameter):
                parameter.requires_grad_(requires_grad)
            parameter.__class__ = kind
        for module, training in modes:
            module.training = training
        for module, kind, contents in attributes:
            module.__class__ = kind
            for values, before in ((vars(module), contents[0]), *contents[1]):
                values.update(before)
                for name in values.keys() - before.keys():
                    del values[name]
        for history, seen in lists:  # a MovingHorizon stores past inputs
            history.update(seen)

    with undone(restore):
        for name, parameter in problem.named_parameters():
            if is_lazy(parameter):
                continue
            data, grad = parameter.data, parameter.grad
            parameter.grad = None
            parameter.data = _copied(data, homes.get(name))
            parameter.grad = None if grad is None else _copied(grad, homes.get(name))
        copies: dict[torch.Tensor, torch.Tensor] = {}
        for name, buffer in list(problem.named_buffers(remove_duplicate=False)):
            owner, _, own_name = name.rpartition(".")
            if owner in kept:
                continue
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
    if is_lazy(value):
        return emptied(value)
    return value.detach().to(device, dtype, copy=True)
