"""What an annotation says of the values of a parameter, as keywords of `Field`."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import inspect
import itertools
import numbers
import os
import sys
import typing
from collections import deque
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

import docstring_parser
from pydantic import BaseModel

from nmlab.fields.field import REQUIRED, Field, Kind, is_bool
from nmlab.fields.rules import with_metadata

Keywords = dict[str, Any]

_WRAPPERS = ("Final", "ClassVar", "Required", "NotRequired", "ReadOnly")
CONTAINERS: dict[Any, type] = {
    tuple: tuple,
    list: list,
    set: set,
    frozenset: frozenset,
    deque: deque,
    abc.Set: set,
    abc.MutableSet: set,
    **dict.fromkeys((abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable, abc.Reversible), list),
}
"""Containers of numbers, and the type that is made for each."""

_ABSTRACT = {"number", "inexact", "floating", "integer", "signedinteger", "unsignedinteger"}
"""Abstract classes of numbers by their names in numpy, which is not imported for them."""


def field_of(name: str, annotation: Any, default: Any, explanation: str) -> Field:
    """Return the field of a parameter; where the annotation says nothing, the default determines it."""
    annotation = bare(annotation)
    origin = get_origin(annotation) or annotation
    if annotation is inspect.Parameter.empty or (origin in CONTAINERS and not get_args(annotation)):
        annotation = _annotation_of(default)
    keywords: dict[str, Any] = {"help": explanation, **described(annotation)}
    keywords["optional"] = keywords.get("optional", False) or default is None
    return Field(name=name, default=default, **keywords)


def resolved(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Return the annotation with its strings evaluated; empty if that fails, so that only this one is lost."""
    holder = ModuleType("annotations")  # of all that get_type_hints takes, only modules may have Final
    holder.__annotations__ = {"it": annotation}
    try:
        return get_type_hints(holder, dict(namespace), include_extras=True)["it"]
    except Exception:  # evaluating a user's string may raise anything
        return inspect.Parameter.empty


def bare(annotation: Any) -> Any:
    """Return the annotation that a NewType, an alias, a bounded TypeVar, Final and the like stand for.

    It is `inspect.Parameter.empty` for one that says nothing, such as a bare Final.
    """
    while True:
        origin = get_origin(annotation)
        if _is_wrapper(annotation):
            return inspect.Parameter.empty
        if _is_wrapper(origin):
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar):
            if not annotation.__constraints__ and annotation.__bound__ is None:
                return Any
            annotation = Union[annotation.__constraints__ or annotation.__bound__]  # noqa: UP007 - made of a tuple
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif type(origin).__name__ == "TypeAliasType":  # a generic one with arguments
            annotation = origin.__value__[get_args(annotation)]
        else:
            return annotation


def _is_wrapper(form: Any) -> bool:
    return type(form).__module__ in ("typing", "typing_extensions") and repr(form).rpartition(".")[2] in _WRAPPERS


