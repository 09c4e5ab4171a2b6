"""A thread for drawing, so that drawing does not block the main thread of the kernel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

EVERY = 0.1
"""Seconds between two updates during a fit."""

IDLE = 5.0
"""Seconds after which an idle painter ends its thread; the next `wake` starts a new one."""


class Painter:
    """Calls `look` soon after each `wake`, and every 0.1 s for as long as it returns True.

    Parameters
    ----------
    look : callable
        Called in the painter's thread only. Returns whether to call it again; exceptions are logged.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._woken = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Request a call of `look`, from any thread."""
        with self._starting:
            self._woken.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="nmlab painter", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        wait, idle = 0.0, False
        while True:
            woken = self._woken.wait(wait)
            self._woken.clear()
            if not woken and idle:
                with self._starting:
                    if self._woken.is_set():
                        continue
                    self._thread = None
                    return
            try:
                idle = not self._look()
            except Exception:
                logging.getLogger(__name__).exception("The bench could not be drawn")
                idle = True
            wait = IDLE if idle else EVERY
