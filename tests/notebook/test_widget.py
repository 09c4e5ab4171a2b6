"""The line between a widget and its page."""

import inspect
import re
from importlib.resources import files
from typing import Any

from ipykernel import kernelbase
from ipykernel.comm import comm

from nmlab.notebook.panel import Panel
from nmlab.notebook.tensorboard_view import Frame
from nmlab.notebook.widget import front

FRONT = files("nmlab.notebook") / "front"
LARGEST = 150_000
"""Bytes of the front end, which each Lab sends to the page."""


def test_messages_of_a_page_go_to_the_main_shell_whatever_was_published_for() -> None:
    for widget in (Panel(), Frame()):
        line: Any = widget.comm
        assert line._reply_subshell_for({"method": "custom"}, "a subshell that is gone") is None


def test_ipykernel_asks_a_comm_for_the_subshell_as_it_did() -> None:
    """Else `Widget` sets what nobody reads: look at how ipykernel routes a page's messages now."""
    assert [*inspect.signature(comm.BaseComm._reply_subshell_for).parameters] == ["self", "data", "default"]
    routing = inspect.getsource(kernelbase.Kernel.shell_channel_thread_main)
    assert 'route = getattr(comm, "_reply_subshell_for", None)' in routing


def test_the_modules_of_the_front_end_are_joined_into_one() -> None:
    for widget in (Panel, Frame):
        text = str(widget._esm)
        assert not re.search(r"^(import|export (?!default))", text, re.M)
        assert text.count("export default") == 1
        assert text.index("function h(") < text.index("function isDark(") < text.index("export default")


def test_no_two_modules_define_the_same_name() -> None:
    modules = [file for file in FRONT.iterdir() if file.name.endswith(".js") and file.name != "frame.js"]
    defined = r"^(?:export )?(?:async function|function|const|let|class) (\w+)"
    names = [name for module in modules for name in re.findall(defined, module.read_text("utf-8"), re.M)]
    assert len(names) > 80
    assert len(names) == len(set(names))


def test_the_front_end_is_small() -> None:
    assert len(front("panel.js").encode()) + len(front("panel.css").encode()) < LARGEST
