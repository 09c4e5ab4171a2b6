"""What a fit says goes to its run's log, whole and in order; what the user's own cells say does not."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined]  # not in its __all__
from tqdm import tqdm  # type: ignore[import-untyped]

from nmlab.runtime.capture import LONGEST, Log, captured_output, overwritten


class Lines(list[str]):
    """What was written to the log."""

    @property
    def text(self) -> str:
        return "".join(self)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What would appear on screen as warnings."""
    seen: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda message, *_more, **_named: seen.append(str(message)))
        yield seen


def warn_from(file: str, message: str) -> None:
    """Warn as code that stands in `file` does."""
    exec(compile(f"import warnings\nwarnings.warn({message!r})", file, "exec"), {})


def in_a_cell(call: Any, *arguments: Any) -> None:
    """Call as the user's cell does: in a thread that the fit did not start."""
    cells.submit(call, *arguments).result()


cells = ThreadPoolExecutor(1)
cells.submit(int).result()  # its thread is there before any fit

TORCHS_OWN = str(Path(torch.__file__).parent / "nn" / "functional.py")


# --- streams ---


@pytest.mark.parametrize("echo", [True, False])
def test_prints_go_to_the_log_in_order_and_to_the_screen_if_wanted(
    lines: Lines, capsys: pytest.CaptureFixture[str], echo: bool
) -> None:
    with captured_output(lines.append, echo):
        print("one", "two")
        sys.stderr.write("three\n")
        sys.stdout.writelines(["four\n", "five\n"])
        print("six", file=sys.stderr, flush=True)
    print("afterwards")
    assert lines.text == "one two\nthree\nfour\nfive\nsix\n"
    screen = capsys.readouterr()
    assert screen.out == ("one two\nfour\nfive\n" if echo else "") + "afterwards\n"
    assert screen.err == ("three\nsix\n" if echo else "")


