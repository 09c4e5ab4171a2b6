"""Collects everything that functions need before they can run, by following the names that they use.

Notebook cells are edited and run again, so the source code is taken when a run starts. What can be imported is
imported. What a notebook or script defines is copied with everything it uses in turn, and constants are written as
literals. Of any other object only the name and a description are kept, for a person to fill in.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import functools
import inspect
import re
import sys
from collections import ChainMap
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from nmlab.sources.literals import NoSourceError, is_plain, literal
from nmlab.sources.origins import SHARED, folder_of, import_line, import_place_of, submodules_in
from nmlab.sources.texts import Texts, closure_of, in_order, names_in, undecorated


def sources_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a script needs to recreate functions and values, as JSON; never raises.

    Parameters
    ----------
    given : mapping of str to Any
        Functions and values by dotted name. A value without source must be filled in under the last part of its name.

    Returns
    -------
    dict
        With these keys. 'given': for each name the Python expression of the value; 'imports': lines; 'folders': folders
        of modules that are not installed -> names of these modules; 'definitions': functions, classes and constants
        as source code, each after those it needs; 'missing': names that the others use but that have no source -> what
        they were.
    """
    collector = _Collector(given.values())
    return {
        "given": collector.expressions(given),
        "imports": sorted(collector.imports.values()),
        "folders": {folder: sorted(names) for folder, names in sorted(collector.folders.items())},
        "definitions": in_order(collector.definitions),
        "missing": collector.missing,
    }


class _Scope(ChainMap[str, Any]):
    """The values of a function's global names and of the variables of its enclosing functions."""

    def __init__(self, function: FunctionType | None = None) -> None:
        super().__init__(*([closure_of(function), function.__globals__] if function is not None else []))

    def name_of(self, value: Any) -> str | None:
        """Return the name of an object in this scope; None for an object whose identity has no meaning."""
        if isinstance(value, SHARED):
            return None
        own_name = str(getattr(value, "__name__", ""))
        return own_name if own_name and self.get(own_name) is value else self._names.get(id(value))

    @functools.cached_property
    def _names(self) -> dict[int, str]:
        return {
            id(value): name for scope in self.maps for name, value in list(scope.items()) if not name.startswith("_")
        }


