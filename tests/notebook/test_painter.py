"""The thread that draws: at a wake, again and again while there is something to follow, and never two at once."""

import threading
import time

import pytest

from nmlab.notebook import painter
from nmlab.notebook.painter import Painter
from tests.helpers.waiting import until


def test_it_looks_when_woken_and_goes_on_while_there_is_more() -> None:
    looks: list[str] = []
    more = True

    def look() -> bool:
        looks.append(threading.current_thread().name)
        return more

    drawing = Painter(look)
    assert looks == []
    drawing.wake()
    until(lambda: len(looks) >= 2)
    more = False
    time.sleep(0.3)
    seen = len(looks)
    time.sleep(0.3)
    assert len(looks) == seen
    drawing.wake()
    until(lambda: len(looks) > seen)
    assert set(looks) == {"nmlab painter"}


def test_what_a_look_raises_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ValueError("mine")
        return False

    drawing = Painter(look)
    drawing.wake()
    until(lambda: "mine" in caplog.text)
    drawing.wake()
    until(lambda: looks == 2)


def test_an_idle_thread_ends_and_a_wake_begins_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painter, "IDLE", 0.02)
    threads: list[threading.Thread] = []

    def look() -> bool:
        threads.append(threading.current_thread())
        return False

    drawing = Painter(look)
    drawing.wake()
    until(lambda: bool(threads) and not threads[0].is_alive())
    drawing.wake()
    until(lambda: len(threads) > 1)
    assert threads[-1] is not threads[0]
