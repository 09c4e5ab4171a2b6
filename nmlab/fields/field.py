"""What values one parameter accepts, with JSON Schema's names; independent of any user interface."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

Kind = Literal["integer", "number", "boolean", "string", "choice", "path", "numbers", "object", "any"]


class _Required(Enum):
    """An Enum, because its only member stays the same object when copied or pickled."""

    REQUIRED = "REQUIRED"

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required.REQUIRED
"""Marks a field without a default."""


@dataclass(frozen=True)
class Rule:
    """A condition that a value must meet beside those that a Field has words for.

    Parameters
    ----------
    text : str
        What it demands, to be read after a noun: "that matches '^a'".
    test : callable
        Returns whether a value meets it; a ValueError says what is wrong.
    """

    text: str
    test: Callable[[Any], bool]


@dataclass(frozen=True)
class Field:
    """What values one parameter accepts.

    Parameters
    ----------
    name : str
        The parameter's name.
    kind : {'integer', 'number', 'boolean', 'string', 'choice', 'path', 'numbers', 'object', 'any'}
        Kind of value; an 'object' is made from named members, and 'any' is checked by its rules only.
    default : Any, default REQUIRED
        Value that is used if none is given; REQUIRED if one must be given.
    optional : bool, default False
        Whether None is accepted as well.
    choices : mapping of str to Any, optional
        Label -> value, for kind 'choice'.
    minimum : float, optional
        Lowest value of an integer or a number, itself included.
    exclusive_minimum : float, optional
        Lower bound of an integer or a number, itself excluded.
    maximum : float, optional
        Highest value of an integer or a number, itself included.
    exclusive_maximum : float, optional
        Upper bound of an integer or a number, itself excluded.
    multiple_of : float, optional
        Step of which an integer or a number must be a multiple.
    min_items : int, optional
        Minimum length of numbers or of a string.
    max_items : int, optional
        Maximum length of numbers or of a string.
    container : type, optional
        tuple, list, set, frozenset or deque, for kind 'numbers'.
    items : tuple of Field, default ()
        For kind 'numbers': one field for each position, or a single one that applies to all. For kind 'object': its
        members.
    type : type, optional
        Type that values get instead of the kind's own, such as numpy.float32; the class for kind 'object'.
    rules : tuple of Rule, default ()
        Further conditions.
    help : str, default ''
        Description of the parameter, from its docstring.
    unit : str, default ''
        Unit of the value, such as 's'.

    Examples
    --------
    >>> import nmlab
    >>> field = nmlab.Field("nsim", "integer", default=100, minimum=1)
    >>> field.required
    False
    >>> nmlab.Field("nsim", "integer").required
    True
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
    type: type | None = None
    rules: tuple[Rule, ...] = ()
    help: str = ""
    unit: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED

    @property
    def item_kind(self) -> Kind:
        """Kind of the items of kind 'numbers': 'integer' if all of them are, otherwise 'number'."""
        return "integer" if all(item.kind == "integer" for item in self.items) else "number"


def expected(field: Field) -> str:
    """Return a text for what a field accepts, such as 'an integer >= 1' or 'a tuple of 2 numbers, or None'."""
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
    elif field.kind == "object" and field.type is not None:
        text = f"{field.type.__name__}, or a dict with {', '.join(item.name for item in field.items)}"
    else:
        text = _NOUNS[field.kind] + _bounds_text(field)
    conditions = " and ".join(rule.text for rule in field.rules)
    text = f"{text} {conditions}" if conditions else text
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
    """Return a message about an unknown name, with the name that may be meant and all known names.

    Parameters
    ----------
    name : str
        The unknown name.
    known : sequence of str
        All known names.
    elsewhere : mapping of str to str, optional
        Names that must be given in another place, and how to give them there.

    Returns
    -------
    str
        The message.
    """
    others = elsewhere or {}
    question = did_you_mean(name, [*known, *others])
    remedy = next((how for other, how in others.items() if other not in known and repr(other) in question), "")
    hint = (
        f"{question} {f'{remedy}. ' if remedy else ''}Known {'here ' if remedy else ''}are" if question else "known are"
    )
    return f"unknown name; {hint}: {', '.join(known) or 'none'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that suggests the closest known name; '' if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def is_bool(value: Any) -> bool:
    """Return whether a value is Python's or numpy's True or False."""
    kind = type(value)
    return kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"))
