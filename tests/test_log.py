"""Lightning's messages go to the run's log; what the user's functions say does not."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined]  # not in its __all__

from nmlab.log import lightning_in_log


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


TORCHS_OWN = str(Path(torch.__file__).parent / "nn" / "functional.py")


def test_lightnings_messages_go_to_the_log_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[str] = []
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    with lightning_in_log(lines.append):
        rank_zero_info("GPU available: no")
        logging.getLogger("lightning.pytorch.callbacks").warning("a %s", "callback")
        logging.getLogger("mine").warning("the user's")
    assert lines == ["GPU available: no", "a callback"]
    assert caplog.messages == ["the user's"]
    assert [(logger.handlers, logger.propagate) for logger in loggers] == before
    logging.getLogger("lightning.pytorch").warning("afterwards")
    assert "afterwards" not in lines


def test_warnings_of_torchs_own_code_go_to_the_log_and_the_users_are_shown(shown: list[str]) -> None:
    lines: list[str] = []
    with lightning_in_log(lines.append):
        warn_from(TORCHS_OWN, "torch's")
        warn_from("/home/me/torch/lightning/my_problem.py", "mine, in a folder of that name")
        warn_from(str(Path(torch.__file__).parent) + "_geometric/nn.py", "another package's")
        warnings.warn("this test's", stacklevel=1)
    assert lines == ["UserWarning: torch's"]
    assert shown == ["mine, in a folder of that name", "another package's", "this test's"]
    warn_from(TORCHS_OWN, "torch's, afterwards")
    assert shown[-1] == "torch's, afterwards"


def test_warnings_in_the_users_own_threads_are_shown(shown: list[str]) -> None:
    lines: list[str] = []
    with lightning_in_log(lines.append):
        thread = threading.Thread(target=warn_from, args=(TORCHS_OWN, "in a cell"))
        thread.start()
        thread.join()
    assert (lines, shown) == ([], ["in a cell"])


def test_all_is_put_back_after_an_error(shown: list[str]) -> None:
    show = warnings.showwarning
    with pytest.raises(ZeroDivisionError), lightning_in_log(print):
        _ = 1 / 0
    assert warnings.showwarning is show


def test_whoever_took_over_meanwhile_keeps_it(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(*_arguments: Any, **_named: Any) -> None: ...

    with lightning_in_log(print):
        monkeypatch.setattr(warnings, "showwarning", mine)
    assert warnings.showwarning is mine
