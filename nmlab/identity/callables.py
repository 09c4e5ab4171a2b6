"""Functions as facts by path: code, closure, defaults, bound arguments, and the globals that they read."""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

from nmlab.identity.classes import is_library, library_name, of_library
from nmlab.identity.code import PYTHON, facts_of_code
from nmlab.identity.differences import CONSTANTS, SOURCE, inside
from nmlab.identity.texts import shortened
from nmlab.identity.values import Values
from nmlab.sources.collecting import is_of_shell
from nmlab.sources.texts import closure_of

_NAMES_OF_MODULES = frozenset({"__file__", "__name__", "__doc__", "__builtins__", "__spec__", "__path__"})


class Callables(Values):
    """Reads functions, and what they use in turn."""

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
            for name, taken in code.imports:
                module = sys.modules.get(name)
                if isinstance(module, types.ModuleType) and not is_library(name):
                    for attribute in sorted(taken or code.attributes & vars(module).keys()):
                        self._global((name, attribute), {name: module})
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

    def _bound_builtin(self, path: str, value: Any) -> None:
        """Read what a function not written in Python is bound to, as `table.get` is; of another nothing can be read."""
        owner = value.__self__
        if owner is None or isinstance(owner, (types.ModuleType, type)):
            self.leave_out(path, "compiled code")
        else:
            self.note(path, f"method {value.__name__}")
            self.read(inside(path, "self"), owner)
