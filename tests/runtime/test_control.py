"""What a fit listens to, and one fit at a time in a process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmlab.errors import BusyError
from nmlab.runtime import one_fit
from nmlab.runtime.control import Control, StopRequested
from nmlab.runtime.progress import Progress
from tests.helpers.clock import Clock
from tests.helpers.waiting import until


@pytest.fixture(autouse=True)
def _free() -> Iterator[None]:
    assert one_fit.current() is None
    yield
    assert one_fit.current() is None


def test_a_stop_is_heard_at_the_next_check_and_at_every_one_after() -> None:
    control = Control()
    control.check()
    assert not control.stopping
    threading.Thread(target=control.stop).start()
    until(lambda: control.stopping)
    control.stop()
    for _ in range(2):
        with pytest.raises(StopRequested):
            control.check()


def test_a_stop_belongs_to_its_own_run() -> None:
    first, second = Control(), Control()
    first.stop()
    second.check()
    assert not second.stopping


class Waiting:
    """A fit's thread, as it stands at a boundary."""

    def __init__(self, control: Control, last: bool | None = None) -> None:
        self.ended: BaseException | None = None
        self._call = control.check if last is None else partial(control.epoch_ended, last)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except StopRequested as stop:
            self.ended = stop

    def over(self) -> bool:
        self._thread.join(5)
        return not self._thread.is_alive()


def test_a_pause_is_said_at_once_and_happens_at_the_next_check() -> None:
    control = Control()
    control.pause()
    assert (control.pausing, control.paused) == (True, False)
    fit = Waiting(control)
    until(lambda: control.paused)
    control.pause()
    control.resume()
    assert fit.over()
    assert (control.pausing, control.paused) == (False, False)
    control.check()


def test_a_pause_taken_back_stops_nothing() -> None:
    control = Control()
    control.pause()
    control.resume()
    assert (control.pausing, control.paused) == (False, False)
    assert Waiting(control).over()


def test_a_stop_ends_a_pause_at_once() -> None:
    control = Control()
    control.pause()
    fit = Waiting(control)
    until(lambda: control.paused)
    control.stop()
    assert fit.over()
    assert isinstance(fit.ended, StopRequested)
    assert not control.paused


def test_a_step_waits_at_the_end_of_its_epoch() -> None:
    control = Control()
    control.step()  # before the training begins: the first epoch
    assert (control.stepping, control.pausing) == (True, False)
    assert Waiting(control).over()
    for _ in range(2):
        fit = Waiting(control, last=False)
        until(lambda: control.paused)
        assert (control.stepping, control.pausing) == (False, True)
        for _ in range(2):  # a double click asks for one epoch too
            control.step()
            assert control.stepping
        assert fit.over()
        assert (control.stepping, control.pausing, control.paused) == (True, False, False)
        assert Waiting(control).over()  # within the epoch nothing waits
    control.resume()
    assert (control.stepping, control.pausing) == (False, False)
    assert Waiting(control, last=False).over()


def test_nothing_waits_after_the_last_epoch() -> None:
    control = Control()
    control.step()
    control.epoch_ended(last=True)
    control.training_over()
    assert not control.pausing
    for ask in (control.pause, control.step):
        ask()
        assert (control.pausing, control.stepping) == (False, False)
        control.check()
    control.stop()
    with pytest.raises(StopRequested):
        control.check()


def test_a_pause_is_told_once_when_it_begins() -> None:
    control, told, called = Control(), [], threading.Event()
    control.on_pause = lambda: told.append(control.paused)
    control.pause()
    fit = Waiting(control)
    until(lambda: control.paused)
    assert told == [False]  # what is still in memory is written when the pause shows
    control.between_steps(called.set)
    assert called.wait(5)
    control.resume()
    assert fit.over()
    assert told == [False]


def test_calls_are_made_in_the_fits_thread_in_order_and_once() -> None:
    control = Control()
    made: list[tuple[int, int]] = []

    def make(number: int) -> None:
        made.append((number, threading.get_ident()))

    for number in range(3):
        control.between_steps(partial(make, number))
    control.check()
    control.check()
    assert made == [(number, threading.get_ident()) for number in range(3)]


def test_calls_are_made_within_a_pause_too() -> None:
    control, made = Control(), threading.Event()
    control.pause()
    fit = Waiting(control)
    until(lambda: control.paused)
    control.between_steps(made.set)
    assert made.wait(5)
    assert control.paused
    control.resume()
    assert fit.over()


