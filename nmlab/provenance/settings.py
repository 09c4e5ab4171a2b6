"""Functions and values as JSON for the settings of a run, and back if possible."""

from __future__ import annotations

import inspect
import itertools
import platform
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Set
from decimal import Decimal
from fractions import Fraction
from functools import cache, partial
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import torch

from nmlab.errors import FieldError
from nmlab.fields import Field, convert, fault_of, members_by_name
from nmlab.options import TrainerOptions, as_json, holds_stand_in
from nmlab.sources import is_plain, sources_of

PACKAGES = ("nmlab", "torch", "lightning", "neuromancer", "numpy", "ipywidgets", "anywidget", "tensorboard")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a fit uses."""
    return dict(_versions())


@cache  # of what this process imported; each look reads the metadata's file
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def users_traceback(error: BaseException) -> str:
    """Return the traceback of an error from the first line of the user's code on; only the error if there is none."""
    tools = tuple(str(Path(sys.modules[name].__file__ or "").parent) for name in _TOOLS if name in sys.modules)
    frames = traceback.extract_tb(error.__traceback__)
    while frames and (frames[0].filename.startswith(tools) or frames[0].filename == threading.__file__):
        frames.pop(0)
    head = ["Traceback (most recent call last):\n", *traceback.format_list(frames)] if frames else []
    return "".join(head + traceback.format_exception_only(error))


_TOOLS = ("nmlab", "lightning", "torch", "neuromancer")
"""Packages whose frames above the user's first frame are left out."""


def describe_function(function: Callable[..., Any]) -> dict[str, Any]:
    """Return name, module, file, line and source of a function; the source is None if it cannot be read."""
    inner = inspect.unwrap(function.func if isinstance(function, partial) else function)
    try:
        source: str | None = inspect.getsource(inner)
    except (OSError, TypeError):
        own_source = getattr(inner, "source", None)  # an object may have a text of the call that makes it
        source = own_source if isinstance(own_source, str) else None
    code = getattr(inner, "__code__", None)
    return {
        "name": getattr(inner, "__name__", type(inner).__name__),
        "module": getattr(inner, "__module__", None),
        "file": code.co_filename if code else None,
        "line": code.co_firstlineno if code else None,
        "source": source,
    }


Called = tuple[Any, Iterable[Field], Mapping[str, Any]]
"""A function, or the Problem in place of its builder, with its fields and the values of its keywords."""


def describe_sources(problem: Called, data: Called, options: TrainerOptions) -> dict[str, Any]:
    """Return what a script needs to repeat a fit, as `sources_of` does, and the settings of torch at its start.

    Parameters
    ----------
    problem : tuple
        The Problem, or its builder with fields and keywords.
    data : tuple
        The data function with fields and keywords.
    options : TrainerOptions
        Options of the fit.

    Returns
    -------
    dict
        The result of `sources_of`, and under 'torch' the lines that set torch's state.
    """
    given = {"problem": problem[0], "data_setup_function": data[0]}
    for part, (_, fields, values) in (("problem_kwargs", problem), ("data_kwargs", data)):
        defaults = {field.name: field.default for field in fields}
        # an object that is a default of the function is part of the function's source
        chosen = {name: value for name, value in values.items() if is_plain(value) or defaults.get(name) is not value}
        given |= {f"{part}.{name}": value for name, value in chosen.items()}
    given |= {f"options.{name}": getattr(options, name) for name in sorted(options.model_fields_set)}
    sources = sources_of(given)
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    state = {
        f"torch.set_default_dtype({torch.get_default_dtype()})": torch.get_default_dtype() != torch.float32,
        f'torch.set_default_device("{torch.get_default_device()}")': torch.get_default_device().type != "cpu",
        f'torch.set_float32_matmul_precision("{torch.get_float32_matmul_precision()}")': (
            torch.get_float32_matmul_precision() != "highest"
        ),
        f"torch.use_deterministic_algorithms(True{', warn_only=True' * warn_only})": (
            torch.are_deterministic_algorithms_enabled()
        ),
        "torch.backends.cudnn.benchmark = True": torch.backends.cudnn.benchmark,
        f"torch.autograd.set_detect_anomaly(True{', check_nan=False' * (not torch.is_anomaly_check_nan_enabled())})": (
            torch.is_anomaly_enabled()
        ),
    }
    for device in ("cpu", "cuda"):
        autocast = f'torch.autocast("{device}", {torch.get_autocast_dtype(device)}).__enter__()'
        state[autocast] = torch.is_autocast_enabled(device)
    return {**sources, "torch": [line for line, holds in state.items() if holds]}


def describe_values(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON: choices by label, paths as text, and other objects as their name, source or repr."""
    known = {field.name: field for field in fields}
    return {name: _described(known.get(name), value) for name, value in values.items()}


def _described(field: Field | None, value: Any) -> Any:
    if field is not None:
        for label, choice in (field.choices or {}).items():
            if choice is value or (
                type(choice) is type(value) and isinstance(value, (str, int, float)) and choice == value
            ):
                return label
        if field.kind == "path" and isinstance(value, PurePath):
            return str(value)
        if field.kind == "object" and value is not None and not fault_of(field, value):
            return describe_values(field.items, members_by_name(field, value))
        if field.kind == "numbers" and isinstance(value, Iterable):
            items = field.items if len(field.items) > 1 else itertools.repeat(field.items[0])
            values = sorted(value) if isinstance(value, Set) else value
            return [_described(item, number) for item, number in zip(items, values, strict=False)]
        if isinstance(value, Decimal | Fraction):
            return str(value)
        if isinstance(value, str) or (field.kind in ("integer", "number") and hasattr(value, "item")):
            value = str(value) if isinstance(value, str) else value.item()
    return as_json(value)


def rebuild_values(fields: Iterable[Field], stored: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the values that `describe_values` stored, and the names of those that cannot be restored."""
    known = {field.name: field for field in fields}
    values, lost = {}, []
    for name, value in stored.items():
        if holds_stand_in(value):
            lost.append(name)
            continue
        try:
            values[name] = convert(known[name], value) if name in known else value
        except FieldError:
            lost.append(name)
    return values, lost


def own_parts(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the user's hooks and metrics in the training of a run; [] if there are none."""
    user_hooks = settings.get("customs") or {}
    metrics = user_hooks.get("metrics", {}).items()
    own = [f"{split}_metric={name!r}" for split, name in metrics if not name.endswith(f"{split}_loss")]
    loop = [settings["loop"]["name"]] if settings.get("loop") else []
    return [*loop, *user_hooks.get("hooks", ()), *own]
