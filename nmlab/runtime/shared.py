"""A change to the process that holds while any block that needs it is open, in whatever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from nmlab.runtime.interrupts import undone


class SharedChange:
    """A change that many blocks may need at once: the first makes it, and the last undoes it.

    Called, it returns a context manager. A thread that is given up within its block needs the change no more.

    Parameters
    ----------
    change : callable
        Returns a context manager that makes the change and undoes it.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[object]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._open = 0
        self._undo = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the change within a block."""
        with self._lock:
            if not self._open:
                self._undo.enter_context(self._change())
            self._open += 1
        with undone(self._end):
            yield

    def _end(self) -> None:
        with self._lock:
            self._open -= 1
            if not self._open:
                self._undo.close()
