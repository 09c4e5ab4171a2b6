"""Imported before any test module and by no other: what must be set before torch and NeuroMANCER are loaded."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# No test asserts a time, a deadline included. Where CI is set, Hypothesis tries the same examples each time.
settings.register_profile("nmlab", parent=settings.default, deadline=None)
settings.load_profile("nmlab")

# The tests share their cores with kernels and a browser, where torch's threads would mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell runs in the background ignores Ctrl-C, and with it the tests' own interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# First, so that NeuroMANCER's import is the quick one whatever a test module imports before nmlab.
import nmlab  # noqa: E402
from tests.helpers.clock import Clock  # noqa: E402

# What takes longest comes first, so that no worker is left alone with it at the end.
LONGEST_FIRST = (
    "tests/browser/",
    "tests/test_notebooks.py",
    "tests/gallery/test_gallery.py",
    "tests/notebook/test_saved.py",
    "tests/test_deferred.py",
    "tests/provenance/test_script.py",
    "tests/compat/test_lit_trainer.py",
    "tests/tuning/test_tuning.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests, those of one file as they stand."""

    def place(item: pytest.Item) -> int:
        starts = (item.nodeid.startswith(start) for start in LONGEST_FIRST)
        return next((place for place, found in enumerate(starts) if found), len(LONGEST_FIRST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have tests in one worker where they share what takes its time: a file, a browser, a Problem that is trained."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            name, _, parameter = test.partition("[")
            if file.startswith("tests/browser/"):  # one server and one browser
                return "tests/browser"
            if file == "tests/gallery/test_gallery.py" and parameter:  # fits that several tests look at
                return f"{file}[{parameter}"
            if name.startswith("test_lesson_"):  # each has a kernel to itself
                return nodeid
            return file

    config.option.loadscopereorder = False  # as `pytest_collection_modifyitems` has them
    return Scheduling(config, log)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """A folder for runs, that is not there yet."""
    return tmp_path / "runs"


@pytest.fixture
def store(runs_dir: Path) -> "nmlab.RunStore":
    """The runs in that folder, of which there are none yet."""
    return nmlab.RunStore(runs_dir)


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
