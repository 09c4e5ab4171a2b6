"""A pyplot for one function alone: its figures, backend and settings never meet the user's.

pyplot keeps its figures in one place for the whole process, and Jupyter shows after each cell what lies there. A
function that draws in a fit's thread would put its figures into whatever cell ends next, and might start a GUI off the
main thread. Within `own_pyplot` that place, and the backend, are told apart by a context variable: the block has its
own, and cells that draw at the same time have theirs.
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
    """Give the block a pyplot without figures, on Agg, that shows nothing; all of pyplot is as before afterwards.

    `rcParams` belong to the process while the block runs, and are put back. pyplot is not imported for this.
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
        if not settled:  # by a cell that drew meanwhile, the first to do so
            matplotlib.rcParams._set("backend", backend)
            if now is not None:
                now._backend_mod = used


class _Figures:
    """pyplot's figures by number: the block's own within it, the user's for all others.

    Parameters: `users`, the place of the user's.
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
    """pyplot's backend: Agg within the block, with nothing to show on; the user's for all others.

    Parameters: `pyplot`; `used`, the user's, or None where pyplot has not settled on one yet.
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
