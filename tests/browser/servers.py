"""JupyterLab and Chromium as the browser's tests and the benchmark start them, apart from the user's own."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from .notebook_page import KERNEL_NAME, LabServer

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SERVER_START_SECONDS = 90
PATIENCE_MS = 20_000  # for one thing to appear; a busy machine of two cores takes its time


def _server_environment(base: Path) -> dict[str, str]:
    """This process's environment without a surrounding Jupyter's variables, and with every folder below `base`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_", "MPLBACKEND"))
    }
    python_path = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    jupyter_path = [str(base / "share"), os.environ.get("JUPYTER_PATH", "")]
    return environment | {
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        "JUPYTER_PATH": os.pathsep.join(filter(None, jupyter_path)),
        "JUPYTER_CONFIG_DIR": str(base / "config"),
        "JUPYTER_DATA_DIR": str(base / "data"),
        "JUPYTER_RUNTIME_DIR": str(base / "runtime"),
        "IPYTHONDIR": str(base / "ipython"),
    }


def _write_configuration(base: Path, token: str, port: int) -> None:
    for folder in ("config", "data", "runtime", "ipython", "root", "settings", "workspaces"):
        (base / folder).mkdir()
    configuration = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": port,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(base / "root"),
        },
        "IdentityProvider": {"token": token},
        "LabApp": {
            "expose_app_in_browser": True,
            "user_settings_dir": str(base / "settings"),
            "workspaces_dir": str(base / "workspaces"),
            "news_url": None,
            "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        },
        "JupyterNotebookApp": {"expose_app_in_browser": True},
    }
    (base / "config" / "jupyter_lab_config.json").write_text(json.dumps(configuration), encoding="utf-8")
    for plugin, settings in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "docmanager-extension/plugin": {"autosave": False},
    }.items():
        path = base / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings), encoding="utf-8")
    kernel = base / "share" / "kernels" / KERNEL_NAME / "kernel.json"
    kernel.parent.mkdir(parents=True)
    specification = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        "metadata": {"debugger": True},
    }
    kernel.write_text(json.dumps(specification), encoding="utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_server(process: "subprocess.Popen[bytes]", base: Path, token: str, log: Path) -> LabServer:
    """The server once it answers; it may have moved to another port, which its own file in `runtime` says."""
    end = time.monotonic() + SERVER_START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        for path in (base / "runtime").glob("jpserver-*.json"):
            # The file may be half-written, and the server may not listen yet.
            with contextlib.suppress(ValueError, KeyError, OSError, urllib.error.URLError):
                url = json.loads(path.read_text(encoding="utf-8"))["url"]
                server = LabServer(url, token, base / "root", base / "settings", log)
                server.request("GET", "api/status", timeout=2)
                return server
        time.sleep(0.1)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])
    pytest.fail(f"JupyterLab did not start in {SERVER_START_SECONDS} s; its log ends:\n{tail}", pytrace=False)


def stop_server(process: "subprocess.Popen[bytes]", server: LabServer | None) -> None:
    """End the server: asked first, which also ends its kernels on every system; then terminated; then killed."""
    if server is not None:
        with contextlib.suppress(OSError, urllib.error.URLError):
            server.request("POST", "api/shutdown")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def jupyterlab(base: Path) -> Iterator[LabServer]:
    """JupyterLab on a free port, with all its folders below `base`."""
    token, log, server = secrets.token_hex(16), base / "server.log", None
    _write_configuration(base, token, free_port())
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab"],
            cwd=base / "root",
            env=_server_environment(base),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            server = await_server(process, base, token, log)
            yield server
        finally:
            stop_server(process, server)


@contextlib.contextmanager
def chromium_at(executable: str) -> Iterator[Browser]:
    """One Chromium with a new, empty profile."""
    flags = list(CHROMIUM_FLAGS)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        try:
            yield browser
        finally:
            browser.close()
