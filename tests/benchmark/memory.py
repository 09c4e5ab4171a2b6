"""Memory of a session as on Binder: Jupyter server, a kernel with the first notebook's fit, TensorBoard.

Counted is the proportional set size (PSS, of Linux), in which what processes share is counted once, where the
sum is largest while the fit runs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient

from tests.benchmark.cold import cells
from tests.benchmark.goals import SESSION
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale

TOKEN = "of-the-bench"
PATIENCE = 300.0


def server_in(folder: Path) -> "tuple[subprocess.Popen[bytes], str]":
    """JupyterLab with its own folders, and its address once it answers."""
    runtime = folder / "runtime"
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"]
    process = subprocess.Popen(
        [*command, f"--IdentityProvider.token={TOKEN}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                address = str(json.loads(path.read_text(encoding="utf-8"))["url"])
                ask(address, "api/status")
                return process, address
            except (OSError, ValueError):
                pass  # half-written, or not listening yet
        time.sleep(0.1)
    process.kill()
    raise RuntimeError("JupyterLab did not start")


def ask(address: str, path: str, method: str = "GET") -> Any:
    """The server's answer, from JSON."""
    request = urllib.request.Request(address + path, method=method, headers={"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read() or "null")


def pss(process: psutil.Process) -> int:
    """Bytes of a process and all below it."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def at_most(folder: Path) -> dict[str, int]:
    """Bytes by part of the session, where their sum was largest."""
    server, address = server_in(folder)
    board: subprocess.Popen[bytes] | None = None
    try:
        kernel = ask(address, "api/kernels", "POST")
        client = BlockingKernelClient(connection_file=str(folder / "runtime" / f"kernel-{kernel['id']}.json"))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=PATIENCE)
        logs = folder / "nmlab_runs"
        board = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host", "127.0.0.1", "--port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for source in cells("imports", "problem", "data", "learnt", "view", "bench"):
            client.execute_interactive(source, timeout=PATIENCE, output_hook=lambda _: None)
        fit = client.execute("run = lab.fit()")
        most: dict[str, int] = {}
        while not ended(client, fit):
            [top] = [each for each in psutil.Process(server.pid).children() if kernel["id"] in " ".join(each.cmdline())]
            parts = {"kernel with the fit": pss(top), "TensorBoard": pss(psutil.Process(board.pid))}
            parts["Jupyter server"] = pss(psutil.Process(server.pid)) - parts["kernel with the fit"]
            most = max(most, parts, key=lambda each: sum(each.values()))
        client.stop_channels()
        return most
    finally:
        for process in filter(None, (board, server)):
            process.terminate()
            process.wait(30)


def ended(client: BlockingKernelClient, request: str) -> bool:
    """Whether the kernel has answered within half a second; raises what the cell raised."""
    try:
        reply = client.get_shell_msg(timeout=0.5)
    except Empty:
        return False
    if reply["parent_header"].get("msg_id") != request:
        return False
    if reply["content"]["status"] != "ok":
        raise RuntimeError("\n".join(reply["content"].get("traceback", [])))
    return True


def measure(scale: Scale) -> Result:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        parts = at_most(Path(folder))
    together = sum(parts.values()) / 1e9
    rows = [*([name, f"{size / 1e9:.2f}"] for name, size in parts.items()), ["together", f"{together:.2f}"]]
    title = "Memory while the first notebook's fit runs, at its most (PSS)"
    return Result([Table(title, ["", "GB"], rows)], {SESSION: together}, dict(parts))
