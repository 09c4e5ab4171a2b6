"""Schedules of the learning rate in a training: their length, and what becomes of them where it changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nmlab.options import TrainerOptions
from nmlab.options.schedules import Schedule, build_schedule

Length = Callable[[int, str, int], int]
"""How often a scheduler is stepped in so many epochs, by its interval and frequency."""

Row = list[tuple[float, float | None]]
"""Learning rate and momentum of each parameter group at one step of a scheduler."""

SPANNING = ("CosineAnnealingLR", "ExponentialLR", "LinearLR", "OneCycleLR", "PolynomialLR", "StepLR")
"""Schedulers that are set up by name for the length of the fit."""


class StretchedLR(LRScheduler):
    """A schedule by its values at each step.

    Parameters: `optimizer`; `rows`, the values; `of`, the name of the schedule that it comes from.
    """

    def __init__(self, optimizer: Optimizer, rows: list[Row], of: str) -> None:
        self._rows, self._of = rows, of
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        row = self._rows[min(self.last_epoch, len(self._rows) - 1)]
        if self._of == "OneCycleLR":
            for group, (_, momentum) in zip(self.optimizer.param_groups, row, strict=True):
                _set_momentum(group, momentum)
        return [lr for lr, _ in row]

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().state_dict().items() if key not in ("_rows", "_of")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the steps of this schedule, or of the one that it comes from."""
        self.last_epoch = int(state_dict["last_epoch"])
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def stretched(
    options: TrainerOptions, optimizer: Optimizer, extended: Iterable[tuple[int, int, int]], length: Length
) -> tuple[Schedule | None, list[Row]]:
    """Return the schedule that the options name for the first length of a fit, and its values after all changes of it.

    Where the length changes, the rest of the schedule is stretched from its present value over the epochs to come. One
    that was at its end goes on from where its last epoch began.

    Parameters: `optimizer`, for its learning rates; `extended`, the epochs done and the old and new `max_epochs` of
    each change.
    """
    changes = list(extended)
    groups = [{"params": [torch.zeros(1, device="cpu")], "lr": float(group["lr"])} for group in optimizer.param_groups]
    stand_in = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    first = options.replace(max_epochs=changes[0][1])
    made = build_schedule(first, stand_in, lambda *when: length(first.max_epochs, *when))
    if made is None:
        return None, []
    rows = [_row(stand_in)]
    for _ in range(length(first.max_epochs, made.interval, made.frequency)):
        stand_in.step()
        made.scheduler.step()
        rows.append(_row(stand_in))
    if made.name == "OneCycleLR":
        rows[-1] = rows[-2]  # it ends one step before
    for done, _, epochs in changes:
        taken = length(done, made.interval, made.frequency)
        to_come = max(length(epochs, made.interval, made.frequency) - taken, 0)
        end = len(rows) - 1
        begin = min(taken, max(end - length(1, made.interval, made.frequency), 0))
        places = [begin + (end - begin) * step / max(to_come, 1) for step in range(to_come + 1)]
        rows = rows[:taken] + [_between(rows, place, jumps=made.name == "StepLR") for place in places]
    return made, rows


def renew(schedule: Schedule, options: TrainerOptions, optimizer: Optimizer, taken: int, length: Length) -> LRScheduler:
    """Return the scheduler that a function makes, after the steps that it would have taken until now."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of steps without those of the optimizer
        made = build_schedule(options, optimizer, lambda *when: length(options.max_epochs, *when))
        assert made is not None
        for _ in range(length(taken, schedule.interval, schedule.frequency)):
            made.scheduler.step()
    return made.scheduler


def _row(optimizer: Optimizer) -> Row:
    return [(float(group["lr"]), group.get("momentum")) for group in optimizer.param_groups]


def _between(rows: list[Row], place: float, jumps: bool) -> Row:
    """Return the values at a place between two steps."""
    before = int(place)
    part = 0.0 if jumps else place - before
    if part == 0.0:
        return rows[before]
    return [
        (a + (b - a) * part, None if m is None or n is None else m + (n - m) * part)
        for (a, m), (b, n) in zip(rows[before], rows[before + 1], strict=True)
    ]


def _set_momentum(group: dict[str, Any], momentum: float | None) -> None:
    if momentum is not None and "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif momentum is not None and "momentum" in group:
        group["momentum"] = momentum