def test_a_call_that_raises_harms_nothing_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    control, made = Control(), []
    control.between_steps(lambda: sys.exit("gone"))
    control.between_steps(lambda: 1 / 0)
    control.between_steps(lambda: made.append(1))
    control.check()
    assert made == [1]
    told = capsys.readouterr().err
    assert "SystemExit: gone" in told
    assert "ZeroDivisionError" in told


def test_calls_without_a_turn_are_dropped() -> None:
    control, made = Control(), []
    control.between_steps(lambda: made.append("early"))
    control.training_over()
    control.between_steps(lambda: made.append("late"))
    control.check()
    control.between_steps(lambda: made.append("stopped"))
    assert made == []


def test_one_fit_holds_the_process_and_is_named_to_the_next() -> None:
    first, second = Control(name="run 0007-rosenbrock"), Control(name="run 0008")
    one_fit.claim(first)
    with one_fit.held(first):
        assert one_fit.current() is first
        with pytest.raises(BusyError, match=r"Run 0007-rosenbrock is running\. Wait until"):
            one_fit.claim(second)
        one_fit.release(second)
        assert one_fit.current() is first
    one_fit.claim(second)
    one_fit.release(second)
    one_fit.release(second)


def test_the_process_is_free_however_a_fit_ends() -> None:
    control = Control()
    one_fit.claim(control)
    with pytest.raises(KeyboardInterrupt), one_fit.held(control):
        raise KeyboardInterrupt
    assert one_fit.current() is None


def test_of_many_threads_one_gets_the_process() -> None:
    start = threading.Barrier(8)

    def claim(control: Control) -> bool:
        start.wait()
        try:
            one_fit.claim(control)
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            fits = [Control(name=str(number)) for number in range(8)]
            won = list(pool.map(claim, fits))
            assert sum(won) == 1
            assert one_fit.current() is fits[won.index(True)]
            one_fit.release(fits[won.index(True)])


counts = st.integers(0, 50)


def test_progress_moves_through_train_and_dev_batches() -> None:
    progress = Progress(epoch=1, max_epochs=2, batches=6, epoch_batches=8)
    seen = []
    for progress.batch in range(7):
        seen.append(progress.fraction)
    progress.other_batches, progress.batches = 6, 2
    for progress.batch in range(3):
        seen.append(progress.fraction)
    assert seen == sorted(seen)
    assert (seen[0], seen[6], seen[7], seen[-1]) == (0.5, 0.875, 0.875, 1.0)


@given(counts, st.integers(0, 50), counts, counts)
def test_progress_is_a_share_that_only_grows(epoch: int, epochs: int, batch: int, batches: int) -> None:
    progress = Progress(epoch=epoch, max_epochs=epochs, batch=batch, batches=batches)
    assert 0.0 <= progress.fraction <= 1.0
    later = Progress(epoch=epoch, max_epochs=epochs, batch=batch + 1, batches=batches)
    assert later.fraction >= progress.fraction
    if epochs and batches and batch < batches and epoch < epochs:
        assert progress.fraction == pytest.approx((epoch + batch / batches) / epochs)


def test_time_left_and_pace(clock: Clock) -> None:
    progress = Progress()
    assert progress.seconds_left is None
    assert progress.samples_per_second is None
    progress = Progress(epoch=6, max_epochs=10, first_epoch=4, started=clock(), samples=80)
    clock.sleep(8.0)
    assert progress.seconds_left == pytest.approx(16.0)  # 2 of the 6 epochs took 8 s
    assert progress.samples_per_second == pytest.approx(10.0)
    begun = Progress(epoch=4, max_epochs=10, first_epoch=4, started=clock())
    assert begun.seconds_left is None
    assert begun.samples_per_second is None


def test_time_aside_counts_in_nothing(clock: Clock) -> None:
    progress = Progress(epoch=5, max_epochs=10, samples=10)
    progress.started = progress.clock()
    clock.sleep(1.0)
    with progress.aside():
        stands = progress.clock()
        with progress.aside():
            clock.sleep(20.0)
        assert progress.clock() == stands
        left = progress.seconds_left
        clock.sleep(20.0)
        assert progress.seconds_left == left
    assert progress.clock() == stands
    assert progress.samples_per_second == 10.0
    clock.sleep(1.0)
    assert progress.samples_per_second == 5.0
