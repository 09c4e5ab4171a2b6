"""Follows the names that functions use to all that must be there before they run.

A notebook's cells are changed and run again, so the text is taken at a run's start. What can be imported is imported.
What a notebook or script defines is copied, with all that it names in turn; constants are written out. Of anything
else only the name is kept and what it was, for a person to fill in.
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
    """Return what a script needs in order to have some functions and values again, as JSON; never raises.

    Parameters: `given`, functions and values by name. A value without source is to be filled in under the last part of
    its dotted name.

    Returns
    -------
    given : for each name the Python expression that gives the value
    imports : lines
    folders : where modules that are not installed were found -> their names
    definitions : functions, classes and constants as text, each after those it needs
    missing : names that the others use and that have no source -> what they were
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
    """What a function's global names stand for, the variables of the functions around it included."""

    def __init__(self, function: FunctionType | None = None) -> None:
        super().__init__(*([closure_of(function), function.__globals__] if function is not None else []))

    def name_of(self, value: Any) -> str | None:
        """The name that an object has here; None for one whose identity says nothing."""
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
    """What was found so far, by name; `given`, the values that all begins with."""

    def __init__(self, given: Iterable[Any]) -> None:
        self.imports: dict[str, str] = {}
        self.folders: dict[str, set[str]] = {}
        self.definitions: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self._values: dict[str, Any] = {}  # what each name stands for
        self._texts = Texts()
        functions = [function for value in given if (function := _function_in(value)) is not None]
        mains = (function for function in functions if function.__module__ == "__main__")
        self._scope = _Scope(next(mains, functions[0] if functions else None))

    def expressions(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Return an expression for each value, having found what it needs."""
        found, faults = {}, {}
        for key, value in given.items():
            try:
                found[key] = self._expression(value, self._scope)
                ast.parse(found[key], mode="eval")  # what is nested too deeply is no Python
            except Exception as error:  # someone's objects may raise anything
                faults[key] = _reason(error)
        for key, fault in faults.items():  # now that all other names are taken
            name = re.sub(r"\W", "_", key.rpartition(".")[2])
            while name in self._values:
                name += "_"
            self._values[name], self.missing[name], found[key] = given[key], fault, name
        return {key: found[key] for key in given}

    def _define(self, name: str, value: Any, scope: _Scope) -> str:
        """See to it that `name` stands for `value` in a script, or is known as missing; return the name."""
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
            kept = self.imports if text.startswith(("import ", "from ")) else self.definitions
            if known and kept.get(name) != text:
                self.missing[name] = "two different things have this name"
            kept[name] = text
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
            return self._typed_as(value.__name__, text, name, value, scope)
        if place is None and (function := undecorated(value, name)) is not None:
            text = self._text(function, made=function is not value)
            return self._typed_as(function.__code__.co_name, text, name, value, _Scope(function))
        return f"{name} = {self._expression(value, scope, by_name=False)}"

    def _typed_as(self, typed: str, text: str, name: str, value: Any, scope: _Scope) -> str:
        """Let a text define `name` whose definition was typed under another."""
        if typed == "<lambda>":
            return f"{name} = {text}"
        if name != typed and scope.get(typed) is value:
            return f"{name} = {self._define(typed, value, scope)}"
        return re.sub(rf"^(async def|def|class) {typed}\b", rf"\1 {name}", text, count=1, flags=re.MULTILINE)

    def _expression(self, value: Any, scope: _Scope, by_name: bool = True) -> str:
        """An expression for a value; `by_name`, whether it may be a name that the value has in `scope`."""

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
        """A function's text, once all that it names is defined; `made`, whether the one asked for is not it itself."""
        text, has_decorators = self._texts.of_function(function)
        if made and not has_decorators:
            raise NoSourceError("a function that a call made of another; it has no source")
        if function.__code__.co_flags & __future__.annotations.compiler_flag:
            self.imports["__future__"] = "from __future__ import annotations"
        self._define_names(text, _Scope(function))
        return text

    def _define_names(self, text: str, scope: _Scope) -> None:
        now, later = names_in(text)
        for name in dict.fromkeys(now + later):
            if name in scope and not name.startswith("__") and not _is_shells(name, scope[name]):
                self._define(name, scope[name], scope)
            elif isinstance(found := vars(builtins).get(name), FunctionType):
                self._define(name, found, scope)  # IPython's `display` is among the built-in names
        for module in submodules_in(text, scope):
            self.imports[module] = f"import {module}"


def _function_in(value: Any) -> FunctionType | None:
    """The function that a value is, or is made of, or has as a method."""
    try:
        while isinstance(value, functools.partial):
            value = value.func
        if inspect.isclass(value) or (callable(value) and type(value).__module__ == "__main__"):
            members = vars(value if inspect.isclass(value) else type(value)).values()
            value = next((member for member in members if isinstance(member, FunctionType)), None)
        return undecorated(getattr(value, "__func__", value), "")
    except Exception:  # an object that does not let itself be looked at
        return None


def _is_shells(name: str, value: Any) -> bool:
    """Tell whether IPython put this among the user's names in place of a built-in one: `open`, `exit`."""
    ordinary = vars(builtins).get(name)
    if ordinary is None or value is ordinary:
        return False
    return getattr(value, "__wrapped__", None) is ordinary or str(type(value).__module__).startswith("IPython.")


def _reason(error: Exception) -> str:
    known = isinstance(error, NoSourceError)
    return str(error) if known else f"something that could not be read ({type(error).__name__}: {error})"
