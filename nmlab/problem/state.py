"""Preserves the state of a Problem, whatever a block of code does to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from neuromancer.problem import Problem
from neuromancer.system import MovingHorizon
from torch.nn.parameter import is_lazy

from nmlab.problem.lazy import emptied, lazy_modules
from nmlab.runtime.interrupts import undone
from nmlab.runtime.rng import RandomStreams

T = TypeVar("T")
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
    homes = homes or {}
    modules = dict(problem.named_modules())  # one walk: with a System's many steps it takes longer than a pass
    modes = [(module, module.training) for module in modules.values()]
    kept = set(lazy_modules(problem)) if initializing else set()
    attributes = [(m, type(m), _contents(m.__dict__)) for name, m in modules.items() if name not in kept]
    histories = [m.history for m in modules.values() if isinstance(m, MovingHorizon)]
    lists = [(history, {key: list(seen) for key, seen in history.items()}) for history in histories]
    named: dict[torch.nn.Parameter, str] = {}
    for owner, module in modules.items():
        for name, parameter in _own(module._parameters):
            named.setdefault(parameter, f"{owner}.{name}".lstrip("."))
    parameters = [(p, type(p), p.data, p.grad, p.requires_grad) for p in named if not (initializing and is_lazy(p))]

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
            for values, before in ((module.__dict__, contents[0]), *contents[1]):
                values.update(before)
                for name in values.keys() - before.keys():
                    del values[name]
        for history, seen in lists:  # a MovingHorizon stores past inputs
            history.update(seen)

    with undone(restore):
        for parameter, name in named.items():
            if is_lazy(parameter):
                continue
            data, grad = parameter.data, parameter.grad
            parameter.grad = None
            parameter.data = _copied(data, homes.get(name))
            parameter.grad = None if grad is None else _copied(grad, homes.get(name))
        copies: dict[torch.Tensor, torch.Tensor] = {}
        for owner, module in modules.items():
            for name, buffer in _own(module._buffers) if owner not in kept else ():
                if buffer not in copies:
                    copies[buffer] = _copied(buffer, homes.get(f"{owner}.{name}".lstrip(".")))
                module._buffers[name] = copies[buffer]
        with RandomStreams(seed):
            yield


def _own(values: Mapping[str, T | None]) -> list[tuple[str, T]]:
    """Return a module's own parameters or buffers."""
    return [(name, value) for name, value in values.items() if value is not None]


_TORCHS_DICTS = tuple(name for name, value in vars(torch.nn.Module()).items() if isinstance(value, dict))


def _contents(attributes: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Return copies of a module's attributes, and of its dicts of parameters, buffers, submodules and hooks."""
    return dict(attributes), [(attributes[name], dict(attributes[name])) for name in _TORCHS_DICTS]


def _copied(value: torch.Tensor, home: Home | None) -> torch.Tensor:
    device, dtype = home or (value.device, value.dtype)
    if is_lazy(value):
        return emptied(value)
    return value.detach().to(device, dtype, copy=True)
