"""Plain values as Python expressions that recreate them exactly, to the last bit."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

LIMIT = 20_000
"""Maximum number of characters of an expression; longer ones are not readable."""

Inner = Callable[[Any], str]


class NoSourceError(Exception):
    """An object cannot be written as Python code; the message says what it is and why."""


def literal(value: Any, inner: Inner) -> str:
    """Return a Python expression for a value that is defined by its parts.

    Such values are numbers, text, collections, paths, enum members, simple dataclasses, annotations, numpy's arrays and
    torch's tensors.

    Parameters
    ----------
    value : Any
        The value.
    inner : callable
        Function that writes the parts: the items of a collection, and modules and classes that the expression uses.

    Returns
    -------
    str
        The expression.

    Raises
    ------
    NoSourceError
        For any other value, and if the expression is longer than `LIMIT` characters.
    """
    write = _WRITERS.get(type(value)) or next((write for matches, write in _FAMILIES if matches(value)), None)
    if write is None:
        raise opaque(value)
    text = write(value, inner)
    if len(text) > LIMIT:
        raise _too_large(value, f"{len(text) / 1000:.0f} kB")
    return text


def opaque(value: Any) -> NoSourceError:
    """Return the error to raise for an object that cannot be written."""
    return NoSourceError(f"{_noun(value)} object; it has no source")


def is_plain(value: Any) -> bool:
    """Return whether the expression of a value needs no other names."""
    return type(value) in (bool, int, float, complex, str, bytes) or value is None


def quoted(text: str) -> str:
    """Return a string as a Python literal, with ruff's choice of quotes."""
    written = repr(text)
    return f'"{written[1:-1]}"' if written[0] == "'" and '"' not in text else written


def _noun(value: Any) -> str:
    name = type(value).__name__
    return f"a{'n' * name.lower().startswith(tuple('aeiou'))} {name}"


def _too_large(value: Any, size: str) -> NoSourceError:
    return NoSourceError(f"{_noun(value)} too large to be written here ({size})")


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value!r}")'


def _text(value: Any, _: Inner) -> str:
    if len(value) > LIMIT:
        raise _too_large(value, f"{len(value) / 1000:.0f} kB")
    return quoted(value) if isinstance(value, str) else repr(value)


def _joined(value: Any, texts: Iterable[str]) -> str:
    """Join the parts of a value with commas; raises as soon as they are too long together."""
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text) + 2
        if size > LIMIT:
            raise _too_large(value, f"more than {LIMIT // 1000} kB")
    return ", ".join(found)


def _tuple(value: Any, inner: Inner) -> str:
    return f"({inner(value[0])},)" if len(value) == 1 else f"({_joined(value, map(inner, value))})"


def _set(value: Any, inner: Inner) -> str:
    items = _joined(value, sorted(map(inner, value)))  # a set has no order, but its expression should be deterministic
    plain = f"{{{items}}}" if items else ""
    return f"frozenset({plain})" if type(value) is frozenset else plain or "set()"


def _dict(value: Any, inner: Inner) -> str:
    return f"{{{_joined(value, (f'{inner(key)}: {inner(item)}' for key, item in value.items()))}}}"


def _call(value: Any, parts: typing.Mapping[str, Any], inner: Inner) -> str:
    """Return a call of the value's class with keywords."""
    return f"{inner(type(value))}({_joined(value, (f'{name}={inner(part)}' for name, part in parts.items()))})"


def _array(value: Any, inner: Inner) -> str:
    if value.dtype.kind not in "biufc" or value.dtype.char in "gG":  # long doubles have more digits than a float
        raise NoSourceError(f"an array of {value.dtype}; it has no source")
    if value.size > LIMIT:
        raise _too_large(value, f"{value.nbytes / 1000:.0f} kB")
    # the memory layout determines the order of summation, and with it the last bits of sums
    order = ', order="F"' if value.flags.f_contiguous and not value.flags.c_contiguous else ""
    shape = "" if value.size else f".reshape({value.shape})"
    return f'{inner(np)}.array({inner(value.tolist())}, dtype="{value.dtype.name}"{order}){shape}'


