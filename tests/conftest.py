"""Imported before any test module and by no other: what must be set before torch and NeuroMANCER are loaded."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The tests share their cores with kernels and a browser, where torch's threads would mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell runs in the background ignores Ctrl-C, and with it the tests' own interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# First, so that NeuroMANCER's import is the quick one whatever a test module imports before nmlab.
import nmlab  # noqa: E402, F401
from tests.helpers.clock import Clock  # noqa: E402


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """A folder for runs, that is not there yet."""
    return tmp_path / "runs"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the real `time.perf_counter`, by which nmlab measures."""
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    return clock


@pytest.fixture
def cell() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Run a cell in a notebook's shell and return the user's names."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()

    def run(text: str) -> dict[str, Any]:
        shell.run_cell(text).raise_error()
        names: dict[str, Any] = shell.user_ns
        return names

    yield run
    InteractiveShell.clear_instance()
