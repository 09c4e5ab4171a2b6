"""What a running fit listens to, and what it says of itself while it runs.

A `Control` is shared by the thread that fits and whoever watches it. The fit asks `check()` at every batch boundary;
the watcher calls `stop()` and reads `phase` and `progress`. One fit at a time may hold the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from nmlab.errors import BusyError


class StopRequested(Exception):  # noqa: N818 - a request, not a fault
    """Raised inside the fit at the first batch boundary after `Control.stop()`."""


@dataclass
class Progress:
    """How far a fit has come; plain numbers that are safe to read from another thread."""

    epoch: int = 0
    """Epoch being trained, from 0."""
    max_epochs: int = 0
    batch: int = 0
    """Batches done of the pass that goes on (train or dev)."""
    batches: int = 0
    samples: int = 0
    """Training samples seen since the training began."""
    loss: float = float("nan")
    """Mean training loss over the batches seen so far in this epoch."""
    first_epoch: int = 0
    """Epoch at which this training began (not 0 where a run is resumed)."""
    started: float = 0.0
    """`time.perf_counter()` when the training began; 0 before."""

    @property
    def fraction(self) -> float:
        """Share of all epochs that is done, moving within an epoch too (0 to 1)."""
        if not self.max_epochs:
            return 0.0
        within = self.batch / self.batches if self.batches else 0.0
        return min(1.0, (self.epoch + min(within, 1.0)) / self.max_epochs)

    @property
    def seconds_left(self) -> float | None:
        """Time left at the pace so far, in seconds; None while there is no pace yet."""
        first = self.first_epoch / self.max_epochs if self.max_epochs else 0.0
        done = self.fraction - first
        if not self.started or done <= 0:
            return None
        return (time.perf_counter() - self.started) * (1.0 - self.fraction) / done

    @property
    def samples_per_second(self) -> float | None:
        """Training samples per second since the training began; None before the first batch."""
        seconds = time.perf_counter() - self.started
        return self.samples / seconds if self.started and self.samples and seconds > 0 else None


@dataclass
class Control:
    """The two-way line between a fit and its watchers."""

    name: str = "fit"
    """What the running fit is called in messages."""
    phase: str = "starting"
    """What the fit does now, in words for the user."""
    progress: Progress = field(default_factory=Progress)
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask the fit to stop at its next batch boundary; safe to call at any time, any number of times."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop()` was called."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise `StopRequested` where a stop was asked for; called by the fit at every boundary."""
        if self._stop.is_set():
            raise StopRequested


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
            raise BusyError(
                f"{_current.name} is still running in this kernel, and one fit runs at a time. "
                "Wait for it, or stop it with lab.stop()."
            )
        _current = control


def release(control: Control) -> None:
    """Give the process back; harmless where `control` does not hold it."""
    global _current
    with _claiming:
        if _current is control:
            _current = None


@contextmanager
def held(control: Control) -> Iterator[Control]:
    """Release `control` when the block ends, however it ends."""
    try:
        yield control
    finally:
        release(control)
