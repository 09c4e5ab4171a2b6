"""What nmlab's widgets share: the files of their front end, and a line to the page that lasts."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

_FRONT = files("nmlab.notebook") / "front"
_IMPORT = re.compile(r'^import \{ [\w, ]+ \} from "\./([\w-]+\.js)";\n', re.M)
_COMMENT = re.compile(r"/\*\*(?:.|\n)*?\*/ ?|^\s*//.*\n", re.M)
_BLANK = re.compile(r"^\s+", re.M)
_EXPORT = re.compile(r"^export (?=async function|function|const|let|class)", re.M)


def front(name: str) -> str:
    """Return a file of `front/`; a module with all that it imports, joined into one without imports.

    The page gets a single module. Modules import only each other, as `import { a, b } from "./c.js"`, and no two of
    them define the same name, so that their texts can follow one another. Comments and the blanks that
    lines begin with are left out.

    Parameters
    ----------
    name : str
        Name of the file, such as 'panel.js'.
    """
    if not name.endswith(".js"):
        return _BLANK.sub("", _read(name))
    texts: dict[str, str] = {}
    _collect(name, texts)
    return "\n".join(texts.values())


def _collect(name: str, texts: dict[str, str]) -> None:
    """Add a module to `texts`, behind those that it imports."""
    if name in texts:
        return
    text = _read(name)
    for imported in _IMPORT.findall(text):
        _collect(imported, texts)
    texts[name] = _BLANK.sub("", _COMMENT.sub("", _EXPORT.sub("", _IMPORT.sub("", text))))


def _read(name: str) -> str:
    return (_FRONT / name).read_text(encoding="utf-8")


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
