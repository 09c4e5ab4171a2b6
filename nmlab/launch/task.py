"""What holds the kernel for a while: one at a time, stopped by an interrupt, in a thread or in the caller's."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Self, TypeVar

from nmlab.errors import Interrupted, NmlabError, RunError
from nmlab.runtime import interrupts, one_fit
from nmlab.runtime.control import Control, StopRequested
from nmlab.runtime.worker import CallersThread, Worker, WorkerThread

T = TypeVar("T")

RAISES_AFTER = 2.0
"""Seconds after a request to stop from which on a function of the user that goes on is interrupted."""

GIVES_UP_AFTER = 5
"""How many times, a second apart, before its thread is given up."""


def _nothing() -> None:
    pass


class Task(ABC, Generic[T]):
    """Something that is carried out while no other task is; nothing happens before `start`.

    A task that a cell waits for (`control.blocking`) is carried out by `wait`, in its caller's thread, so that all that
    the caller set there holds: autocast, profilers, connections, an event loop. Any other has a thread of its own.

    Parameters
    ----------
    name : str
        What it is called in messages, such as "the search for a learning rate".
    """

    unfinished = "was stopped"
    """What is said of one that was stopped, after its name."""

    def __init__(self, name: str) -> None:
        self.control = Control(name=name)
        self._worker: Worker[T] | None = None

    # --- the caller's side ---

    def start(self, instead_of: Task[Any] | None = None) -> Self:
        """Begin, in a thread unless the task is blocking, and return this task.

        Parameters
        ----------
        instead_of : Task, optional
            An earlier task whose data are let go of before others are made.

        Raises
        ------
        BusyError
            Where another task runs in this process.
        """
        try:
            one_fit.claim(self.control)
            if instead_of is not None:
                instead_of.let_go()
            self._begin()
            if self.control.blocking:
                self._worker = CallersThread(self._held, self.control.stop)
            else:
                self._worker = worker = WorkerThread(self._held, name=f"nmlab {self.control.name}")
                self.control.on_stop = partial(self._stop_users_code, worker)
            self._worker.start()
        except BaseException as error:  # an interrupt too
            if self._worker is not None and self._worker.started:
                raise self.interrupted() from None
            self._worker = None
            self._abandon(error)
            one_fit.release(self.control)
            raise
        return self

    @property
    def done(self) -> bool:
        """Whether it was started and has ended."""
        return self._worker is not None and self._worker.done

    @property
    def error(self) -> BaseException | None:
        """What ended it, or None."""
        return self._worker.error if self._worker is not None else None

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before it had a result."""
        return self.control.stopping and isinstance(self.error, (StopRequested, KeyboardInterrupt))

    def run_to_end(self, instead_of: Task[Any] | None = None, begun: Callable[[], object] = _nothing) -> T:
        """Carry it out in the caller's thread; returns and raises as `start` and `wait`.

        An interrupt that comes between these two stops it too.

        Parameters
        ----------
        instead_of : Task, optional
            As for `start`.
        begun : callable, optional
            Called once it has begun.
        """
        self.control.blocking = True
        with interrupts.stopping(self.control.stop) as between:
            try:
                self.start(instead_of)
                begun()
                result = self.wait()
            except BaseException:
                if not between.came:
                    raise
        if between.came:
            raise self.interrupted()
        return result

    def wait(self) -> T:
        """Block until it has ended and return its result, or raise what ended it.

        An interrupt stops it, waits until everything is in order, and is raised again. While a thread is waited for, a
        second one does not wait.
        """
        if self._worker is None:
            raise RunError(f"{self.control.name} was not started.")
        try:
            self._worker.wait()
        except KeyboardInterrupt:
            raise self.interrupted() from None
        if self.stopped:
            raise NmlabError(f"{self.control.name} {self.unfinished}. Everything is as it was before.")
        return self._worker.result()

    def interrupted(self) -> Interrupted:
        """Stop it, wait until everything is in order, and return what to raise."""
        if self._worker is not None:
            self.control.stop()
            self._worker.wait()
        return Interrupted(self._interrupted_message())

    def let_go(self) -> None:
        """Let go of what it holds in memory once it has ended, and nobody needs it."""

    # --- a thread that does not reach a boundary ---

    def _stop_users_code(self, worker: WorkerThread[T]) -> None:
        self.control.on_stop = _nothing
        threading.Thread(target=self._see_it_end, args=[worker], name="nmlab stop", daemon=True).start()

    def _see_it_end(self, worker: WorkerThread[T]) -> None:
        """End a function of the user that goes on after a request to stop, or give its thread up."""
        waited = 0
        ended = worker.ends_within(RAISES_AFTER)
        while not ended and waited < GIVES_UP_AFTER:
            inside = interrupts.raise_in(self.control.thread or 0)
            waited = waited + 1 if inside else 0
            ended = worker.ends_within(1.0)
        if not ended and interrupts.give_up(self.control.thread or 0):
            worker.give_up(self._given_up)
            one_fit.release(self.control)

    def _given_up(self) -> T:
        """Put in order what can be, where the thread does not end, and return the result."""
        raise StopRequested

    # --- what a kind of task does ---

    def _begin(self) -> None:
        """Do what must be done in the caller's thread before the worker starts."""

    def _abandon(self, error: BaseException) -> None:
        """Put in order what `_begin` did, where the worker could not be started."""

    def _interrupted_message(self) -> str:
        return f"■ stopped {self.control.name}. Everything is as it was before."

    def _held(self) -> T:
        self.control.thread = threading.get_ident()
        with one_fit.held(self.control):
            return self._perform()

    @abstractmethod
    def _perform(self) -> T:
        """Do it."""