def test_what_a_cell_says_meanwhile_is_its_own(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    with captured_output(lines.append, echo=False):
        in_a_cell(print, "a cell's")
        in_a_cell(logging.getLogger("mine").error, "a cell's record")
    assert lines == []
    assert capsys.readouterr().out == "a cell's\n"


def test_threads_that_the_fit_starts_speak_for_it_while_it_goes(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()

    def outlives() -> None:
        ended.wait(5)
        print("too late for the log")

    start = threading.Thread.start
    with captured_output(lines.append, echo=False):
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(print, ["from a pool"]))
        late = threading.Thread(target=outlives)
        late.start()
    ended.set()
    late.join()
    assert lines.text == "from a thread\nfrom a pool\n"
    assert capsys.readouterr().out == "too late for the log\n"
    assert threading.Thread.start is start


def test_lines_begun_are_ended_in_order(lines: Lines) -> None:
    with captured_output(lines.append, echo=False):
        print("a", end="")
        print("b", end="")
        assert lines == []
        print("c")
        print("begun", end="")
        print("other", file=sys.stderr)
        print("on")
        print("last", end="")
    assert lines.text == "abc\nbegun\nother\non\nlast\n"


def test_of_a_progress_bar_its_end_remains(lines: Lines) -> None:
    with captured_output(lines.append, echo=False):
        for number in tqdm(range(3), mininterval=0, ascii=True, position=0):
            print("step", number)
        sys.stdout.write("Windows\r\n")
    *steps, bar, end = lines.text.splitlines()
    assert steps == ["step 0", "step 1", "step 2"]
    assert bar.startswith("100%|")
    assert "\r" not in lines.text
    assert end == "Windows"


@given(st.lists(st.text("ab\r\n", max_size=6)))
def test_however_a_text_is_cut_the_lines_are_the_same(parts: list[str]) -> None:
    cut, whole = Lines(), Lines()
    for lines, pieces in ((cut, parts), (whole, ["".join(parts)])):
        log = Log(lines.append)
        for piece in pieces:
            log.add("stdout", piece)
        log.close()
    assert cut.text == whole.text
    expected = [overwritten(line) for line in "".join(parts).split("\n")]
    assert cut.text == "".join(f"{line}\n" for line in (expected if expected[-1] else expected[:-1]))


def test_what_a_terminal_shows_after_carriage_returns() -> None:
    assert overwritten("abcdef\rxy") == "xycdef"
    assert overwritten("\r 10%\r100%") == "100%"
    assert overwritten("plain") == "plain"


def test_a_line_that_never_ends_is_written_too(lines: Lines) -> None:
    with captured_output(lines.append, echo=False):
        for _ in range(LONGEST + 1):
            print(".", end="")
        assert len(lines.text) > LONGEST


def test_ten_thousand_prints_are_kept(tmp_path: Path) -> None:
    from nmlab.runs import RunStore

    writer = RunStore(tmp_path).create("talks", {})
    with captured_output(writer.log, echo=False):
        for number in range(10_000):
            print(number)
    assert writer.run.log_path.read_text("utf-8").split() == [str(number) for number in range(10_000)]
    writer.close("finished")


def test_the_streams_look_as_they_did_and_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        colours = True

        def set_parent(self, parent: str) -> None:
            self.parent = parent

    mine = Stream()
    monkeypatch.setattr(sys, "stdout", mine)
    with captured_output(lambda _: None):
        seen: Any = sys.stdout
        assert seen is not mine
        assert not seen.isatty()
        assert seen.colours
        seen.set_parent("cell")
        seen.colours = False
        with pytest.raises(io.UnsupportedOperation):
            seen.fileno()
        with pytest.raises(TypeError, match="must be str, not bytes"):
            seen.write(b"bytes")
    assert sys.stdout is mine
    assert (mine.parent, mine.colours) == ("cell", False)


def test_who_patches_a_stream_gets_what_cells_write(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """As IPython does in every cell, which keeps what the cell wrote for its history."""
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    history: list[str] = []

    def begin_cell() -> Any:
        stream: Any = sys.stdout
        original = stream.write

        def write(text: str) -> Any:
            history.append(text)
            return original(text)

        stream.write = write
        return lambda: setattr(stream, "write", original)

    end_first = begin_cell()
    with captured_output(lines.append, echo=False):
        in_a_cell(sys.stdout.write, "first\n")
        end_first()
        end_second = begin_cell()
        in_a_cell(sys.stdout.write, "second\n")
        print("the fit's")
        end_second()
        in_a_cell(sys.stdout.write, "third\n")
        end_fourth = begin_cell()
    end_fourth()
    print("fifth")
    assert history == ["first\n", "second\n"]
    assert screen.getvalue() == "first\nsecond\nthird\nfifth\n"
    assert lines.text == "the fit's\n"


def test_a_cell_that_redirects_meanwhile_keeps_its_way(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    """It puts back what stood there, which may be the stream of a run that has ended."""
    cell = redirect_stdout(io.StringIO())
    users = sys.stdout
    try:
        with captured_output(lines.append, echo=False):
            with cell as held:
                in_a_cell(print, "into the cell's own")
            cell = redirect_stdout(held)
            cell.__enter__()
        assert sys.stdout is held
        cell.__exit__(None, None, None)
        print("passes through")
        with captured_output(lines.append):
            print("next run")
        assert sys.stdout is users
    finally:
        sys.stdout = users
    assert held.getvalue() == "into the cell's own\n"
    assert lines.text == "next run\n"
    assert capsys.readouterr().out == "passes through\nnext run\n"


# --- warnings ---


@pytest.mark.parametrize("echo", [True, False])
def test_warnings_go_to_the_log_and_the_users_to_the_screen_too(shown: list[str], lines: Lines, echo: bool) -> None:
    with captured_output(lines.append, echo):
        warn_from(TORCHS_OWN, "torch's")
        warn_from("/home/me/torch/lightning/my_problem.py", "mine, in a folder of that name")
        warn_from(str(Path(torch.__file__).parent) + "_geometric/nn.py", "another package's")
    assert lines.text.startswith("UserWarning: torch's\n/home/me/torch/lightning/my_problem.py:2: ")
    assert "nn.py:2: UserWarning: another package's\n" in lines.text
    assert shown == (["mine, in a folder of that name", "another package's"] if echo else [])
    warn_from(TORCHS_OWN, "torch's, afterwards")
    assert shown[-1] == "torch's, afterwards"
    assert "afterwards" not in lines.text


def test_a_cells_warnings_are_shown(shown: list[str], lines: Lines) -> None:
    with captured_output(lines.append):
        in_a_cell(warn_from, TORCHS_OWN, "in a cell")
    assert (lines, shown) == ([], ["in a cell"])


def test_a_warning_is_in_every_runs_log(shown: list[str]) -> None:
    warnings.simplefilter("default")
    users_code = compile("import warnings\nwarnings.warn('each time')", "my_data.py", "exec")
    users_globals: dict[str, Any] = {}
    for _ in range(2):
        lines = Lines()
        with captured_output(lines.append, echo=False):
            exec(users_code, users_globals)
            exec(users_code, users_globals)
        assert lines.text.count("each time") == 1


# --- logging ---


@pytest.mark.parametrize("echo", [True, False])
def test_records_of_loggers_that_the_user_configured(lines: Lines, echo: bool) -> None:
    screen = io.StringIO()
    logger = logging.getLogger("my.data")
    handler = logging.StreamHandler(screen)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with captured_output(lines.append, echo):
            logger.warning("from %s", "the fit")
            logger.debug("not asked for")
            in_a_cell(logger.warning, "from a cell")
            late = logging.StreamHandler()  # which holds the stream that stands there for the run
            logger.addHandler(late)
            logger.error("twice handled")
            logger.removeHandler(late)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert lines.text == "WARNING:my.data:from the fit\nERROR:my.data:twice handled\n"
    assert screen.getvalue() == ("from the fit\nfrom a cell\ntwice handled\n" if echo else "from a cell\n")


def test_a_record_whose_arguments_do_not_fit_harms_nothing(lines: Lines) -> None:
    with captured_output(lines.append, echo=False):
        logging.getLogger("my.data").warning("%d", "text")
        print("goes on")
    assert "TypeError" in lines.text  # as logging tells it
    assert lines.text.endswith("goes on\n")


def test_lightnings_messages_go_to_the_log_alone(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    with captured_output(lines.append):
        rank_zero_info("GPU available: no")
        logging.getLogger("lightning.pytorch.callbacks").warning("a %s", "callback")
        logging.getLogger("mine").warning("the user's")
    assert lines.text == "GPU available: no\na callback\nWARNING:mine:the user's\n"
    assert caplog.messages == ["the user's"]
    logging.getLogger("lightning.pytorch").warning("afterwards")
    assert "afterwards" not in lines.text


# --- afterwards ---


def test_all_is_put_back_after_an_error(shown: list[str]) -> None:
    before = sys.stdout, sys.stderr, warnings.showwarning, logging.Logger.callHandlers, threading.Thread.start
    with pytest.raises(ZeroDivisionError), captured_output(lambda _: None):
        _ = 1 / 0
    assert before == (
        sys.stdout,
        sys.stderr,
        warnings.showwarning,
        logging.Logger.callHandlers,
        threading.Thread.start,
    )


def test_whoever_took_over_meanwhile_keeps_it(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(*_arguments: Any, **_named: Any) -> None: ...

    with captured_output(lambda _: None):
        monkeypatch.setattr(warnings, "showwarning", mine)
    assert warnings.showwarning is mine
