"""Reads a function's signature and docstring, or a pydantic model, as `Field`s."""

from __future__ import annotations

import functools
import inspect
import itertools
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, EnumType
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types
import docstring_parser
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nmlab.errors import FieldError
from nmlab.fields.field import REQUIRED, Field, Kind, is_bool, unknown_name


def fields_of(
    function: Callable[..., Any], choices: Mapping[str, Mapping[str, Any] | Iterable[Any]] | None = None
) -> tuple[Field, ...]:
    """Read a function's signature and docstring as one `Field` for each parameter.

    Kind, bounds, unit and choices come from the annotation, the default from the signature, and the help from the
    Parameters section of the docstring. `*args` and `**kwargs` have no field.

    Parameters
    ----------
    function : callable
        A function, method, partial, or object with `__call__`.
    choices : mapping, optional
        Values to choose from, for parameters whose values no widget can make: parameter -> {label: value}, or
        parameter -> values, whose labels are then `str(value)`.

    Returns
    -------
    tuple of Field
        The fields, in the order of the parameters.

    Raises
    ------
    FieldError
        If a parameter is positional-only, `choices` has an unknown parameter or no values for one, or the signature
        cannot be read.

    Examples
    --------
    >>> import nmlab
    >>> def data_setup_function(nsim: int = 100, noise: float = 0.1):
    ...     '''Simulate the data.
    ...
    ...     Parameters
    ...     ----------
    ...     nsim : int
    ...         Number of simulations.
    ...     noise : float
    ...         Standard deviation of the noise.
    ...     '''
    >>> for field in nmlab.fields_of(data_setup_function):
    ...     print(field.name, field.kind, field.default, field.help)
    nsim integer 100 Number of simulations.
    noise number 0.1 Standard deviation of the noise.
    """
    subject = f"the parameters of {_name_of(function)}"
    chosen = {name: _labelled(values) if _is_collection(values) else {} for name, values in (choices or {}).items()}
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise FieldError(
            {"signature": f"it cannot be read ({error}); wrap it in a function of your own"}, subject
        ) from error
    named = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    faults = {
        name: "it is positional-only, but values are given by name; remove the '/' from the signature"
        for name, parameter in named.items()
        if parameter.kind is parameter.POSITIONAL_ONLY
    }
    faults |= {
        name: "its choices are empty or not a collection; give {label: value} or a list of values"
        for name, labels in chosen.items()
        if not labels
    }
    faults |= {name: unknown_name(name, list(named)) for name in chosen if name not in named}
    if faults:
        raise FieldError(faults, subject)

    inner = _underlying(function)
    namespace = getattr(inner, "__globals__", {})
    helps = _parameter_helps(inspect.getdoc(inner) or inspect.getdoc(type(function)) or "")
    fields = []
    for name, parameter in named.items():
        default = REQUIRED if parameter.default is parameter.empty else parameter.default
        annotation = _renewed(_resolved(parameter.annotation, namespace), namespace)
        if isinstance(default, Enum):
            default = getattr(_renewed(type(default), namespace), default.name, default)
        field = _field(name, annotation, default, helps.get(name, ""))
        if name in chosen:
            field = Field(name, "choice", default, field.optional, chosen[name], help=field.help, unit=field.unit)
        fields.append(field)
    return tuple(fields)


def takes_any_keyword(function: Callable[..., Any]) -> bool:
    """Return whether a function has `**kwargs`, so that it accepts names beyond its fields."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def fields_of_model(model: type[BaseModel]) -> tuple[Field, ...]:
    """Return the fields of a pydantic model, in their order.

    The help of a field is its description, or else what the Parameters section of the model's docstring says of it.
    """
    helps = _parameter_helps(inspect.getdoc(model) or "")
    return tuple(
        _field(
            name,
            Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation,
            REQUIRED if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
            info.description or helps.get(name, ""),
        )
        for name, info in model.model_fields.items()
    )


def _field(name: str, annotation: Any, default: Any, explanation: str) -> Field:
    origin = get_origin(annotation) or annotation
    if annotation is inspect.Parameter.empty or (origin in _CONTAINERS and not get_args(annotation)):
        annotation = _annotation_of(default)
    keywords: dict[str, Any] = {"help": explanation, **_described(annotation)}
    keywords["optional"] = keywords.get("optional", False) or default is None
    return Field(name=name, default=default, **keywords)


def _name_of(function: Callable[..., Any]) -> str:
    inner = _underlying(function)
    return f"{getattr(inner, '__qualname__', type(function).__qualname__)}()"


def _underlying(function: Any) -> Any:
    """Return the plain function, with its globals and docstring, below partials, wrappers, methods and objects."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isclass(function) and inspect.isfunction(function.__init__):
            function = function.__init__
        elif not inspect.isroutine(function) and inspect.ismethod(getattr(function, "__call__", None)):  # noqa: B004
            function = function.__call__
        else:
            return function


def _resolved(annotation: Any, namespace: dict[str, Any]) -> Any:
    """Return the annotation with its strings evaluated; empty if that fails, so that only this one is lost."""
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(holder, namespace, include_extras=True)["it"]
    except Exception:  # evaluating a user's string may raise anything
        return inspect.Parameter.empty


