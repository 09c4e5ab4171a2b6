"""What TensorBoard's own `%tensorboard` needs where it stands: its program, the way through a proxy, no dead notes.

nmlab's own frame needs none of this: the page itself finds out what answers. It is set where somebody asks for magics
or for TensorBoard, by `%load_ext nmlab` or by opening it, since variables and notes are seen by more than nmlab.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import psutil


def ready_for_plain_magic() -> None:
    """Set what a user would have to set by hand for `%tensorboard`; what is set already stays."""
    here = Path(sys.executable).parent
    if not _is_within(shutil.which("tensorboard"), here) and (program := shutil.which("tensorboard", path=str(here))):
        os.environ.setdefault("TENSORBOARD_BINARY", program)
    base = base_url() or "/"  # which is no hub's: there a port is reached as it is
    if base != "/" and importlib.util.find_spec("jupyter_server_proxy") is not None:
        # TensorBoard's page asks for the rest of itself relative to its own address: the last slash counts
        os.environ.setdefault("TENSORBOARD_PROXY_URL", f"{base}proxy/%PORT%/")
    forget_the_dead()


def _is_within(program: str | None, folder: Path) -> bool:
    return program is not None and Path(program).parent == folder


def base_url() -> str | None:
    """Return the path under which this kernel's Jupyter server stands, such as '/user/abc/'; None where unknown."""
    if prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        return prefix if prefix.endswith("/") else f"{prefix}/"
    with suppress(ImportError, OSError, ValueError, KeyError):  # a kernel may have no server, or one of another kind
        from jupyter_core.paths import jupyter_runtime_dir

        # read as `jupyter_server.serverapp.list_running_servers` does, whose import takes longer than all else here
        note = Path(jupyter_runtime_dir(), f"jpserver-{os.environ['JPY_PARENT_PID']}.json")
        return str(json.loads(note.read_text(encoding="utf-8"))["base_url"])
    return None


def forget_the_dead() -> None:
    """Remove the notes of TensorBoards that were killed, which `%tensorboard` would show as a dead port."""
    from tensorboard import manager

    with suppress(OSError):  # someone else's, or gone meanwhile
        for note in manager.get_all():
            if not _lives(note.pid, note.start_time):
                Path(manager._get_info_dir(), f"pid-{note.pid}.info").unlink()


def _lives(pid: int, noted: float) -> bool:
    """Whether a process that left a note then lives; another that has its number now began later."""
    try:
        return bool(psutil.Process(pid).create_time() <= noted + 1.0)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
