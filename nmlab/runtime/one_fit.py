"""One fit at a time in a process: which one is running, and notification of changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from nmlab.errors import BusyError
from nmlab.runtime.control import Control


class Watcher(Protocol):
    """What shows whether a fit is running in the process."""

    def current_changed(self) -> None:
        """Update the display; called in any thread after a fit began or ended."""
        ...


_watchers: WeakSet[Watcher] = WeakSet()
_claiming = threading.Lock()
_current: Control | None = None


def current() -> Control | None:
    """Return the control of the fit that is running in this process, or None."""
    return _current


def claim(control: Control) -> None:
    """Reserve the process for a fit, until `release`.

    Parameters
    ----------
    control : Control
        Control of the fit.

    Raises
    ------
    BusyError
        If another fit is running in the process; the message names it.
    """
    global _current
    with _claiming:
        if _current is not None:
            raise BusyError(f"One fit runs at a time in a kernel. {_current.busy()}")
        _current = control
    _announce()


def rename(control: Control, name: str) -> None:
    """Set the name of the running fit."""
    control.name = name
    _announce()


def release(control: Control) -> None:
    """Free the process; no effect if it is not reserved for this fit."""
    global _current
    with _claiming:
        if _current is not control:
            return
        _current = None
    _announce()


def watch(watcher: Watcher) -> None:
    """Notify a watcher, as long as it exists, of each change of `current()`."""
    with _claiming:
        _watchers.add(watcher)


def _announce() -> None:
    with _claiming:
        watchers = list(_watchers)
    for watcher in watchers:
        watcher.current_changed()


@contextmanager
def held(control: Control) -> Iterator[Control]:
    """Release `control` when the block ends, also with an exception."""
    try:
        yield control
    finally:
        release(control)
