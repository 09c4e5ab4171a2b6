"""A second device on a machine without one: its tensors have values, and refuse to be mixed with those of the CPU.

It calls itself 'meta', which every PyTorch has, and computes on the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")


class There(torch.Tensor):
    """A tensor on the second device."""

    values_here: torch.Tensor

    @staticmethod
    def __new__(cls, values_here: torch.Tensor) -> There:
        made: There = torch.Tensor._make_wrapper_subclass(
            cls,
            values_here.size(),
            values_here.stride(),
            values_here.storage_offset(),
            dtype=values_here.dtype,
            device=DEVICE,
        )
        made.values_here = values_here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _computed(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """Within its block there is a second device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


_ACROSS = (torch.ops.aten._to_copy, torch.ops.aten.copy_, torch.ops.aten.index, torch.ops.aten.index_put_)
"""What takes tensors of two devices, also on a GPU: copies, and indices on the CPU."""

_JOIN = (torch.ops.aten.stack, torch.ops.aten.cat)
"""What does not even take a number on the CPU."""


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, There) for tensor in tensors)
    joins = func.overloadpacket in _JOIN
    if (
        there
        and func.overloadpacket not in _ACROSS
        and any(type(t) is not There and (t.ndim or joins) for t in tensors)
    ):
        raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices")
    target = kwargs.get("device")
    wraps = there if target is None else torch.device(target) == DEVICE
    plain, given = tree_map(lambda each: each.values_here if isinstance(each, There) else each, (args, kwargs))
    if target is not None:
        given["device"] = torch.device("cpu")
    result = func(*plain, **given)
    if func.overloadpacket is torch.ops.aten.copy_ or (args and result is plain[0]):
        return args[0]
    if not wraps:
        return result
    return tree_map(lambda each: There(each) if isinstance(each, torch.Tensor) else each, result)


def moved(module: nn.Module) -> nn.Module:
    """Move a module there, parameters that are shared among its parts once, as `Module.to` does on a real device."""
    made: dict[int, Any] = {}
    for part in module.modules():
        for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            if id(value) not in made:
                there = value.detach().to(DEVICE)
                made[id(value)] = nn.Parameter(there, value.requires_grad) if isinstance(value, nn.Parameter) else there
            setattr(part, name, made[id(value)])
    return module
