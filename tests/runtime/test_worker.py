"""A call in a thread of its own: its result, its error, the caller's torch modes, and waiting that survives."""

from __future__ import annotations

import _thread
import contextvars
import threading
from typing import Any

import pytest
import torch

from nmlab.runtime.worker import WorkerThread


def done(job: WorkerThread[Any]) -> WorkerThread[Any]:
    job.start().wait()
    return job


def test_the_result_of_a_call_in_a_daemon_thread_with_a_name() -> None:
    def call() -> tuple[str, bool, bool]:
        thread = threading.current_thread()
        return thread.name, thread.daemon, thread is threading.main_thread()

    assert done(WorkerThread(call, name="nmlab 0001")).result() == ("nmlab 0001", True, False)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt()])
def test_an_error_of_any_kind_reaches_whoever_waits(error: BaseException) -> None:
    def call() -> None:
        raise error

    job = done(WorkerThread(call))
    assert job.done
    assert job.error is error
    with pytest.raises(type(error)) as raised:
        job.result()
    assert raised.value is error


def modes() -> dict[str, Any]:
    return {
        "device": torch.empty(0).device.type,
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
    }


def test_the_callers_modes_hold_in_the_thread() -> None:
    plain = modes()
    assert done(WorkerThread(modes)).result() == plain
    with torch.device("meta"), torch.no_grad():
        job = WorkerThread(modes)
    assert done(job).result() == {**plain, "device": "meta", "grad": False}
    with torch.inference_mode():
        job = WorkerThread(modes)
    assert done(job).result() == {**plain, "inference": True, "grad": False}
    torch.set_default_dtype(torch.float64)
    try:
        assert done(WorkerThread(modes)).result() == {**plain, "dtype": torch.float64}
    finally:
        torch.set_default_dtype(torch.float32)
    assert modes() == plain


def test_a_default_device_that_was_set_holds_in_the_thread() -> None:
    torch.set_default_device("meta")
    try:
        assert done(WorkerThread(modes)).result()["device"] == "meta"
    finally:
        torch.set_default_device(None)
    assert done(WorkerThread(modes)).result()["device"] == "cpu"


def test_the_callers_context_variables_hold_in_the_thread() -> None:
    cell = contextvars.ContextVar("cell", default="none")
    cell.set("the caller's")
    assert done(WorkerThread(cell.get)).result() == "the caller's"


def test_an_interrupt_ends_the_waiting_and_not_the_call() -> None:
    """One may wait again; a thread's `join` would report it as dead."""
    go_on = threading.Event()
    job = WorkerThread(lambda: go_on.wait(10)).start()
    threading.Timer(0.05, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    assert not job.done
    threading.Timer(0.05, go_on.set).start()
    job.wait()
    assert job.done
    assert job.result() is True
