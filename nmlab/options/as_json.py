"""Values as JSON, with placeholders for objects that JSON cannot hold.

A placeholder is {'name': 'module.qualname'} for a function or class that can be imported, {'source': …} for one that a
notebook defines, and {'repr': …} for any other object. It tells a person what to give again: nothing is pickled, and
only optimizers and schedulers of torch.optim are looked up by name.
"""

from __future__ import annotations

import inspect
import math
import sys
import textwrap
from functools import reduce
from typing import Any

from nmlab.runtime.text import short_repr

_PLACEHOLDERS = ({"name"}, {"source"}, {"repr"})


def as_json(value: Any) -> Any:
    """Return a value as JSON, with placeholders for what JSON cannot hold; tuples become lists."""
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) in (list, tuple):
        return [as_json(item) for item in value]
    if type(value) is dict and all(type(key) is str for key in value) and set(value) not in _PLACEHOLDERS:
        return {key: as_json(item) for key, item in value.items()}
    if inspect.isclass(value) or inspect.isroutine(value):
        if name := _importable_name(value):
            return {"name": name}
        try:
            return {"source": textwrap.dedent(inspect.getsource(value))}
        except (OSError, TypeError):  # built in, or defined where no source is kept
            pass
    return {"repr": short_repr(value, 200, one_line=False)}


def holds_stand_in(stored: Any) -> bool:
    """Return whether JSON from `as_json` is a placeholder, or contains one."""
    if isinstance(stored, list):
        return any(map(holds_stand_in, stored))
    return isinstance(stored, dict) and (set(stored) in _PLACEHOLDERS or any(map(holds_stand_in, stored.values())))


def class_stored(stored: Any) -> Any:
    """Return the class of torch.optim that a placeholder names; anything else is returned unchanged."""
    if not isinstance(stored, dict) or set(stored) != {"name"} or not str(stored["name"]).startswith("torch.optim."):
        return stored
    from torch import optim

    bases = {optim: optim.Optimizer, optim.lr_scheduler: optim.lr_scheduler.LRScheduler}
    for module, base in bases.items():
        found = getattr(module, str(stored["name"]).rpartition(".")[2], None)
        if inspect.isclass(found) and issubclass(found, base) and _importable_name(found) == stored["name"]:
            return found
    return stored


def _importable_name(value: Any) -> str | None:
    """Return module and qualified name if these lead to this same value in another process too."""
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module in (None, "__main__") or module not in sys.modules:
        return None
    try:
        found = reduce(getattr, path.split("."), sys.modules[module])
    except AttributeError:  # a lambda, or defined within a function
        return None
    return f"{module}.{path}" if found is value else None
