"""The thread of a fit, which keeps a notebook's kernel free and is not affected by an interrupt.

A `WorkerThread` is independent of fits. Waiting polls an event, because after an interrupted `join` Python may report a
running thread as ended.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class WorkerThread(Generic[T]):
    """A call in a daemon thread, with the torch modes of its caller (default device, gradients, inference).

    Parameters
    ----------
    call : callable
        Function without arguments.
    name : str, default 'nmlab'
        Name of the thread.
    """

    def __init__(self, call: Callable[[], T], name: str = "nmlab") -> None:
        self._call = call
        self._result: T | None = None
        self.error: BaseException | None = None
        self._done = threading.Event()
        self.started = False
        """Whether the thread was started; the call then runs to its end, even if the waiting thread is interrupted."""
        self._grad = torch.is_grad_enabled()
        self._inference = torch.is_inference_mode_enabled()
        # a device context slows down every torch call, so it is used only if the default was changed
        device = torch.get_default_device()
        self._device: AbstractContextManager[object] = nullcontext() if device.type == "cpu" else device
        self._context = contextvars.copy_context()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> WorkerThread[T]:
        """Start the thread and return this job."""
        self.started = True
        try:
            self._thread.start()
        except RuntimeError:  # the system cannot start another thread
            self.started = False
            raise
        return self

    def _run(self) -> None:
        try:
            with torch.inference_mode(self._inference), torch.set_grad_enabled(self._grad), self._device:
                self._result = self._context.run(self._call)
        except BaseException as error:  # every exception reaches the waiting thread, SystemExit too
            self.error = error
        finally:
            del self._call  # a task holds its worker: with both ways, what it made would outlive it
            self._done.set()

    @property
    def done(self) -> bool:
        """Whether the call has ended."""
        return self._done.is_set()

    def wait(self) -> None:
        """Block until the call has ended; an interrupt ends the waiting but not the call."""
        while not self._done.wait(0.1):
            pass

    def result(self) -> T:
        """Return the result of the call, or raise its exception; the call must have ended."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # set if there is no error
