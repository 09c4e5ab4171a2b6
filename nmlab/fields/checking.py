"""Checks values against `Field`s: strict where a silent conversion would surprise, and all faults at once."""

from __future__ import annotations

import itertools
import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields.field import Field, expected, is_bool, unknown_name
from nmlab.runtime.text import short_repr


def check(
    fields: Iterable[Field],
    values: Mapping[str, Any],
    *,
    subject: str | None = None,
    extra: bool = False,
    complete: bool = True,
    elsewhere: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return values converted to the types of their fields, with defaults filled in, in the order of the fields.

    A default that its own field would reject is used as given.

    Parameters
    ----------
    fields : iterable of Field
        The fields.
    values : mapping
        Values by name.
    subject : str, optional
        First line of the error, which says whose values these are.
    extra : bool, default False
        Whether other names are accepted and passed through, as for a function with `**kwargs`.
    complete : bool, default True
        Whether to fill in defaults and require values for fields without one. False: only the given values are checked.
    elsewhere : mapping of str to str, optional
        Names that must be given in another place, and how to give them there. Used for the error message.

    Returns
    -------
    dict
        The converted values, by name.

    Raises
    ------
    FieldError
        If names are unknown, values are missing, of the wrong type or out of bounds; the error reports all faults.
    """
    known = {field.name: field for field in fields}
    checked: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, field in known.items():
        if name in values:
            try:
                checked[name] = _converted(field, values[name])
            except _Fault as fault:
                faults[name] = str(fault)
        elif complete and field.required:
            faults[name] = f"missing; give {expected(field)}"
        elif complete:
            checked[name] = field.default if fault_of(field, field.default) else _converted(field, field.default)
    others = {name: value for name, value in values.items() if name not in known}
    if not extra:
        faults |= {name: unknown_name(name, list(known), elsewhere) for name in others}
    if faults:
        raise FieldError(faults, subject)
    return checked | others


def convert(field: Field, value: Any) -> Any:
    """Return a value converted to the type of its field (2.0 to 2, a label to its choice), or raise FieldError."""
    try:
        return _converted(field, value)
    except _Fault as fault:
        raise FieldError({field.name: str(fault)}) from None


def fault_of(field: Field, value: Any) -> str | None:
    """Return what is wrong with a single value and what would be valid; None if the value is valid."""
    try:
        _converted(field, value)
    except _Fault as fault:
        return str(fault)
    return None


def is_default(field: Field, value: Any) -> bool:
    """Return whether a value equals the field's default after conversion: 2 equals 2.0, a label equals its choice."""
    if field.required:
        return False
    value, default = (v if fault_of(field, v) else _converted(field, v) for v in (value, field.default))
    return value is default or _equal(value, default)


class _Fault(Exception):  # noqa: N818 - it becomes a FieldError
    """Why one value does not fit."""


def _converted(field: Field, value: Any) -> Any:
    if value is None and field.optional:
        return None
    try:
        return _CONVERTERS[field.kind](field, value)
    except _Fault as fault:
        raise _Fault(f"{short_repr(value)} {fault}; give {expected(field)}") from None


def _to_integer(field: Field, value: Any) -> int:
    if isinstance(value, numbers.Real) and not is_bool(value) and (number := _whole(value)) is not None:
        return int(_within(field, number))
    raise _Fault("is not an integer")


def _whole(value: Any) -> int | None:
    try:
        whole = int(value)
    except (ValueError, OverflowError):  # nan and inf
        return None
    return whole if whole == value else None


def _to_number(field: Field, value: Any) -> float:
    if not isinstance(value, numbers.Real) or is_bool(value):
        raise _Fault("is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise _Fault("is too large for a floating-point number") from None
    if math.isnan(number):
        raise _Fault("is not a number")
    return _within(field, number)


def _within(field: Field, number: float) -> float:
    """Return the number if it is within the bounds of its field."""
    low, above, high, below = field.minimum, field.exclusive_minimum, field.maximum, field.exclusive_maximum
    if (low is not None and number < low) or (above is not None and number <= above):
        raise _Fault("is too small")
    if (high is not None and number > high) or (below is not None and number >= below):
        raise _Fault("is too large")
    if field.multiple_of is not None and not _is_multiple(number, field.multiple_of):
        raise _Fault("is not a multiple of the step")
    return number


def _is_multiple(number: float, step: float) -> bool:
    if isinstance(number, int) and isinstance(step, int):
        return number % step == 0
    # 0.3 counts as a multiple of 0.1: the remainder is a rounding error
    return math.isfinite(number) and abs(math.remainder(number, step)) <= 1e-12 * max(abs(number), abs(step))


def _to_boolean(field: Field, value: Any) -> bool:
    if not is_bool(value):
        raise _Fault("is neither True nor False")
    return bool(value)


def _to_string(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _Fault("is not a string")
    _check_length(field, value)
    return value


def _to_path(field: Field, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise _Fault("is not a path")
    return Path(value)


def _to_choice(field: Field, value: Any) -> Any:
    """Return the choice that a label, a value, or an Enum's value names; a label takes precedence over a value."""
    choices = field.choices or {}
    if isinstance(value, str) and not isinstance(value, Enum) and value in choices:
        return choices[value]
    for matches in (operator.is_, _equal, _is_anew, _names):
        for choice in choices.values():
            if matches(choice, value):
                return choice
    raise _Fault("is not one of the choices")


def _is_anew(choice: Any, value: Any) -> bool:
    """Return whether a value is this member of an Enum before its definition was run again."""
    if not (isinstance(choice, Enum) and isinstance(value, Enum)):
        return False
    kinds = [(type(each).__module__, type(each).__qualname__, each.name) for each in (choice, value)]
    return kinds[0] == kinds[1]


def _names(choice: Any, value: Any) -> bool:
    return isinstance(choice, Enum) and _equal(choice.value, value)


def _equal(left: Any, right: Any) -> bool:
    """Compare two values; arrays are never equal, and True is not 1."""
    try:
        equal = left == right
    except Exception:  # the comparison of a user's type may raise anything
        return False
    return is_bool(equal) and bool(equal) and is_bool(left) == is_bool(right)


def _to_numbers(field: Field, value: Any) -> Any:
    if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
        value = value.tolist()  # a numpy array
    if not isinstance(value, list | tuple | range):
        raise _Fault("is not a sequence of numbers")
    _check_length(field, value)
    places = field.items if len(field.items) > 1 else itertools.repeat(field.items[0])
    container: Any = field.container
    return container(_to_item(item, number) for item, number in zip(places, value, strict=False))


def _to_item(item: Field, number: Any) -> Any:
    try:
        return _CONVERTERS[item.kind](item, number)
    except _Fault as fault:
        raise _Fault(f"holds {short_repr(number)}, which {fault}") from None


def _check_length(field: Field, value: Sequence[Any]) -> None:
    if field.min_items is not None and len(value) < field.min_items:
        raise _Fault("is too short")
    if field.max_items is not None and len(value) > field.max_items:
        raise _Fault("is too long")


_CONVERTERS: dict[str, Callable[[Field, Any], Any]] = {
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "string": _to_string,
    "choice": _to_choice,
    "path": _to_path,
    "numbers": _to_numbers,
    "any": lambda field, value: value,
}
