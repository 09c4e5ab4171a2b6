"""What `Annotated` says of values beside their type: bounds, lengths, units, and rules that are tested."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Annotated, Any

import annotated_types
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from nmlab.fields.field import Rule
from nmlab.runtime.text import short_repr

_BOUNDS = {
    annotated_types.Ge: ("minimum", "ge", ">="),
    annotated_types.Gt: ("exclusive_minimum", "gt", ">"),
    annotated_types.Le: ("maximum", "le", "<="),
    annotated_types.Lt: ("exclusive_maximum", "lt", "<"),
    annotated_types.MultipleOf: ("multiple_of", "multiple_of", "a multiple of"),
}
_LENGTHS = {
    annotated_types.MinLen: ("min_items", "min_length", "at least"),
    annotated_types.MaxLen: ("max_items", "max_length", "at most"),
}
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    ">=": lambda value, bound: value >= bound,
    ">": lambda value, bound: value > bound,
    "<=": lambda value, bound: value <= bound,
    "<": lambda value, bound: value < bound,
    "a multiple of": lambda value, bound: value % bound == 0,
    "at least": lambda value, length: len(value) >= length,
    "at most": lambda value, length: len(value) <= length,
}


def with_metadata(keywords: dict[str, Any], metadata: Iterable[Any], annotation: Any) -> dict[str, Any]:
    """Add the metadata in Annotated to the keywords; bounds on a container of numbers apply to each item."""
    for note in metadata:
        if isinstance(note, FieldInfo):
            keywords = with_metadata(keywords, note.metadata, annotation)
            keywords |= {"help": note.description} if note.description else {}
        elif isinstance(note, annotated_types.GroupedMetadata):  # Interval, Len, StringConstraints
            keywords = with_metadata(keywords, note, annotation)
        elif isinstance(note, annotated_types.Unit):
            keywords = keywords | {"unit": note.unit}
        elif type(note) in _BOUNDS and keywords["kind"] in ("integer", "number", "numbers"):
            word, attribute, _ = _BOUNDS[type(note)]
            bound = {word: getattr(note, attribute)}
            items = keywords.get("items")
            keywords = keywords | ({"items": tuple(replace(item, **bound) for item in items)} if items else bound)
        elif type(note) in _LENGTHS and keywords["kind"] in ("numbers", "string"):
            word, attribute, _ = _LENGTHS[type(note)]
            keywords = keywords | {word: getattr(note, attribute)}
        elif rule := _rule(note, annotation):
            keywords = keywords | {"rules": (*keywords.get("rules", ()), rule)}
    return keywords


def _rule(note: Any, annotation: Any) -> Rule | None:
    """Return what a note in Annotated demands, if no other part of a Field says it; None if it demands nothing."""
    if type(note) in _BOUNDS | _LENGTHS:
        _, attribute, sign = (_BOUNDS | _LENGTHS)[type(note)]
        bound, compare = getattr(note, attribute), _COMPARED[sign]
        text = f"of {sign} {bound} items" if type(note) in _LENGTHS else f"{sign} {short_repr(bound)}"
        return Rule(text, lambda value: _all(compare(value, bound)))
    if isinstance(note, annotated_types.Predicate):
        return Rule(f"for which {_called(note.func)} is true", lambda value: _all(note.func(value)))
    if isinstance(note, annotated_types.Not):
        return Rule(f"for which {_called(note.func)} is false", lambda value: not _all(note.func(value)))
    if (pattern := getattr(note, "pattern", None)) is not None:
        found = re.compile(pattern)
        return Rule(f"that matches {found.pattern!r}", lambda value: found.search(value) is not None)
    if getattr(note, "allow_inf_nan", None) is False:
        return Rule("that is finite", math.isfinite)
    return _validator(note, annotation) if type(note).__module__.partition(".")[0] == "pydantic" else None


def _validator(note: Any, annotation: Any) -> Rule | None:
    """Return a rule for another of pydantic's notes; what a validator would change of the value is left as it is."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[annotation, note])
    except Exception:  # it is for a model, or for another type
        return None

    def test(value: Any) -> bool:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"]) from None
        return True

    function = getattr(note, "func", None)
    return Rule(f"that pydantic's {_called(function) if function else note!r} accepts", test)


def _all(answer: Any) -> bool:
    """Return whether a comparison holds, for each element of an array."""
    every = getattr(answer, "all", None)
    return bool(every() if every is not None else answer)


def _called(function: Callable[..., Any]) -> str:
    """Return a function's name, with that of its module if it has a short one; a lambda's text."""
    name = getattr(function, "__qualname__", None) or repr(function)
    if not name.endswith("<lambda>"):
        module = getattr(function, "__module__", None)
        return f"{module}.{name}" if module in ("math", "operator") else name.rpartition("<locals>.")[2]
    try:
        text = " ".join(inspect.getsource(function).split())
    except (OSError, TypeError):
        return "a lambda"
    text, depth = text[text.find("lambda") :], 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0 or (character == "," and depth == 0 and ":" in text[:place]):
            return text[:place]
    return text
