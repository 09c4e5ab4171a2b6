"""What a fit listens to, and one fit at a time in a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmlab import control as controls
from nmlab.control import Control, Progress, StopRequested
from nmlab.errors import BusyError


@pytest.fixture(autouse=True)
def _free() -> Iterator[None]:
    assert controls.current() is None
    yield
    assert controls.current() is None


def test_a_stop_is_heard_at_the_next_check_and_at_every_one_after() -> None:
    control = Control()
    control.check()
    assert not control.stopping
    threading.Thread(target=control.stop).start()
    deadline = time.monotonic() + 5
    while not control.stopping:
        assert time.monotonic() < deadline
    control.stop()
    for _ in range(2):
        with pytest.raises(StopRequested):
            control.check()


def test_a_stop_belongs_to_its_own_run() -> None:
    first, second = Control(), Control()
    first.stop()
    second.check()
    assert not second.stopping


def test_one_fit_holds_the_process_and_is_named_to_the_next() -> None:
    first, second = Control(name="run 0007-rosenbrock"), Control(name="run 0008")
    controls.claim(first)
    with controls.held(first):
        assert controls.current() is first
        with pytest.raises(BusyError, match=r"run 0007-rosenbrock is still running .* lab\.stop\(\)"):
            controls.claim(second)
        controls.release(second)
        assert controls.current() is first
    controls.claim(second)
    controls.release(second)
    controls.release(second)


def test_the_process_is_free_however_a_fit_ends() -> None:
    control = Control()
    controls.claim(control)
    with pytest.raises(KeyboardInterrupt), controls.held(control):
        raise KeyboardInterrupt
    assert controls.current() is None


def test_of_many_threads_one_gets_the_process() -> None:
    start = threading.Barrier(8)

    def claim(control: Control) -> bool:
        start.wait()
        try:
            controls.claim(control)
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            fits = [Control(name=str(number)) for number in range(8)]
            won = list(pool.map(claim, fits))
            assert sum(won) == 1
            assert controls.current() is fits[won.index(True)]
            controls.release(fits[won.index(True)])


counts = st.integers(0, 50)


@given(counts, st.integers(0, 50), counts, counts)
def test_progress_is_a_share_that_only_grows(epoch: int, epochs: int, batch: int, batches: int) -> None:
    progress = Progress(epoch=epoch, max_epochs=epochs, batch=batch, batches=batches)
    assert 0.0 <= progress.fraction <= 1.0
    later = Progress(epoch=epoch, max_epochs=epochs, batch=batch + 1, batches=batches)
    assert later.fraction >= progress.fraction
    if epochs and batches and batch < batches and epoch < epochs:
        assert progress.fraction == pytest.approx((epoch + batch / batches) / epochs)


def test_time_left_and_pace() -> None:
    progress = Progress()
    assert progress.seconds_left is None
    assert progress.samples_per_second is None
    now = time.perf_counter()
    progress = Progress(epoch=6, max_epochs=10, first_epoch=4, started=now - 8.0, samples=80)
    assert progress.seconds_left == pytest.approx(16.0, rel=0.02)  # 2 of the 6 epochs took 8 s
    assert progress.samples_per_second == pytest.approx(10.0, rel=0.02)
    begun = Progress(epoch=4, max_epochs=10, first_epoch=4, started=now)
    assert begun.seconds_left is None
    assert begun.samples_per_second is None
