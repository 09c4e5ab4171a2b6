"""What a fit is made of, as bytes for another process; what cannot travel is named."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any

from nmlab.errors import FieldError
from nmlab.fitting.request import FitRequest
from nmlab.runtime.pickling import dumps
from nmlab.runtime.text import short_repr

DEPTH = 8
"""How far what cannot travel is looked for within an object."""

_REMEDY = "make it inside the function that uses it, or give launch='thread'"


def packed(request: FitRequest, **more: Any) -> bytes:
    """Return a request and more as bytes, which `pickle.loads` turns into a dict with 'request' and the others.

    Raises
    ------
    FieldError
        Names every part that cannot be sent, and why.
    """
    try:
        return dumps({"request": request, **more})
    except Exception as error:
        faults = {name: fault for name, part in _parts(request).items() if (fault := _fault(part)) is not None}
        faults = faults or {"launch": f"'process' cannot be used: {_reason(error)}; give 'thread'"}
        raise FieldError(faults, subject="This fit cannot be sent to a process of its own") from error


def _parts(request: FitRequest) -> dict[str, Any]:
    options = {name: getattr(request.options, name) for name in request.options.model_fields_set}
    return {
        "problem": request.problem,
        "data_setup_function": request.data_setup_function,
        **{f"problem_kwargs.{name}": value for name, value in request.problem_kwargs.items()},
        **request.data_kwargs,
        **options,
        "view": request.view,
        "training steps and hooks": request.user_hooks,
    }


def _fault(value: Any) -> str | None:
    """Return what of a value cannot be sent, and why; None if all of it can."""
    path: list[str] = []
    error = _error(value)
    if error is None:
        return None
    seen: set[int] = set()
    while len(path) < DEPTH:
        seen.add(id(value))
        for name, part in _members(value):
            if id(part) not in seen and (deeper := _error(part)) is not None:
                path.append(name)
                value, error = part, deeper
                break
        else:
            break
    found = f"its {', '.join(path)} is {short_repr(value, 80)}, which" if path else f"{short_repr(value, 80)}"
    return f"{found} cannot be sent to another process ({_reason(error)}); {_REMEDY}"


def _error(value: Any) -> Exception | None:
    try:
        dumps(value)
    except Exception as error:
        return error
    return None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value holds, with names for people."""
    if isinstance(value, types.MethodType):
        yield "object", value.__self__
        yield "function", value.__func__
    elif isinstance(value, types.FunctionType):
        known = inspect.getclosurevars(value)
        yield from ((f"variable `{name}`", part) for name, part in known.nonlocals.items())
        yield from ((f"global `{name}`", part) for name, part in known.globals.items())
        parameters = inspect.signature(value).parameters.values()
        yield from ((f"default of `{p.name}`", p.default) for p in parameters if p.default is not p.empty)
    elif isinstance(value, functools.partial):
        yield "function", value.func
        yield from ((f"argument {number}", part) for number, part in enumerate(value.args, start=1))
        yield from ((f"argument `{name}`", part) for name, part in value.keywords.items())
    elif isinstance(value, Mapping):
        yield from ((f"item {key!r}", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"item {number}", part) for number, part in enumerate(value))
    elif isinstance(getattr(value, "__dict__", None), dict):
        yield from ((f"attribute `{name}`", part) for name, part in vars(value).items())
