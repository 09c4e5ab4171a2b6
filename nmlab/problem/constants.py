"""Tensors that a Problem's functions hold or make on the CPU, on the device that the Problem is trained on.

A function may hold tensors in closures, defaults, globals or plain objects, which `Problem.to` does not move, and make
others by ``torch.zeros(…)``. Where it combines one with a tensor on the device, a copy on the device takes its place,
in that operation alone: what the function holds stays as it is, and what never meets the device stays on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from neuromancer.problem import Problem
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from nmlab.errors import DataError
from nmlab.problem.state import preserving_state

_ACROSS = frozenset({"to", "type_as", "copy_", "cpu", "cuda", "set_", "set_data", "__get__", "__set__", "is_set_to"})
"""Functions that take tensors of two devices as they are."""

NUMPY = (
    "{} computes by numpy, which has no GPU: write x.detach().cpu().numpy(), and torch.as_tensor(result, "
    "device=x.device) of what it gives, or train with accelerator='cpu'"
)
ELSEWHERE = "{} does not work on {}: {}. Make its tensors there by device=x.device, or train with accelerator='cpu'"


class ConstantsFollow(TorchFunctionMode):
    """Within its block, tensors on the CPU are copied to a device where they meet tensors there.

    Copies of tensors that live longer than an operation are kept, until these are changed in place.

    Parameters
    ----------
    device : torch.device
        The device.
    timed : callable, optional
        Returns the context in which a copy is made.
    """

    def __init__(self, device: torch.device, timed: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        super().__init__()
        self.device = device
        self.copies = 0
        """How many copies were made."""
        self._timed = timed
        self._kept: Any = WeakIdKeyDictionary()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        there = here = False
        for tensor in _tensors((args, kwargs)):
            if tensor.device.type == "cpu":
                here = here or tensor.ndim > 0 or func in _JOINING
            else:
                there = True
        name = getattr(func, "__name__", "")
        if not (here and there) or name in _ACROSS:
            return func(*args, **kwargs)
        changed = kwargs.get("out", args[0] if args and _writes(name) else None)
        if isinstance(changed, torch.Tensor) and changed.device.type == "cpu":
            # whoever holds it goes on with this tensor, which stays where it is
            return func(*_mapped(args, torch.Tensor.cpu), **_mapped(kwargs, torch.Tensor.cpu))
        return func(*_mapped(args, self._moved), **_mapped(kwargs, self._moved))

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type != "cpu":
            return tensor
        kept = self._kept.get(tensor)
        if kept is not None and kept[0] == tensor._version:
            return kept[1]  # type: ignore[no-any-return]
        with self._timed():
            moved = tensor.to(self.device)
        self.copies += 1
        if not tensor.requires_grad:
            self._kept[tensor] = tensor._version, moved
        return moved


_JOINING = frozenset({torch.stack, torch.cat, torch.concat, torch.hstack, torch.vstack, torch.where})
"""Functions that take no number on the CPU beside tensors elsewhere."""


_AUGMENTED = frozenset(
    [
        "__setitem__",
        *(
            f"__i{kind}__"
            for kind in ["add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]
        ),
    ]
)
"""Operators that change their first argument."""


def _writes(name: str) -> bool:
    """Return whether a function changes its first argument."""
    in_place = name.endswith("_") and not name.endswith("__")
    return in_place or name in _AUGMENTED


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif type(value) in (tuple, list):
        for item in value:
            yield from _tensors(item)
    elif type(value) is dict:
        for item in value.values():
            yield from _tensors(item)


def _mapped(value: Any, call: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return call(value)
    if type(value) in (tuple, list):
        return type(value)(_mapped(item, call) for item in value)
    return {key: _mapped(item, call) for key, item in value.items()} if type(value) is dict else value


def constants_of(
    problem: Problem,
    batch: dict[str, Any],
    device: torch.device,
    timed: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> ConstantsFollow | None:
    """Return the mode in which a Problem works on a device; None where it works there without.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem, on the device.
    batch : dict
        A batch, on the device.
    device : torch.device
        The device.
    timed : callable, optional
        As for `ConstantsFollow`.

    Raises
    ------
    DataError
        Where it works neither way, with the node and what to write.
    """
    for mode in (None, ConstantsFollow(device, timed)):
        with preserving_state(problem), torch.enable_grad(), mode or nullcontext():
            try:
                problem(dict(batch))
            except Exception as error:
                if mode is not None:
                    reason = _reason(problem, dict(batch), device, error)
                    raise DataError([reason], subject=f"The Problem cannot be trained on {device}") from error
            else:
                return mode
    raise AssertionError


def _reason(problem: Problem, values: dict[str, Any], device: torch.device, error: Exception) -> str:
    """Return which node or term does not work there, and what to write."""
    who = "a term"
    for node in problem.nodes:
        try:
            out = node(values)
        except Exception:
            function = getattr(node, "callable", node)
            who = f"node {node.name!r} ({getattr(function, '__qualname__', type(function).__name__)})"
            break
        values = {**values, **({node.name: out} if isinstance(out, torch.Tensor) else out)}
    told = str(error).partition("\n")[0]
    return NUMPY.format(who) if "numpy" in told else ELSEWHERE.format(who, device, f"{type(error).__name__}: {told}")
