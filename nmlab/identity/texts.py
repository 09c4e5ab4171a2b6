"""Long texts shortened without loss of identity, and the readable parts of any object."""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

_NEW = (copyreg.__newobj__, copyreg.__newobj_ex__)  # type: ignore[attr-defined]

SHORT = 100
"""Maximum length of a text that is kept whole; of a longer one, its beginning and a hash are kept."""


def shortened(text: str, most: int = SHORT) -> str:
    """Return a text on one line; one that is longer than `most` characters with a hash in place of its end."""
    line = " ".join(text.split()) if len(text) <= most else text
    if len(line) <= most and line == text:
        return line
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{' '.join(text[: most // 2].split())}… #{digest}"


def attributes_of(value: Any) -> dict[str, Any]:
    """Return an object's own attributes, also those in slots, without calling anything of its class."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            mangled = (
                f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            )
            try:
                found[name] = object.__getattribute__(value, mangled)
            except AttributeError:  # not set
                continue
    try:
        return found | dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        return found


def parts_of(value: Any) -> dict[str, Any] | str | None:
    """Return the state of a library's object by name, as it would be pickled.

    Returns
    -------
    dict, str or None
        A text if the object is known by its name. None if the state cannot be read.
    """
    kind = type(value)
    own = any(
        getattr(kind, name, None) is not getattr(object, name, None)
        for name in ("__reduce__", "__reduce_ex__", "__getstate__")
    )
    attributes = attributes_of(value)
    if attributes and not own:
        return attributes
    registered = copyreg.dispatch_table.get(kind)
    try:
        reduced = value.__reduce_ex__(4) if registered is None else registered(value)
    except Exception:  # what cannot be pickled says so by one of several errors
        return attributes or None
    if isinstance(reduced, str):
        return f"{kind.__module__}.{reduced}"
    made_by, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if (
        made_by in _NEW
        and not own
        and not attributes
        and state is None
        and len(arguments) == 1
        and kind.__basicsize__ > 16
    ):
        return None  # nothing says what is in it
    parts: dict[str, Any] = {"made by": made_by} if made_by not in _NEW else {}
    parts |= {f"part {number}": each for number, each in enumerate(arguments) if each is not kind}
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state = {**(state[0] or {}), **state[1]}
    if isinstance(state, Mapping) and all(isinstance(name, str) for name in state):
        parts |= state
    elif state is not None:
        parts["state"] = state
    if items is not None:
        parts["items"] = list(islice(items, 10_000))
    if pairs is not None:
        parts["pairs"] = dict(islice(pairs, 10_000))
    return parts
