"""What holds the kernel beside a fit: a thread of its own, one at a time, stopped by an interrupt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

from nmlab import control as controls
from nmlab.control import Control, StopRequested
from nmlab.errors import Interrupted, NmlabError
from nmlab.fitting import Fit
from nmlab.launch import Job

T = TypeVar("T")


class Task(ABC, Generic[T]):
    """Something that is done as a fit is and leaves all as it was; nothing happens before `start`.

    Parameters: `name`, what it is called in messages; `thread`, its thread's name.
    """

    unfinished = "was stopped"
    """What is said of one that was stopped, after its name."""

    def __init__(self, name: str, thread: str) -> None:
        self.control = Control(name=name)
        self._job: Job[T] = Job(self._perform, name=thread)

    def start(self, instead_of: Fit | None = None) -> Self:
        """Begin in a thread and return this.

        Parameters: `instead_of`, an earlier fit whose data are let go of before others are made.
        Raises `BusyError` where a fit or another task runs.
        """
        controls.claim(self.control)
        try:
            if instead_of is not None:
                instead_of.let_go()
            self._job.start()
        except BaseException:  # an interrupt too
            if self._job.started:
                raise self.interrupted() from None
            controls.release(self.control)
            raise
        return self

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._job.done

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before it had come to an end."""
        return isinstance(self._job.error, StopRequested)

    def run_to_end(self) -> T:
        """Begin, block until it has ended, and return what came of it; an interrupt as in `wait`."""
        self.control.blocking = True
        return self.start().wait()

    def wait(self) -> T:
        """Block until it has ended and return what came of it, or raise what ended it.

        An interrupt stops it, waits until all is as it was, and is raised again.
        """
        try:
            self._job.wait()
        except KeyboardInterrupt:
            raise self.interrupted() from None
        if self.stopped:
            raise NmlabError(f"{self.control.name} {self.unfinished}; all is as it was before")
        return self._job.result()

    def interrupted(self) -> Interrupted:
        """Stop it, wait until all is as it was, and return what to raise; a further interrupt does not wait."""
        self.control.stop()
        self._job.wait()
        return Interrupted(f"■ stopped {self.control.name}. Everything is as it was before.")

    @abstractmethod
    def _perform(self) -> T:
        """Do it, in its own thread; gives the kernel back at the end."""
