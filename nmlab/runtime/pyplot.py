"""A separate pyplot for one function: its figures, backend and settings do not mix with the user's.

pyplot keeps its figures in one registry for the whole process, and Jupyter shows the figures in it after each cell. The
figures of a function that draws in a fit's thread would appear below the cell that ends next, and it might start a GUI
outside the main thread. Within `own_pyplot` a context variable selects the registry and the backend, so that the block
and cells that draw at the same time each have their own.
"""

from __future__ import annotations

import contextvars
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends import backend_agg

_own: contextvars.ContextVar[OrderedDict[Any, Any] | None] = contextvars.ContextVar("nmlab_figures", default=None)


@contextmanager
def own_pyplot() -> Iterator[None]:
    """Give the block an empty pyplot with the backend Agg, which shows nothing, and restore the user's afterwards.

    `rcParams` are shared with the process while the block runs, and are restored. pyplot is not imported for this.
    """
    figures, backend = Gcf.figs, matplotlib.rcParams._get("backend")
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    used = pyplot._backend_mod if pyplot is not None else None
    token = _own.set(OrderedDict())
    Gcf.figs = _Figures(figures)  # type: ignore[assignment]  # what pyplot uses of an OrderedDict
    if pyplot is not None:
        pyplot._backend_mod = _Backend(pyplot, used)
    else:  # the block may be the first to import it
        matplotlib.rcParams._set("backend", "agg")
    try:
        with matplotlib.rc_context():
            yield
    finally:
        Gcf.figs = figures
        _own.reset(token)
        now: Any = sys.modules.get("matplotlib.pyplot")
        settled = pyplot is not None and used is None and not isinstance(now._backend_mod, _Backend)
        if not settled:  # by another cell that drew meanwhile and was the first to use pyplot
            matplotlib.rcParams._set("backend", backend)
            if now is not None:
                now._backend_mod = used


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
        own = _own.get()
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
    pyplot : module
        `matplotlib.pyplot`.
    used : module or None
        The user's backend; None if pyplot has not chosen one yet.
    """

    def __init__(self, pyplot: Any, used: Any) -> None:
        self._pyplot = pyplot
        self._used = used

    def __getattr__(self, name: str) -> Any:
        if _own.get() is not None:
            return _nothing if name in ("show", "draw_if_interactive") else getattr(backend_agg, name)
        if self._used is None:
            self._pyplot.switch_backend(matplotlib.rcParams._get("backend"))
            self._used = self._pyplot._backend_mod
        return getattr(self._used, name)


def _nothing(*_arguments: Any, **_named: Any) -> None:
    pass
