"""The user's own modules in another process, which imports them anew from their files as these are now."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import psutil

from nmlab.errors import RunError
from nmlab.identity.classes import is_library
from nmlab.identity.code import facts_of_code

_SIMPLE = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class OwnModule:
    """What a module of the user's holds, as it is in one process.

    Parameters: `changed`, whether its file was written after the process began, and so perhaps after the import;
    `code`, hashes of its functions and methods by name; `values`, its globals that are numbers or strings.
    """

    changed: bool
    code: dict[str, str]
    values: dict[str, Any]


def own_modules() -> dict[str, OwnModule]:
    """Return the modules that this process has imported and that are no installed packages, by name."""
    return {name: _read(module) for name, module in list(sys.modules.items()) if _is_own(name, module)}


def take_modules(there: Mapping[str, OwnModule]) -> None:
    """Give modules the numbers and strings that they hold in the process that asked for the fit.

    Raises
    ------
    RunError
        Where the code of a module is other than there: its file was edited since.
    """
    here = own_modules()
    both = there.keys() & here.keys()
    # code that is other though no file has changed is what a tool makes of it at the import
    modules = sorted(name for name in both if there[name].changed and there[name].code != here[name].code)
    if modules:
        edited = [
            f"{name}.{part}"
            for name in modules
            for part in sorted(there[name].code.keys() | here[name].code.keys())
            if there[name].code.get(part) != here[name].code.get(part)
        ]
        raise RunError(
            f"A new process imports {', '.join(modules)} as its file is now, and there {', '.join(edited[:5])} "
            f"{'is' if len(edited) == 1 else 'are'} other than in this kernel. Import it again (importlib.reload), or "
            "give launch='thread'."
        )
    for name in both:
        vars(sys.modules[name]).update(there[name].values)


def _is_own(name: str, module: Any) -> bool:
    in_file = isinstance(module, ModuleType) and getattr(module, "__file__", None) is not None
    return in_file and name != "__main__" and name.partition(".")[0] != "nmlab" and not is_library(name)


def _read(module: ModuleType) -> OwnModule:
    code: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, value in list(vars(module).items()):
        if type(value) in _SIMPLE and not name.startswith("__"):
            values[name] = value
        for path, function in _functions(name, value, module.__name__):
            facts = facts_of_code(function.__code__)
            code[path] = f"{facts.digest} {facts.constants}"
    try:
        written = Path(str(module.__file__)).stat().st_mtime
    except OSError:
        written = time.time()
    return OwnModule(written > psutil.Process().create_time(), code, values)


def _functions(name: str, value: Any, module: str) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions that a module defines under a name, those of a class among them."""
    if getattr(value, "__module__", None) != module:
        return
    if isinstance(value, FunctionType):
        yield name, value
    elif isinstance(value, type):
        yield from ((f"{name}.{part}", f) for part, f in list(vars(value).items()) if isinstance(f, FunctionType))
