"""What one parameter takes, in JSON Schema's words; it knows no screen, so that every face can share it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

Kind = Literal["integer", "number", "boolean", "string", "choice", "path", "numbers", "any"]


class _Required(Enum):
    """An Enum, because its one member stays itself when copied or pickled."""

    REQUIRED = "REQUIRED"

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required.REQUIRED
"""The default of a field that has none."""


@dataclass(frozen=True)
class Field:
    """What one parameter takes.

    Parameters
    ----------
    name : the parameter's name
    kind : what the value is; 'any' is passed through unchecked
    default : value taken where none is given; REQUIRED where there is none
    optional : whether None is accepted as well
    choices : label -> value, for kind 'choice'
    minimum, exclusive_minimum, maximum, exclusive_maximum, multiple_of : bounds of an integer or a number
    min_items, max_items : bounds on the length of numbers, or of a string
    container : tuple or list, for kind 'numbers'
    items : for kind 'numbers', one Field for each place, or a single one that holds for all places
    help : what the docstring says of the parameter
    unit : the value's unit, such as 's'
    """

    name: str
    kind: Kind
    default: Any = REQUIRED
    optional: bool = False
    choices: Mapping[str, Any] | None = None
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None
    multiple_of: float | None = None
    min_items: int | None = None
    max_items: int | None = None
    container: type | None = None
    items: tuple[Field, ...] = ()
    help: str = ""
    unit: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED

    @property
    def item_kind(self) -> Kind:
        """What all items of kind 'numbers' are: 'integer' or 'number'."""
        return "integer" if all(item.kind == "integer" for item in self.items) else "number"


def expected(field: Field) -> str:
    """Say what a field takes, such as 'an integer >= 1' or 'a tuple of 2 numbers, or None'."""
    if field.kind == "choice":
        labels = [repr(label) for label in field.choices or {}]
        text = labels[0] if len(labels) == 1 else f"one of {', '.join(labels)}"
    elif field.kind == "numbers":
        plain = "integers" if field.item_kind == "integer" else "numbers"
        limits = {_bounds_text(item) for item in field.items}
        each = f", each {limits.pop().lstrip(', ')}" if len(limits) == 1 and limits != {""} else ""
        container = field.container.__name__ if field.container else "list"
        text = f"a {container} of {_length_text(field)}{plain}{each}"
    elif field.kind == "string":
        length = _length_text(field)
        text = f"a string of {length}characters" if length else "a string"
    else:
        text = _NOUNS[field.kind] + _bounds_text(field)
    unit = f" (in {field.unit})" if field.unit else ""
    return f"{text}{unit}{', or None' if field.optional else ''}"


_NOUNS: dict[str, str] = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "True or False",
    "path": "a path: a string or a pathlib.Path",
    "any": "a value",
}


def _bounds_text(field: Field) -> str:
    bounds = {
        ">=": field.minimum,
        ">": field.exclusive_minimum,
        "<=": field.maximum,
        "<": field.exclusive_maximum,
    }
    text = " and ".join(f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None)
    step = "" if field.multiple_of is None else f", a multiple of {field.multiple_of}"
    return f" {text}{step}" if text else step


def _length_text(field: Field) -> str:
    least, most = field.min_items, field.max_items
    if least is not None and most is not None:
        return f"{least} " if least == most else f"{least} to {most} "
    if least is not None:
        return f"at least {least} "
    return "" if most is None else f"at most {most} "


def unknown_name(name: str, known: Sequence[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """Say that a name is unknown, which one may be meant, and which there are.

    Parameters: `elsewhere`, names that are given in another place, and how.
    """
    others = elsewhere or {}
    meant = did_you_mean(name, [*known, *others])
    near = next((how for other, how in others.items() if other not in known and repr(other) in meant), "")
    hint = f"{meant} {f'{near}. ' if near else ''}Known {'here ' if near else ''}are" if meant else "known are"
    return f"unknown name; {hint}: {', '.join(known) or 'none'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of the known names is meant; '' where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def is_bool(value: Any) -> bool:
    """Tell whether a value is Python's or numpy's True or False."""
    kind = type(value)
    return kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"))
