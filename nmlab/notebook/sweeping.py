"""Keywords of `lab.sweep`: which values are fixed, and which are to be tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import Field, fault_of
from nmlab.notebook.session import Session
from nmlab.options import TrainerOptions
from nmlab.sweeps import Distribution, choice

_PARTS = ("data_kwargs", "problem_kwargs", "options")


def fixed_and_tried(session: Session, kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Distribution]]:
    """Return the keywords that hold one value, and what is to be tried of the others.

    A list is what is to be tried, unless its parameter takes lists and this one. Within a dict, members are looked at
    one by one.

    Parameters
    ----------
    session : Session
        Whose forms know the parameters.
    kwargs : Mapping[str, Any]
        The keywords of the call.

    Returns
    -------
    fixed : dict[str, Any]
        As for `lab.fit`.
    tried : dict[str, Distribution]
        By the names that a sweep has for its parameters, such as "lr", "data_kwargs.lr" or "weights.x_max".

    Raises
    ------
    FieldError
        Where a list may be one value or several, nothing is to be tried, or a parameter is locked; with all faults.
    """
    session.read_signature()
    fixed: dict[str, Any] = {}
    tried: dict[str, Distribution] = {}
    faults: dict[str, str] = {}
    for name, value in kwargs.items():
        inner = isinstance(value, Mapping) and name in _PARTS
        pairs = [(f"{name}.{key}", each) for key, each in value.items()] if inner else [(name, value)]
        kept: dict[str, Any] = {}
        for path, each in pairs:
            rest, found, doubted = _split(path, each, _fields_of(session, path, name if inner else None))
            tried |= found
            faults |= doubted
            if rest is not _NOTHING:
                kept[path.removeprefix(f"{name}.") if inner else path] = rest
        if inner and name == "options":
            fixed |= {} if not kept else {"options": session.trainer_options.replace(**kept)}
        elif inner:
            fixed[name] = kept
        else:
            fixed |= kept
    for path in tried:
        head = path.removeprefix(f"{path.partition('.')[0]}.") if path.partition(".")[0] in _PARTS else path
        if (head := head.partition(".")[0]) in (lock := session.locked([head])):
            faults[path] = f"it cannot be swept: locked by this Lab at {lock[head]!r}"
    if not tried and not faults:
        faults["parameters"] = "nothing is to be tried; give a list of values, or nmlab.uniform(…), for one at least"
    if faults:
        raise FieldError(faults, subject="lab.sweep() cannot take these keywords")
    return fixed, tried


_NOTHING = object()


def _split(path: str, value: Any, fields: list[Field]) -> tuple[Any, dict[str, Distribution], dict[str, str]]:
    """Return what is fixed of a value, what is to be tried, and what is doubtful."""
    if isinstance(value, Distribution):
        return _NOTHING, {path: value}, {}
    if isinstance(value, list):
        if any(field.kind == "any" for field in fields):
            fault = "a list may be one value or several here; give nmlab.choice(…), or nmlab.choice([…]) for the list"
            return _NOTHING, {}, {path: fault}
        if any(fault_of(field, value) is None for field in fields):
            return value, {}, {}
        if not value:
            return _NOTHING, {}, {path: "an empty list; give the values to try"}
        return _NOTHING, {path: choice(*value)}, {}
    if isinstance(value, Mapping) and any(_holds_distribution(each) for each in value.values()):
        kept: dict[str, Any] = {}
        tried: dict[str, Distribution] = {}
        faults: dict[str, str] = {}
        for key, each in value.items():
            rest, found, doubted = _split(f"{path}.{key}", each, [])
            tried |= found
            faults |= doubted
            if rest is not _NOTHING:
                kept[str(key)] = rest
        return kept if kept else _NOTHING, tried, faults
    return value, {}, {}


def _holds_distribution(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_distribution, value.values()))
    return isinstance(value, Distribution | list)


def _fields_of(session: Session, path: str, part: str | None) -> list[Field]:
    """Return the fields that a keyword may be for."""
    name = path.partition(".")[2] if part is not None else path
    sections = {"data_kwargs": session.data.fields, "options": tuple(TrainerOptions.fields())}
    if session.builder is not None:
        sections["problem_kwargs"] = session.builder.fields
    return list(_named(name, sections if part is None else {part: sections.get(part, ())}))


def _named(name: str, sections: Mapping[str, tuple[Field, ...]]) -> Iterator[Field]:
    for fields in sections.values():
        yield from (field for field in fields if field.name == name)