class _Collector:
    """Collects imports and definitions, by name; `given` are the values to begin with."""

    def __init__(self, given: Iterable[Any]) -> None:
        self.imports: dict[str, str] = {}
        self.folders: dict[str, set[str]] = {}
        self.definitions: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self._values: dict[str, Any] = {}  # by name
        self._texts = Texts()
        functions = [function for value in given if (function := _function_in(value)) is not None]
        mains = (function for function in functions if function.__module__ == "__main__")
        self._scope = _Scope(next(mains, functions[0] if functions else None))

    def expressions(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Return an expression for each value, and collect what it needs."""
        found, faults = {}, {}
        for key, value in given.items():
            try:
                found[key] = self._expression(value, self._scope)
                ast.parse(found[key], mode="eval")  # fails if it is nested too deeply
            except Exception as error:  # a user's objects may raise anything
                faults[key] = _reason(error)
        for key, fault in faults.items():  # now that all other names are known
            name = re.sub(r"\W", "_", key.rpartition(".")[2])
            while name in self._values:
                name += "_"
            self._values[name], self.missing[name], found[key] = given[key], fault, name
        return {key: found[key] for key in given}

    def _define(self, name: str, value: Any, scope: _Scope) -> str:
        """Collect what gives `name` the value in a script, or record it as missing, and return the name."""
        known = name in self._values
        if known and self._values[name] is value:
            return name
        self._values.setdefault(name, value)
        try:
            text = self._definition(name, value, scope)
            ast.parse(text)
        except Exception as error:
            self.missing.setdefault(name, _reason(error))
        else:
            collection = self.imports if text.startswith(("import ", "from ")) else self.definitions
            if known and collection.get(name) != text:
                self.missing[name] = "two different objects have this name"
            collection[name] = text
        if name in self.missing:
            self.definitions.pop(name, None)
            self.imports.pop(name, None)
        return name

    def _definition(self, name: str, value: Any, scope: _Scope) -> str:
        place = import_place_of(value, name)
        if place is not None and "." not in place[1]:
            if folder := folder_of(sys.modules[place[0]]):
                self.folders.setdefault(folder, set()).add(place[0].partition(".")[0])
            return import_line(*place, name)
        if place is None and inspect.isclass(value):
            text = self._texts.of_class(value, scope.get("__file__"))
            self._define_names(text, scope)
            return self._renamed(value.__name__, text, name, value, scope)
        if place is None and (function := undecorated(value, name)) is not None:
            text = self._text(function, made=function is not value)
            return self._renamed(function.__code__.co_name, text, name, value, _Scope(function))
        return f"{name} = {self._expression(value, scope, by_name=False)}"

    def _renamed(self, original: str, text: str, name: str, value: Any, scope: _Scope) -> str:
        """Return code that defines `name`, from code that defines the same object under its original name."""
        if original == "<lambda>":
            return f"{name} = {text}"
        if name != original and scope.get(original) is value:
            return f"{name} = {self._define(original, value, scope)}"
        return re.sub(rf"^(async def|def|class) {original}\b", rf"\1 {name}", text, count=1, flags=re.MULTILINE)

    def _expression(self, value: Any, scope: _Scope, by_name: bool = True) -> str:
        """Return an expression for a value; `by_name` says whether it may be the value's name in `scope`."""

        def inner(part: Any) -> str:
            return self._expression(part, scope)

        if is_plain(value):
            return literal(value, inner)
        own_name = str(getattr(value, "__name__", ""))
        if own_name and vars(builtins).get(own_name) is value and not isinstance(value, FunctionType):
            return own_name
        if by_name and (found := scope.name_of(value)):
            return self._define(found, value, scope)
        if isinstance(value, functools.partial):
            keywords = (f"{name}={inner(part)}" for name, part in value.keywords.items())
            return f"{inner(functools)}.partial({', '.join([*map(inner, (value.func, *value.args)), *keywords])})"
        if inspect.ismethod(value):
            return f"{inner(value.__self__)}.{own_name}"
        if place := import_place_of(value, own_name):
            module, path = place
            if not path:
                return self._define({"numpy": "np"}.get(module) or module.rpartition(".")[2], value, scope)
            first, dot, rest = path.partition(".")
            return self._define(first, vars(sys.modules[module])[first], scope) + dot + rest
        owner, _, attribute = str(getattr(value, "__qualname__", "")).rpartition(".")
        if inspect.isclass(scope.get(owner)):  # a static method
            return f"{self._define(owner, scope[owner], scope)}.{attribute}"
        if own_name == "<lambda>" and isinstance(value, FunctionType):
            return f"({self._text(value)})"
        if own_name and (inspect.isclass(value) or undecorated(value, own_name)):
            return self._define(own_name, value, scope)
        return literal(value, inner)

    def _text(self, function: FunctionType, made: bool = False) -> str:
        """Return a function's source code, and collect all that it uses.

        `made` says whether the wanted function is not this one but was made of it, as by a decorator.
        """
        text, has_decorators = self._texts.of_function(function)
        if made and not has_decorators:
            raise NoSourceError("a function that a call made from another one; it has no source")
        if function.__code__.co_flags & __future__.annotations.compiler_flag:
            self.imports["__future__"] = "from __future__ import annotations"
        self._define_names(text, _Scope(function))
        return text

    def _define_names(self, text: str, scope: _Scope) -> None:
        now, later = names_in(text)
        for name in dict.fromkeys(now + later):
            if name in scope and not name.startswith("__") and not is_of_shell(name, scope[name]):
                self._define(name, scope[name], scope)
            elif isinstance(found := vars(builtins).get(name), FunctionType):
                self._define(name, found, scope)  # IPython's `display` is a built-in name
        for module in submodules_in(text, scope):
            self.imports[module] = f"import {module}"


def _function_in(value: Any) -> FunctionType | None:
    """Return the function that a value is, is made of, or has as a method."""
    try:
        while isinstance(value, functools.partial):
            value = value.func
        if inspect.isclass(value) or (callable(value) and type(value).__module__ == "__main__"):
            members = vars(value if inspect.isclass(value) else type(value)).values()
            value = next((member for member in members if isinstance(member, FunctionType)), None)
        return undecorated(getattr(value, "__func__", value), "")
    except Exception:  # an object that cannot be inspected
        return None


def is_of_shell(name: str, value: Any) -> bool:
    """Return whether IPython added this to the user's names in place of a built-in one, such as `open` or `exit`."""
    builtin = vars(builtins).get(name)
    if builtin is None or value is builtin:
        return False
    return getattr(value, "__wrapped__", None) is builtin or str(type(value).__module__).startswith("IPython.")


def _reason(error: Exception) -> str:
    known = isinstance(error, NoSourceError)
    return str(error) if known else f"an object that could not be read ({type(error).__name__}: {error})"
