"""What holds the kernel beside a fit: a thread of its own, one at a time, stopped by an interrupt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

from nmlab.errors import Interrupted, NmlabError
from nmlab.launch.fit import Fit
from nmlab.runtime import one_fit
from nmlab.runtime.control import Control, StopRequested
from nmlab.runtime.worker import WorkerThread

T = TypeVar("T")


class Task(ABC, Generic[T]):
    """Something that is done as a fit is and leaves all as it was; nothing happens before `start`.

    Parameters: `name`, what it is called in messages; `thread`, its thread's name.
    """

    unfinished = "was stopped"
    """What is said of one that was stopped, after its name."""

    def __init__(self, name: str, thread: str) -> None:
        self.control = Control(name=name)
        self._worker: WorkerThread[T] = WorkerThread(self._perform, name=thread)

    def start(self, instead_of: Fit | None = None) -> Self:
        """Begin in a thread and return this.

        Parameters: `instead_of`, an earlier fit whose data are let go of before others are made.
        Raises `BusyError` where a fit or another task runs.
        """
        one_fit.claim(self.control)
        try:
            if instead_of is not None:
                instead_of.let_go()
            self._worker.start()
        except BaseException:  # an interrupt too
            if self._worker.started:
                raise self.interrupted() from None
            one_fit.release(self.control)
            raise
        return self

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._worker.done

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before it had come to an end."""
        return isinstance(self._worker.error, StopRequested)

    def run_to_end(self) -> T:
        """Begin, block until it has ended, and return what came of it; an interrupt as in `wait`."""
        self.control.blocking = True
        return self.start().wait()

    def wait(self) -> T:
        """Block until it has ended and return what came of it, or raise what ended it.

        An interrupt stops it, waits until all is as it was, and is raised again.
        """
        try:
            self._worker.wait()
        except KeyboardInterrupt:
            raise self.interrupted() from None
        if self.stopped:
            raise NmlabError(f"{self.control.name} {self.unfinished}; all is as it was before")
        return self._worker.result()

    def interrupted(self) -> Interrupted:
        """Stop it, wait until all is as it was, and return what to raise; a further interrupt does not wait."""
        self.control.stop()
        self._worker.wait()
        return Interrupted(f"■ stopped {self.control.name}. Everything is as it was before.")

    @abstractmethod
    def _perform(self) -> T:
        """Do it, in its own thread; gives the kernel back at the end."""