def described(annotation: Any) -> Keywords:
    """Return the keywords of a Field that an annotation determines."""
    annotation = bare(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return with_metadata(described(arguments[0]), arguments[1:], arguments[0])
    if origin in (Union, UnionType):
        return _described_union(arguments)
    if origin is Literal:
        values = [value for value in arguments if value is not None]
        return {"kind": "choice", "choices": labelled(values), "optional": None in arguments}
    if origin in CONTAINERS and arguments:
        return _described_numbers(CONTAINERS[origin], arguments)
    if inspect.isclass(origin or annotation):
        return _described_class(origin or annotation)
    return {"kind": "any"}


def _described_class(kind: type) -> Keywords:
    if issubclass(kind, Enum):
        return {"kind": "choice", "choices": {member.name: member for member in kind}} if len(kind) else {"kind": "any"}
    if issubclass(kind, bool) or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")):
        return {"kind": "boolean"}
    number = _described_number(kind)
    if number:
        return number
    if issubclass(kind, str):
        return {"kind": "string"} | ({} if kind is str else {"type": kind})
    if issubclass(kind, PurePath) or kind is os.PathLike:
        return {"kind": "path"} | ({} if kind in (Path, PurePath, os.PathLike) else {"type": kind})
    members = members_of(kind)
    if members:
        return {"kind": "object", "type": kind, "items": members}
    return {"kind": "any"}


def _described_number(kind: type) -> Keywords:
    """Return the keywords for a class of numbers; an abstract one, such as numbers.Real, has no type of its own."""
    word: Kind
    abstract = kind.__module__ == "numpy" and kind.__name__ in _ABSTRACT
    if issubclass(kind, numbers.Integral) or kind is typing.SupportsIndex:
        word, plain = "integer", int
    elif issubclass(kind, numbers.Real | Decimal) or abstract or kind in (numbers.Number, typing.SupportsFloat):
        word, plain = "number", float  # type: ignore[assignment]
    else:
        return {}
    own = kind is not plain and not abstract and kind.__module__ not in ("numbers", "typing")
    return {"kind": word} | ({"type": kind} if own else {})


def _described_union(members: tuple[Any, ...]) -> Keywords:
    types = [member for member in map(bare, members) if member is not type(None)]
    optional = len(types) < len(members)
    keywords: Keywords
    if len(types) == 1:
        keywords = described(types[0])
    elif all(get_origin(member) is Literal for member in types):
        keywords = described(Literal[*itertools.chain(*map(get_args, types))])
    else:
        keywords = _merged([described(member) for member in types])
    return keywords | {"optional": keywords.get("optional", False) or optional}


def _merged(members: list[Keywords]) -> Keywords:
    """Return what one field can say for several types; kind 'any' if it cannot."""
    optional = {"optional": any(member.get("optional", False) for member in members)}
    members = [{word: value for word, value in member.items() if word != "optional"} for member in members]
    kinds = {member["kind"] for member in members}
    if all(member == members[0] for member in members):
        return members[0] | optional
    if kinds == {"choice"}:
        labels = [label for member in members for label in member["choices"]]
        if len(set(labels)) == len(labels) and not any("rules" in member for member in members):
            return {"kind": "choice", "choices": {k: v for m in members for k, v in m["choices"].items()}} | optional
    # bounds or a type hold for one member only, which is then the user's to check
    loose = all(member.keys() <= {"kind", "type"} for member in members)
    for wide, narrow in (("number", "integer"), ("path", "string")):
        if loose and kinds <= {wide, narrow}:
            return {"kind": wide if wide in kinds else narrow} | optional
    return {"kind": "any"} | optional


def _described_numbers(container: type, arguments: tuple[Any, ...]) -> Keywords:
    any_length = container is not tuple or arguments[-1] is Ellipsis
    each = [described(argument) for argument in (arguments[:1] if any_length else arguments)]
    if any(keywords["kind"] not in ("integer", "number") or keywords.get("optional") for keywords in each):
        return {"kind": "any"}
    items = tuple(Field(name=f"item {place}", **keywords) for place, keywords in enumerate(each))
    length = None if any_length else len(items)
    return {
        "kind": "numbers",
        "container": container,
        "items": items,
        "min_items": length,
        "max_items": length,
    }


# --- classes whose instances are made of named members ---


def members_of(kind: type) -> tuple[Field, ...] | None:
    """Return the fields of a class that keywords make: dataclass, pydantic or attrs model, NamedTuple, TypedDict.

    None for any other class, and for one whose arguments are not its attributes.
    """
    if kind in _open.get():  # a member of itself
        return None
    token = _open.set((*_open.get(), kind))
    try:
        return fields_of_model(kind) if issubclass(kind, BaseModel) else _members_of(kind)
    finally:
        _open.reset(token)


_open: ContextVar[tuple[type, ...]] = ContextVar("nmlab_open_classes", default=())


def _members_of(kind: type) -> tuple[Field, ...] | None:
    defaults: dict[str, Any]
    if dataclasses.is_dataclass(kind):
        defaults = {
            item.name: _default_of(item.default, item.default_factory) for item in dataclasses.fields(kind) if item.init
        }
    elif hasattr(kind, "__attrs_attrs__"):
        missing = sys.modules["attr"].NOTHING
        defaults = {
            item.name: REQUIRED if item.default is missing else _default_of(item.default, _attrs_factory(item.default))
            for item in kind.__attrs_attrs__
        }
    elif issubclass(kind, tuple) and hasattr(kind, "_field_defaults"):
        defaults = {name: kind._field_defaults.get(name, REQUIRED) for name in kind._fields}  # type: ignore[attr-defined]
    elif _is_typed_dict(kind) and not kind.__optional_keys__:  # type: ignore[attr-defined]
        defaults = dict.fromkeys(kind.__required_keys__, REQUIRED)  # type: ignore[attr-defined]
    else:
        return None
    namespace = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
    try:
        if not _is_typed_dict(kind) and set(inspect.signature(kind).parameters) != set(defaults):
            return None
        hints = get_type_hints(kind, include_extras=True)
    except Exception:  # evaluating a user's string may raise anything
        hints = {name: resolved(it, namespace) for name, it in getattr(kind, "__annotations__", {}).items()}
    helps = parameter_helps(inspect.getdoc(kind) or "")
    names = [name for name in hints if name in defaults] + [name for name in defaults if name not in hints]
    return tuple(
        field_of(name, hints.get(name, inspect.Parameter.empty), defaults[name], helps.get(name, "")) for name in names
    )


def fields_of_model(model: type[BaseModel]) -> tuple[Field, ...]:
    """Return the fields of a pydantic model, in their order.

    The help of a field is its description, or else what the Parameters section of the model's docstring says of it.
    """
    helps = parameter_helps(inspect.getdoc(model) or "")
    return tuple(
        field_of(
            name,
            Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation,
            REQUIRED if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
            info.description or helps.get(name, ""),
        )
        for name, info in model.model_fields.items()
    )


def _default_of(default: Any, factory: Any) -> Any:
    """Return a dataclass's default for a member, made by its factory if it has one."""
    if factory is not dataclasses.MISSING:
        return factory()
    return REQUIRED if default is dataclasses.MISSING else default


def _attrs_factory(default: Any) -> Any:
    if type(default).__name__ != "Factory":
        return dataclasses.MISSING
    return (lambda: REQUIRED) if default.takes_self else default.factory


def _is_typed_dict(kind: type) -> bool:
    return issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def _annotation_of(default: Any) -> Any:
    """Return the annotation that fits a default."""
    if default is REQUIRED:
        return Any
    if isinstance(default, Enum):
        return type(default)
    if is_bool(default):
        return bool
    for kind, annotation in ((numbers.Integral, int), (numbers.Real, float), (str, str), (Path, Path)):
        if isinstance(default, kind):
            return annotation
    if type(default) in (tuple, list) and default:
        items = {_annotation_of(item) for item in default}
        if items <= {int, float}:
            item = int if items == {int} else float
            return tuple[item, ...] if type(default) is tuple else list[item]  # type: ignore[valid-type]
    return type(default)


def labelled(values: Mapping[str, Any] | Iterable[Any]) -> dict[str, Any]:
    """Return label -> value; a string is its own label, and values with the same text get a number."""
    if isinstance(values, Mapping):
        return {str(label): value for label, value in values.items()}
    values = list(values)
    taken = {value for value in values if type(value) is str}
    labels = {}
    for value in values:
        label = str(value)
        if type(value) is not str:
            numbered = (f"{value} ({count})" for count in itertools.count(2))
            label = next(text for text in itertools.chain([label], numbered) if text not in taken)
            taken.add(label)
        labels[label] = value
    return labels


def parameter_helps(docstring: str) -> dict[str, str]:
    """Return what the Parameters section of a docstring says of each parameter."""
    try:
        parameters = docstring_parser.parse(docstring).params
    except Exception:  # a malformed docstring is no reason to reject its function
        return {}
    helps: dict[str, str] = {}
    for parameter in parameters:
        for name in parameter.arg_name.split(","):  # numpy style: "x, y : float"
            helps.setdefault(name.strip().lstrip("*"), " ".join((parameter.description or "").split()))
    return helps
