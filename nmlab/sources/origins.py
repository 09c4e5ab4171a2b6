"""Where things that can be imported are imported from."""

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
"""Types of which one object may stand for many values, so that it being the same says nothing."""


def import_place_of(value: Any, name: str) -> tuple[str, str] | None:
    """Return the module and the path in it that lead to this very object in another process too, or None.

    Parameters: `name`, what the object is called where it is used. The path of a module itself is ''.
    """
    if isinstance(value, ModuleType):
        name = value.__name__
        return (name, "") if sys.modules.get(name) is value and _is_found_again(name) else None
    home, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None) or name
    if home in MAINS or isinstance(value, SHARED) or not isinstance(path, str) or not path:
        return None
    if isinstance(home, str):
        packages = home.split(".")
        # the shortest way is the one that people write: torch.nn.Linear, not torch.nn.modules.linear.Linear
        for length in range(1, len(packages) + 1):
            if _leads_to(module := ".".join(packages[:length]), path, value):
                return module, path
    if "<" in path or isinstance(value, (list, np.ndarray, torch.Tensor)):  # these are as well written out
        return None
    # numpy's functions, and objects such as dicts, do not say where they come from
    modules = list(sys.modules.items())
    holding = [module for module, known in modules if getattr(known, "__dict__", {}).get(path) is value]
    found = [module for module in holding if _is_found_again(module)]
    return (min(found, key=lambda module: ("._" in f".{module}", len(module))), path) if found else None


def _leads_to(module: str, path: str, value: Any) -> bool:
    first, *others = path.split(".")
    found = getattr(sys.modules.get(module), "__dict__", {}).get(first)
    for attribute in others:
        found = getattr(found, attribute, None)
    return found is value and _is_found_again(module)


def _is_found_again(module: str) -> bool:
    """Tell whether a module came from where another process finds it, not out of a running one."""
    return module not in MAINS and getattr(sys.modules.get(module), "__spec__", None) is not None


def import_line(module: str, path: str, name: str) -> str:
    """Return the line that imports what `import_place_of` found as `name`."""
    package, _, last = module.rpartition(".")
    if not path and package and name == last:
        module, path = package, last
    line, own = (f"from {module} import {path}", path) if path else (f"import {module}", module)
    return line if name == own else f"{line} as {name}"


def folder_of(module: ModuleType) -> str | None:
    """Return the folder in which a module of the user's own was found; None for what is installed."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] == "nmlab":
        return None
    path = Path(file).absolute()
    if {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(_STANDARD):
        return None
    return str(path.parents[module.__name__.count(".") + (path.stem == "__init__")])


_STANDARD = sysconfig.get_path("stdlib")


def submodules_in(text: str, scope: Mapping[str, Any]) -> Iterator[str]:
    """Yield the modules that a text names as attributes, and that importing their packages alone does not load."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            package, module = _module(node.value, scope), _module(node, scope)
            if package and module and not _mentions(getattr(package, "__file__", None) or "", node.attr):
                yield module.__name__


def _module(node: ast.expr, scope: Mapping[str, Any]) -> ModuleType | None:
    """The module that a chain of attributes names."""
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
