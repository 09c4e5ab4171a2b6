"""Conversion of values to what a form shows (text, a label, yes or no), and of input to values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Set
from decimal import Decimal
from fractions import Fraction
from typing import Any

from nmlab.fields import REQUIRED, Field, Kind, convert, fault_of
from nmlab.fields.field import is_bool
from nmlab.runtime.text import exact_number, short_repr

Shown = str | bool
"""What a screen receives and sends: text or the label of a choice, True or False for a checkbox."""


def face(field: Field) -> str:
    """Return the kind of input of a field: 'text', 'boolean', 'choice', or 'code' if only code can give a value."""
    return "choice" if field.kind == "boolean" and field.optional else _FACES[field.kind]


_FACES: dict[Kind, str] = {
    "integer": "text",
    "number": "text",
    "numbers": "text",
    "string": "text",
    "path": "text",
    "boolean": "boolean",
    "choice": "choice",
    "object": "code",
    "any": "code",
}


def options_of(field: Field) -> dict[str, Any]:
    """Return the options of a field, label -> value; {} if it is not a choice."""
    if face(field) != "choice":
        return {}
    labels: dict[str, Any] = {label: label for label in field.choices or {}}
    if field.kind == "boolean":
        labels = {"yes": True, "no": False}
    if field.optional and not any(choice is None for choice in (field.choices or {}).values()):
        labels = {free_label("none", labels): None} | labels
    return labels


def free_label(label: str, taken: Container[str]) -> str:
    """Return the label, with a number if it is already used."""
    numbered = (f"{label} ({count})" for count in itertools.count(2))
    return next(text for text in itertools.chain([label], numbered) if text not in taken)


def show(field: Field, value: Any) -> Shown | None:
    """Return what a form shows for a value; for REQUIRED, what it shows before anything is entered.

    None if a choice has no label for the value, as only code can make it.
    """
    return _SHOW[face(field)](field, value)


def read(field: Field, shown: Any) -> Any:
    """Return the value of a user's input, REQUIRED if it is empty; invalid input is returned as it is."""
    return _READ[face(field)](field, shown)


def _label(field: Field, value: Any) -> str | None:
    options = options_of(field)
    if value is REQUIRED:
        return next(iter(options), None)
    if not fault_of(field, value):
        value = convert(field, value)
        options |= field.choices or {}
    return next((label for label, choice in options.items() if choice is value), None)


def _ticked(field: Field, value: Any) -> bool:
    return is_bool(value) and bool(value)


def _text(field: Field, value: Any) -> str:
    return "" if value is REQUIRED or value is None else _WRITE[field.kind](value)


def _typed(field: Field, shown: Any) -> Any:
    if not isinstance(shown, str):
        return shown
    text = shown if field.kind == "string" else shown.strip()
    if not text or (text.lower() == "none" and field.optional and field.kind not in ("string", "path")):
        return None if field.optional else REQUIRED if field.required or field.kind != "string" else ""
    return _exact_or_number(field, text) if field.kind == "number" else _PARSE[field.kind](text)


_SHOW: dict[str, Callable[[Field, Any], Shown | None]] = {
    "text": _text,
    "boolean": _ticked,
    "choice": _label,
    "code": lambda field, value: "" if value is REQUIRED else short_repr(value),
}
_READ: dict[str, Callable[[Field, Any], Any]] = {
    "text": _typed,
    "boolean": lambda field, shown: shown,
    "choice": lambda field, shown: options_of(field).get(shown, shown),
    "code": lambda field, shown: REQUIRED,
}


def _numbers_text(values: Any) -> str:
    values = values.tolist() if hasattr(values, "tolist") else values
    values = sorted(values) if isinstance(values, Set) else values
    return ", ".join(map(str, values)) if isinstance(values, Iterable) and not isinstance(values, str) else str(values)


def _exact_or_number(field: Field, text: str) -> Any:
    """Return the number in a text; a field of exact numbers, such as Decimal, takes the text itself."""
    return text if field.type in (Decimal, Fraction) else _number(text)


def _number(text: str) -> Any:
    """Return the number in a text; the text itself if it is not a number."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _numbers(text: str) -> list[Any]:
    return [_number(part.strip()) for part in text.strip("()[] ").split(",") if part.strip()]


_WRITE: dict[str, Callable[[Any], str]] = {
    "integer": str,
    "number": exact_number,
    "numbers": _numbers_text,
    "string": str,
    "path": str,
}
_PARSE: dict[str, Callable[[str], Any]] = {
    "integer": _number,
    "numbers": _numbers,
    "string": str,
    "path": str,
}
