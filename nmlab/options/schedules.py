"""The schedule of a learning rate: a scheduler of torch.optim with when it is stepped, in Lightning's words.

A scheduler given by name or class is set up for the length of the fit. One that a function makes is taken as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nmlab.options.checks import PER_STEP, SCHEDULER_ARGUMENTS, class_named, config_fault, made_by, option_fault

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from nmlab.options.options import TrainerOptions


@dataclass(frozen=True)
class Schedule:
    """A scheduler and when it is stepped.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        The scheduler.
    interval : {'epoch', 'step'}, default 'epoch'
        Whether it is stepped after an epoch or after a step of the optimizer.
    frequency : int, default 1
        Every how many of these.
    monitor : str, optional
        Metric that ReduceLROnPlateau follows; default the fit's own.
    name : str, optional
        Its class where it was given by name or class; None for a function's.
    guessed : str, optional
        What the user did not say, in words.
    """

    scheduler: LRScheduler
    interval: str = "epoch"
    frequency: int = 1
    monitor: str | None = None
    name: str | None = None
    guessed: str | None = None


def schedule_named(wanted: Any) -> str | None:
    """Return the name of a scheduler that is given by name or class, alone or in a dict; None for a function's."""
    kind = _kind(wanted)
    return kind.__name__ if inspect.isclass(kind) else None


def _kind(wanted: Any) -> Any:
    from torch.optim import lr_scheduler as schedulers

    kind = wanted.get("scheduler") if isinstance(wanted, Mapping) else wanted
    return class_named(kind, schedulers, schedulers.LRScheduler) if isinstance(kind, str) else kind


def build_schedule(
    options: TrainerOptions, optimizer: Optimizer, length: Callable[[str, int], int] | None = None
) -> Schedule | None:
    """Return the schedule that the options name for an optimizer.

    Parameters
    ----------
    options : TrainerOptions
        The options.
    optimizer : torch.optim.Optimizer
        The optimizer.
    length : callable, optional
        Function of an interval and a frequency that returns how often the fit steps such a scheduler; default once an
        epoch.

    Returns
    -------
    Schedule or None
        The schedule; None if the options name none.

    Raises
    ------
    FieldError
        As for `TrainerOptions.build_scheduler`.
    """
    from torch.optim import lr_scheduler as schedulers

    wanted = options.lr_scheduler
    if wanted is None:
        return None
    config = dict(wanted) if isinstance(wanted, Mapping) else {"scheduler": wanted}
    name = schedule_named(wanted)
    steps = length or (lambda _interval, frequency: options.max_epochs // frequency)
    interval = config.get("interval", "step" if name in PER_STEP else "epoch")
    if name is not None:
        count = max(steps(interval, config.get("frequency", 1)), 1)
        arguments = SCHEDULER_ARGUMENTS[name](options, count) if name in SCHEDULER_ARGUMENTS else {}
        made = made_by("lr_scheduler", _kind(wanted), optimizer, arguments)
    else:
        made = config["scheduler"](optimizer)
        if isinstance(made, Mapping):
            config = {**made, **{key: value for key, value in config.items() if key != "scheduler"}}
            if fault := config_fault(made):
                raise option_fault("lr_scheduler", f"{wanted!r} returned a dict: {fault}")
            made = made["scheduler"]
    if not isinstance(made, schedulers.LRScheduler) or made.optimizer is not optimizer:
        fault = f"{wanted!r} returned a {type(made).__name__}; return an LRScheduler of its argument"
        raise option_fault("lr_scheduler", fault)
    guessed = None
    if name is None and "interval" not in config and _is_per_step(made, options.max_epochs):
        interval = "step"
        guessed = (
            f"{type(made).__name__} is stepped at every step of the optimizer, for which it is made; "
            "for once an epoch give lr_scheduler={'scheduler': …, 'interval': 'epoch'}."
        )
    else:
        interval = config.get("interval", interval)
    return Schedule(made, interval, config.get("frequency", 1), config.get("monitor"), name, guessed)


def _is_per_step(scheduler: Any, max_epochs: int) -> bool:
    """Whether PyTorch's documentation has this scheduler stepped after every batch, and its length allows that."""
    name = type(scheduler).__name__
    return name == "CyclicLR" or (name == "OneCycleLR" and scheduler.total_steps > max_epochs)


def length_faults(scheduler: Any, taken: int, to_come: int, unit: str) -> tuple[str | None, str | None]:
    """Compare a scheduler's own length with the steps that a fit takes of it.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        The scheduler.
    taken : int
        Steps of the scheduler before.
    to_come : int
        Steps that the fit will take.
    unit : str
        What one step is, in words.

    Returns
    -------
    error : str or None
        Why the fit cannot be made with it.
    warning : str or None
        What may not be meant.
    """
    name, steps = type(scheduler).__name__, taken + to_come
    for attribute in ("total_steps", "T_max", "total_iters"):
        length = getattr(scheduler, attribute, None)
        if isinstance(length, int):
            break
    else:
        return None, None
    said = f"{name} has {attribute}={length}, and this fit takes {steps} steps of it (one {unit})"
    if attribute == "total_steps" and steps > length:
        return f"{said}: it ends before; give total_steps={steps}, or its name or class, which spans the fit", None
    if steps < length:
        return None, f"{said}: the schedule does not come to its end."
    if steps > length and name in ("CosineAnnealingLR", "PolynomialLR"):
        then = "rises again" if name == "CosineAnnealingLR" else "stays at its end"
        return None, f"{said}: the learning rate {then} after {length}."
    return None, None
