"""Checks of options beyond their types; each returns what is wrong and what would be valid, or None."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from nmlab.errors import FieldError
from nmlab.fields import Field, check, fields_of_model
from nmlab.fields.field import unknown_name
from nmlab.options.changes import checked_changes, checked_weights

OFFERED: dict[str, dict[str, Any]] = {
    "optimizer": {"default": None} | {name: name for name in ("Adam", "AdamW", "NAdam", "RMSprop", "SGD")},
    "lr_scheduler": {"none": None}
    | {name: name for name in ("CosineAnnealingLR", "ExponentialLR", "OneCycleLR", "ReduceLROnPlateau", "StepLR")},
    "profiler": {"none": None} | {name: name for name in ("simple", "advanced", "pytorch")},
}
"""Choices that a form offers for options of which code may give more: label -> value. Code may give labels too."""

SCHEDULER_ARGUMENTS: dict[str, Callable[[Any, int], dict[str, Any]]] = {
    "CosineAnnealingLR": lambda _options, steps: {"T_max": steps},
    "ExponentialLR": lambda _options, steps: {"gamma": 0.01 ** (1 / steps)},
    "LinearLR": lambda _options, steps: {"total_iters": steps},
    "OneCycleLR": lambda options, steps: {"max_lr": options.lr, "total_steps": steps},
    "PolynomialLR": lambda _options, steps: {"total_iters": steps},
    "ReduceLROnPlateau": lambda options, _steps: {"mode": options.mode},
    "StepLR": lambda _options, steps: {"step_size": -(-steps // 3)},
}
"""Arguments that set up the schedulers for the steps that they take in the fit; others have PyTorch's defaults."""

PER_STEP = ("OneCycleLR",)
"""Schedulers set up for the length of the fit that are stepped with the optimizer, not once an epoch."""

# Lightning's own short forms of a precision
_PRECISIONS = {"16": "16-mixed", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}

# Arguments of Lightning's Trainer that nmlab sets itself, and what to use instead
SET_BY_NMLAB = {
    "logger": "give loggers=[…] or tensorboard=False",
    "enable_checkpointing": "give checkpoint=True or False",
    "enable_progress_bar": "nmlab shows the progress itself",
    "enable_model_summary": "call print(problem) for a summary",
    "num_sanity_val_steps": "nmlab checks the data before the fit",
    "inference_mode": "the Problem's grad_inference decides",
    "default_root_dir": "give runs_dir=… to the fit or the Lab",
}

_HELD_AS: dict[str, type] = {"callbacks": tuple, "loggers": tuple, "trainer_kwargs": dict}


@cache
def option_fields(options: type[BaseModel]) -> tuple[Field, ...]:
    """Return the options of a model as fields, as they are declared."""
    return fields_of_model(options)


