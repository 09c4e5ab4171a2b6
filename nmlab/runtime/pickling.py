"""Values as bytes for another process with the same packages, also functions and classes that no module has."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import types
from typing import Any

import cloudpickle

from nmlab.errors import RunError

_OF_FUNCTIONS = ("__defaults__", "__kwdefaults__", "__annotations__", "__qualname__", "__doc__", "__dict__")
"""What a function has beside its code, its module's globals and its closure."""


def dumps(value: Any) -> bytes:
    """Return a value as bytes, for `pickle.loads` in another process with the same packages."""
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's, but a function made within one of a module has the module's own globals there too, not copies."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object is made anew, as `pickle.Pickler.reducer_override` does."""
        made = super().reducer_override(obj)
        if made is NotImplemented or not isinstance(obj, types.FunctionType) or not _of_a_module(obj):
            return made
        cells = [_content(cell) for cell in obj.__closure__ or ()]
        others = {name: getattr(obj, name) for name in _OF_FUNCTIONS}
        return _make_function, (obj.__module__, obj.__code__, len(cells)), (cells, others), None, None, _complete


def _of_a_module(function: types.FunctionType) -> bool:
    module = sys.modules.get(str(function.__module__))
    in_file = module is not None and getattr(module, "__spec__", None) is not None and module.__name__ != "__main__"
    return in_file and vars(module) is function.__globals__


def _content(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # it holds nothing yet
        return []


def _make_function(module: str, code: types.CodeType, cells: int) -> types.FunctionType:
    empty = tuple(types.CellType() for _ in range(cells))
    return types.FunctionType(code, vars(importlib.import_module(module)), closure=empty)


def _complete(function: types.FunctionType, state: tuple[list[list[Any]], dict[str, Any]]) -> None:
    contents, others = state
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        if content:
            cell.cell_contents = content[0]
    function.__dict__.update(others.pop("__dict__"))
    for name, value in others.items():
        setattr(function, name, value)


def portable(error: BaseException) -> BaseException:
    """Return an error as it can be sent to another process: itself, or a `RunError` that says what it said."""
    try:
        pickle.loads(dumps(error))
    except Exception:
        told = RunError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            told.add_note(note)
        return told
    return error
