"""Lets `import neuromancer` skip the compilation that it pays for a few rarely used plots.

`neuromancer.plot` and `neuromancer.psl.plot` import `pyts.image` and `pyts.multivariate.image` for some image
plots. Importing those compiles numba functions, twenty seconds that every session would wait for. nmlab gives
these two modules an `__import__` of their own, which hands them a stand-in for the costly packages. The
stand-in imports the real package, compiled as ever, when something is first asked of it.

Nobody else sees a difference: `sys.modules`, the packages themselves and numba's settings stay untouched, and
anyone's own `import pyts.image` is the plain import. `nmlab/__init__.py` installs this, so nmlab's rooms and
a user's cells after `import nmlab` may simply say `import neuromancer`.
"""

import builtins
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_IMPORTERS = frozenset({"neuromancer.plot", "neuromancer.psl.plot"})
_COSTLY = frozenset({"pyts.image", "pyts.multivariate.image"})


def install() -> None:
    """Put the finder first on `sys.meta_path`, once; without effect on modules that are loaded already."""
    # By module name, not isinstance: after a reload of this module the finder's class is another.
    if not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _PlotFinder())


class _StandIn(ModuleType):
    """Stands for a costly package, or a parent on the way to it, until one of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        path = f"{self.__name__}.{name}"
        if any(f"{costly}.".startswith(f"{path}.") for costly in _COSTLY):
            return _StandIn(path)
        return getattr(importlib.import_module(self.__name__), name)

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}, imported when it is first used>"

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        return importlib.import_module, (self.__name__,)  # cloudpickle: a plot sent elsewhere takes the real package


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """`__import__` as the plotting modules see it: `import pyts.image as name` imports nothing yet."""
    if name in _COSTLY and not fromlist and name not in sys.modules:
        # `import a.b as c` takes a and then asks it for b.
        return _StandIn(name.partition(".")[0])
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
        # Any other loader (a zip file, a frozen application) keeps its own way: slow, but right.
        if spec is not None and spec.origin is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _PlotLoader(fullname, spec.origin)
        return spec
