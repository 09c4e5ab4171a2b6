"""Values as JSON; what is no JSON leaves a stand-in that tells a person what to give again.

A stand-in is {'name': 'module.qualname'} for what can be imported, {'source': …} for a function or class of a
notebook, and {'repr': …} for anything else. Nothing is pickled, and only optimizers and schedulers of
torch.optim are ever looked up again.
"""

from __future__ import annotations

import inspect
import math
import sys
import textwrap
from functools import reduce
from typing import Any

from nmlab.runtime.text import short_repr

_STAND_INS = ({"name"}, {"source"}, {"repr"})


def as_json(value: Any) -> Any:
    """Return the value as JSON, with stand-ins for what is none; tuples become lists."""
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) in (list, tuple):
        return [as_json(item) for item in value]
    if type(value) is dict and all(type(key) is str for key in value) and set(value) not in _STAND_INS:
        return {key: as_json(item) for key, item in value.items()}
    if inspect.isclass(value) or inspect.isroutine(value):
        if name := _importable_name(value):
            return {"name": name}
        try:
            return {"source": textwrap.dedent(inspect.getsource(value))}
        except (OSError, TypeError):  # built in, or typed where no source is kept
            pass
    return {"repr": short_repr(value, 200, one_line=False)}


def holds_stand_in(stored: Any) -> bool:
    """Tell whether JSON from `as_json` is a stand-in, or has one within."""
    if isinstance(stored, list):
        return any(map(holds_stand_in, stored))
    return isinstance(stored, dict) and (set(stored) in _STAND_INS or any(map(holds_stand_in, stored.values())))


def class_stored(stored: Any) -> Any:
    """Return the class of torch.optim that a stand-in names; anything else as it is."""
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
    """Module and qualified name, where these lead back to this very value in another process too."""
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module in (None, "__main__") or module not in sys.modules:
        return None
    try:
        found = reduce(getattr, path.split("."), sys.modules[module])
    except AttributeError:  # a lambda, or made within a function
        return None
    return f"{module}.{path}" if found is value else None
