"""Finds from where objects can be imported."""

from __future__ import annotations

import ast
import functools
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

MAINS = ("__main__", "__mp_main__")

SHARED = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset, Enum, torch.dtype)
"""Types whose objects may be shared, so that identity has no meaning."""


def import_place_of(value: Any, name: str) -> tuple[str, str] | None:
    """Return from where an object can be imported, in another process too.

    Parameters
    ----------
    value : Any
        The object.
    name : str
        Name of the object where it is used.

    Returns
    -------
    tuple of (str, str) or None
        The module and the path in it, which is '' for a module itself. None if the object cannot be imported.
    """
    if isinstance(value, ModuleType):
        name = value.__name__
        return (name, "") if sys.modules.get(name) is value and _is_importable(name) else None
    home, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None) or name
    if home in MAINS or isinstance(value, SHARED) or not isinstance(path, str) or not path:
        return None
    if isinstance(home, str):
        packages = home.split(".")
        # the shortest path is the usual one: torch.nn.Linear, not torch.nn.modules.linear.Linear
        for length in range(1, len(packages) + 1):
            if _leads_to(module := ".".join(packages[:length]), path, value):
                return module, path
    if "<" in path or isinstance(value, (list, np.ndarray, torch.Tensor)):  # these are written as literals
        return None
    # numpy's functions, and objects such as dicts, do not have the name of their module
    modules = list(sys.modules.items())
    holding = [module for module, known in modules if getattr(known, "__dict__", {}).get(path) is value]
    found = [module for module in holding if _is_importable(module)]
    return (min(found, key=lambda module: ("._" in f".{module}", len(module))), path) if found else None


def _leads_to(module: str, path: str, value: Any) -> bool:
    first, *others = path.split(".")
    found = getattr(sys.modules.get(module), "__dict__", {}).get(first)
    for attribute in others:
        found = getattr(found, attribute, None)
    return found is value and _is_importable(module)


def _is_importable(module: str) -> bool:
    """Return whether another process can import a module, which is not so for one that was made at run time."""
    return module not in MAINS and getattr(sys.modules.get(module), "__spec__", None) is not None


def import_line(module: str, path: str, name: str) -> str:
    """Return the line that imports the result of `import_place_of` as `name`."""
    package, _, last = module.rpartition(".")
    if not path and package and name == last:
        module, path = package, last
    line, own = (f"from {module} import {path}", path) if path else (f"import {module}", module)
    return line if name == own else f"{line} as {name}"


def folder_of(module: ModuleType) -> str | None:
    """Return the folder of a user's own module; None for an installed one."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] == "nmlab":
        return None
    path = Path(file).absolute()
    if {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(_STANDARD):
        return None
    return str(path.parents[module.__name__.count(".") + (path.stem == "__init__")])


_STANDARD = sysconfig.get_path("stdlib")


def submodules_in(text: str, scope: Mapping[str, Any]) -> Iterator[str]:
    """Yield the modules that code uses as attributes and that importing their packages alone does not load."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            package, module = _module(node.value, scope), _module(node, scope)
            if package and module and not _mentions(getattr(package, "__file__", None) or "", node.attr):
                yield module.__name__


def _module(node: ast.expr, scope: Mapping[str, Any]) -> ModuleType | None:
    """Return the module that a chain of attributes stands for."""
    if isinstance(node, ast.Name):
        found = scope.get(node.id)
        return found if isinstance(found, ModuleType) else None
    package = _module(node.value, scope) if isinstance(node, ast.Attribute) else None
    if package is None or not isinstance(node, ast.Attribute):
        return None
    found = sys.modules.get(f"{package.__name__}.{node.attr}")
    return found if found is not None and vars(package).get(node.attr) is found else None


@functools.lru_cache
def _mentions(file: str, name: str) -> bool:
    try:
        return re.search(rf"\b{name}\b", Path(file).read_text("utf-8")) is not None
    except (OSError, UnicodeError):
        return False
