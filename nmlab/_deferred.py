"""Makes `import neuromancer` and `import lightning` skip packages that only rare uses of them need.

`neuromancer.plot` compiles numba functions for some image plots, which takes about twenty seconds in every session;
`neuromancer.trainer` imports wandb for its sweeps, torchmetrics imports `scipy.signal` to patch a name that SciPy
dropped, Lightning imports `torch._dynamo` for an `isinstance`. nmlab gives these modules, `DEFERRED`, their own
`__import__`, which returns a placeholder for the slow packages. The placeholder imports the real package when one of
its attributes is first used.

Nothing else is affected: `sys.modules`, the packages themselves and their settings stay untouched, and an
`import wandb` elsewhere is the plain import. `nmlab/__init__.py` installs this, so that nmlab's own modules and a
user's cells after `import nmlab` can use a plain `import neuromancer`. Modules that were loaded before are left alone.
"""

import builtins
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any


class _IfImported(type):
    """The type of a class that stands for `torch._dynamo.OptimizedModule`: nothing is one before that is imported."""

    def __instancecheck__(cls, instance: object) -> bool:
        real = getattr(sys.modules.get("torch._dynamo"), "OptimizedModule", None)
        return real is not None and isinstance(instance, real)


class _OptimizedModule(metaclass=_IfImported):
    """What Lightning asks about before `torch._dynamo` is imported."""


def _function(package: str, name: str) -> Mapping[str, object]:
    """Return a function of a package, by its name; the package is imported when it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(package), name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return {name: call}


# Packages to defer, each with the attributes that can be had before it is imported.
_Packages = Mapping[str, Mapping[str, object]]
_AUDIO: _Packages = {"scipy.signal": {"hamming": None}}  # asked for whether it exists; `_AudioLoader` adds it
_DYNAMO: _Packages = {"torch._dynamo": {"OptimizedModule": _OptimizedModule}}
_PYTS: _Packages = {"pyts.image": {}, "pyts.multivariate.image": {}}

# The module that imports, and what is deferred in it.
DEFERRED: Mapping[str, _Packages] = {
    "lightning.fabric.wrappers": _DYNAMO,
    "lightning.pytorch.utilities.compile": _DYNAMO,
    "neuromancer.dataset": {"pandas": {}, "scipy.io": _function("scipy.io", "loadmat")},
    "neuromancer.plot": {**_PYTS, "scipy.linalg": {}, "scipy.stats": {}},
    "neuromancer.psl.coupled_systems": {
        "sklearn.metrics.pairwise": _function("sklearn.metrics.pairwise", "euclidean_distances")
    },
    "neuromancer.psl.plot": _PYTS,
    "neuromancer.trainer": {"wandb": {}},
    "torchmetrics": _AUDIO,
    "torchmetrics.audio": _AUDIO,
    "torchmetrics.functional.audio": _AUDIO,
}


def install() -> None:
    """Put the finder first on `sys.meta_path`, once; modules that are already loaded are not affected."""
    # By module name, not isinstance: after a reload of this module the finder's class is a different object.
    if not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Placeholder(ModuleType):
    """Placeholder for a slow package, or for a parent package of it, until one of its attributes is used."""

    def __init__(self, name: str, packages: _Packages) -> None:
        super().__init__(name)
        vars(self)["_packages"] = packages

    def __getattr__(self, name: str) -> Any:
        packages: _Packages = vars(self)["_packages"]
        path = f"{self.__name__}.{name}"
        if any(f"{package}.".startswith(f"{path}.") for package in packages):
            return _Placeholder(path, packages)
        known = packages.get(self.__name__, {})
        if name in known and self.__name__ not in sys.modules:
            return known[name]
        return getattr(importlib.import_module(self.__name__), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(importlib.import_module(self.__name__), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(importlib.import_module(self.__name__), name)

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}, imported when it is first used>"

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        # a plot that is pickled and sent elsewhere gets the real package
        return importlib.import_module, (self.__name__,)


def _importer(packages: _Packages) -> Callable[..., ModuleType]:
    """`__import__` of a module in which these packages are deferred."""

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0:
            wanted = {name, *(f"{name}.{member}" for member in fromlist or ())} & packages.keys()
            if wanted and not any(package in sys.modules for package in wanted):
                # `import a.b as c` imports a and then takes its attribute b.
                return _Placeholder(name if fromlist else name.partition(".")[0], packages)
        return builtins.__import__(name, globals, locals, fromlist, level)

    return import_


class _DeferringLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _importer(DEFERRED[self.name])}
        super().exec_module(module)


class _AudioLoader(SourceFileLoader):
    """Loads `scipy.signal` as torchmetrics leaves it: with `hamming`, which SciPy moved to `scipy.signal.windows`."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if "torchmetrics" in sys.modules and not hasattr(module, "hamming"):
            vars(module)["hamming"] = module.windows.hamming


class _LoggedLoader(SourceFileLoader):
    """Loads Lightning's logged results with torch's own late form of `torch.compiler.disable`.

    They decorate two functions with it, and `torch._dynamo` is imported for that. torch's own functions are
    decorated by `torch._disable_dynamo`, which imports it when the function is first called.
    """

    def exec_module(self, module: ModuleType) -> None:
        import torch  # Lightning has imported it long ago

        late = importlib.import_module("torch._compile")._disable_dynamo
        at_once: Any = torch.compiler.disable

        def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
            if isinstance(fn, FunctionType) and reason is None:
                return late(fn, recursive)
            return at_once(fn, recursive, reason=reason)

        torch.compiler.disable = disable
        try:
            super().exec_module(module)
        finally:
            torch.compiler.disable = at_once


_LOADERS: Mapping[str, type[SourceFileLoader]] = {
    **dict.fromkeys(DEFERRED, _DeferringLoader),
    "lightning.pytorch.trainer.connectors.logger_connector.result": _LoggedLoader,
    "scipy.signal": _AudioLoader,
}


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _LOADERS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        # Any other loader (a zip file, a frozen application) is left as it is: slow, but correct.
        if spec is not None and spec.origin is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _LOADERS[fullname](fullname, spec.origin)
        return spec
