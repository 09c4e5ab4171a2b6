"""Control of a running fit, and its state.

A `Control` is shared by the thread of the fit and its watchers. The fit calls `check()` at every batch boundary; a
watcher calls `stop()`, `pause()` or `step()` and reads `phase` and `progress`.
"""

from __future__ import annotations

import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from nmlab.runtime.progress import Progress


class StopRequested(Exception):  # noqa: N818 - a request, not a fault
    """Raised inside the fit at the first batch boundary after `Control.stop()`."""


class Owner(Protocol):
    """What begins and stops fits: a Lab's session."""

    @property
    def name(self) -> str:
        """The Lab's name."""
        ...

    def called(self) -> str:
        """Return the name of the variable that holds the Lab in the user's notebook; '' if there is none."""
        ...


class Control:
    """Connection between a fit and its watchers.

    Watchers may call their methods from any thread, at any time and repeatedly. A request shows at once in `stopping`,
    `pausing` and `stepping`, and takes effect at the fit's next batch boundary.

    Parameters
    ----------
    name : str, default 'fit'
        Name of the running fit in messages.
    """

    def __init__(self, name: str = "fit") -> None:
        self.name = name
        self._owner: weakref.ref[Owner] | None = None
        self.blocking = False
        """Whether a cell waits for the fit, so that only an interrupt of the kernel can stop it."""
        self.thread: int | None = None
        """Identifier of the thread that the fit runs in, once it does."""
        self.progress = Progress()
        self.on_phase: Callable[[], None] = _nothing
        """Function that is called in the fit's thread after each change of `phase`."""
        self.phase = "starting"
        self.on_pause: Callable[[], None] = _nothing
        """Function that is called in the fit's thread before it pauses."""
        self.wanted: dict[str, Any] = {}
        """Options that a watcher changed while the fit goes on, which holds from the next epoch on."""
        self.on_stop: Callable[[], None] = _nothing
        """Function that is called by each request to stop, in the thread of who asks."""
        self.after_epoch: Callable[[], object] = _nothing
        """Function that is called in the fit's thread when an epoch has ended and is written; it may ask for a stop."""
        self._news = threading.Condition()
        self._stopping = self._pausing = self._stepping = self._paused = self._over = self._heeded = False
        self._calls: deque[Callable[[], object]] = deque()

    @property
    def owner(self) -> Owner | None:
        """What began the fit and can stop it; None without a Lab, or if the Lab is gone."""
        return None if self._owner is None else self._owner()

    @owner.setter
    def owner(self, owner: Owner) -> None:
        self._owner = weakref.ref(owner)  # an owner holds its fit: with both ways, data would outlive their Lab

    @property
    def phase(self) -> str:
        """What the fit is doing, as text for the user; `paused` shows a pause."""
        return self._phase[0]

    @phase.setter
    def phase(self, text: str) -> None:
        self._phase = (text, self.progress.clock())
        self.on_phase()

    @property
    def phase_seconds(self) -> float:
        """Seconds since the phase began, without pauses."""
        return self.progress.clock() - self._phase[1]

    def busy(self) -> str:
        """Return which fit is running and how to stop it, as sentences for an error or a hint."""
        name = self.name[:1].upper() + self.name[1:]
        if self.owner is not None:
            name += f" of Lab {self.owner.name!r}"
        if self.blocking:
            return f"{name} is running in a cell. To stop it, use ■ (interrupt the kernel)."
        if self.owner is None:
            return f"{name} is running. Wait until it has ended."
        called = self.owner.called()
        return f"{name} is running. To stop it, {f'call {called}.stop()' if called else 'press Stop in its panel'}."

    # --- for watchers ---

    def stop(self) -> None:
        """Request a stop at the next batch boundary, also during a pause."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        self.on_stop()

    def pause(self) -> None:
        """Request a pause at the next batch boundary; no effect once the training has ended."""
        self._ask(pausing=True)

    def resume(self) -> None:
        """Continue after a pause, or cancel the request of `pause` or `step`."""
        self._ask()

    def step(self) -> None:
        """Continue to the end of the current or next epoch, and pause there."""
        self._ask(stepping=True)

    def _ask(self, pausing: bool = False, stepping: bool = False) -> None:
        with self._news:
            self._pausing, self._stepping = pausing and not self._over, stepping and not self._over
            self._news.notify_all()

    def want(self, **options: Any) -> bool:
        """Change options from the next epoch on; return whether there is one: False once the training has ended.

        A dict is added to one that waits under its name.
        """
        with self._news:
            if not self._over:
                waiting = {name: self.wanted.get(name) for name in options}
                both = {n: {**(waiting[n] or {}), **value} for n, value in options.items() if isinstance(value, dict)}
                self.wanted = {**self.wanted, **options, **both}
            return not self._over

    def take_wanted(self, *names: str) -> dict[str, Any]:
        """Return those of these options that were changed since they were last taken; for the fit."""
        if not self.wanted:
            return {}
        with self._news:
            taken = {name: value for name, value in self.wanted.items() if name in names}
            self.wanted = {name: value for name, value in self.wanted.items() if name not in names}
        return taken

    def between_steps(self, call: Callable[[], object]) -> None:
        """Call a function in the fit's thread at its next batch boundary, also during a pause.

        Exceptions of the function are printed, and the fit continues. A call that is still waiting when the training
        ends is dropped.

        Parameters
        ----------
        call : callable
            Function without arguments.
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
        """Whether a pause was requested or the fit is paused."""
        return self._pausing

    @property
    def stepping(self) -> bool:
        """Whether the fit will pause at the end of the epoch."""
        return self._stepping

    @property
    def paused(self) -> bool:
        """Whether the fit is paused."""
        return self._paused

    @property
    def heeded(self) -> bool:
        """Whether the fit has carried out a request to stop, and puts everything in order."""
        return self._heeded

    @property
    def over(self) -> bool:
        """Whether the training has ended."""
        return self._over

    # --- for the fit ---

    def check(self) -> None:
        """Carry out the requests; the fit calls this at every batch boundary.

        Makes the calls that wait, and waits while a pause goes on.

        Raises
        ------
        StopRequested
            If a stop was requested.
        """
        if self._stopping or self._pausing or self._calls:
            try:
                with self.progress.aside():
                    self._carry_out()
            finally:
                self._paused = False

    def _carry_out(self) -> None:
        while True:
            with self._news:
                if self._stopping:
                    self._heeded = True
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
                except BaseException as error:  # sys.exit too: the call must not end the fit
                    traceback.print_exception(error)
            elif pausing:
                self.on_pause()
                self._paused = True
            else:
                return

    def epoch_ended(self, last: bool = False) -> None:
        """Report that an epoch has ended and is written; pauses here if a step or a pause was requested.

        Parameters
        ----------
        last : bool, default False
            Whether the training ends with this epoch, so that there is no pause.
        """
        self.after_epoch()
        with self._news:
            if self._stepping:
                self._pausing, self._stepping = True, False
        if not last:
            self.check()

    def training_over(self) -> None:
        """Report that the training has ended, so that there are no more pauses and calls."""
        with self._news:
            self._over = True
            self._heeded = self._heeded or self._stopping
            self._pausing = self._stepping = False
            self._calls.clear()


def _nothing() -> None:
    pass
