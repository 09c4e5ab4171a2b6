"""A change to the process that holds while any block that needs it is open, in whatever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack


class SharedChange:
    """A context manager that many blocks may have open at once: the first makes the change and the last undoes it.

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

    def __enter__(self) -> None:
        with self._lock:
            if not self._open:
                self._undo.enter_context(self._change())
            self._open += 1

    def __exit__(self, *_raised: object) -> None:
        with self._lock:
            self._open -= 1
            if not self._open:
                self._undo.close()
