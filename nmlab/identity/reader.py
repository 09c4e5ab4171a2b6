"""Reads what anything is: its parts, in turn, down to plain values, as facts by path.

Nothing of the user's is called or changed: attributes are read from an object's own dict, not through properties.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from enum import Enum
from typing import Any

import numpy as np
import torch

from nmlab.identity.callables import Callables
from nmlab.identity.classes import functions_in, is_library, is_users, members_that_matter, own_bases, states_of
from nmlab.identity.differences import CLASS, SOURCE, inside
from nmlab.identity.texts import attributes_of, parts_of, shortened
from nmlab.identity.values import COLLECTIONS


class Reader(Callables):
    """Reads values of any kind, objects and modules among them; see `Values`."""

    def _one(self, path: str, value: Any) -> None:
        if isinstance(value, (torch.device, weakref.ref)):
            return  # no setting
        if self.trained is not None and isinstance(value, torch.Tensor) and value.grad_fn is not None:
            return  # a forward pass left it
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
        if (inner := _uncompiled(value)) is not None:
            self.read(path, inner)
        elif type(value) in COLLECTIONS:
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
        elif isinstance(value, torch.nn.Module):
            self.read_module(path, value)
        else:
            self._object(path, value)

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

    def _script(self, path: str, value: torch.jit.ScriptModule) -> None:
        texts = [str(getattr(each, "code", "")) for each in value.modules()]
        self.note(inside(path, SOURCE), shortened("\n".join(texts), 0))
        for name, each in (*value.named_parameters(), *value.named_buffers()):
            self.array(inside(path, name), each)

    def read_module(self, path: str, module: torch.nn.Module) -> None:
        """Read a module as its class asks for."""
        self.module(path, module)

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


_BUILTINS = (types.BuiltinFunctionType, types.MethodWrapperType)

_CACHED = type(functools.lru_cache(len))

_TORCHS = frozenset(vars(torch.nn.Module())) | {"_compiled_call_impl", "_compile_kwargs", "_is_torch_compile"}
"""The attributes that torch keeps of every module, and of a compiled one."""


def _is_nmlabs(hook: Any) -> bool:
    function = getattr(hook, "func", hook)
    return str(getattr(function, "__module__", "")).partition(".")[0] in ("nmlab", "lightning")


def _uncompiled(value: Any) -> Any:
    """Return what an object was compiled or wrapped from, where it says so; else None."""
    if isinstance(value, torch.jit.ScriptModule):
        return None
    if isinstance(value, torch.nn.Module):
        return vars(value)["_modules"].get("_orig_mod")
    held = getattr(value, "__dict__", {})
    for name in ("py_func", "_torchdynamo_orig_callable"):  # numba's and torch's
        if callable(held.get(name)) or (name == "py_func" and callable(getattr(type(value), name, None))):
            return getattr(value, name)
    return value.__wrapped__ if isinstance(value, _CACHED) else None
