"""One fit at a time in a process: which one holds it, and who is told when this changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from nmlab.errors import BusyError
from nmlab.runtime.control import Control


class Watcher(Protocol):
    """Somebody who shows whether the process is held."""

    def current_changed(self) -> None:
        """Called, in any thread, after a fit took the process or gave it back."""
        ...


_watchers: WeakSet[Watcher] = WeakSet()
_claiming = threading.Lock()
_current: Control | None = None


def current() -> Control | None:
    """Return the control of the fit that holds this process, or None."""
    return _current


def claim(control: Control) -> None:
    """Take the process for the fit that listens to `control`; `release` gives it back.

    Raises `BusyError`, naming the fit that runs, where another fit holds the process.
    """
    global _current
    with _claiming:
        if _current is not None:
            raise BusyError(f"One fit runs at a time in a kernel. {_current.busy()}")
        _current = control
    _announce()


def rename(control: Control, name: str) -> None:
    """Give the fit that holds the process the name that is known by now."""
    control.name = name
    _announce()


def release(control: Control) -> None:
    """Give the process back; harmless where `control` does not hold it."""
    global _current
    with _claiming:
        if _current is not control:
            return
        _current = None
    _announce()


def watch(watcher: Watcher) -> None:
    """Tell `watcher`, as long as it lives, of each change of `current()`."""
    with _claiming:
        _watchers.add(watcher)


def _announce() -> None:
    with _claiming:
        told = list(_watchers)
    for watcher in told:
        watcher.current_changed()


@contextmanager
def held(control: Control) -> Iterator[Control]:
    """Release `control` when the block ends, however it ends."""
    try:
        yield control
    finally:
        release(control)
