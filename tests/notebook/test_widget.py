"""The line between a widget and its page."""

import inspect
from typing import Any

from ipykernel import kernelbase
from ipykernel.comm import comm

from nmlab.notebook.panel import Panel
from nmlab.notebook.tensorboard_view import Frame


def test_messages_of_a_page_go_to_the_main_shell_whatever_was_published_for() -> None:
    for widget in (Panel(), Frame()):
        line: Any = widget.comm
        assert line._reply_subshell_for({"method": "custom"}, "a subshell that is gone") is None


def test_ipykernel_asks_a_comm_for_the_subshell_as_it_did() -> None:
    """Else `Widget` sets what nobody reads: look at how ipykernel routes a page's messages now."""
    assert [*inspect.signature(comm.BaseComm._reply_subshell_for).parameters] == ["self", "data", "default"]
    routing = inspect.getsource(kernelbase.Kernel.shell_channel_thread_main)
    assert 'route = getattr(comm, "_reply_subshell_for", None)' in routing
