"""What an interrupt (Ctrl-C, ■) or a request to stop does to a fit, in the main thread or in a thread of its own.

In nmlab's own code, and in all that it calls for a step, a write or a drawing, an exception could come anywhere and
leave half of it done. There an interrupt only asks for a stop, which the fit carries out at its next batch boundary.
In the user's own functions, which may take any time, `KeyboardInterrupt` can be raised. A thread in which even that has
no effect, as in a call that never returns, can be given up.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from nmlab.runtime.control import StopRequested


class _Once:
    """A function that is called once, by whichever thread is first."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._calls = [call]

    def __call__(self) -> None:
        with suppress(IndexError):
            self._calls.pop()()


PATIENCE = 5.0
"""Seconds after which a further interrupt no longer waits for the next batch boundary, as where a step never ends."""

_in_users_code: set[int] = set()
"""Identifiers of the threads that are in a function of the user."""

_raising = threading.Lock()
"""Held while it is decided whether a thread is in such a function."""

_raised: set[int] = set()
"""Identifiers of those in which an exception was raised from another thread."""

_given_up: set[int] = set()
"""Identifiers of the threads that have been given up."""

_undoing: dict[int, list[_Once]] = {}
"""What threads have to undo, the newest last, by their identifiers."""


@contextmanager
def users_code() -> Iterator[None]:
    """Mark the block as one of the user's own functions: `KeyboardInterrupt` may be raised in it."""
    thread = threading.get_ident()
    if thread in _in_users_code:
        yield
        return
    _in_users_code.add(thread)
    try:
        yield
    finally:
        with _raising:
            _in_users_code.discard(thread)
            raised, left = thread in _raised, thread in _given_up
            _raised.discard(thread)
        if raised:  # but perhaps not arrived yet: it must not arrive outside
            with suppress(KeyboardInterrupt):
                for _ in range(1000):
                    threading.get_ident()
        while left:  # whatever followed here would come too late, and might change what another fit uses
            time.sleep(3600)


def raise_in(thread: int) -> bool:
    """Raise `KeyboardInterrupt` in another thread if that is in a function of the user, and return whether it is."""
    with _raising:
        if thread not in _in_users_code:
            return False
        _raised.add(thread)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        return True


def raise_here(*_signal: object) -> None:
    """Raise `KeyboardInterrupt` if this thread is in a function of the user; also as a handler of a signal."""
    if threading.get_ident() in _in_users_code:
        raise KeyboardInterrupt


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """Call `undo` after the block, or as soon as its thread is given up."""
    once = _Once(undo)
    stack = _undoing.setdefault(threading.get_ident(), [])
    stack.append(once)
    try:
        yield
    finally:
        stack.remove(once)
        if not stack:
            _undoing.pop(threading.get_ident(), None)
        once()


def give_up(thread: int) -> bool:
    """Give up another thread if it is in a function of the user, and return whether it is.

    What it would undo after that function is undone now. Should the function end, the thread stays there for ever.
    """
    with _raising:
        if thread not in _in_users_code:
            return False
        _given_up.add(thread)
    for once in reversed(list(_undoing.get(thread, ()))):
        once()
    return True


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
