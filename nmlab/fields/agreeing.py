"""Whether parameters of two functions, which have the same name, can be one field for both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nmlab.fields.checking import is_default
from nmlab.fields.field import Field, expected
from nmlab.runtime.text import short_repr


def disagreement(one: Field, other: Field) -> str | None:
    """Return in what two parameters of the same name differ, in words; None if they agree.

    They agree where annotation, bounds, choices and default do; their help may differ.

    Parameters
    ----------
    one, other : Field
        The parameters.

    Examples
    --------
    >>> from nmlab.fields import Field, disagreement
    >>> disagreement(Field("nsteps", "integer", 10), Field("nsteps", "integer", 20))
    'default 10 and 20'
    """
    found = []
    if not _alike(one, other):
        texts = [expected(each) for each in (one, other)]
        found.append(" and ".join(texts) if texts[0] != texts[1] else "their annotations")
    if one.required != other.required or not (one.required or _same_default(one, other)):
        found.append(f"default {' and '.join(_default_text(each) for each in (one, other))}")
    return "; ".join(found) or None


def _alike(one: Field, other: Field) -> bool:
    plain = [replace(each, default=None, help="", rules=(), items=(), choices=None) for each in (one, other)]
    texts = [[rule.text for rule in each.rules] for each in (one, other)]
    if plain[0] != plain[1] or texts[0] != texts[1] or len(one.items) != len(other.items):
        return False
    if (one.choices or {}).keys() != (other.choices or {}).keys():
        return False
    chosen = [(each, (other.choices or {})[label]) for label, each in (one.choices or {}).items()]
    return all(map(_alike, one.items, other.items)) and all(_same(*pair) for pair in chosen)


def _same_default(one: Field, other: Field) -> bool:
    if one.default is other.default:
        return True
    typed = one.kind != "any" or type(one.default) is type(other.default)
    return typed and is_default(one, other.default)


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or (type(one) is type(other) and bool(one == other))
    except Exception:  # the comparison of a user's type may raise anything
        return False


def _default_text(field: Field) -> str:
    return "none" if field.required else short_repr(field.default)
