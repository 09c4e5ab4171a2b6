"""TensorBoard on screen, without a browser."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nmlab
from nmlab import RunStore, tensorboard
from nmlab.notebook import tensorboard_view as boards
from nmlab.notebook.tensorboard_view import TensorBoardView
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.screen import Screen
from tests.helpers.waiting import until

QUICK = nmlab.TrainerOptions(max_epochs=2, accelerator="cpu")


@pytest.fixture(autouse=True)
def no_server_stays() -> Iterator[None]:
    yield
    tensorboard.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs."""
    for name in ("one", "two"):
        nmlab.fit(rosenbrock, rosenbrock_data, QUICK, nsim=20, runs_dir=tmp_path, name=name)
    return tmp_path


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that starts nothing."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho '<no space left>'\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


class Widget:
    """What has a trait `board`."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def change(self, board: dict[str, Any]) -> None:
        self.seen.append(board)


def test_it_says_that_it_starts_and_then_where_it_is(folder: Path) -> None:
    widget = Widget()
    board = TensorBoardView(folder, widget.change)
    first, second = RunStore(folder).runs()
    board.open([first, second])
    assert [each["phase"] for each in widget.seen] == ["starting", "serving"]
    server = tensorboard.serve(folder)
    assert (widget.seen[-1]["port"], widget.seen[-1]["key"]) == (server.port, server.key)
    assert widget.seen[-1]["filter"] == "^0001-one$|^0002-two$"
    assert widget.seen[-1]["what"] == "runs 0001-one, 0002-two"
    board.open()
    assert widget.seen[-1]["filter"] == ""
    board.close()
    assert widget.seen[-1] == {}
    assert server.alive


def test_a_page_that_cannot_reach_it_gets_words_and_curves(folder: Path) -> None:
    widget = Widget()
    board = TensorBoardView(folder, widget.change)
    board.unreachable(["https://far.example/proxy/1/"])
    html = widget.seen[-1]["html"]
    assert widget.seen[-1]["phase"] == "failed"
    assert "https://far.example/proxy/1/" in html
    assert "jupyter-server-proxy" in html
    assert "<img" in html
    assert "data:image/png" in html


def test_a_page_that_was_loaded_after_its_end_is_told_so(tmp_path: Path) -> None:
    widget = Widget()
    board = TensorBoardView(tmp_path, widget.change)
    board.open()
    tensorboard.stop()
    board.unreachable(["http://localhost:1/"])
    assert "has stopped" in widget.seen[-1]["html"]
    assert "http://localhost:1/" not in widget.seen[-1]["html"]


def test_an_interrupt_leaves_nothing_that_starts_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    widget = Widget()
    board = TensorBoardView(tmp_path, widget.change)
    with monkeypatch.context() as patch:
        patch.setattr("nmlab.tensorboard.server.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            board.open()
    assert widget.seen[-1] == {}
    board.open()
    assert widget.seen[-1]["phase"] == "serving"


def test_a_folder_that_is_none_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    widget = Widget()
    TensorBoardView(tmp_path / "file", widget.change).open()
    assert widget.seen[-1]["phase"] == "failed"
    assert "File exists" in widget.seen[-1]["html"]


def test_one_that_does_not_come_up_leaves_its_log_and_curves(folder: Path, broken: None) -> None:
    widget = Widget()
    TensorBoardView(folder, widget.change).open()
    assert widget.seen[-1]["phase"] == "failed"
    assert "&lt;no space left&gt;" in widget.seen[-1]["html"]
    assert "<img" in widget.seen[-1]["html"]


def test_without_any_run_there_is_no_curve_to_draw(tmp_path: Path, broken: None) -> None:
    widget = Widget()
    TensorBoardView(tmp_path / "none", widget.change).open()
    assert "no curve" in widget.seen[-1]["html"]


def test_the_bench_opens_and_closes_it(folder: Path) -> None:
    lab = nmlab.Lab(rosenbrock, rosenbrock_data, options=QUICK, runs_dir=folder)
    screen = Screen(lab)
    screen.send("tensorboard", runs=["0002-two"])
    until(lambda: screen.panel.board.get("phase") == "serving")
    assert screen.panel.board["what"] == "runs 0002-two"
    screen.send("close tensorboard")
    assert screen.panel.board == {}
    screen.send("no tensorboard", tried=["http://a/"])
    assert "http://a/" in screen.panel.board["html"]
    screen.send("tensorboard", runs=["0009-unknown"])
    assert "0009-unknown" in screen.message


def test_without_a_notebook_its_address_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards.show(folder)
    assert capsys.readouterr().out == f"TensorBoard over {folder}: {tensorboard.serve(folder).url}\n"
    assert boards.stop() == 1
    with pytest.raises(nmlab.RunError, match="0001-one"):
        boards.show(folder / "other", [RunStore(folder).get("0001")])


def test_under_a_cell_it_leaves_a_note(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(boards, "get_ipython", lambda: type("Shell", (), {"kernel": None})())
    monkeypatch.setattr(boards, "display", lambda data, **_: shown.append(data))
    boards.show(folder)
    widget, note = shown
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert "Run the cell again" in note["text/html"]
    assert "http" not in str([*widget.values(), *note.values()])  # a port that is dead when it is read again
