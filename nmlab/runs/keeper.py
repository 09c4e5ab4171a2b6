"""Writes of a run that wait in memory while its folder cannot be written: a full disk does not end a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

SHORTEST, LONGEST = 1.0, 30.0
"""Seconds between two tries of what could not be written, at first and at most."""

LAST = (0.05, 0.2, 0.5)
"""Seconds before each of the last tries, when a run has ended."""


@dataclass
class Gap:
    """A time in which nothing of a run could be written.

    Parameters
    ----------
    since : int
        Epoch in which it began.
    error : str
        Why.
    until : int, optional
        Epoch in which everything that had waited was written; None while it waits.
    """

    since: int
    error: str
    until: int | None = None


class Keeper:
    """Writes at once what can be written, and later what cannot.

    Parameters
    ----------
    epoch : callable
        Function that returns the epoch in which the run is.
    """

    def __init__(self, epoch: Callable[[], int]) -> None:
        self._epoch = epoch
        self._waiting: dict[Hashable, Callable[[], object]] = {}
        self._pause, self._next = SHORTEST, 0.0
        self.gaps: list[Gap] = []
        """All times in which something could not be written, the newest last."""

    @property
    def gap(self) -> Gap | None:
        """The time in which something cannot be written, if it goes on."""
        return self.gaps[-1] if self._waiting and self.gaps else None

    def waits(self, key: Hashable) -> bool:
        """Whether the newest write of this key is still to be done."""
        return key in self._waiting

    def keep(self, key: Hashable, write: Callable[[], object]) -> None:
        """Write now, or later as long as that raises an `OSError`; a newer write of a key replaces an older one."""
        troubled = bool(self._waiting)
        self._waiting[key] = write
        if not troubled or time.perf_counter() >= self._next:
            self.flush()

    def try_last(self) -> bool:
        """Try a few more times what waits when a run has ended, and return whether nothing is left."""
        for pause in LAST:
            if self.flush():
                break
            time.sleep(pause)
        return self.flush()

    def flush(self) -> bool:
        """Try all writes that wait, and return whether none is left."""
        error = ""
        for key, write in list(self._waiting.items()):
            try:
                write()
            except OSError as fault:
                error = error or fault.strerror or str(fault)
            else:
                del self._waiting[key]
        if self._waiting:
            if not self.gaps or self.gaps[-1].until is not None:
                self._pause = SHORTEST
                self.gaps.append(Gap(self._epoch(), error))
            self._next = time.perf_counter() + self._pause
            self._pause = min(2 * self._pause, LONGEST)
        elif self.gaps and self.gaps[-1].until is None:
            self.gaps[-1].until = self._epoch()
        return not self._waiting
