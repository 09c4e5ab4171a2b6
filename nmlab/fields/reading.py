"""Reads a function's signature and docstring as `Field`s."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from nmlab.errors import FieldError
from nmlab.fields.annotations import field_of, labelled, parameter_helps, resolved
from nmlab.fields.field import REQUIRED, Field, unknown_name


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
    chosen = {name: labelled(values) if _is_collection(values) else {} for name, values in (choices or {}).items()}
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
    helps = parameter_helps(inspect.getdoc(inner) or inspect.getdoc(type(function)) or "")
    fields = []
    for name, parameter in named.items():
        default = REQUIRED if parameter.default is parameter.empty else parameter.default
        annotation = _renewed(resolved(parameter.annotation, namespace), namespace)
        if isinstance(default, Enum):
            default = getattr(_renewed(type(default), namespace), default.name, default)
        field = field_of(name, annotation, default, helps.get(name, ""))
        if name in chosen:
            field = Field(name, "choice", default, field.optional, chosen[name], help=field.help, unit=field.unit)
        fields.append(field)
    return tuple(fields)


def has_signature(function: Callable[..., Any]) -> bool:
    """Return whether the signature of a function can be read, as that of some built-in ones cannot."""
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        return False
    return True


def takes_any_keyword(function: Callable[..., Any]) -> bool:
    """Return whether a function has `**kwargs`, so that it accepts names beyond its fields."""
    parameters = inspect.signature(function).parameters.values() if has_signature(function) else ()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def parameters_of(function: Callable[..., Any]) -> set[str]:
    """Return the names of a function's parameters; none where its signature cannot be read."""
    return {*inspect.signature(function).parameters} if has_signature(function) else set()


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


def _renewed(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Return an annotation with a class, which was defined anew since, as the function finds it under its name now."""
    if inspect.isclass(annotation):
        now = namespace.get(annotation.__name__)
        return now if inspect.isclass(now) and _place_of(now) == _place_of(annotation) else annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[_renewed(arguments[0], namespace), *arguments[1:]]
    if origin in (Union, UnionType):
        return Union[tuple(_renewed(argument, namespace) for argument in arguments)]  # noqa: UP007
    return annotation


def _place_of(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _is_collection(values: Any) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str)
