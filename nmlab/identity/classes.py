"""Which functions and classes belong to a library, and which members of a user's class matter."""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from nmlab.identity.code import facts_of_code
from nmlab.sources.origins import MAINS, folder_of

CALLED = ("forward", "__call__")
"""Methods by which a module or an object is called."""

_NO_MEMBERS = frozenset(  # one text is easier to read than a list of many names
    "__init__ __new__ __repr__ __str__ __format__ __doc__ __module__ __qualname__ __name__ __dict__ "  # noqa: SIM905
    "__weakref__ "
    "__annotations__ __annotate__ __annotate_func__ __annotations_cache__ __slots__ __firstlineno__ "
    "__static_attributes__ __orig_bases__ __parameters__ __init_subclass__ __del__ __dir__ __sizeof__ __match_args__ "
    "__dataclass_fields__ __dataclass_params__ __abstractmethods__ _abc_impl __reduce__ __reduce_ex__ __getstate__ "
    "__setstate__ __getnewargs__ __copy__ __deepcopy__ _repr_html_ extra_repr __hash__".split()
)
"""Members whose effect is in the object's state, or that only show or copy it."""


def is_library(module: Any) -> bool:
    """Return whether a module, given by name, is installed or part of Python, and not the user's own."""
    if not isinstance(module, str) or module in MAINS:
        return False
    return _is_library(module, getattr(sys.modules.get(module), "__file__", None)) if module in sys.modules else False


@functools.lru_cache(maxsize=10_000)
def _is_library(name: str, _file: str | None) -> bool:
    module = sys.modules[name]
    return (
        isinstance(module, ModuleType) and getattr(module, "__spec__", None) is not None and folder_of(module) is None
    )


def of_library(function: FunctionType) -> bool:
    """Return whether a function's code belongs to a library, whatever a decorator says of its module."""
    name = function.__globals__.get("__name__")
    return is_library(name) and vars(sys.modules[str(name)]) is function.__globals__


def library_name(function: FunctionType) -> str:
    """Return the qualified name of a library's function, with a number where a function has several lambdas."""
    code = function.__code__
    name = f"{function.__globals__.get('__name__')}.{code.co_qualname}"
    outer, found, _ = code.co_qualname.rpartition(".<locals>.")
    if not found:
        return name
    owner: Any = function.__globals__
    for part in outer.split("."):
        owner = owner.get(part) if isinstance(owner, dict) else getattr(owner, part, None)
    owner = owner.fget if isinstance(owner, property) else owner
    enclosing = getattr(owner, "__code__", None)
    constants = enclosing.co_consts if isinstance(enclosing, CodeType) else ()
    same = [each for each in constants if isinstance(each, CodeType) and each.co_name == code.co_name]
    return f"{name} {same.index(code) + 1}" if len(same) > 1 and code in same else name


def functions_in(member: Any) -> Iterator[FunctionType]:
    """Yield the functions that a member of a class consists of."""
    parts = (
        [member.fget, member.fset]
        if isinstance(member, property)
        else [member.func]
        if isinstance(member, functools.cached_property)
        else [getattr(member, "__func__", member)]
    )
    yield from (part for part in parts if isinstance(part, FunctionType))


def is_users(kind: type) -> bool:
    """Return whether a class statement of the user's made a class."""
    return not is_library(kind.__module__) and not kind.__module__.startswith("_cython_") and kind.__flags__ & _HEAP > 0


_HEAP = 1 << 9
"""Flag of classes that are no static part of a program written in C."""


def own_bases(kind: type) -> list[type]:
    """Return a class and its base classes, those that the user defined."""
    return [each for each in kind.__mro__ if is_users(each)]


def members_that_matter(kind: type, read: Collection[str]) -> dict[str, Any]:
    """Return the members of a user's class that an object's results may depend on.

    Parameters
    ----------
    kind : type
        The class; members of its bases are not included.
    read : collection of str
        Names of all attributes that some code reads. A member that nobody reads has no effect, unless it is special, or
        overrides one of a library, which may call it.

    Returns
    -------
    dict of str to Any
        The members by name, sorted.
    """
    libraries = [each for each in kind.__mro__ if each is not object and is_library(each.__module__)]
    return {
        name: member
        for name, member in sorted(vars(kind).items())
        if name not in _NO_MEMBERS
        and (
            name in CALLED
            or (name.startswith("__") and name.endswith("__"))
            or name in read
            or any(name in vars(library) for library in libraries)
        )
    }


def states_of(kind: type, start: tuple[str, ...] = CALLED) -> frozenset[str]:
    """Return the attributes that an object sets itself when it is called, such as caches and counters.

    Parameters
    ----------
    kind : type
        The class.
    start : tuple of str, default ('forward', '__call__')
        Names of the methods that are called. What they call in turn is included, as is what torch calls itself.
    """
    key: Any = kind
    return _states_of(key, start)


@functools.lru_cache(maxsize=1000)
def _states_of(kind: Any, start: tuple[str, ...]) -> frozenset[str]:
    stored: set[str] = {
        name for name, member in _members(kind).items() if isinstance(member, functools.cached_property)
    }
    pending, seen = list(start), set()
    members = _members(kind)
    while pending:
        name = pending.pop()
        if name in seen or name not in members:
            continue
        seen.add(name)
        for function in functions_in(members[name]):
            facts = facts_of_code(function.__code__)
            stored |= facts.stored
            pending += facts.attributes
    return frozenset(stored)


def _members(kind: type) -> dict[str, Any]:
    """Return all members of a class, without those of torch's Module, which has many of its own."""
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        if each is not object and not each.__module__.startswith(("torch.nn.modules.module", "lightning", "abc")):
            found |= {name: member for name, member in vars(each).items() if name not in ("__init__", "__new__")}
    return found