def _numpy_scalar(value: Any, inner: Inner) -> str:
    if value.dtype.kind not in "biufc" or value.dtype.char in "gG":
        raise opaque(value)
    return f"{inner(np)}.{type(value).__name__}({inner(value.item())})"


def _tensor(value: torch.Tensor, inner: Inner) -> str:
    if value.layout != torch.strided or value.is_quantized or not value.is_leaf:
        raise NoSourceError("a tensor with a graph or a special layout; it has no source")
    if value.numel() > LIMIT:
        raise _too_large(value, f"{value.numel() * value.element_size() / 1000:.0f} kB")
    plain = value.detach()
    device = "" if plain.device.type == "cpu" else f", device={quoted(str(plain.device))}"
    kind = f"dtype={inner(plain.dtype)}{device}"
    text = f"{inner(torch)}.tensor({inner(plain.tolist())}, {kind})"
    if plain.numel() == 0:
        text += f".reshape({tuple(plain.shape)})"
    elif not plain.is_contiguous() and 0 not in plain.stride():  # as for arrays
        text = f"{inner(torch)}.empty_strided({tuple(plain.shape)}, {plain.stride()}, {kind}).copy_({text})"
    if type(value) is torch.nn.Parameter:
        return f"{inner(torch.nn.Parameter)}({text}, requires_grad={value.requires_grad})"
    return text + ".requires_grad_()" * value.requires_grad


def _member(value: Any, inner: Inner) -> str:
    if type(value).__members__.get(value.name) is not value:  # flags joined by |
        raise opaque(value)
    return f"{inner(type(value))}.{value.name}"


def _dataclass(value: Any, inner: Inner) -> str:
    parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    computed = hasattr(value, "__post_init__") or not all(field.init for field in dataclasses.fields(value))
    if computed or getattr(value, "__dict__", parts).keys() != parts.keys():
        raise opaque(value)  # it may hold more than the arguments of its class
    return _call(value, parts, inner)


def _annotation(value: Any, inner: Inner) -> str:
    origin, arguments = typing.get_origin(value), typing.get_args(value)
    if origin in (typing.Union, types.UnionType):
        return " | ".join("None" if argument is type(None) else inner(argument) for argument in arguments)
    return f"{inner(origin)}[{_joined(value, map(inner, arguments))}]"


_WRITERS: dict[type, Callable[[Any, Inner], str]] = {
    **dict.fromkeys((type(None), type(...), bool, int, range), lambda value, _: repr(value)),
    str: _text,
    bytes: _text,
    float: lambda value, _: _number(value),
    complex: lambda value, _: f"complex({_number(value.real)}, {_number(value.imag)})",
    list: lambda value, inner: f"[{_joined(value, map(inner, value))}]",
    tuple: _tuple,
    set: _set,
    frozenset: _set,
    dict: _dict,
    types.SimpleNamespace: lambda value, inner: _call(value, vars(value), inner),
    np.ndarray: _array,
    torch.Tensor: _tensor,
    torch.nn.Parameter: _tensor,
    torch.dtype: lambda value, inner: f"{inner(torch)}.{str(value).removeprefix('torch.')}",
    torch.device: lambda value, inner: f"{inner(torch)}.device({quoted(str(value))})",
    torch.Size: lambda value, inner: f"{inner(torch)}.Size({list(value)})",
}
"""Functions that write a value, by its exact type; an instance of a subclass may be more than its parts."""

_FAMILIES: tuple[tuple[Callable[[Any], bool], Callable[[Any, Inner], str]], ...] = (
    (lambda value: isinstance(value, Enum), _member),
    (lambda value: isinstance(value, Path), lambda value, inner: f"{inner(Path)}({quoted(str(value))})"),
    (lambda value: isinstance(value, PurePath), lambda value, inner: f"{inner(type(value))}({quoted(str(value))})"),
    (lambda value: isinstance(value, np.generic), _numpy_scalar),
    (lambda value: dataclasses.is_dataclass(value) and not isinstance(value, type), _dataclass),
    (
        lambda value: isinstance(value, tuple) and hasattr(value, "_asdict"),
        lambda value, inner: _call(value, value._asdict(), inner),
    ),
    (lambda value: typing.get_origin(value) is not None, _annotation),
)
