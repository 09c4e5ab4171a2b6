"""What a running fit listens to, and what it says of itself while it runs.

A `Control` is shared by the thread that fits and whoever watches it. The fit calls `check()` at every batch boundary;
the watcher calls `stop()`, `pause()` or `step()` and reads `phase` and `progress`. One fit at a time may hold the
process.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakSet

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
    other_batches: int = 0
    """Batches of this epoch done in other passes than the one that goes on."""
    epoch_batches: int = 0
    """Batches of a whole epoch, train and dev; 0 where that is not known."""
    samples: int = 0
    """Training samples seen since the training began."""
    loss: float = float("nan")
    """Mean training loss over the batches seen so far in this epoch."""
    first_epoch: int = 0
    """Epoch at which this training began (not 0 where a run is resumed)."""
    started: float = 0.0
    """`clock()` when the training began; 0 before."""
    drawn: list[float] = field(default_factory=list)
    """Seconds of each picture that the training waited for."""
    drawn_beside: list[float] = field(default_factory=list)
    """Seconds of each picture of it that another thread drew meanwhile."""
    _train_pass: tuple[int, int] = (0, 0)  # batches done, and all, of the train pass within which dev is scored
    _dev_done: int = 0
    _aside: tuple[float, float | None] = (0.0, None)  # seconds of the ends of `aside`, and when the present one began

    # --- the fit's side ---

    def begin(self, epoch: int, max_epochs: int) -> None:
        """Say that the training begins, at `epoch`."""
        self.started = self.clock()
        self.drawn.clear()
        self.drawn_beside.clear()
        self.max_epochs = max_epochs
        self.first_epoch = self.epoch = epoch

    def begin_epoch(self, epoch: int, batches: int, dev_batches: int) -> None:
        """Say that an epoch begins that has so many batches, its dev passes' in all beside them."""
        self.epoch, self.batch, self.batches, self.other_batches = epoch, 0, batches, 0
        self.epoch_batches = batches + dev_batches
        self._dev_done = 0

    def batch_done(self, samples: int = 0) -> None:
        """Say that a batch is done; `samples`, those that were trained on."""
        self.batch += 1
        self.samples += samples

    def begin_dev(self, batches: int) -> None:
        """Say that a dev pass begins, within or after the train pass."""
        self._train_pass = (self.batch, self.batches)
        self.other_batches = self.batch + self._dev_done
        self.batch, self.batches = 0, batches

    def end_dev(self) -> None:
        """Say that the dev pass is over."""
        self._dev_done += self.batch
        (self.batch, self.batches), self.other_batches = self._train_pass, self._dev_done

    # --- the watchers' side ---

    def clock(self) -> float:
        """Return a time in seconds that stands still within `aside`."""
        seconds, since = self._aside
        return (time.perf_counter() if since is None else since) - seconds

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count the block's time neither as training nor in the pace: a pause, or a picture that is drawn."""
        seconds, since = self._aside
        if since is not None:  # within another one
            yield
            return
        began = time.perf_counter()
        self._aside = (seconds, began)
        try:
            yield
        finally:
            self._aside = (seconds + time.perf_counter() - began, None)

    @property
    def fraction(self) -> float:
        """Share of all epochs that is done, moving within an epoch too (0 to 1)."""
        if not self.max_epochs:
            return 0.0
        batches = self.epoch_batches or self.batches
        within = (self.other_batches + self.batch) / batches if batches else 0.0
        return min(1.0, (self.epoch + min(within, 1.0)) / self.max_epochs)

    @property
    def seconds_left(self) -> float | None:
        """Time left at the pace so far, in seconds; None while there is no pace yet."""
        first = self.first_epoch / self.max_epochs if self.max_epochs else 0.0
        done = self.fraction - first
        if not self.started or done <= 0:
            return None
        return (self.clock() - self.started) * (1.0 - self.fraction) / done

    @property
    def samples_per_second(self) -> float | None:
        """Training samples per second since the training began; None before the first batch."""
        seconds = self.clock() - self.started
        return self.samples / seconds if self.started and self.samples and seconds > 0 else None


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


class Owner(Protocol):
    """Who begins fits and stops them: a Lab's session."""

    name: str

    def called(self) -> str:
        """Return the variable that holds the Lab in the user's notebook; '' where none does."""
        ...


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
