"""Modules that get their weights with the first batch, as torch.nn.LazyLinear does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy


def lazy_modules(module: nn.Module) -> Iterator[str]:
    """Yield the names of the modules that wait for their first batch."""
    for name, part in module.named_modules():
        waits = isinstance(part, LazyModuleMixin) and part.cls_to_become is not None
        own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
        if waits or any(map(is_lazy, own)):
            yield name


def has_lazy(module: nn.Module) -> bool:
    """Return whether a part of a module waits for its first batch."""
    return next(lazy_modules(module), None) is not None


def emptied(value: torch.Tensor) -> torch.Tensor:
    """Return a buffer without a size in place of another one."""
    kind: Any = type(value)
    return kind(device=value.device, dtype=value.dtype)  # type: ignore[no-any-return]
