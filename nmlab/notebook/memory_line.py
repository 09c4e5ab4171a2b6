"""Memory in use, shown on the bench where memory is limited."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

from IPython import get_ipython

from nmlab.runtime.memory import memory_in_use, memory_limit

EVERY = 2.0
"""Seconds between two measurements during a run."""

HIGH = 0.85
"""Share of the limit above which the bench shows a warning."""

LOW = 0.80
"""Share below which the warning is removed; lower than HIGH, so that it does not flicker."""

WARNING = (
    "Memory is almost full. At the limit, the kernel is killed. Use fewer samples, stop TensorBoard or delete "
    "large variables. Runs on disk are not affected."
)


class MemoryLine:
    """Shows memory in use on one bench, after each cell and whenever `update` is called.

    Parameters
    ----------
    show : callable
        Called with the traits of the panel to change, as keywords; never called if memory is not limited.
    """

    def __init__(self, show: Callable[..., None]) -> None:
        self._show = show
        self._limited = memory_limit() is not None
        self._next = 0.0
        self._high = False
        if self._limited and (shell := get_ipython()) is not None:
            _after_each_cell(shell, weakref.WeakMethod(self._ran))

    def update(self, now: bool = False) -> None:
        """Measure and show memory, at most every two seconds unless `now`."""
        if not self._limited or (not now and time.monotonic() < self._next):
            return
        used, limit = memory_in_use()
        self._next = time.monotonic() + EVERY
        if limit is None:  # the limit was removed meanwhile
            self._show(memory={})
            return
        self._high = used >= (LOW if self._high else HIGH) * limit
        self._show(memory={"text": in_words(used, limit), "warning": WARNING if self._high else ""})

    def _ran(self) -> None:
        self.update(now=True)


def in_words(used: int, limit: int) -> str:
    """Return memory in use as 'memory 1.2 of 2.0 GB', with the gigabytes of hubs and containers (1024³ bytes)."""
    # not `size_text`: use and limit share one unit
    digits = 1 if limit >= 1 << 30 else 2
    return f"memory {used / (1 << 30):.{digits}f} of {limit / (1 << 30):.{digits}f} GB"


def _after_each_cell(shell: Any, call: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call a method after each cell of the notebook, as long as its object exists."""

    def ran(_result: object) -> None:
        if (living := call()) is not None:
            living()
        else:
            shell.events.unregister("post_run_cell", ran)

    shell.events.register("post_run_cell", ran)
