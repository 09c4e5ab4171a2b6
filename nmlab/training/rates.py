"""Another base learning rate in the middle of a training, for optimizers and the schedulers that go on from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_OF_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr")
"""Rates of a parameter group, those included that schedulers keep there."""

_OF_SCHEDULERS = ("base_lrs", "max_lrs")
"""Lists of rates that schedulers keep themselves, one for each group; bounds such as `eta_min` are no part of it."""


def change_rates(optimizers: Iterable[Any], schedulers: Iterable[Any], old: float, new: float) -> None:
    """Change the rates of all parameter groups, and those from which schedulers compute them, by one factor.

    Parameters
    ----------
    optimizers : iterable of torch.optim.Optimizer
        The optimizers.
    schedulers : iterable of torch.optim.lr_scheduler.LRScheduler
        Their schedulers.
    old, new : float
        The base rate before and from now on. A rate that is the old one becomes exactly the new one.
    """

    def changed(rate: Any) -> Any:
        return new if isinstance(rate, (int, float)) and rate == old else rate * (new / old)

    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.update({name: changed(group[name]) for name in _OF_GROUPS if name in group})
    for scheduler in _with_inner(schedulers):
        for name in _OF_SCHEDULERS:
            if isinstance(rates := getattr(scheduler, name, None), list):
                setattr(scheduler, name, [changed(rate) for rate in rates])


def _with_inner(schedulers: Iterable[Any]) -> Iterable[Any]:
    """Yield schedulers, and those within a SequentialLR or ChainedScheduler."""
    for scheduler in schedulers:
        yield scheduler
        yield from _with_inner(getattr(scheduler, "_schedulers", ()))