def _renewed(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Return an annotation with an Enum, which was defined anew since, as the function finds it under its name now."""
    if isinstance(annotation, EnumType):
        now = namespace.get(annotation.__name__)
        same = isinstance(now, EnumType) and _place_of(now) == _place_of(annotation)
        return now if same else annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[_renewed(arguments[0], namespace), *arguments[1:]]
    if origin in (Union, UnionType):
        return Union[tuple(_renewed(argument, namespace) for argument in arguments)]  # noqa: UP007
    return annotation


def _place_of(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _parameter_helps(docstring: str) -> dict[str, str]:
    try:
        parameters = docstring_parser.parse(docstring).params
    except Exception:  # a malformed docstring is no reason to reject its function
        return {}
    helps: dict[str, str] = {}
    for parameter in parameters:
        for name in parameter.arg_name.split(","):  # numpy style: "x, y : float"
            helps.setdefault(name.strip().lstrip("*"), " ".join((parameter.description or "").split()))
    return helps


_PLAIN: dict[type, Kind] = {int: "integer", float: "number", bool: "boolean", str: "string", Path: "path"}
_UNIONS: dict[frozenset[Any], type] = {frozenset({int, float}): float, frozenset({str, Path}): Path}
_CONTAINERS: dict[Any, type] = {tuple: tuple, list: list, Sequence: list}
_BOUNDS = {
    annotated_types.Ge: ("minimum", "ge"),
    annotated_types.Gt: ("exclusive_minimum", "gt"),
    annotated_types.Le: ("maximum", "le"),
    annotated_types.Lt: ("exclusive_maximum", "lt"),
    annotated_types.MultipleOf: ("multiple_of", "multiple_of"),
}
_LENGTHS = {
    annotated_types.MinLen: ("min_items", "min_length"),
    annotated_types.MaxLen: ("max_items", "max_length"),
}


def _described(annotation: Any) -> dict[str, Any]:
    """Return the keywords of a Field that an annotation determines."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _with_metadata(_described(arguments[0]), arguments[1:])
    if origin in (Union, UnionType):
        return _described_union(arguments)
    if origin is Literal:
        values = [value for value in arguments if value is not None]
        return {"kind": "choice", "choices": _labelled(values), "optional": None in arguments}
    if origin in _CONTAINERS:
        return _described_numbers(_CONTAINERS[origin], arguments)
    if inspect.isclass(annotation):
        if issubclass(annotation, Enum) and len(annotation):
            return {"kind": "choice", "choices": {member.name: member for member in annotation}}
        return {"kind": _PLAIN.get(annotation, "any")}
    return {"kind": "any"}


def _described_union(members: tuple[Any, ...]) -> dict[str, Any]:
    types = [member for member in members if member is not type(None)]
    if len(types) == 1:
        keywords = _described(types[0])
    elif all(get_origin(member) is Literal for member in types):
        keywords = _described(Literal[*itertools.chain(*map(get_args, types))])
    elif all(inspect.isclass(member) for member in types):
        keywords = _described(_UNIONS.get(frozenset(types)))
    else:
        keywords = {"kind": "any"}
    return keywords | {"optional": keywords.get("optional", False) or len(types) < len(members)}


def _described_numbers(container: type, arguments: tuple[Any, ...]) -> dict[str, Any]:
    any_length = container is list or arguments[-1] is Ellipsis
    described = [_described(argument) for argument in (arguments[:1] if any_length else arguments)]
    if any(keywords["kind"] not in ("integer", "number") or keywords.get("optional") for keywords in described):
        return {"kind": "any"}
    items = tuple(Field(name=f"item {place}", **keywords) for place, keywords in enumerate(described))
    length = None if any_length else len(items)
    return {
        "kind": "numbers",
        "container": container,
        "items": items,
        "min_items": length,
        "max_items": length,
    }


def _with_metadata(keywords: dict[str, Any], metadata: Iterable[Any]) -> dict[str, Any]:
    """Add the metadata in Annotated to the keywords; bounds on a container apply to each item."""
    for note in metadata:
        if isinstance(note, FieldInfo):
            keywords = _with_metadata(keywords, note.metadata) | (
                {"help": note.description} if note.description else {}
            )
        elif isinstance(note, annotated_types.GroupedMetadata):  # Interval, Len
            keywords = _with_metadata(keywords, note)
        elif isinstance(note, annotated_types.Unit):
            keywords = keywords | {"unit": note.unit}
        elif type(note) in _BOUNDS and keywords["kind"] in ("integer", "number", "numbers"):
            word, attribute = _BOUNDS[type(note)]
            bound = {word: getattr(note, attribute)}
            items = keywords.get("items")
            keywords = keywords | ({"items": tuple(replace(item, **bound) for item in items)} if items else bound)
        elif type(note) in _LENGTHS and keywords["kind"] in ("numbers", "string"):
            word, attribute = _LENGTHS[type(note)]
            keywords = keywords | {word: getattr(note, attribute)}
    return keywords


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


def _is_collection(values: Any) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str)


def _labelled(values: Mapping[str, Any] | Iterable[Any]) -> dict[str, Any]:
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
