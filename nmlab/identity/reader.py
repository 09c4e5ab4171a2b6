"""Reads what a value is: its parts, in turn, down to plain values, as facts by path.

Nothing of the user's is called or changed: attributes are read from an object's own dict, not through properties.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import types
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from nmlab.identity.arrays import array_text, shape_text
from nmlab.identity.classes import (
    functions_in,
    is_library,
    is_users,
    library_name,
    members_that_matter,
    of_library,
    own_bases,
    states_of,
)
from nmlab.identity.code import PYTHON, constant_text, facts_of_code
from nmlab.identity.differences import CLASS, CONSTANTS, SOURCE, Identity, inside, item
from nmlab.identity.texts import attributes_of, parts_of, shortened
from nmlab.sources.collecting import is_of_shell
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

_NAMES_OF_MODULES = frozenset({"__file__", "__name__", "__doc__", "__builtins__", "__spec__", "__path__"})

_COLLECTIONS = (list, tuple, dict, set, frozenset, types.MappingProxyType, deque)


class Reader:
    """Reads values and collects what they are.

    Parameters
    ----------
    trained : frozenset of int, optional
        For what is trained: ids of the parameters whose values the training finds. They do not count, nor does what
        modules set in a forward pass. Default: everything counts.
    modules : callable, optional
        Called with this reader, a path and a `torch.nn.Module` to read that in another way; returns whether it did.
    """

    def __init__(
        self,
        trained: frozenset[int] | None = None,
        modules: Callable[[Reader, str, torch.nn.Module], bool] | None = None,
    ) -> None:
        self.trained = trained
        self.size = 0
        """Size in bytes of all tensors and arrays that were read."""
        self._modules = modules
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

    # --- values ---

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
        if type(value) in _COLLECTIONS and depth <= 3:
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

    def _one(self, path: str, value: Any) -> None:
        if isinstance(value, (torch.device, weakref.ref)) or _is_result(value):
            return  # no setting: where it is computed, or what a forward pass left
        if (text := self.text(value)) is not None:
            self.note(path, text)
            return
        if isinstance(value, (torch.Tensor, np.ndarray)):
            self.array(path, value)
            return
        if type(value) is not tuple and type(value) is not types.MethodType:
            if id(value) in self._seen:
                self.note(path, f"the same as {self._seen[id(value)]}")
                return
            self._seen[id(value)] = path
            self._alive.append(value)
        if type(value) in _COLLECTIONS:
            self._collection(path, value)
        elif isinstance(value, functools.partial):
            self._partial(path, value)
        elif isinstance(value, types.MethodType):
            self._method(path, value)
        elif isinstance(value, types.FunctionType):
            self._function(path, value)
        elif type(value) in _BUILTINS:
            self._bound_builtin(path, value)
        elif isinstance(value, torch.jit.ScriptModule):
            self._script(path, value)
        elif (inner := _uncompiled(value)) is not None:
            self.read(path, inner)
        elif isinstance(value, torch.nn.Module):
            if self._modules is None or not self._modules(self, path, value):
                self.module(path, value)
        else:
            self._object(path, value)

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

    # --- functions ---

    def _library_function(self, function: types.FunctionType, depth: int) -> str | None:
        """Return the name of a library's function, with what it closes over; None where that is no short text."""
        if depth > 3 or not of_library(function):
            return None
        closed = {name: self.text(value, depth + 1) for name, value in closure_of(function).items()}
        if None in closed.values():
            return None
        told = ", ".join(f"{name}={text}" for name, text in closed.items())
        return library_name(function) + (f"({told})" if told else "")

    def _function(self, path: str, function: types.FunctionType, defaults: bool = True) -> None:
        if of_library(function):
            self.note(path, library_name(function))
        else:
            code = facts_of_code(function.__code__)
            self.note(inside(path, SOURCE), f"#{code.digest} {PYTHON}")
            if code.constants:
                self.note(inside(path, CONSTANTS), shortened(", ".join(code.constants)))
            self._read |= code.attributes
            for chain in code.names:
                self._global(chain, function.__globals__)
            if defaults:
                self._defaults(path, function)
            for name, value in sorted(vars(function).items()):
                if name != "__wrapped__":
                    self.read(inside(path, name), value)
        for name, value in closure_of(function).items():
            if name == "__class__":
                self.class_text(value)
            else:
                self.read(inside(path, f"closure {name}"), value)

    def _defaults(self, path: str, function: types.FunctionType) -> None:
        code, values = function.__code__, function.__defaults__ or ()
        names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
        for name, value in [*zip(names, values, strict=True), *(function.__kwdefaults__ or {}).items()]:
            self.read(inside(path, f"default {name}"), value)

    def signature_of(self, path: str, function: Any) -> None:
        """Read the function that a data function or builder is, whose defaults are recorded as its keywords."""
        self._alive.append(function)
        if isinstance(function, functools.partial):
            self._partial(path, function, defaults=False)
        elif isinstance(function, types.MethodType):
            self._method(path, function, defaults=False)
        elif isinstance(function, types.FunctionType):
            self._seen[id(function)] = path
            self._function(path, function, defaults=False)
        else:
            self.read(path, function)

    def _partial(self, path: str, value: functools.partial[Any], defaults: bool = True) -> None:
        if defaults:
            self.read(path, value.func)
        else:
            self.signature_of(path, value.func)
        for number, each in enumerate(value.args):
            self.read(inside(path, f"argument {number + 1}"), each)
        for name, each in sorted(value.keywords.items()):
            self.read(inside(path, f"argument {name}"), each)

    def _method(self, path: str, value: types.MethodType, defaults: bool = True) -> None:
        function = value.__func__
        if isinstance(function, types.FunctionType):
            self._called[id(value.__self__)] = function.__name__
            self._function(path, function, defaults)
        else:
            self.read(path, function)
        self.read(inside(path, "self"), value.__self__)

    def _global(self, chain: tuple[str, ...], namespace: dict[str, Any]) -> None:
        """Read what a function finds under a global name, and of a user's module the attributes that it reads."""
        if chain[0] not in namespace or is_of_shell(chain[0], namespace[chain[0]]):
            return
        if chain[0] == "getattr" or chain[0] in _NAMES_OF_MODULES:
            return
        value, names = namespace[chain[0]], [chain[0]]
        holder = namespace
        for attribute in chain[1:]:
            if not isinstance(value, types.ModuleType) or is_library(value.__name__) or attribute not in vars(value):
                break
            holder, value = vars(value), vars(value)[attribute]
            names.append(attribute)
        key = (id(holder), names[-1])
        if key in self._globals:
            return
        path = f"global {'.'.join(names)}"
        if path in self._globals.values():
            path = f"global {holder.get('__name__')}.{names[-1]}"
        self._globals[key] = path
        if isinstance(value, types.FunctionType) and id(value) in self._seen and not of_library(value):
            return  # a function that calls itself, or one that is read already
        self.read(path, value)

    # --- objects ---

    def class_text(self, kind: type) -> str:
        """Return the name of a class; of a user's class all that matters is read too."""
        if not is_users(kind):
            return f"{kind.__module__}.{kind.__qualname__}"
        for each in own_bases(kind):
            if each not in self._classes:
                name = f"class {each.__name__}"
                taken = list(self._classes.values())
                self._classes[each] = name if name not in taken else f"{name} of {each.__module__}.{each.__qualname__}"
                if issubclass(each, Enum):
                    self.note(self._classes[each], shortened(f"{[f'{m.name} = {m.value!r}' for m in each]}"))
        bases = [self._classes.get(base) or f"{base.__module__}.{base.__qualname__}" for base in kind.__bases__]
        if bases != ["builtins.object"]:
            self.note(inside(self._classes[kind], "bases"), ", ".join(bases))
        return self._classes[kind]

    def _more_members(self) -> bool:
        """Read the members of classes that have come to matter; return whether there is anything to read."""
        for kind, path in list(self._classes.items()):
            for name, member in members_that_matter(kind, self._read).items():
                if (kind, name) in self._members or (issubclass(kind, Enum) and name in kind.__members__):
                    continue
                self._members.add((kind, name))
                functions = list(functions_in(member))
                for number, function in enumerate(functions):
                    if id(function) not in self._seen:
                        self.read(inside(path, name if number == 0 else f"{name} setter"), function)
                if (
                    not functions
                    and not inspect.isdatadescriptor(member)
                    and not isinstance(member, functools.cached_property)
                ):
                    self.read(inside(path, name), member)
        return bool(self._queue)

    def _object(self, path: str, value: Any) -> None:
        kind = type(value)
        library = not is_users(kind)
        parts = parts_of(value) if library else attributes_of(value)
        if parts is None or (isinstance(parts, str) and not is_library(getattr(value, "__module__", kind.__module__))):
            what = "compiled code" if callable(value) else f"a {kind.__name__}, whose state cannot be read"
            self.leave_out(path, what)
            return
        if isinstance(parts, str):
            self.note(path, parts)
            return
        self.note(inside(path, CLASS), self.class_text(kind))
        called = self._called.get(id(value), "__call__")
        states = frozenset() if library else states_of(kind, (called, "__call__"))
        for name, each in sorted(parts.items()):
            if name not in states:
                self.read(inside(path, name), each)
        for collection in (dict, list, tuple, set, frozenset):
            if isinstance(value, collection) and not library:
                self.read(inside(path, "items"), collection(value))

    def _bound_builtin(self, path: str, value: Any) -> None:
        """Read what a function not written in Python is bound to, as `table.get` is; of another nothing can be read."""
        owner = value.__self__
        if owner is None or isinstance(owner, (types.ModuleType, type)):
            self.leave_out(path, "compiled code")
        else:
            self.note(path, f"method {value.__name__}")
            self.read(inside(path, "self"), owner)

    def _script(self, path: str, value: torch.jit.ScriptModule) -> None:
        texts = [str(getattr(each, "code", "")) for each in value.modules()]
        self.note(inside(path, SOURCE), shortened("\n".join(texts), 0))
        for name, each in (*value.named_parameters(), *value.named_buffers()):
            self.array(inside(path, name), each)

    def module(self, path: str, module: torch.nn.Module, skip: frozenset[str] = frozenset()) -> None:
        """Read a module: its class, settings, parameters, buffers and submodules, without what a forward sets."""
        self.note(inside(path, CLASS), self.class_text(type(module)))
        if isinstance(module, torch.fx.GraphModule):
            self.note(inside(path, SOURCE), shortened(module.code, 0))
            skip |= vars(module).keys()  # what the code was made of
        skipped = skip | (frozenset() if self.trained is None else states_of(type(module))) | _TORCHS
        for name, value in sorted(vars(module).items()):
            if name not in skipped:
                self.read(inside(path, name), value)
        for kind in ("_parameters", "_buffers", "_modules"):
            for name, value in vars(module)[kind].items():
                if value is not None and name not in skipped:
                    self.read(inside(path, name), value)
        for kind, name in (("_forward_pre_hooks", "pre-hook"), ("_forward_hooks", "hook")):
            hooks = [hook for hook in vars(module)[kind].values() if not _is_nmlabs(hook)]
            for number, hook in enumerate(hooks, start=1):
                self.read(inside(path, f"{name} {number}"), hook)


_DESCRIPTORS = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)

_BUILTINS = (types.BuiltinFunctionType, types.MethodWrapperType)

_TORCHS = frozenset(vars(torch.nn.Module()))
"""The attributes that torch keeps of every module."""


def _is_result(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.grad_fn is not None


def _is_nmlabs(hook: Any) -> bool:
    function = getattr(hook, "func", hook)
    return str(getattr(function, "__module__", "")).partition(".")[0] in ("nmlab", "lightning")


def _uncompiled(value: Any) -> Any:
    """Return what an object was compiled or wrapped from, where it says so; else None."""
    if isinstance(value, torch.nn.Module):
        return vars(value).get("_modules", {}).get("_orig_mod")
    held = getattr(value, "__dict__", {})
    for name in ("py_func", "_torchdynamo_orig_callable"):  # numba's and torch's
        if callable(held.get(name)) or (name == "py_func" and callable(getattr(type(value), name, None))):
            return getattr(value, name)
    return value.__wrapped__ if isinstance(value, functools._lru_cache_wrapper) else None


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
