"""Functions and values as JSON, for a run's settings, and back where that is possible."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import Field, convert
from nmlab.options import as_json, holds_stand_in

PACKAGES = ("nmlab", "torch", "lightning", "neuromancer", "numpy", "ipywidgets", "tensorboard")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a fit stands on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_function(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's name, place and source; the source is None where there is none to read."""
    inner = inspect.unwrap(getattr(function, "func", function))
    try:
        source: str | None = inspect.getsource(inner)
    except (OSError, TypeError):
        source = None
    code = getattr(inner, "__code__", None)
    return {
        "name": getattr(inner, "__name__", type(inner).__name__),
        "module": getattr(inner, "__module__", None),
        "file": code.co_filename if code else None,
        "line": code.co_firstlineno if code else None,
        "source": source,
    }


def describe_values(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as JSON: choices and enums by name, paths as text, what is not JSON as its source or repr."""
    known = {field.name: field for field in fields}
    return {name: _described(known.get(name), value) for name, value in values.items()}


def _described(field: Field | None, value: Any) -> Any:
    if field is not None and field.choices is not None:
        for label, choice in field.choices.items():
            if choice is value or (
                type(choice) is type(value) and isinstance(value, (str, int, float)) and choice == value
            ):
                return label
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, Path) else as_json(value)


def rebuild_values(fields: Iterable[Field], stored: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what `describe_values` stored as values again, and the names of those that cannot be rebuilt."""
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
