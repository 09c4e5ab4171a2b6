"""What an interrupt (Ctrl-C, ■) does while a fit runs in the main thread.

In nmlab's own code, and in all that it calls for a step, a write or a drawing, an exception could come anywhere and
leave half of it done. There an interrupt only asks for a stop, which the fit carries out at its next batch boundary.
In the user's own functions, which may take any time, it raises `KeyboardInterrupt` at once as in any cell.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nmlab.runtime.control import StopRequested

PATIENCE = 5.0
"""Seconds after which a further interrupt no longer waits for the next batch boundary, as where a step never ends."""

_in_users_code: set[int] = set()
"""Identifiers of the threads that are in a function of the user."""


@contextmanager
def users_code() -> Iterator[None]:
    """Mark the block as one of the user's own functions: an interrupt raises there at once."""
    thread = threading.get_ident()
    if thread in _in_users_code:
        yield
        return
    _in_users_code.add(thread)
    try:
        yield
    finally:
        _in_users_code.discard(thread)


class Interrupts:
    """Interrupts that came during a block.

    Parameters
    ----------
    stop : callable
        Asks the fit to stop.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        self._first: float | None = None

    @property
    def came(self) -> bool:
        """Whether there was one."""
        return self._first is not None

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle one, as `signal.signal` calls it."""
        now = time.monotonic()
        first, self._first = self._first, now if self._first is None else self._first
        self._stop()
        if threading.get_ident() in _in_users_code:
            raise KeyboardInterrupt
        if first is not None and now - first > PATIENCE:
            raise StopRequested


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[Interrupts]:
    """Have interrupts call `stop` within the block, and restore their handler afterwards.

    Outside the main thread, where Python delivers no signals, and where interrupts are ignored, nothing changes.

    Parameters
    ----------
    stop : callable
        Asks the fit to stop.
    """
    interrupts = Interrupts(stop)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.getsignal(signal.SIGINT)
    if before in (None, signal.SIG_IGN):  # set outside Python, or as a shell does for what runs in its background
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts.handle)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
