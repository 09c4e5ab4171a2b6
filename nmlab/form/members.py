"""A parameter of kind 'object' as one field for each member, which a form shows, and back to one value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import REQUIRED, Field, convert, items_of, members_by_name


def spread(field: Field, value: Any) -> Iterator[Field]:
    """Yield the fields that a form shows for a parameter: itself, or one for each member, called "parameter.member".

    Parameters
    ----------
    field : Field
        The parameter.
    value : Any
        Its initial value, or REQUIRED. An object that is None stays one field.
    """
    if field.kind != "object" or value is None:
        yield field
        return
    held = {} if value is REQUIRED else members_by_name(field, value)
    for item in items_of(field):
        yield from spread(_below(field, item), held.get(item.name, item.default))


def spread_values(fields: Iterable[Field], shown: Mapping[str, Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the names of the fields that a form shows; of a mapping, only the members that it has."""
    known = {field.name: field for field in fields}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in shown or name not in known or value is REQUIRED or value is None:
            found[name] = value
        else:
            members = [_below(known[name], item) for item in known[name].items]
            held = {f"{name}.{member}": it for member, it in members_by_name(known[name], value).items()}
            found |= spread_values(members, shown, held)
    return found


def gather(field: Field, values: Mapping[str, Any], given: Any) -> Any:
    """Return the value of a parameter from those that a form holds, or REQUIRED if there are none.

    Parameters
    ----------
    field : Field
        The parameter.
    values : mapping
        Values by the names of the fields that a form shows.
    given : Any
        The initial value, which is returned itself if it holds the same. A value that is not valid becomes a dict.
    """
    if field.name in values or field.kind != "object":
        return values.get(field.name, REQUIRED)
    held = {} if given is REQUIRED or given is None else members_by_name(field, given)
    found = {item.name: gather(_below(field, item), values, held.get(item.name, REQUIRED)) for item in field.items}
    members = {name: value for name, value in found.items() if value is not REQUIRED}
    if not members:
        return REQUIRED
    if held.keys() == members.keys() and all(held[name] is value for name, value in members.items()):
        return given
    try:
        return convert(field, members)
    except FieldError:
        return members


def _below(field: Field, item: Field) -> Field:
    return replace(item, name=f"{field.name}.{item.name}")
