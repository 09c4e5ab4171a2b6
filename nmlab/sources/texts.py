"""The source code of functions and classes, from a file or a notebook cell, and the names that it uses."""

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
    """Finds the source code of definitions; parses each file or cell once."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[str, ast.Module]] = {}

    def of_function(self, function: FunctionType) -> tuple[str, bool]:
        """Return the source code of a function.

        Parameters
        ----------
        function : function
            The function.

        Returns
        -------
        text : str
            The source code with decorators; on one line for a lambda.
        has_decorators : bool
            Whether it has decorators.

        Raises
        ------
        NoSourceError
            If there is no source code, as for code that `exec` ran.
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
        raise NoSourceError("a function whose file was changed after it was loaded; it has no source")

    def of_class(self, kind: type, main_file: str | None) -> str:
        """Return the source code of a class, with its decorators.

        A class does not know its file, but its methods do. For a class without methods the notebook's cells are
        searched, newest first.

        Parameters
        ----------
        kind : type
            The class.
        main_file : str or None
            File of the main script, which may contain the class.

        Returns
        -------
        str
            The source code.

        Raises
        ------
        NoSourceError
            If it is not found.
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
        raise NoSourceError(f"the class {kind.__name__}, defined where no source is kept")

    def _parse(self, file: str) -> tuple[str, ast.Module]:
        if file not in self._parsed:
            text = "".join(linecache.getlines(file))
            if not text:
                raise NoSourceError("a function defined where no source is kept")
            self._parsed[file] = text, ast.parse(text)
        return self._parsed[file]


def undecorated(value: Any, name: str) -> FunctionType | None:
    """Return the function that was defined as `name` below its decorators; None if `value` is not a function."""
    inner = inspect.unwrap(value) if callable(value) else value
    if inner is value and isinstance(value, FunctionType) and "<locals>" in value.__qualname__:
        inner = _enclosed(value, name) or value
    return inner if isinstance(inner, FunctionType) else None


def _enclosed(function: FunctionType, name: str) -> FunctionType | None:
    """Return the function called `name` in the closures of decorators that do not use `functools.wraps`."""
    for content in closure_of(function).values():
        if isinstance(content, FunctionType) and content is not function:
            found = content if content.__name__ == name else _enclosed(content, name)
            if found is not None:
                return found
    return None


def closure_of(function: FunctionType) -> dict[str, Any]:
    """Return the variables of enclosing functions that a function uses, as far as they are set."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return found


def names_in(text: str) -> tuple[list[str], list[str]]:
    """Return the global names that the code of a module uses.

    Parameters
    ----------
    text : str
        The code.

    Returns
    -------
    now : list of str
        Names that are needed when the code runs, as in decorators, defaults, base classes, annotations and the bodies
        of classes.
    later : list of str
        Names that are needed when its functions are called. Last are those in annotations that are strings, which
        nmlab reads for the form.
    """
    now: list[str] = []
    later: list[str] = []

    def collect(table: symtable.SymbolTable, names: list[str]) -> None:
        at_top = table.get_type() == "module"
        names += [s.get_name() for s in table.get_symbols() if s.is_global() and (s.is_referenced() or not at_top)]
        for child in table.get_children():
            collect(child, now if names is now and child.get_type() == "class" else later)

    collect(symtable.symtable(text, "<source>", "exec"), now)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Constant):
            later += _names_of_annotation(node.annotation.value)
    return list(dict.fromkeys(now)), list(dict.fromkeys(later))


def in_order(texts: dict[str, str]) -> list[str]:
    """Return definitions, given by the name that each defines, in an order such that each follows those it needs."""
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

    # A decorator is called at once, so that the names it needs later must be defined too. If functions need each other,
    # the names that are needed at once decide.
    roughly = list(ordered(texts, lambda name: [*needs[name][0], *needs[name][1]]))
    return [texts[name] for name in ordered(roughly, lambda name: needs[name][0])]


def _names_of_annotation(text: Any) -> list[str]:
    try:
        return [node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)]
    except (SyntaxError, TypeError, ValueError):
        return []


def _codes_of(kind: type) -> Iterator[CodeType]:
    """Yield the code of the methods that are defined in a class."""
    for member in vars(kind).values():
        for layer in ("__func__", "fget", "func"):  # of class methods, properties, cached properties
            member = getattr(member, layer, None) or member
        code = getattr(inspect.unwrap(member) if callable(member) else member, "__code__", None)
        if code is not None and code.co_qualname.startswith(f"{kind.__qualname__}.") and code.co_filename != "<string>":
            yield code


def _lambda_node(tree: ast.Module, code: CodeType) -> ast.Lambda:
    """Return the lambda from which code was compiled: the innermost one whose body contains all of the code."""
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
        raise NoSourceError("a lambda defined where no source is kept")
    return max(found, key=lambda node: (node.lineno, node.col_offset))


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _cut(source: str, node: Definition) -> str:
    """Return the source code of a definition without indentation; reformatted only if this would change a string."""
    text = "\n".join(source.split("\n")[_first_line(node) - 1 : node.end_lineno])
    moved = textwrap.dedent(text)
    if node.col_offset and ast.dump(ast.parse(moved)) != ast.dump(ast.Module([node], [])):
        return ast.unparse(node)
    return moved
