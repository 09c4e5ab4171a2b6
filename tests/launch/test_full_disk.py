"""A disk that takes nothing more, a folder that is gone or read-only: no training ends by it, and it is said."""

from __future__ import annotations

import builtins
import errno
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import nmlab
from nmlab import Run, RunError, RunStore, TrainerOptions
from nmlab.notebook.status_line import progress_html
from nmlab.runs import keeper
from nmlab.runtime.control import Control
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.processes import fresh

OPTIONS = TrainerOptions(max_epochs=3, seed=3, lr=0.01)


class Disk:
    """Lets whatever writes below some folders fail, from one call on and for so many calls."""

    def __init__(self, *folders: Path) -> None:
        self._folders = [str(folder) for folder in folders]
        self.calls = 0
        self.first = self.last = 10**9

    def ask(self, path: Any) -> None:
        if any(str(path).startswith(folder) for folder in self._folders):
            self.calls += 1
            if self.first <= self.calls <= self.last:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))


class Written:
    """A file whose writes ask the disk."""

    def __init__(self, file: Any, disk: Disk, path: Any) -> None:
        self._file, self._disk, self._path = file, disk, path

    def write(self, data: Any) -> Any:
        try:
            self._disk.ask(self._path)
        except OSError:
            self._file.write(data[: len(data) // 2])  # some of it arrives
            raise
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)


@contextmanager
def failing(disk: Disk) -> Iterator[None]:
    """All ways to write, asked."""
    opened, replaced, synced, saved, made = io.open, os.replace, os.fsync, torch.save, os.mkdir

    def opening(path: Any, mode: str = "r", *rest: Any, **keywords: Any) -> Any:
        file = opened(path, mode, *rest, **keywords)
        return Written(file, disk, path) if set(mode) & set("wax+") and not isinstance(path, int) else file

    def replacing(source: Any, target: Any, **keywords: Any) -> Any:
        disk.ask(target)
        return replaced(source, target, **keywords)

    def saving(content: Any, file: Any, **keywords: Any) -> Any:
        try:
            disk.ask(file)
        except OSError:
            Path(file).write_bytes(b"PK")
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0") from None
        return saved(content, file, **keywords)

    def syncing(descriptor: int) -> None:
        disk.ask(Path(f"/proc/self/fd/{descriptor}").readlink() if Path("/proc/self/fd").exists() else "")
        synced(descriptor)

    def making(path: Any, *rest: Any, **keywords: Any) -> None:
        disk.ask(path)
        made(path, *rest, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        for module in (io, builtins):
            patch.setattr(module, "open", opening)
        patch.setattr(os, "replace", replacing)
        patch.setattr(os, "fsync", syncing)
        patch.setattr(os, "mkdir", making)
        patch.setattr(torch, "save", saving)
        patch.setattr(keeper, "SHORTEST", 0.0)
        patch.setattr(keeper, "LONGEST", 0.0)
        patch.setattr(keeper, "LAST", (0.0,) * 4)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nmlab.fit(built(rosenbrock), rosenbrock_data, OPTIONS, runs_dir=tmp_path_factory.mktemp("whole"))


@pytest.mark.filterwarnings("ignore:Run 0001", "ignore:.*TensorBoard")
@pytest.mark.parametrize(("calls", "every"), [(1, 1), (3, 2), (10**9, 2)], ids=["one call", "three calls", "for ever"])
def test_whatever_write_fails_the_training_goes_on(calls: int, every: int, whole: Run, tmp_path: Path) -> None:
    at, ends = 1 - every, False
    made: list[int] = []

    def data() -> Any:
        made.append(at)
        return rosenbrock_data()

    while not ends:
        at += every
        folder, disk = tmp_path / str(at), Disk(tmp_path / str(at))
        disk.first, disk.last = at, at + calls - 1
        problem = built(rosenbrock)
        made.clear()
        with failing(disk):
            run = None
            with suppress(RunError):  # where the folder could not even be made
                run = nmlab.fit(problem, data, OPTIONS, runs_dir=folder)
        if run is None:
            assert not made, at
            continue
        ends = disk.calls < at
        assert run.status == "finished", at
        assert rows(run).equals(rows(whole)), at
        assert same(problem.state_dict(), whole.problem.state_dict()), at  # type: ignore[union-attr]
        assert same(run.restore(built(rosenbrock, 9)).state_dict(), problem.state_dict()), at
        if calls < 10**9:  # there was room again, and everything is on disk
            stored = Run(run.folder)
            assert rows(stored).equals(rows(whole)), at
            assert same(stored.restore(built(rosenbrock, 9)).state_dict(), problem.state_dict()), at
            assert stored.status == "finished", at
            assert stored.unwritten is None, at
        elif not ends:
            assert "nothing could be written since epoch" in str(run.unwritten), at
    assert at > 10


@pytest.mark.filterwarnings("ignore:.*TensorBoard")
def test_where_nothing_can_be_saved_the_problem_holds_the_weights(whole: Run, tmp_path: Path) -> None:
    problem, disk = built(rosenbrock), Disk(tmp_path, Path(tempfile.gettempdir()))

    def data() -> Any:
        disk.first = disk.calls + 1
        return rosenbrock_data()

    with failing(disk), pytest.raises(RunError, match=r"could be saved nowhere.*The Problem holds them"):
        nmlab.fit(problem, data, OPTIONS, runs_dir=tmp_path / "runs")
    assert same(problem.state_dict(), whole.problem.state_dict())  # type: ignore[union-attr]
    disk.first = 10**9
    assert nmlab.fit(problem, rosenbrock_data, OPTIONS, runs_dir=tmp_path / "runs").status == "finished"


@pytest.mark.filterwarnings("ignore:.*TensorBoard")
def test_elsewhere_is_said_and_found(tmp_path: Path) -> None:
    problem, disk = built(rosenbrock), Disk(tmp_path)

    def data() -> Any:
        disk.first = disk.calls + 1
        return rosenbrock_data()

    with failing(disk), pytest.warns(UserWarning, match="The best weights are in .*best.ckpt: nothing could be"):
        run = nmlab.fit(problem, data, OPTIONS, runs_dir=tmp_path / "runs")
    assert same(run.restore(built(rosenbrock, 9)).state_dict(), problem.state_dict())
    assert "since epoch" in repr(run)
    html = progress_html(run, Control(), done=True)
    assert "⚠ Nothing could be written since epoch" in html
    Path(str(run.checkpoint_path)).unlink()


@pytest.mark.filterwarnings("ignore:.*TensorBoard", "ignore:Run 0001")
@pytest.mark.parametrize("back", [True, False])
def test_a_folder_that_is_gone_for_a_while(
    back: bool, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network folder that is disconnected."""
    monkeypatch.setattr(keeper, "SHORTEST", 0.0)
    monkeypatch.setattr(keeper, "LAST", ())
    problem, seen = built(rosenbrock), [0]
    runs, away = tmp_path / "runs", tmp_path / "away"

    def move(_module: Any, _arguments: Any) -> None:
        seen[0] += 1
        if seen[0] == 30 and runs.exists():
            runs.rename(away)
        if seen[0] == 45 and back and away.exists():
            away.rename(runs)

    problem.nodes[0].register_forward_pre_hook(move)
    run = nmlab.fit(problem, rosenbrock_data, OPTIONS.replace(max_epochs=8, tensorboard=False), runs_dir=runs)
    assert seen[0] > 45
    assert run.status == "finished"
    assert "since epoch" in str(run.unwritten) or back
    if back:
        assert Run(run.folder).epochs == 8
        assert same(Run(run.folder).restore(built(rosenbrock, 9)).state_dict(), problem.state_dict())
    else:
        assert Run(away / run.id).epochs == 8  # the file was open
        assert not runs.exists(), "no folder is made anew in place of one that is gone"
        assert same(run.restore(built(rosenbrock, 9)).state_dict(), problem.state_dict())
        Path(str(run.checkpoint_path)).unlink()


SMALL = """
import os, signal, subprocess, sys, tempfile
import nmlab
from pathlib import Path
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data

folder = Path(tempfile.mkdtemp())
mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "none", str(folder)]
mounted = subprocess.run(mount, capture_output=True).returncode == 0
options = nmlab.TrainerOptions(max_epochs=400, seed=3, lr=0.01)
whole = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=tempfile.mkdtemp())
try:
    if not mounted:  # the system ends writes at a size all the same, those of libraries in C++ included
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    problem = built(rosenbrock)
    import warnings
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=folder)
    assert run.status == "finished", run
    assert rows(run).equals(rows(whole))
    assert same(problem.state_dict(), whole.problem.state_dict())
    texts = [str(one.message) for one in told]
    assert any("nothing could be written since epoch" in text for text in texts), texts
    assert 0 < nmlab.Run(run.folder).epochs < 400
finally:
    if mounted:
        subprocess.run(["umount", "-l", str(folder)])
print("tmpfs" if mounted else "limit")
"""


def test_a_disk_that_is_full_by_the_systems_own_word() -> None:
    assert sys.platform == "win32" or fresh(SMALL).split()[-1] in ("tmpfs", "limit")


def test_a_folder_that_cannot_be_written_at_all_is_told_before_the_data_are_made(tmp_path: Path) -> None:
    disk, made = Disk(tmp_path), []

    def data() -> Any:
        made.append(1)
        return rosenbrock_data()

    disk.first = 1
    with failing(disk), pytest.raises(RunError):
        nmlab.fit(built(rosenbrock), data, OPTIONS, runs_dir=tmp_path / "runs")
    assert not made
    assert not list(RunStore(tmp_path / "runs").runs())
