"""Python's functions are timed in one thread, by themselves and with what they call."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmlab.training.profilers import FunctionProfiler

NOW = [1000.0]  # the time, in which only `fall` takes any


def fall(levels: int) -> None:
    NOW[0] += 1.0
    if levels:
        fall(levels - 1)


def outer(levels: int) -> None:
    fall(levels)
    fall(levels)


def fails() -> None:
    raise ZeroDivisionError


def elsewhere(until: threading.Event) -> None:
    while not until.is_set():
        busy()


def busy() -> int:
    return sum(range(100))


@given(st.integers(0, 4))
def test_calls_and_times_of_functions_that_call_themselves_and_that_fail(levels: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nmlab.training.profilers.perf_counter", lambda: NOW[0])
        calls_and_times(levels)


def calls_and_times(levels: int) -> None:
    done = threading.Event()
    other = threading.Thread(target=elsewhere, args=(done,))
    other.start()
    profiler = FunctionProfiler()
    profiler.setup("fit")
    try:
        outer(levels)
        fails()
    except ZeroDivisionError:
        fall(0)
    found, report = profiler.result()
    done.set()
    other.join()
    rows = {row["function"]: row for row in found["functions"]}
    assert {"busy", "elsewhere"}.isdisjoint(rows)  # another thread's
    falls = 2 * (levels + 1) + 1
    assert rows["fall"]["calls"] == falls
    assert rows["outer"]["calls"] == rows["fails"]["calls"] == 1
    assert rows["fall"]["own"] == rows["fall"]["cumulative"] == falls
    assert (rows["outer"]["own"], rows["outer"]["cumulative"]) == (0.0, falls - 1)
    assert sum(row["own"] for row in rows.values()) == falls
    assert "test_profilers.py" in report


def test_like_functions_of_two_files_are_told_apart() -> None:
    source, files = "def like():\n    return 1\n", ("/a/one.py", "/b/two.py")
    spaces: list[dict[str, Any]] = [{}, {}]
    for space, file in zip(spaces, files, strict=True):
        exec(compile(source, file, "exec"), space)
    profiler = FunctionProfiler()
    profiler.setup("fit")
    for space in spaces:
        space["like"]()
    found, _ = profiler.result()
    places = {row["place"]: row["calls"] for row in found["functions"] if row["function"] == "like"}
    assert places == {f"{file}:1": 1 for file in files}
