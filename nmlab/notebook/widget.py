"""What nmlab's widgets share: the files of their front end, and a line to the page that lasts."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import anywidget
import traitlets

_FRONT = files("nmlab.notebook") / "front"


def front(*names: str) -> str:
    """Return files of `front/` joined into one text, in this order."""
    return "\n".join((_FRONT / name).read_text(encoding="utf-8") for name in names)


def synced(trait: Any) -> Any:
    """Return a trait that the page has too."""
    return trait.tag(sync=True)


class Widget(anywidget.AnyWidget):
    """A widget whose messages from the page are handled in the kernel's main thread, whatever was published last.

    ipykernel 7.4 sends a page's message to the subshell that the widget last published for. A thread publishes for
    the latest message of all, which after a page reload is JupyterLab's `comm_close`, sent in a subshell that is
    deleted at once: every later message of the page would be refused with `UnknownSubshellError`.
    """

    @traitlets.observe("comm")
    def _handle_in_main_thread(self, change: Any) -> None:
        if change["new"] is not None:
            change["new"]._reply_subshell_for = _main_shell


def _main_shell(_data: Any, _default: str | None) -> None:
    """Return the main shell's id, for `ipykernel.comm.comm.BaseComm._reply_subshell_for`."""
