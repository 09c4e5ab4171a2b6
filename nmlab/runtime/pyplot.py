"""A separate pyplot for one function: its figures, backend and settings do not mix with the user's.

pyplot keeps its figures in one registry for the whole process, and Jupyter shows the figures in it after each cell. The
figures of a function that draws in a fit's thread would appear below the cell that ends next, and it might start a GUI
outside the main thread. Within `own_pyplot` a context variable selects the registry, the backend and the `rcParams`, so
that the block and cells that draw at the same time each have their own; what either sets, the other does not see.
"""

from __future__ import annotations

import contextvars
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import matplotlib
from matplotlib import RcParams
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends import backend_agg

from nmlab.runtime.shared import SharedChange

_figures: contextvars.ContextVar[OrderedDict[Any, Any] | None] = contextvars.ContextVar("nmlab_figures", default=None)
_settings: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("nmlab_rc", default=None)


@contextmanager
def own_pyplot() -> Iterator[None]:
    """Give the block an empty pyplot with the backend Agg, which shows nothing, and `rcParams` of its own.

    They begin with the process's values. A change of backend in the block does nothing. pyplot is not imported for
    this.
    """
    token = _figures.set(OrderedDict())
    try:
        with own_rc({"backend": "agg"}), _shared():
            yield
    finally:
        _figures.reset(token)


@contextmanager
def own_rc(settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Give the block `rcParams` of its own, with these settings; what other cells set meanwhile stays theirs."""
    with _shared_rc():
        own = {key: matplotlib.rcParams._get(key) for key in dict.keys(matplotlib.rcParams)}
        token = _settings.set(own | dict(settings or {}))
        try:
            yield
        finally:
            _settings.reset(token)


class _RcParams(RcParams):
    """The class of `matplotlib.rcParams` while a block is open: the block's own values within it."""

    def _own(self) -> dict[str, Any] | None:
        return _settings.get() if self is matplotlib.rcParams else None

    def _set(self, key: Any, val: Any) -> None:
        own = self._own()
        if own is None:
            super()._set(key, val)
        else:
            own[key] = val

    def _get(self, key: Any) -> Any:
        own = self._own()
        return super()._get(key) if own is None else own[key]

    def _update_raw(self, other_params: Any) -> None:
        for key, value in dict.items(other_params):
            self._set(key, value)

    def copy(self) -> RcParams:
        copied = RcParams()
        for key in self:
            copied._set(key, self._get(key))
        return copied


@contextmanager
def _rc_by_context() -> Iterator[None]:
    plain = type(matplotlib.rcParams)
    matplotlib.rcParams.__class__ = _RcParams
    try:
        yield
    finally:
        matplotlib.rcParams.__class__ = plain


@contextmanager
def _pyplot_by_context() -> Iterator[None]:
    """Let figures, backend and the functions that change it depend on the context."""
    users = Gcf.figs
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    backend = _Backend(None if pyplot is None else pyplot._backend_mod)
    with ExitStack() as undo:
        undo.callback(setattr, Gcf, "figs", users)
        Gcf.figs = _Figures(users)  # type: ignore[assignment]  # what pyplot uses of an OrderedDict
        undo.callback(backend.end)
        if pyplot is not None:
            pyplot._backend_mod = backend
            undo.enter_context(_outside(pyplot, "switch_backend", backend.switched))
            for name in ("install_repl_displayhook", "uninstall_repl_displayhook"):  # by ion and ioff
                undo.enter_context(_outside(pyplot, name))
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if shell is not None:  # %matplotlib, %pylab
            undo.enter_context(_outside(shell, "enable_matplotlib", backend.switched, (None, "agg")))
        yield


@contextmanager
def _outside(owner: Any, name: str, after: Callable[[], object] = lambda: None, within: Any = None) -> Iterator[None]:
    """Let a function do nothing within a block, where it returns `within`; outside call `after` afterwards."""
    function, had = getattr(owner, name), name in vars(owner)

    def called(*arguments: Any, **named: Any) -> Any:
        if _figures.get() is not None:
            return within
        try:
            return function(*arguments, **named)
        finally:
            after()

    setattr(owner, name, called)
    try:
        yield
    finally:
        if vars(owner).get(name) is called:
            if had:
                setattr(owner, name, function)
            else:
                delattr(owner, name)


class _Figures:
    """pyplot's figures by number: the block's own within it, the user's everywhere else.

    Parameters
    ----------
    users : OrderedDict
        The user's figures.
    """

    def __init__(self, users: OrderedDict[Any, Any]) -> None:
        self._users = users

    def _present(self) -> OrderedDict[Any, Any]:
        own = _figures.get()
        return self._users if own is None else own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._present(), name)

    def __getitem__(self, number: Any) -> Any:
        return self._present()[number]

    def __setitem__(self, number: Any, manager: Any) -> None:
        self._present()[number] = manager

    def __delitem__(self, number: Any) -> None:
        del self._present()[number]

    def __contains__(self, number: object) -> bool:
        return number in self._present()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._present())

    def __reversed__(self) -> Iterator[Any]:
        yield from reversed(self._present())

    def __len__(self) -> int:
        return len(self._present())


class _Backend:
    """pyplot's backend: Agg within the block, which shows nothing; the user's everywhere else.

    Parameters
    ----------
    used : module or None
        The user's backend; None if pyplot has not chosen one yet.
    """

    def __init__(self, used: Any) -> None:
        self._used = used
        self._name = dict.get(matplotlib.rcParams, "backend")

    def __getattr__(self, name: str) -> Any:
        if _figures.get() is not None:
            return _nothing if name in ("show", "draw_if_interactive") else getattr(backend_agg, name)
        if self._used is None:
            sys.modules["matplotlib.pyplot"].switch_backend(matplotlib.rcParams._get("backend"))
        return getattr(self._used, name)

    def switched(self) -> None:
        """Take the backend that a cell has switched to as the user's."""
        pyplot: Any = sys.modules["matplotlib.pyplot"]
        if pyplot._backend_mod is not self:
            self._used, pyplot._backend_mod = pyplot._backend_mod, self

    def end(self) -> None:
        """Give pyplot the user's backend back, unless a cell has chosen another one past `switched`."""
        pyplot: Any = sys.modules.get("matplotlib.pyplot")
        now = None if pyplot is None else pyplot._backend_mod
        by_cell = now is not None and dict.get(matplotlib.rcParams, "backend") != self._name
        if pyplot is not None and (now is self or not by_cell):
            pyplot._backend_mod = self._used


def _nothing(*_arguments: Any, **_named: Any) -> None:
    pass


_shared_rc = SharedChange(_rc_by_context)
_shared = SharedChange(_pyplot_by_context)
