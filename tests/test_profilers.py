"""Python's functions are timed in one thread, by themselves and with what they call."""

import threading
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nmlab.profilers import FunctionProfiler


def fall(levels: int) -> None:
    time.sleep(0.001)
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
    done = threading.Event()
    other = threading.Thread(target=elsewhere, args=(done,))
    other.start()
    profiler = FunctionProfiler()
    began = time.perf_counter()
    profiler.setup("fit")
    try:
        outer(levels)
        fails()
    except ZeroDivisionError:
        fall(0)
    found, report = profiler.result()
    wall = time.perf_counter() - began
    done.set()
    other.join()
    rows = {row["function"]: row for row in found["functions"]}
    assert {"busy", "elsewhere"}.isdisjoint(rows)  # another thread's
    assert rows["fall"]["calls"] == 2 * (levels + 1) + 1
    assert rows["outer"]["calls"] == rows["fails"]["calls"] == 1
    assert 0.001 * rows["fall"]["calls"] <= rows["fall"]["own"] <= rows["fall"]["cumulative"] <= wall
    assert rows["outer"]["own"] < rows["outer"]["cumulative"] <= wall
    assert sum(row["own"] for row in rows.values()) <= wall
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
