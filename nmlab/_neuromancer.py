"""Makes `import neuromancer` skip a compilation that only a few rarely used plots need.

`neuromancer.plot` and `neuromancer.psl.plot` import `pyts.image` and `pyts.multivariate.image` for some image
plots. Importing those compiles numba functions, which takes about twenty seconds in every session. nmlab gives
these two modules their own `__import__`, which returns a placeholder for the slow packages. The placeholder
imports the real package when one of its attributes is first used.

Nothing else is affected: `sys.modules`, the packages themselves and numba's settings stay untouched, and an
`import pyts.image` elsewhere is the plain import. `nmlab/__init__.py` installs this, so that nmlab's own modules
and a user's cells after `import nmlab` can use a plain `import neuromancer`.
"""

import builtins
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_IMPORTERS = frozenset({"neuromancer.plot", "neuromancer.psl.plot"})
_SLOW = frozenset({"pyts.image", "pyts.multivariate.image"})


def install() -> None:
    """Put the finder first on `sys.meta_path`, once; modules that are already loaded are not affected."""
    # By module name, not isinstance: after a reload of this module the finder's class is a different object.
    if not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _PlotFinder())


class _Placeholder(ModuleType):
    """Placeholder for a slow package, or for a parent package of it, until one of its attributes is used."""

    def __getattr__(self, name: str) -> Any:
        path = f"{self.__name__}.{name}"
        if any(f"{slow}.".startswith(f"{path}.") for slow in _SLOW):
            return _Placeholder(path)
        return getattr(importlib.import_module(self.__name__), name)

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}, imported when it is first used>"

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        return importlib.import_module, (
            self.__name__,
        )  # a plot that is pickled and sent elsewhere gets the real package


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """`__import__` as the plotting modules see it: `import pyts.image as name` imports nothing yet."""
    if name in _SLOW and not fromlist and name not in sys.modules:
        # `import a.b as c` imports a and then takes its attribute b.
        return _Placeholder(name.partition(".")[0])
    return builtins.__import__(name, globals, locals, fromlist, level)


class _PlotLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _import}
        super().exec_module(module)


class _PlotFinder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _IMPORTERS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        # Any other loader (a zip file, a frozen application) is left as it is: slow, but correct.
        if spec is not None and spec.origin is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _PlotLoader(fullname, spec.origin)
        return spec
