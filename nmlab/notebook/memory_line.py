"""What the bench says of memory where there is a limit, and when it looks."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

from IPython import get_ipython

from nmlab.runtime.memory import memory_in_use, memory_limit

EVERY = 2.0
"""Seconds between two looks while a run goes."""

HIGH = 0.85
"""The share of the limit from which on the bench warns."""

LOW = 0.80
"""The share below which it stops: a use that goes up and down about one mark would have it warn again and again."""

WARNING = (
    "Memory is almost full. At the limit, the kernel is killed. Use fewer samples, stop TensorBoard or delete "
    "large variables. Runs on disk are not affected."
)


class MemoryLine:
    """The line of one bench.

    It looks by itself after each cell, and where `update` is called.

    Parameters: `show`, called with the traits of the panel to change; never, where there is no limit.
    """

    def __init__(self, show: Callable[..., None]) -> None:
        self._show = show
        self._limited = memory_limit() is not None
        self._next = 0.0
        self._high = False
        if self._limited and (shell := get_ipython()) is not None:
            _after_each_cell(shell, weakref.WeakMethod(self._ran))

    def update(self, now: bool = False) -> None:
        """Bring the line up to date; every two seconds at most, but where it is asked for `now`."""
        if not self._limited or (not now and time.monotonic() < self._next):
            return
        used, limit = memory_in_use()
        self._next = time.monotonic() + EVERY
        if limit is None:  # taken away meanwhile
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
    """Make a call after each cell of the notebook, for as long as there is something to call."""

    def ran(_result: object) -> None:
        if (living := call()) is not None:
            living()
        else:
            shell.events.unregister("post_run_cell", ran)

    shell.events.register("post_run_cell", ran)