def checked(options: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values converted to the types of the options.

    Parameters
    ----------
    options : type of BaseModel
        The model, whose fields are the options.
    given : mapping
        Values by option.

    Returns
    -------
    dict
        The converted values, by option.

    Raises
    ------
    FieldError
        If values are not valid; the error reports all faults.
    """
    values = dict(given)
    for name, offered in OFFERED.items():
        if isinstance(values.get(name), str):
            values[name] = offered.get(values[name], values[name])
    if type(values.get("precision")) in (int, str):
        values["precision"] = _PRECISIONS.get(str(values["precision"]), values["precision"])
    given_as = {"devices": devices_given, "strategy": strategy_given}
    values |= {name: as_known(values[name]) for name, as_known in given_as.items() if name in values}
    fields = option_fields(options)
    faults = {name: fault for name, find in _CHECKS.items() if name in values and (fault := find(values[name]))}
    if fault := _trainer_kwargs_fault(values.get("trainer_kwargs", {}), options):
        faults["trainer_kwargs"] = fault
    for name, read in (("weights", checked_weights), ("changes", checked_changes)):
        try:
            values |= {name: read(values[name])} if name in values else {}
        except FieldError as error:
            faults |= error.faults
    if values.get("accelerator") == "cpu" and isinstance(values.get("devices"), list | tuple):
        count = len(values["devices"])
        fault = f"{values['devices']!r} chooses GPUs, but accelerator is 'cpu'; give devices={max(count, 1)}"
        faults.setdefault("devices", fault)
    try:
        values = check(fields, values, complete=False)
    except FieldError as error:
        faults = error.faults | faults
    if faults:
        order = [field.name for field in fields] + list(given)
        place = {name: order.index(name if name in order else re.split(r"[.\[]", name)[0]) for name in faults}
        raise FieldError({name: faults[name] for name in sorted(faults, key=place.__getitem__)}, "TrainerOptions")
    if isinstance(values.get("devices"), tuple):
        values["devices"] = list(values["devices"])
    # copies, so that the caller's list or dict may change without changing the options
    return values | {name: kind(values[name]) for name, kind in _HELD_AS.items() if name in values}


def option_fault(name: str, text: str) -> FieldError:
    """Return the error to raise for a single option."""
    return FieldError({name: text}, "TrainerOptions")


def made_by(name: str, maker: Any, argument: Any, keywords: dict[str, Any]) -> Any:
    """Return what a class makes of the argument and the keywords, or a function of the argument alone."""
    if not inspect.isclass(maker):
        return maker(argument)
    make: Any = maker
    try:
        return make(argument, **keywords)
    except (TypeError, ValueError) as error:
        called = ", ".join(["…", *(f"{key}={value!r}" for key, value in keywords.items())])
        raise option_fault(
            name, f"{maker.__name__}({called}) failed: {error}; give a function that returns it"
        ) from error


def class_named(name: str, module: ModuleType, base: type) -> Any:
    """Return the class of this name in a module, regardless of case; None if there is none."""
    return {known.lower(): kind for known, kind in _classes(module, base).items()}.get(name.lower())


def _classes(module: ModuleType, base: type) -> dict[str, type]:
    public = {name: kind for name, kind in vars(module).items() if not name.startswith("_") and kind is not base}
    return {name: kind for name, kind in public.items() if inspect.isclass(kind) and issubclass(kind, base)}


def _optimizer_fault(value: Any) -> str | None:
    if value is None:
        return None
    from torch import optim

    return _maker_fault(value, optim, optim.Optimizer, instances=True)


def _scheduler_fault(value: Any) -> str | None:
    if value is None:
        return None
    from torch.optim import lr_scheduler

    if isinstance(value, Mapping):
        inner = _scheduler_fault(value["scheduler"]) if "scheduler" in value else None
        return "; ".join(fault for fault in (config_fault(value), inner) if fault) or None
    if fault := _maker_fault(value, lr_scheduler, lr_scheduler.LRScheduler, instances=False):
        return fault
    kind = class_named(value, lr_scheduler, lr_scheduler.LRScheduler) if isinstance(value, str) else value
    if not inspect.isclass(kind) or kind.__name__ in SCHEDULER_ARGUMENTS:
        return None
    _, *others = inspect.signature(kind).parameters.values()
    missing = [p.name for p in others if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not missing:
        return None
    call = f"{kind.__name__}(optimizer, {', '.join(f'{name}=…' for name in missing)})"
    return f"{kind.__name__} needs {' and '.join(missing)}; give a function: lambda optimizer: {call}"


def config_fault(config: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a dict such as Lightning takes for a scheduler, or None; its scheduler apart."""
    known = ("scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau")
    unknown = [repr(key) for key in config if key not in known]
    faults = [f"it has {', '.join(unknown)}; give {', '.join(known[:4])}"] if unknown else []
    if "scheduler" not in config:
        faults.append("it has no 'scheduler'")
    if config.get("interval", "epoch") not in ("epoch", "step"):
        faults.append(f"interval is {config['interval']!r}; give 'epoch' or 'step'")
    frequency = config.get("frequency", 1)
    if not isinstance(frequency, int) or isinstance(frequency, bool) or frequency < 1:
        faults.append(f"frequency is {frequency!r}; give an integer of at least 1")
    return "; ".join(faults) or None


def _maker_fault(value: Any, module: ModuleType, base: type, *, instances: bool) -> str | None:
    names = sorted(_classes(module, base))
    noun = base.__name__
    if isinstance(value, str):
        return None if class_named(value, module, base) else f"{value!r}: {unknown_name(value, names)}"
    if inspect.isclass(value):
        valid = issubclass(value, base)
    else:
        valid = callable(value) or (instances and isinstance(value, base))
    article = "an" if noun[0] in "AEIOUL" else "a"  # an LRScheduler
    remedy = f"a name ({', '.join(names)}), a class, or a function that returns one{', or the object' * instances}"
    return None if valid else f"{value!r} does not make {article} {noun}; give {remedy}"


def _devices_fault(value: Any) -> str | None:
    remedy = "give a number of devices, a list of GPUs such as [0, 1], or 'auto' for all"
    if value == "auto" or (type(value) is int and (value > 0 or value == -1)):
        return None
    if not isinstance(value, list | tuple):
        return f"{value!r} is no number of devices; {remedy}"
    if not value or any(type(each) is not int or each < 0 for each in value):
        return f"{value!r} is no list of GPUs; {remedy}"
    if len(set(value)) < len(value):
        return f"{value!r} has a GPU twice; {remedy}"
    return None


def _num_nodes_fault(value: Any) -> str | None:
    return None if type(value) is int and value >= 1 else f"{value!r} is no number of machines; give an integer >= 1"


def _strategy_fault(value: Any) -> str | None:
    return None if value == "auto" or value in ddp_names() else f"{value!r}: {SHARES}"


def devices_given(value: Any) -> Any:
    """Return devices as numbers where they are written as Lightning takes them from a command line: '2', '0,1'."""
    if not isinstance(value, str) or not re.fullmatch(r"\s*-?\d+\s*(,\s*\d+\s*)*,?\s*", value):
        return value
    numbers = [int(part) for part in value.split(",") if part.strip()]
    return numbers if "," in value else numbers[0]


def strategy_given(value: Any) -> Any:
    """Return the name of a strategy that is given as an object, as far as nmlab does the same as it."""
    if isinstance(value, str):
        return value
    from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

    if type(value) is SingleDeviceStrategy:
        return "auto"
    if type(value) is not DDPStrategy:
        return value
    other = [
        name for name in ("ddp_comm_hook", "model_averaging_period") if getattr(value, f"_{name}", None) is not None
    ]
    return f"DDPStrategy with {' and '.join(other)}" if other else "ddp"


def ddp_names() -> list[str]:
    """Return the names by which Lightning knows its DDPStrategy."""
    from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

    return [name for name, known in StrategyRegistry.items() if known["strategy"] is DDPStrategy]


SHARES = (
    "nmlab shares each batch among the devices and sums their gradients, as DDP does; give 'auto', 'ddp', or "
    "Lightning's other names for it"
)


def _launch_fault(value: Any) -> str | None:
    if value not in ("thread", "process"):
        return f"{value!r}: a fit runs in a 'thread' of this process or in a 'process' of its own; give one of these"
    if value == "process" and not hasattr(os, "fork"):
        return "'process' needs a system that can fork, such as Linux or macOS; give 'thread'"
    return None


def _profiler_fault(value: Any) -> str | None:
    names = list(OFFERED["profiler"])
    if value is None or (isinstance(value, str) and value in names):
        return None
    if not isinstance(value, str):
        from lightning.pytorch.profilers import Profiler

        if isinstance(value, Profiler):
            return None
    return f"{value!r} is not a profiler; give one of {', '.join(map(repr, names))}, or a Profiler of Lightning"


def _trainer_kwargs_fault(value: Any, options: type[BaseModel]) -> str | None:
    if not isinstance(value, Mapping):
        return f"{value!r} is not a dict; give one such as {{'accumulate_grad_batches': 2}}"
    if not value:
        return None
    from lightning.pytorch import Trainer

    accepted = [name for name in inspect.signature(Trainer).parameters if name not in SET_BY_NMLAB]
    faults = []
    for name in value:
        if name in SET_BY_NMLAB:
            faults.append(f"{name!r} is set by nmlab: {SET_BY_NMLAB[name]}")
        elif name in options.model_fields:
            faults.append(f"{name!r} is an option: give TrainerOptions({name}=…)")
        elif name not in accepted:
            known = [argument for argument in accepted if argument not in options.model_fields]
            faults.append(f"{name!r}: {unknown_name(str(name), known)}")
    return "; ".join(faults) or None


def _callbacks_fault(value: Any) -> str | None:
    if isinstance(value, list | tuple) and not value:
        return None
    from lightning.pytorch import Callback

    return _members_fault(value, Callback)


def _loggers_fault(value: Any) -> str | None:
    if isinstance(value, list | tuple) and not value:
        return None
    from lightning.pytorch.loggers import Logger

    return _members_fault(value, Logger)


def _members_fault(value: Any, kind: type) -> str | None:
    remedy = f"give a list of Lightning's {kind.__name__} objects"
    if not isinstance(value, list | tuple):
        return f"{value!r} is not a list; {remedy}"
    others = ", ".join(repr(member) for member in value if not isinstance(member, kind))
    return f"not a {kind.__name__}: {others}; {remedy}" if others else None


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "optimizer": _optimizer_fault,
    "lr_scheduler": _scheduler_fault,
    "devices": _devices_fault,
    "num_nodes": _num_nodes_fault,
    "strategy": _strategy_fault,
    "launch": _launch_fault,
    "profiler": _profiler_fault,
    "callbacks": _callbacks_fault,
    "loggers": _loggers_fault,
}
