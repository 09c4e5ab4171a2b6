"""Values as facts by path: plain ones as text, collections item by item, tensors and arrays by what they hold."""

from __future__ import annotations

import functools
import hashlib
import re
import types
from collections import deque
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from nmlab.identity.arrays import array_text, shape_text
from nmlab.identity.classes import is_library, library_name, of_library
from nmlab.identity.code import constant_text
from nmlab.identity.differences import Identity, inside, item
from nmlab.identity.texts import shortened
from nmlab.sources.texts import closure_of

LONGEST = 80
"""Maximum length of a collection that is one fact."""

ITEMS = 50
"""Maximum number of items of a collection that are facts of their own."""

DEEP = 300
"""Maximum length of a path."""

MOST = 20_000
"""Maximum number of values that are read."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice, type(...), type(NotImplemented))

COLLECTIONS = (list, tuple, dict, set, frozenset, types.MappingProxyType, deque)


class Values:
    """Reads values and collects what they are; `read` begins, `identity` ends.

    Parameters
    ----------
    trained : frozenset of int, optional
        For what is trained: ids of the parameters whose values the training finds. They do not count, nor does what
        modules set in a forward pass. Default: everything counts.
    """

    def __init__(self, trained: frozenset[int] | None = None) -> None:
        self.trained = trained
        self.size = 0
        """Size in bytes of all tensors and arrays that were read."""
        self._facts: dict[str, str] = {}
        self._not_compared: dict[str, str] = {}
        self._queue: deque[tuple[str, Any]] = deque()
        self._seen: dict[int, str] = {}
        self._alive: list[Any] = []  # as long as they live, no other object has their ids
        self._globals: dict[tuple[int, str], str] = {}
        self._classes: dict[type, str] = {}
        self._members: set[tuple[type, str]] = set()
        self._read: set[str] = set()
        self._called: dict[int, str] = {}

    def read(self, path: str, value: Any) -> None:
        """Read a value, later; a path that became too long, as of very deep nesting, is shortened."""
        if len(path) > DEEP:
            digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:10]
            path = f"{path[: DEEP // 2]}…{digest}"
        self._queue.append((path, value))

    def note(self, path: str, text: str) -> None:
        """Note a fact."""
        self._facts[path] = text

    def leave_out(self, path: str, reason: str) -> None:
        """Note that what is at a path is not compared."""
        self._not_compared[path] = reason

    def identity(self) -> Identity:
        """Read all that there is to read, and return it."""
        visits = 0
        while self._queue or self._more_members():
            path, value = self._queue.popleft()
            visits += 1
            if visits > MOST:
                self.leave_out(path, f"beyond the first {MOST} values")
                self._queue.clear()
                break
            try:
                self._one(path, value)
            except Exception as error:  # a user's object may raise anything
                self.leave_out(path, f"{type(error).__name__}: {shortened(str(error))}")
        return Identity(dict(sorted(self._facts.items())), dict(sorted(self._not_compared.items())))

    def text(self, value: Any, depth: int = 0) -> str | None:
        """Return a short text for a value that needs no facts of its own; None for any other."""
        if isinstance(value, Enum):
            inner = self.text(value.value, depth + 1)
            return None if inner is None else f"{type(value).__name__}.{value.name} = {inner}"
        if type(value) in _PLAIN:
            return shortened(constant_text(value))
        if isinstance(value, (torch.dtype, torch.Size, np.dtype)):
            return str(value)
        if isinstance(value, PurePath):
            return shortened(f"path {value.as_posix()}")
        if isinstance(value, np.generic) and value.dtype.kind in "biufc":
            return f"{value} {value.dtype}"
        if isinstance(value, type):
            return self.class_text(value)
        if isinstance(value, types.FunctionType):
            return self._library_function(value, depth)
        if isinstance(value, functools.partial) and type(value) is functools.partial and not vars(value):
            given = [self.text(each, depth + 1) for each in (value.func, *value.args, *value.keywords.values())]
            if depth > 3 or None in given:
                return None
            keywords = [
                f"{name}={text}" for name, text in zip(value.keywords, given[len(value.args) + 1 :], strict=True)
            ]
            return f"{given[0]}({', '.join(map(str, [*given[1 : len(value.args) + 1], *keywords]))})"
        if isinstance(value, _DESCRIPTORS) or type(value).__name__ == "cython_function_or_method":
            return _builtin(value)
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__}"
        if type(value) in COLLECTIONS and depth <= 3:
            return self._collection_text(value, depth)
        return None

    def _collection_text(self, value: Any, depth: int) -> str | None:
        if len(value) > 2 * LONGEST:
            return None
        if isinstance(value, Mapping):
            pairs = [(self.text(key, depth + 1), self.text(each, depth + 1)) for key, each in value.items()]
            if any(None in pair for pair in pairs):
                return None
            text = f"{{{', '.join(sorted(f'{key}: {each}' for key, each in pairs))}}}"
        else:
            parts = [self.text(each, depth + 1) for each in value]
            if None in parts:
                return None
            unordered = isinstance(value, (set, frozenset))
            texts = sorted(map(str, parts)) if unordered else [str(part) for part in parts]
            opening, closing = "{}" if unordered else "[]" if isinstance(value, list) else "()"
            text = f"{opening}{', '.join(texts)}{closing}"
        return text if len(text) <= LONGEST or depth else None

    def array(self, path: str, value: Any) -> None:
        """Note a tensor or an array: a trained parameter by its shape, any other by its values."""
        if self.trained is not None and id(value) in self.trained:
            shape = "×".join(map(str, value.shape)) or "number"
            self.note(path, f"trained {shape}")  # the fit decides on the precision
        elif torch.nn.parameter.is_lazy(value):
            self.note(path, "not initialized")
        elif isinstance(value, np.ndarray) and value.dtype.hasobject:
            self.note(path, f"array {shape_text(value)}")
            self.read(item(path, "values"), value.tolist())
        else:
            if isinstance(value, torch.Tensor) and value.layout != torch.strided:
                value = value.detach().to_sparse_coo().coalesce()
                self.note(path, f"sparse {shape_text(value)}")
                self.read(inside(path, "indices"), value.indices())
                self.read(inside(path, "values"), value.values())
                return
            self.size += value.nbytes
            text, remark = array_text(value)
            fixed = "fixed " if isinstance(value, torch.nn.Parameter) else ""
            self.note(path, fixed + text)
            if remark is not None:
                self.leave_out(inside(path, "other values"), remark)

    def _collection(self, path: str, value: Any) -> None:
        count, kind = len(value), type(value).__name__
        texts = self._collection_text_of_many(value)
        if texts is not None and (count > ITEMS or isinstance(value, (set, frozenset))):
            self.note(path, shortened(f"{kind} of {count}: {', '.join(texts)}"))
            return
        self.note(path, f"{kind} of {count}")
        if isinstance(value, Mapping):
            named = {key: text for key in value if (text := self.text(key)) is not None}
            for key in sorted(named, key=named.__getitem__):
                self.read(item(path, named[key]), value[key])
            others = [pair for pair in value.items() if pair[0] not in named]
            for number, (key, each) in enumerate(others):
                self.read(item(path, f"key {number}"), key)
                self.read(item(path, number), each)
        elif isinstance(value, (set, frozenset)):
            self.leave_out(path, "a set of objects, which has no order")
        else:
            for number, each in enumerate(value):
                self.read(item(path, number), each)

    def _collection_text_of_many(self, value: Any) -> list[str] | None:
        """Return the texts of all items; None where one needs facts of its own."""
        if isinstance(value, Mapping):
            pairs = [(self.text(key, 1), self.text(each, 1)) for key, each in value.items()]
            return None if any(None in pair for pair in pairs) else sorted(f"{key}: {each}" for key, each in pairs)
        texts = [self.text(each, 1) for each in value]
        if None in texts:
            return None
        found = [str(text) for text in texts]
        return sorted(found) if isinstance(value, (set, frozenset)) else found

    def _library_function(self, function: types.FunctionType, depth: int) -> str | None:
        """Return the name of a library's function, with what it closes over; None where that is no short text."""
        if depth > 3 or not of_library(function):
            return None
        closed = {name: self.text(value, depth + 1) for name, value in closure_of(function).items()}
        if None in closed.values():
            return None
        told = ", ".join(f"{name}={text}" for name, text in closed.items())
        return library_name(function) + (f"({told})" if told else "")

    def class_text(self, kind: type) -> str:
        """Return the name of a class."""
        raise NotImplementedError

    def _one(self, path: str, value: Any) -> None:
        raise NotImplementedError

    def _more_members(self) -> bool:
        raise NotImplementedError


_DESCRIPTORS = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def _builtin(value: Any) -> str | None:
    """Return the name of a function that is not written in Python and belongs to a library; else None."""
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, (types.ModuleType, type)):
        return None
    module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
    module = module or getattr(owner, "__name__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if name is None or (module is not None and not is_library(module)):
        return None
    return re.sub(r"^(\w+)\._\w+", r"\1", f"{module}") + f".{name}"
