"""What a running fit listens to, and what it says of itself while it runs.

A `Control` is shared by the thread that fits and whoever watches it. The fit calls `check()` at every batch boundary;
the watcher calls `stop()`, `pause()` or `step()` and reads `phase` and `progress`. One fit at a time may hold the
process.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Protocol

from nmlab.runtime.progress import Progress


class StopRequested(Exception):  # noqa: N818 - a request, not a fault
    """Raised inside the fit at the first batch boundary after `Control.stop()`."""


class Owner(Protocol):
    """Who begins fits and stops them: a Lab's session."""

    @property
    def name(self) -> str:
        """The Lab's name."""
        ...

    def called(self) -> str:
        """Return the variable that holds the Lab in the user's notebook; '' where none does."""
        ...


class Control:
    """The two-way line between a fit and its watchers.

    The watchers' side may be called from any thread, at any time, any number of times; what it asks for shows at once
    in `stopping`, `pausing` and `stepping`, and happens at the fit's next boundary.

    Parameters: `name`, what the running fit is called in messages.
    """

    def __init__(self, name: str = "fit") -> None:
        self.name = name
        self.owner: Owner | None = None
        """Who began the fit and stops it; None for one begun without a Lab."""
        self.blocking = False
        """Whether a cell waits for the fit, so that only an interrupt of the kernel reaches it."""
        self.progress = Progress()
        self.phase = "starting"
        self.on_pause: Callable[[], None] = _nothing
        """Called in the fit's thread before it waits."""
        self._news = threading.Condition()
        self._stopping = self._pausing = self._stepping = self._paused = self._over = False
        self._calls: deque[Callable[[], object]] = deque()

    @property
    def phase(self) -> str:
        """What the fit does now, in words for the user; a pause shows in `paused`."""
        return self._phase[0]

    @phase.setter
    def phase(self, words: str) -> None:
        self._phase = (words, self.progress.clock())

    @property
    def phase_seconds(self) -> float:
        """Seconds since the phase began, without pauses."""
        return self.progress.clock() - self._phase[1]

    def busy(self) -> str:
        """Return which fit holds the process and what stops it, as sentences for an error or a hint."""
        name = self.name[:1].upper() + self.name[1:]
        if self.owner is not None:
            name += f" of Lab {self.owner.name!r}"
        if self.blocking:
            return f"{name} is running in a cell. To stop it, use ■ (interrupt the kernel)."
        if self.owner is None:
            return f"{name} is running. Wait until it has ended."
        called = self.owner.called()
        return f"{name} is running. To stop it, {f'call {called}.stop()' if called else 'press Stop in its panel'}."

    # --- the watchers' side ---

    def stop(self) -> None:
        """Ask the fit to stop at its next batch boundary, also out of a pause."""
        with self._news:
            self._stopping = True
            self._news.notify_all()

    def pause(self) -> None:
        """Ask the fit to wait at its next batch boundary; without effect once the training is over."""
        self._ask(pausing=True)

    def resume(self) -> None:
        """Go on after a pause, or take back what `pause` and `step` asked for."""
        self._ask()

    def step(self) -> None:
        """Let the fit go on to the end of the epoch that it is in, or begins next, and wait there."""
        self._ask(stepping=True)

    def _ask(self, pausing: bool = False, stepping: bool = False) -> None:
        with self._news:
            self._pausing, self._stepping = pausing and not self._over, stepping and not self._over
            self._news.notify_all()

    def between_steps(self, call: Callable[[], object]) -> None:
        """Have the fit's own thread make a call at its next boundary, also within a pause.

        What it raises is printed, and the fit goes on. A call that does not get its turn before the end is dropped.
        """
        with self._news:
            if not self._over:
                self._calls.append(call)
                self._news.notify_all()

    @property
    def stopping(self) -> bool:
        """Whether `stop()` was called."""
        return self._stopping

    @property
    def pausing(self) -> bool:
        """Whether a pause was asked for, or goes on."""
        return self._pausing

    @property
    def stepping(self) -> bool:
        """Whether the fit will wait at the end of this epoch."""
        return self._stepping

    @property
    def paused(self) -> bool:
        """Whether the fit waits right now."""
        return self._paused

    # --- the fit's side ---

    def check(self) -> None:
        """Make the calls that are due, wait while paused, and raise `StopRequested` where a stop was asked for.

        Called by the fit at every boundary.
        """
        if self._stopping or self._pausing or self._calls:
            try:
                with self.progress.aside():
                    self._heed()
            finally:
                self._paused = False

    def _heed(self) -> None:
        while True:
            with self._news:
                if self._stopping:
                    raise StopRequested
                call = self._calls.popleft() if self._calls else None
                if call is None and self._paused:
                    if not self._pausing:
                        return
                    self._news.wait()
                    continue
                pausing = self._pausing
            if call is not None:
                try:
                    call()
                except BaseException as error:  # sys.exit too: whoever asked for the call must not end the fit
                    traceback.print_exception(error)
            elif pausing:
                self.on_pause()
                self._paused = True
            else:
                return

    def epoch_ended(self, last: bool = False) -> None:
        """Say that all of an epoch is done and written; waits here where a step or a pause was asked for.

        Parameters: `last`, whether the training ends with it: then there is nothing to wait for.
        """
        with self._news:
            if self._stepping:
                self._pausing, self._stepping = True, False
        if not last:
            self.check()

    def training_over(self) -> None:
        """Say that the training has ended: no pause from now on, and no calls."""
        with self._news:
            self._over = True
            self._pausing = self._stepping = False
            self._calls.clear()


def _nothing() -> None:
    pass
