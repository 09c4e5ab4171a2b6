"""Where a fit runs: a thread of its own, so that a notebook's kernel stays free and an interrupt hits nobody.

A `WorkerThread` knows nothing of fits. Waiting polls an event, since a `join` that an interrupt broke off once reports
a thread as dead that still runs.
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
    """A call that runs in a daemon thread under its caller's torch modes (default device, gradients, inference).

    Parameters: `call`, a function without arguments; `name`, the thread's name.
    """

    def __init__(self, call: Callable[[], T], name: str = "nmlab") -> None:
        self._call = call
        self._result: T | None = None
        self.error: BaseException | None = None
        self._done = threading.Event()
        self.started = False
        """Whether the thread was begun; from then on the call runs to its end, whatever hits who waits."""
        self._grad = torch.is_grad_enabled()
        self._inference = torch.is_inference_mode_enabled()
        # entering a device costs every torch call some time, so only a default that was changed is carried over
        device = torch.get_default_device()
        self._device: AbstractContextManager[object] = nullcontext() if device.type == "cpu" else device
        self._context = contextvars.copy_context()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> WorkerThread[T]:
        """Start the thread and return this job."""
        self.started = True
        try:
            self._thread.start()
        except RuntimeError:  # the system gives no more threads
            self.started = False
            raise
        return self

    def _run(self) -> None:
        try:
            with torch.inference_mode(self._inference), torch.set_grad_enabled(self._grad), self._device:
                self._result = self._context.run(self._call)
        except BaseException as error:  # everything reaches whoever waits, SystemExit too
            self.error = error
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        """Whether the call has ended."""
        return self._done.is_set()

    def wait(self) -> None:
        """Block until the call has ended; an interrupt ends the waiting and leaves the call alone."""
        while not self._done.wait(0.1):
            pass

    def result(self) -> T:
        """Return what the call returned, or raise what it raised; the call must have ended."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # set where there is no error
