"""The server's process: TensorBoard as it comes, a page to open it by, and an end when its owner ends.

Run as a file of its own and without nmlab, which the process has no need of: `python process.py --owner PID --key KEY
…`, further arguments as for `tensorboard`. The owner holds the other end of standard input.
"""

import base64
import contextlib
import hashlib
import os
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from typing import Any

from tensorboard import default, main_lib, program
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

GRACE = 5.0
"""Seconds that TensorBoard has to end by itself."""

# TensorBoard loads nothing anew unless its settings, which the browser keeps by address, say so; then every 30 s, which
# is as long as a whole fit may take. So its own button for that is pressed while it is seen. Values are shown as they
# are, not smoothed, until a user wants them so.
_SCRIPT = """
const asked = new URLSearchParams(location.search), place = "_tb_global_settings";
const read = () => { try { return JSON.parse(localStorage.getItem(place)) || {}; } catch { return {}; } };
try {
  const settings = { autoReload: true, scalarSmoothing: 0, timeSeriesSettingsPaneOpened: false, ...read() };
  if (asked.has("theme")) settings.theme = asked.get("theme");
  localStorage.setItem(place, JSON.stringify(settings));
} catch { /* a browser that keeps nothing */ }
asked.delete("theme");
const frame = document.querySelector("iframe");
frame.src = `../../../?${asked}${location.hash}`;
setInterval(() => {
  if (document.hidden || read().autoReload === false) return;
  frame.contentDocument?.querySelector("app-header-reload button:not([disabled])")?.click();
}, 5000);
"""
_PAGE = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>TensorBoard</title>
<style>html, body, iframe {{ margin: 0; border: 0; width: 100%; height: 100%; display: block; }}</style></head>
<body><iframe title="TensorBoard"></iframe><script>{_SCRIPT}</script></body></html>
"""


class OwnPages(base_plugin.TBPlugin):  # type: ignore[misc]  # tensorboard has no types
    """Two pages below `data/plugin/nmlab/`: `start` opens TensorBoard, `hello` says which server this is."""

    plugin_name = "nmlab"

    def __init__(self, context: Any) -> None:
        self._key = context.flags.key

    def get_plugin_apps(self) -> dict[str, Any]:
        """Return the pages by their paths."""
        return {"/start": self._start, "/hello": self._hello}

    def is_active(self) -> bool:
        """Return False: the plugin has no tab of its own."""
        return False

    @wrappers.Request.application  # type: ignore[arg-type]
    def _start(self, request: wrappers.Request) -> Any:
        allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
        return http_util.Respond(request, _PAGE, "text/html", csp_scripts_sha256s=[allowed])

    @wrappers.Request.application  # type: ignore[arg-type]  # whose types leave methods out
    def _hello(self, request: wrappers.Request) -> Any:
        anyone = [("Access-Control-Allow-Origin", "*")]
        return http_util.Respond(request, {"key": self._key}, "application/json", headers=anyone)


class OwnPagesLoader(base_plugin.TBLoader):  # type: ignore[misc]  # tensorboard has no types
    """Takes the flags that the owner gives beside TensorBoard's."""

    def define_flags(self, parser: ArgumentParser) -> None:
        """Add the flags to those of TensorBoard."""
        parser.add_argument("--owner", type=int, required=True, help="pid of the process to end with")
        parser.add_argument("--key", required=True, help="what tells this server from others")

    def load(self, context: Any) -> OwnPages:
        """Return the plugin."""
        return OwnPages(context)


def end_with(owner: int) -> None:
    """Have this process end soon after its owner has, however that ended."""

    def until_closed() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        _end()

    def until_orphaned() -> None:  # where a child that the owner forked still holds the pipe open
        while os.getppid() == parent:
            time.sleep(1.0)
        _end()

    parent = os.getppid()
    threading.Thread(target=until_closed, daemon=True).start()
    if os.name == "posix":
        if parent != owner:  # it has gone already
            _end()
        threading.Thread(target=until_orphaned, daemon=True).start()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)  # which cleans up
    time.sleep(GRACE)
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Serve until told to end; returns the exit status."""
    main_lib.global_init()
    board = program.TensorBoard(plugins=[*default.get_plugins(), OwnPagesLoader()])
    board.configure(["tensorboard", *arguments])
    end_with(board.flags.owner)
    return int(board.main())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
