"""The text of functions and classes where it was typed, in a file or a notebook's cell, and the names in it."""

from __future__ import annotations

import ast
import inspect
import linecache
import symtable
import textwrap
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from nmlab.sources.literals import NoSourceError

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Texts:
    """Finds the text of definitions; parses each file or cell once."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[str, ast.Module]] = {}

    def of_function(self, function: FunctionType) -> tuple[str, bool]:
        """Return a function's text, a lambda's on one line, and whether it has decorators, which are in the text.

        Raises `NoSourceError` where there is none, as for what was typed into `exec`.
        """
        code = function.__code__
        source, tree = self._parse(code.co_filename)
        if code.co_name == "<lambda>":
            return ast.unparse(_lambda_node(tree, code)), False
        for node in ast.walk(tree):
            if (
                isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                and node.name == code.co_name
                and _first_line(node) == code.co_firstlineno
            ):
                return _cut(source, node), bool(node.decorator_list)
        raise NoSourceError("a function whose file was changed after it was read; it has no source")

    def of_class(self, kind: type, main_file: str | None) -> str:
        """Return a class's text with its decorators; `main_file`, a script's that may hold it.

        A class does not say where it was typed. Its methods do; for one without, the cells are searched, newest first.
        Raises `NoSourceError` where nothing is found.
        """
        codes = list(_codes_of(kind))
        cells = [file for file, entry in reversed(list(linecache.cache.items())) if len(entry) > 1 and entry[1] is None]
        line = vars(kind).get("__firstlineno__")  # from Python 3.13 on
        for file in dict.fromkeys(
            [code.co_filename for code in codes] or [*cells, *([main_file] if main_file else [])]
        ):
            try:
                source, tree = self._parse(file)
            except (NoSourceError, SyntaxError):
                continue
            inside = [code.co_firstlineno for code in codes if code.co_filename == file]
            nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
            for node in sorted(nodes, key=lambda node: -node.lineno):
                here = range(_first_line(node), (node.end_lineno or node.lineno) + 1)
                if all(first in here for first in inside) and line in (None, here[0]):
                    return _cut(source, node)
        raise NoSourceError(f"the class {kind.__name__}, typed where no source is kept")

    def _parse(self, file: str) -> tuple[str, ast.Module]:
        if file not in self._parsed:
            text = "".join(linecache.getlines(file))
            if not text:
                raise NoSourceError("a function typed where no source is kept")
            self._parsed[file] = text, ast.parse(text)
        return self._parsed[file]


def undecorated(value: Any, name: str) -> FunctionType | None:
    """Return the function that was typed as `name` below its decorators; None where `value` is no function."""
    inner = inspect.unwrap(value) if callable(value) else value
    if inner is value and isinstance(value, FunctionType) and "<locals>" in value.__qualname__:
        inner = _enclosed(value, name) or value
    return inner if isinstance(inner, FunctionType) else None


def _enclosed(function: FunctionType, name: str) -> FunctionType | None:
    """The function called `name` that decorators without `functools.wraps` keep in their closures."""
    for content in closure_of(function).values():
        if isinstance(content, FunctionType) and content is not function:
            found = content if content.__name__ == name else _enclosed(content, name)
            if found is not None:
                return found
    return None


def closure_of(function: FunctionType) -> dict[str, Any]:
    """Return the variables of the functions around it that a function uses, as far as they are set."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return found


def names_in(text: str) -> tuple[list[str], list[str]]:
    """Return the global names that a module's text needs when it is run, and those that its functions need later.

    Decorators, defaults, base classes, annotations and a class's own lines are run at once. Names in annotations
    that are strings come last: nmlab reads them for the form.
    """
    now: list[str] = []
    later: list[str] = []

    def look(table: symtable.SymbolTable, kept: list[str]) -> None:
        at_top = table.get_type() == "module"
        kept += [s.get_name() for s in table.get_symbols() if s.is_global() and (s.is_referenced() or not at_top)]
        for child in table.get_children():
            look(child, now if kept is now and child.get_type() == "class" else later)

    look(symtable.symtable(text, "<source>", "exec"), now)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Constant):
            later += _names_of_annotation(node.annotation.value)
    return list(dict.fromkeys(now)), list(dict.fromkeys(later))


def in_order(texts: dict[str, str]) -> list[str]:
    """Return definitions' texts, by the name each defines, so that every one comes after those it needs."""
    needs = {name: names_in(text) for name, text in texts.items()}

    def ordered(names: Iterable[str], needed: Any) -> Iterator[str]:
        seen: set[str] = set()

        def visit(name: str) -> Iterator[str]:
            if name in needs and name not in seen:
                seen.add(name)
                for other in needed(name):
                    yield from visit(other)
                yield name

        for name in names:
            yield from visit(name)

    # A decorator is called at once, so what it needs later has to be there too. Where functions need each other, what
    # is needed at once decides.
    roughly = list(ordered(texts, lambda name: [*needs[name][0], *needs[name][1]]))
    return [texts[name] for name in ordered(roughly, lambda name: needs[name][0])]


def _names_of_annotation(text: Any) -> list[str]:
    try:
        return [node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)]
    except (SyntaxError, TypeError, ValueError):
        return []


def _codes_of(kind: type) -> Iterator[CodeType]:
    """The code of those methods of a class that were typed in it."""
    for member in vars(kind).values():
        for layer in ("__func__", "fget", "func"):  # of class methods, properties, cached properties
            member = getattr(member, layer, None) or member
        code = getattr(inspect.unwrap(member) if callable(member) else member, "__code__", None)
        if code is not None and code.co_qualname.startswith(f"{kind.__qualname__}.") and code.co_filename != "<string>":
            yield code


def _lambda_node(tree: ast.Module, code: CodeType) -> ast.Lambda:
    """The lambda that a code was compiled from: the innermost whose body holds all that the code does."""
    spans = [
        ((line, column), (end_line, end_column))
        for line, end_line, column, end_column in code.co_positions()
        if None not in (line, end_line, column, end_column) and (line, column) != (end_line, end_column)
    ]
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda)
        and all(
            (node.body.lineno, node.body.col_offset) <= start
            and end <= (node.body.end_lineno or 0, node.body.end_col_offset or 0)
            for start, end in spans
        )
    ]
    if not found or not spans:
        raise NoSourceError("a lambda typed where no source is kept")
    return max(found, key=lambda node: (node.lineno, node.col_offset))


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _cut(source: str, node: Definition) -> str:
    """The text of a definition, moved to the left margin; formatted anew only where moving would change a string."""
    text = "\n".join(source.split("\n")[_first_line(node) - 1 : node.end_lineno])
    moved = textwrap.dedent(text)
    if node.col_offset and ast.dump(ast.parse(moved)) != ast.dump(ast.Module([node], [])):
        return ast.unparse(node)
    return moved
