"""The helpers and constants that a run's data function and builder use, as they were when it began."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any


def helpers_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the code of what the data function and the builder use, directly or indirectly, by name.

    The code of a constant is its value, that of a function or class its whole definition. The data function and the
    builder themselves are not included.

    Parameters
    ----------
    settings : mapping
        Settings of a run, whose 'sources' may be missing or malformed.

    Returns
    -------
    dict of str to str
        Code by name.
    """
    sources = settings.get("sources")
    if not isinstance(sources, dict) or not isinstance(sources.get("definitions"), list):
        return {}
    code: dict[str, str] = {}
    named: dict[str, set[str]] = {}
    for text in map(str, sources["definitions"]):
        for statement in _parsed(text):
            for name in _defined(statement):
                value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
                code[name] = ast.unparse(value) if value is not None else text.strip()
                named[name] = _names(statement)
    own = {_name(settings.get(key)) for key in ("data_function", "problem_source")}
    given = sources.get("given")
    expressions = given.items() if isinstance(given, dict) else []
    # the helper of an option changes the training, not the meaning of the losses
    texts = [str(text) for key, text in expressions if not key.startswith("options.")]
    wanted = [*own, *(name for text in texts for statement in _parsed(text) for name in _names(statement))]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in code and name not in found:
            found.add(name)
            wanted += named[name]
    return {name: code[name] for name in sorted(found - own)}


def _parsed(text: str) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except (SyntaxError, ValueError):
        return []


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _names(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _name(function: Any) -> str:
    return str(function.get("name")) if isinstance(function, dict) else ""
