"""What a data function or builder is, and the functions that this process has seen, by what they are."""

from __future__ import annotations

import importlib
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nmlab.identity.differences import Identity, differences, not_told
from nmlab.identity.problem import ProblemReader

Function = Callable[..., Any]

SMALL = 1_000_000
"""Maximum size in bytes of the tensors and arrays of a function that is kept alive."""

CHANGED = "changed while the data were made"
"""Reason why something is not compared: the function changes it itself."""


def identity_of_function(function: Function, subject: str = "data function") -> Identity:
    """Return what determines the results of a data function or builder, apart from its arguments.

    That is its code, the values that it closes over, bound arguments, the object that it is a method of, and the
    globals that it reads, in turn. Its own defaults are not included, as each run records all keywords. Its name, names
    of local variables and of parameters, comments, docstrings and annotations have no effect. Names of variables that
    nested functions share, of parameters with a default in functions that it calls, and annotations of functions that
    it defines within, do. A library's functions and classes are known by name, whatever their version.

    Parameters
    ----------
    function : callable
        The function.
    subject : str, default 'data function'
        What it is called in differences.

    Returns
    -------
    Identity
        Facts with readable paths; what could not be read is under `not_compared`.
    """
    reader = ProblemReader()
    reader.signature_of(subject, function)
    return reader.identity()


def identity_of_values(values: Mapping[str, Any], kind: str = "keyword") -> Identity:
    """Return what the values of keywords are, those that are more than plain numbers and texts."""
    reader = ProblemReader()
    for name, value in sorted(values.items()):
        if type(value) not in (type(None), bool, int, float, str):
            reader.read(f"{kind} {name}", value)
    return reader.identity()


def held(function: Function) -> Callable[[], Function | None]:
    """Return what gives back a function as long as it lives elsewhere; a bound method as long as its object does."""
    try:
        return weakref.WeakMethod(function) if isinstance(function, types.MethodType) else weakref.ref(function)
    except TypeError:  # an object without weak references
        return lambda: function


def is_same(one: Function, other: Function) -> bool:
    """Return whether two are one object, or one method of one object; an object's own `==` may mean anything."""
    return one is other or (isinstance(one, types.MethodType) and isinstance(other, types.MethodType) and one == other)


class KnownFunctions:
    """The data functions that Labs and fits of this process have had, newest last.

    They are held weakly. Of the newest few, those on which no large data hang live on, so that a function that was made
    within a call, as in `lab.swap(for_plant(2.0))`, is still there when its run is to be repeated.
    """

    def __init__(self, kept: int = 32) -> None:
        self._known: list[tuple[Callable[[], Function | None], Mapping[str, Any] | None]] = []
        self._kept: deque[Function] = deque(maxlen=kept)

    def remember(self, function: Function, choices: Mapping[str, Any] | None = None) -> None:
        """Remember a function, with the values that its keywords take by name."""
        self._known = [
            (one, given) for one, given in self._known if (known := one()) is not None and not is_same(known, function)
        ]
        self._known.append((held(function), choices))
        if not any(is_same(kept, function) for kept in self._kept) and _is_small(function):
            self._kept.append(function)

    def forget(self) -> None:
        """Forget all functions."""
        self._known.clear()
        self._kept.clear()

    def __iter__(self) -> Iterator[tuple[Function, Mapping[str, Any] | None]]:
        for one, choices in reversed(self._known):
            if (function := one()) is not None:
                yield function, choices

    def find(
        self, identity: Identity, place: Mapping[str, Any] | None = None
    ) -> tuple[Function, Mapping[str, Any] | None] | None:
        """Return the function that has an identity now, with its choices; None if there is none.

        Parameters
        ----------
        identity : Identity
            What the function is.
        place : mapping, optional
            Its 'module' and 'name', by which it may be found although nobody has used it in this process.
        """
        for function, choices in (*self, *((found, None) for found in _at(place or {}))):
            if same_function(identity, function):
                return function, choices
        return None


known_functions = KnownFunctions()
"""Those of this process."""


def same_function(identity: Identity, function: Function) -> bool:
    """Return whether a function is, for all that can be told, what an identity says."""
    now = identity_of_function(function)
    return not differences(identity, now) and not unreadable(identity, now)


def unreadable(recorded: Identity, now: Identity) -> dict[str, str]:
    """Return what cannot be told between a function as it was and is, apart from what it changes itself."""
    return {path: reason for path, reason in not_told(recorded, now).items() if reason != CHANGED}


def _is_small(function: Function) -> bool:
    """Return whether no tensors or arrays of any size hang on a function, so that it may be kept."""
    reader = ProblemReader()
    reader.signature_of("function", function)
    return not reader.identity().not_compared and reader.size <= SMALL


def _at(place: Mapping[str, Any]) -> Iterator[Function]:
    """Yield the function that a module has under a name, importing the module if need be."""
    module, name = place.get("module"), place.get("name")
    if not isinstance(module, str) or not isinstance(name, str):
        return
    try:
        found = vars(importlib.import_module(module)).get(name)
    except Exception:  # a module of another time or place
        return
    if callable(found):
        yield found
