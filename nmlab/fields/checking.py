"""Checks values against `Field`s: strict where a silent conversion would surprise, and all faults at once."""

from __future__ import annotations

import itertools
import math
import numbers
import operator
import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
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
                faults |= fault.members(name) or {name: str(fault)}
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
        raise FieldError(fault.members(field.name) or {field.name: str(fault)}) from None


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
    if field.kind == "object" and value is not default and None not in (value, default):
        pairs = zip(*(members_by_name(field, v).values() for v in (value, default)), strict=False)
        return type(value) is type(default) and all(left is right or _equal(left, right) for left, right in pairs)
    return value is default or _equal(value, default)


def members_by_name(field: Field, value: Any) -> dict[str, Any]:
    """Return the members of a value of kind 'object' by name; those of a mapping, or attributes."""
    if isinstance(value, Mapping):
        return dict(value)
    return {item.name: getattr(value, item.name) for item in field.items if hasattr(value, item.name)}


class _Fault(Exception):  # noqa: N818 - it becomes a FieldError
    """Why one value does not fit; for a value of kind 'object' the faults of its members."""

    def __init__(self, what: str | Mapping[str, str]) -> None:
        self._members = {} if isinstance(what, str) else dict(what)
        super().__init__(what if isinstance(what, str) else "; ".join(f"{k}: {fault}" for k, fault in what.items()))

    def members(self, name: str) -> dict[str, str]:
        """Return the faults of members by their names below this one; {} if the value itself does not fit."""
        return {f"{name}.{member}": fault for member, fault in self._members.items()}


def _converted(field: Field, value: Any) -> Any:
    if value is None and field.optional:
        return None
    try:
        return _by_rules(field, _CONVERTERS[field.kind](field, value))
    except _Fault as fault:
        if fault.members(""):
            raise
        raise _Fault(f"{short_repr(value)} {fault}; give {expected(field)}") from None


def _by_rules(field: Field, value: Any) -> Any:
    """Return the value if it meets the rules of its field."""
    for rule in field.rules:
        try:
            met = rule.test(value)
        except Exception as error:  # a user's predicate may raise anything
            raise _Fault(f"is not accepted ({type(error).__name__}: {error})") from None
        if not met:
            raise _Fault(f"is not one {rule.text}")
    return value


def _to_integer(field: Field, value: Any) -> Any:
    if isinstance(value, numbers.Real) and not is_bool(value) and (number := _whole(value)) is not None:
        if isinstance(value, float) and abs(number) > _EXACT:
            raise _Fault("is too large for an exact integer")
        return _of_type(field, _within(field, number))
    raise _Fault(f"is not an integer{_with_point(value)}")


_EXACT = 2**53
"""The largest integer up to which a float stands for one alone."""


def _with_point(value: Any) -> str:
    """Return a hint for a text such as '0,5', else ''."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", value.strip()):
        return f" (with a decimal point: {value.strip().replace(',', '.')})"
    return ""


def _whole(value: Any) -> int | None:
    try:
        whole = int(value)
    except (ValueError, OverflowError):  # nan and inf
        return None
    return whole if whole == value else None


def _to_number(field: Field, value: Any) -> Any:
    exact = field.type if field.type in (Decimal, Fraction) else None
    try:
        if exact is not None and isinstance(value, str | float):  # a record and a form hold text; 0.1 means 1/10
            value = exact(str(value))
        if not isinstance(value, numbers.Real | Decimal) or is_bool(value):
            raise _Fault(f"is not a number{_with_point(value)}")
        number = float(value)
    except OverflowError:
        raise _Fault("is too large for a floating-point number") from None
    except (ValueError, ArithmeticError):
        raise _Fault(f"is not a number{_with_point(value)}") from None
    if math.isnan(number):
        raise _Fault("is not a number")
    _within(field, number)
    return number if field.type is None else _of_type(field, value)


def _of_type(field: Field, value: Any) -> Any:
    """Return the value as the type that the field's annotation names, such as numpy.float32."""
    if field.type is None or type(value) is field.type:
        return value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy's older versions only warn of a number that is too large
            return field.type(value)
    except Exception as error:  # the constructor of a user's type may raise anything
        raise _Fault(f"is no {field.type.__name__} ({error})") from None


def _within(field: Field, number: Any) -> Any:
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
    text: str = _of_type(field, value)
    return text


def _to_path(field: Field, value: Any) -> PurePath:
    if not isinstance(value, str | os.PathLike):
        raise _Fault("is not a path")
    path: PurePath = Path(value) if field.type is None else _of_type(field, value)
    return path


def _to_object(field: Field, value: Any) -> Any:
    """Return an instance of the field's class; a mapping's missing members are those of the default, or its own."""
    kind: Any = field.type
    typed_dict = issubclass(kind, dict)
    whole = isinstance(value, Mapping if typed_dict else kind)
    if not whole and not isinstance(value, Mapping):
        raise _Fault(f"is no {kind.__name__}")
    given = members_by_name(field, value)
    try:
        members = check(items_of(field), given)
    except FieldError as error:
        raise _Fault(error.faults) from None
    if whole and (not typed_dict or members == given):
        return value
    try:
        return kind(**members)
    except Exception as error:  # the class may check its arguments too
        raise _Fault(f"does not make a valid {kind.__name__} ({type(error).__name__}: {error})") from None


def items_of(field: Field) -> tuple[Field, ...]:
    """Return the members of a field of kind 'object'; what its default holds is their default."""
    held = {} if field.required or field.default is None else members_by_name(field, field.default)
    return tuple(replace(item, default=held.get(item.name, item.default)) for item in field.items)


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
    container: Any = field.container
    unordered = issubclass(container, Set) and isinstance(value, Set)
    if not isinstance(value, list | tuple | range | deque) and not unordered:
        raise _Fault("is not a sequence of numbers")
    _check_length(field, value)
    places = field.items if len(field.items) > 1 else itertools.repeat(field.items[0])
    return container(_to_item(item, number) for item, number in zip(places, value, strict=False))


def _to_item(item: Field, number: Any) -> Any:
    try:
        return _by_rules(item, _CONVERTERS[item.kind](item, number))
    except _Fault as fault:
        raise _Fault(f"holds {short_repr(number)}, which {fault}") from None


def _check_length(field: Field, value: Collection[Any]) -> None:
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
    "object": _to_object,
    "any": lambda field, value: value,
}
