"""What shows that a run is running, also in folders without locks and from other machines."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import nmlab
from nmlab import RunError, RunStore, TrainerOptions
from nmlab.runs import store as store_module
from tests.helpers.fits import built
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.processes import ROOT
from tests.helpers.waiting import until

WITHOUT_LOCKS = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP]

CHILD = """
import fcntl, sys, time
def refuse(*_):
    raise OSError(int(sys.argv[2]), "no locks here")
if int(sys.argv[2]):
    fcntl.flock = refuse
from nmlab.runs import RunStore
writer = RunStore(sys.argv[1]).create("there", {})
print("begun", flush=True)
time.sleep(100)
"""


@contextmanager
def writing(runs_dir: Path, number: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes a run, where locks fail with this error number."""
    command = [sys.executable, "-c", CHILD, str(runs_dir), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("number", WITHOUT_LOCKS)
def test_without_locks_a_run_of_another_process_is_running_until_that_ends(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_locks(monkeypatch, number)
    store = RunStore(runs_dir)
    with writing(runs_dir, number) as process:
        [run] = store.runs()
        assert run.status == "running"
        with pytest.raises(RunError, match="is running and cannot be deleted"):
            store.delete(run)
        with pytest.raises(RunError, match="being written by another process"):
            store.reopen(run)
        process.kill()
        process.wait()
        assert run.status == "interrupted"
    store.reopen(run).close("finished")
    store.delete(run)
    assert list(store.runs()) == []


@pytest.mark.parametrize("number", WITHOUT_LOCKS)
def test_without_locks_a_fit_goes_as_ever(runs_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    refuse_locks(monkeypatch, number)
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert run.status == "finished"
    assert not list(run.folder.glob("*.beat"))
    longer = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=3), resume=run, runs_dir=runs_dir)
    assert longer.epochs == 3


def test_with_locks_a_killed_process_is_noticed_at_once(runs_dir: Path) -> None:
    with writing(runs_dir) as process:
        [run] = RunStore(runs_dir).runs()
        assert run.status == "running"
        process.kill()
        process.wait()
        assert run.status == "interrupted"


def test_a_run_of_another_machine_is_running_as_long_as_it_beats(runs_dir: Path) -> None:
    """Whose lock is not seen here, as on NFS with local locks."""
    writer = RunStore(runs_dir).create("there", {})
    writer._lock.release()
    beat = writer.folder / "alive.beat"
    beat.write_text(json.dumps({"host": "another", "pid": os.getpid()}))
    assert writer.run.status == "running"
    with pytest.raises(RunError, match="is running"):
        RunStore(runs_dir).delete(writer.run)
    before = beat.stat().st_mtime - 600
    os.utime(beat, (before, before))
    assert writer.run.status == "interrupted"


def test_a_run_beats_until_it_is_closed(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmlab.runs.lock.SECONDS", 0.01)
    writer = RunStore(runs_dir).create("here", {})
    beat = writer.folder / "alive.beat"
    os.utime(beat, (0, 0))
    until(lambda: beat.stat().st_mtime > 0)
    writer.close("finished")
    assert not beat.exists()


def test_a_run_that_cannot_be_begun_leaves_no_folder(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "RunWriter", full)
    with pytest.raises(RunError, match="cannot be written"):
        RunStore(runs_dir).create("first", {})
    assert not [path for path in runs_dir.iterdir() if not path.name.startswith(".")]
