"""Where a call is carried out: in a thread, which keeps a notebook's kernel free, or in the thread that waits for it.

A worker is independent of fits. Waiting for a thread polls an event, because after an interrupted `join` Python may
report a running thread as ended.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Generic, Self, TypeVar

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from nmlab.runtime.interrupts import stopping

T = TypeVar("T")


class Worker(ABC, Generic[T]):
    """A call that is carried out once, and its outcome."""

    def __init__(self) -> None:
        self.started = False
        """Whether the call will run to its end, or has, even if the waiting thread is interrupted."""
        self.error: BaseException | None = None
        """What the call raised."""
        self._result: T | None = None

    @abstractmethod
    def start(self) -> Self:
        """Begin and return this worker."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the call has ended."""

    @abstractmethod
    def wait(self) -> None:
        """Block until the call has ended; raises KeyboardInterrupt if an interrupt came meanwhile."""

    def result(self) -> T:
        """Return the result of the call, or raise its exception; the call must have ended."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # set if there is no error


class CallersThread(Worker[T]):
    """A call in the thread that waits for it, so that all that holds there holds in the call.

    Parameters
    ----------
    call : callable
        Function without arguments.
    stop : callable
        Asks the call to end soon; called by an interrupt, which does not raise within the call, except in functions of
        the user.
    """

    def __init__(self, call: Callable[[], T], stop: Callable[[], object]) -> None:
        super().__init__()
        self._call: Callable[[], T] | None = call
        self._stop = stop
        self._done = False

    @property
    def done(self) -> bool:
        """Whether the call has ended."""
        return self._done

    def start(self) -> Self:
        """Return this worker; the call begins with `wait`."""
        self.started = True
        return self

    def wait(self) -> None:
        """Carry out the call, unless it has been; raises KeyboardInterrupt if an interrupt came meanwhile."""
        call, self._call = self._call, None
        if call is None:
            return
        with stopping(self._stop) as interrupts:
            try:
                self._result = call()
            except BaseException as error:  # whoever waits gets it from `result`, as that of a thread
                self.error = error
            finally:
                self._done = True
        if interrupts.came or isinstance(self.error, KeyboardInterrupt):
            raise KeyboardInterrupt


def stays_behind() -> list[str]:
    """Return what holds in this thread and would not in a `WorkerThread`, in words."""
    modes = [mode for mode in _get_current_function_mode_stack() if not isinstance(mode, DeviceContext)]
    modes += _get_current_dispatch_mode_stack()
    found = [f"the torch mode {type(mode).__name__}" for mode in modes]
    if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
        found.append("hooks for saved tensors")
    if torch._C._autograd._profiler_enabled():
        found.append("torch's profiler")
    hooks = {"setprofile": sys.getprofile(), "settrace": sys.gettrace()}
    found += [f"the function of sys.{name}" for name, function in hooks.items() if function is not None]
    return found


class WorkerThread(Worker[T]):
    """A call in a daemon thread, with the torch modes of its caller (default device, gradients, inference, autocast).

    Parameters
    ----------
    call : callable
        Function without arguments.
    name : str, default 'nmlab'
        Name of the thread.
    """

    def __init__(self, call: Callable[[], T], name: str = "nmlab") -> None:
        super().__init__()
        self._call = call
        self._done = threading.Event()
        self._grad = torch.is_grad_enabled()
        self._inference = torch.is_inference_mode_enabled()
        # a device context slows down every torch call, so it is used only if the default was changed
        device = torch.get_default_device()
        self._device: AbstractContextManager[object] = nullcontext() if device.type == "cpu" else device
        self._autocast = [
            torch.autocast(kind, torch.get_autocast_dtype(kind))
            for kind in ("cpu", "cuda")
            if torch.is_autocast_enabled(kind)
        ]
        self._context = contextvars.copy_context()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Self:
        """Start the thread and return this worker."""
        self.started = True
        try:
            self._thread.start()
        except RuntimeError:  # the system cannot start another thread
            self.started = False
            raise
        return self

    def _run(self) -> None:
        try:
            with (
                torch.inference_mode(self._inference),
                torch.set_grad_enabled(self._grad),
                self._device,
                ExitStack() as stack,
            ):
                for autocast in self._autocast:
                    stack.enter_context(autocast)
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

    def ends_within(self, seconds: float) -> bool:
        """Wait at most so long, and return whether the call has ended."""
        return self._done.wait(seconds)

    def give_up(self, call: Callable[[], T]) -> None:
        """Take what another call returns or raises for the outcome, since the thread has been given up."""
        try:
            self._result = call()
        except BaseException as error:
            self.error = error
        self._done.set()

    def wait(self) -> None:
        """Block until the call has ended; an interrupt ends the waiting but not the call."""
        while not self._done.wait(0.1):
            pass
