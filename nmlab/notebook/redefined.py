"""What was defined anew since a Lab took it: a cell that was run again, a module that was loaded again."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from nmlab.fields import fields_of
from nmlab.identity.differences import differ
from nmlab.identity.functions import identity_of_function, identity_of_values


@dataclass(frozen=True)
class Redefined:
    """A definition that is not the one any more that a Lab holds."""

    name: str
    """How it is written now, such as 'rings' or 'plants.rings'."""
    now: Any
    """The new definition."""
    is_itself: bool
    """Whether what the Lab holds is the definition itself, so that the new one can take its place."""


def redefined(held: Callable[..., Any]) -> Redefined | None:
    """Return the definition by which a function, or the class of an object or method, was replaced by a different one.

    Parameters
    ----------
    held : callable
        A function, method, partial or callable object.

    Returns
    -------
    Redefined or None
        None where its name stands for it, for one that is the same, or for nothing of the kind.
    """
    function: Any = held
    while isinstance(function, functools.partial):
        function = function.func
    is_itself = isinstance(held, FunctionType) or inspect.isclass(held)
    if inspect.ismethod(function):
        owner = function.__self__
        function = owner if inspect.isclass(owner) else type(owner)
    elif not isinstance(function, FunctionType) and not inspect.isclass(function):
        function = type(function)
    now = _now(inspect.unwrap(function))
    if now is None or now is function or _same(inspect.unwrap(function), now):
        return None
    module = function.__module__
    name = function.__qualname__ if module == "__main__" else f"{module}.{function.__qualname__}"
    return Redefined(name, now, is_itself)


def _now(definition: Any) -> Any:
    """Return what stands now where a function or class was defined; None where it cannot be told."""
    name = definition.__qualname__
    if "<" in name:  # defined within a function, or a lambda
        return None
    functions = vars(definition).values() if inspect.isclass(definition) else [definition]
    found_in = [each.__globals__ for each in functions if isinstance(each, FunctionType)]
    names: Mapping[str, Any] = next(iter(found_in), getattr(sys.modules.get(definition.__module__), "__dict__", {}))
    first, *others = name.split(".")
    found = names.get(first)
    for other in others:
        found = inspect.getattr_static(found, other, None)
    found = getattr(found, "__func__", found)
    found = inspect.unwrap(found) if callable(found) else None
    return found if type(found) is type(definition) and found.__module__ == definition.__module__ else None


def _same(old: Any, new: Any) -> bool:
    """Return whether a cell was run again unchanged."""
    if old is new:
        return True
    if inspect.isclass(old):
        one, other = (
            {name: each for name, each in vars(kind).items() if name not in _OF_CLASSES} for kind in (old, new)
        )
        return one.keys() == other.keys() and all(_same_member(one[name], other[name]) for name in one)
    try:
        alike = fields_of(old) == fields_of(new)
    except Exception:  # a default whose == is not a bool, or a signature that cannot be read
        return False
    return alike and not differ(identity_of_function(old), identity_of_function(new))


_OF_CLASSES = {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__"}
_OF_CLASSES |= {"__static_attributes__"}


def _same_member(old: Any, new: Any) -> bool:
    old, new = (getattr(each, "__func__", each) for each in (old, new))
    if isinstance(old, FunctionType) and isinstance(new, FunctionType):
        return _same(old, new)
    if type(old) in (type(None), bool, int, float, str):
        return type(old) is type(new) and bool(old == new)
    return not differ(identity_of_values({"member": old}), identity_of_values({"member": new}))
