"""A Problem before a fit, and what of two fits is to be the same."""

from collections.abc import Callable
from typing import Any

import torch

from nmlab import Run


def built(builder: Callable[[], Any], seed: int = 0) -> Any:
    """A Problem with the weights of this seed."""
    torch.manual_seed(seed)
    return builder()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether these weights are equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(run: Run) -> Any:
    """A run's metrics without the time they took."""
    return run.metrics.drop(columns="seconds")
