"""A value as a form shows it (text, a label, yes or no), and what a user entered as a value again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable
from typing import Any

from nmlab.fields import REQUIRED, Field, Kind, convert, fault_of
from nmlab.fields.field import is_bool
from nmlab.runtime.text import exact_number, short_repr

Shown = str | bool
"""What a screen gets and gives: text or a choice's label, True or False for a box to tick."""


def face(field: Field) -> str:
    """Return what a field is on screen: 'text', 'boolean', 'choice', or 'code' for what only code can give."""
    return "choice" if field.kind == "boolean" and field.optional else _FACES[field.kind]


_FACES: dict[Kind, str] = {
    "integer": "text",
    "number": "text",
    "numbers": "text",
    "string": "text",
    "path": "text",
    "boolean": "boolean",
    "choice": "choice",
    "any": "code",
}


def options_of(field: Field) -> dict[str, Any]:
    """Return what a field lets a user choose from, label -> value; {} where there is no such list."""
    if face(field) != "choice":
        return {}
    labels: dict[str, Any] = {label: label for label in field.choices or {}}
    if field.kind == "boolean":
        labels = {"yes": True, "no": False}
    if field.optional and not any(choice is None for choice in (field.choices or {}).values()):
        labels = {free_label("none", labels): None} | labels
    return labels


def free_label(label: str, taken: Container[str]) -> str:
    """Return the label, or with a number where it is taken."""
    numbered = (f"{label} ({count})" for count in itertools.count(2))
    return next(text for text in itertools.chain([label], numbered) if text not in taken)


def show(field: Field, value: Any) -> Shown | None:
    """Return a value as it is shown; REQUIRED as what stands there before anything is entered.

    None where only code can make the value: a field to choose from has no label for it.
    """
    return _SHOW[face(field)](field, value)


def read(field: Field, shown: Any) -> Any:
    """Return what a user entered as a value, REQUIRED for nothing; what does not fit stays, for the check to refuse."""
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
    return _PARSE[field.kind](text)


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
    return ", ".join(map(str, values)) if isinstance(values, Iterable) and not isinstance(values, str) else str(values)


def _number(text: str) -> Any:
    """The number that a text spells; the text where it spells none."""
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
    "number": _number,
    "numbers": _numbers,
    "string": str,
    "path": str,
}
