"""A TensorBoard server of this process's own, and what the plain magic needs."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tensorboard import manager
from tensorboard.version import VERSION

import nmlab
from nmlab import tensorboard
from nmlab.notebook.tensorboard_view import TensorBoardView
from nmlab.tensorboard import server as servers
from nmlab.tensorboard.surroundings import forget_the_dead
from tests.helpers.waiting import until

OWNER = """
import sys, time
from pathlib import Path
from nmlab import tensorboard
server = tensorboard.serve(Path(sys.argv[1]))
print(server.port, server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "nmlab_runs"
    tensorboard.stop()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Another process with a server over the same folder, its port and its pid."""
    command = [sys.executable, "-c", OWNER, str(tmp_path / "nmlab_runs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port, pid = map(int, process.stdout.readline().split())
        yield process, port, pid
        process.kill()


def asked(port: int, what: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/{what}", timeout=20) as reply:
        return str(reply.read().decode())


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it began."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def test_it_answers_by_its_own_key_on_this_machine_alone(folder: Path) -> None:
    server = tensorboard.serve(folder)
    assert server.url == f"http://127.0.0.1:{server.port}/"
    assert json.loads(asked(server.port, "plugin/nmlab/hello")) == {"key": server.key}
    assert "<iframe" in asked(server.port, "plugin/nmlab/start")
    assert json.loads(asked(server.port, "environment"))["data_location"] == str(folder)
    connections = getattr(psutil.Process, "net_connections", None) or psutil.Process.connections  # before psutil 6
    sockets = [socket for process in family(server.pid) for socket in connections(process, "inet")]
    assert {socket.laddr.ip for socket in sockets if socket.status == "LISTEN"} == {"127.0.0.1"}
    assert tensorboard.serve(folder) is server
    assert tensorboard.stop() == 1
    assert not server.alive
    assert tensorboard.stop() == 0
    assert tensorboard.serve(folder).port != server.port or tensorboard.serve(folder).key != server.key


def test_each_process_has_its_own_and_it_ends_with_it_however_that_ends(
    folder: Path, owner: tuple[subprocess.Popen[str], int, int]
) -> None:
    process, port, pid = owner
    mine = tensorboard.serve(folder)
    assert mine.port != port
    assert mine.pid != pid
    theirs = family(pid)
    process.kill()
    process.wait()
    until(lambda: not any(each.is_running() for each in theirs))
    assert json.loads(asked(mine.port, "plugin/nmlab/hello")) == {"key": mine.key}


@pytest.mark.skipif(os.name != "posix", reason="processes have no groups there")
def test_an_interrupt_of_the_kernels_group_leaves_it_alone(folder: Path) -> None:
    server = tensorboard.serve(folder)
    assert server.port
    assert os.getpgid(server.pid) != os.getpgid(0)
    if not (child := os.fork()):  # what a fork runs at its end must not stop its parent's
        tensorboard.stop()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert server.alive


def test_a_killed_one_is_replaced(folder: Path) -> None:
    first = tensorboard.serve(folder)
    known = first.key
    for each in family(first.pid):
        each.kill()
    until(lambda: not first.alive)
    second = tensorboard.serve(folder)
    assert second.key != known
    assert json.loads(asked(second.port, "plugin/nmlab/hello")) == {"key": second.key}


def test_what_keeps_it_from_coming_up_is_told_with_its_log(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no space left\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(nmlab.TensorBoardError, match=r"exit status 3.*(?s:.*)no space left") as raised:
        _ = tensorboard.serve(folder).port
    assert raised.value.log == "no space left"
    program.write_text("#!/bin/sh\necho thinking\nexec sleep 600\n")
    monkeypatch.setattr(servers, "STARTING", 1.0)
    silent = tensorboard.serve(folder)
    with pytest.raises(nmlab.TensorBoardError, match=r"did not answer within 1 s(?s:.*)thinking"):
        _ = silent.port
    assert not silent.alive
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(nmlab.TensorBoardError, match="could not be started"):
        tensorboard.serve(folder)


def test_one_that_dies_without_a_word_has_its_cause_guessed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk there is no log either."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(nmlab.TensorBoardError, match=f"there is free space in {re.escape(tempfile.gettempdir())}"):
        _ = tensorboard.serve(folder).port


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(nmlab.TensorBoardError, match=r"over .*runs could not be started .*Not a directory"):
        tensorboard.serve(tmp_path / "file" / "runs")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(nmlab.TensorBoardError, match=r"could not be started .*none"):
        tensorboard.serve(tmp_path / "runs")


def test_it_is_found_where_a_cell_has_set_another_place_for_temporary_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tempfile.gettempdir()  # which stays what it was
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(servers, "STARTING", 20.0)
    assert tensorboard.serve(folder).port


def note(pid: int, began: float) -> Path:
    """What a TensorBoard leaves for the magic to find."""
    made = manager.TensorBoardInfo(VERSION, int(began), pid, 9, "", "runs", "", "key")
    path = Path(manager._get_info_dir(), f"pid-{pid}.info")
    path.write_text(manager._info_to_string(made))
    return path


def test_notes_of_the_dead_are_forgotten_and_those_of_the_living_stay() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    dead, living = note(gone.pid, time.time()), note(os.getpid(), time.time())
    try:
        forget_the_dead()
        assert not dead.exists()
        assert living.exists()
        note(os.getpid(), psutil.Process().create_time() - 100)  # the number's earlier owner
        forget_the_dead()
        assert not living.exists()
    finally:
        for path in (dead, living):
            path.unlink(missing_ok=True)


def test_the_plain_magic_finds_program_and_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENSORBOARD_BINARY", "TENSORBOARD_PROXY_URL", "JUPYTERHUB_SERVICE_PREFIX"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "77")
    assert tensorboard.base_url() is None
    (tmp_path / "jpserver-77.json").write_text(json.dumps({"base_url": "/user/abc/", "pid": 77}))
    assert tensorboard.base_url() == "/user/abc/"
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/joe")
    tensorboard.ready_for_plain_magic()
    assert Path(os.environ["TENSORBOARD_BINARY"]).parent == Path(sys.executable).parent
    assert os.environ["TENSORBOARD_PROXY_URL"] == "/user/joe/proxy/%PORT%/"
    monkeypatch.setenv("TENSORBOARD_PROXY_URL", "mine")
    tensorboard.ready_for_plain_magic()
    assert os.environ["TENSORBOARD_PROXY_URL"] == "mine"


def test_making_a_lab_sets_no_variable_and_touches_no_note(
    cell: Callable[[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/joe/")
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    dead = note(gone.pid, time.time())
    try:
        variables, notes = dict(os.environ), sorted(dead.parent.iterdir())
        cell(f"""
import nmlab
from tests.helpers.problems import rosenbrock, rosenbrock_data
lab = nmlab.Lab(rosenbrock(), rosenbrock_data, runs_dir={str(tmp_path / "runs")!r})
lab.fit(max_epochs=1)
""")
        assert dict(os.environ) == variables
        assert sorted(dead.parent.iterdir()) == notes
    finally:
        dead.unlink()


@pytest.mark.parametrize("asked", ["the magics", "TensorBoard"])
def test_who_asks_for_magics_or_tensorboard_gets_what_the_plain_magic_needs(
    asked: str, cell: Callable[[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TENSORBOARD_BINARY", "TENSORBOARD_PROXY_URL"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/joe/")
    if asked == "the magics":
        cell("%load_ext nmlab")
    else:
        TensorBoardView(tmp_path, lambda **_traits: None).open()
        tensorboard.stop()
    assert os.environ["TENSORBOARD_PROXY_URL"] == "/user/joe/proxy/%PORT%/"
