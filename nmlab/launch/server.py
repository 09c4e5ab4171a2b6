"""The warm server: a process that has imported what a fit needs, and is forked for each fit in a process of its own.

It is started with the first such fit of a kernel and ends with the kernel. Nothing is computed in it, so that a fork
of it is safe whatever the kernel has done with threads or a GPU.
"""

from __future__ import annotations

import atexit
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, Pipe

from nmlab.errors import RunError

_CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from nmlab.launch.server import serve
serve({fd})
"""


class Server:
    """The server, as the process that started it sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE.format(path=sys.path, fd=theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,  # a restart kills all processes of the kernel's session
            )
        self._owner = os.getpid()
        self.is_warm = False
        """Whether a fit has been started by it."""

    @property
    def alive(self) -> bool:
        """Whether it runs and belongs to this process, not to the one that this one was forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    def fork(self) -> Connection:
        """Have a process forked, which calls `nmlab.launch.guard.guard`, and return the connection to it.

        Raises
        ------
        RunError
            If the server has ended.
        """
        ours, theirs = Pipe()
        with theirs:
            try:
                socket.send_fds(self._socket, [b"f"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise RunError(f"The process that starts fits has ended.{self.output()}") from None
        return ours

    def output(self) -> str:
        """Return the last lines that the process printed, for an error; '' if there are none."""
        with suppress(OSError, ValueError):
            self._output.seek(0)
            lines = self._output.read().decode(errors="replace").strip().splitlines()[-20:]
            return "\n".join([" It printed:", *lines]) if lines else ""
        return ""

    def close(self) -> None:
        """End the process; fits that it has started go on."""
        self._socket.close()
        if self._owner == os.getpid():
            self._process.wait()
        self._output.close()


_starting = threading.Lock()
_server: Server | None = None


def server() -> Server:
    """Return the server of this process, which is started if there is none."""
    global _server
    with _starting:
        if _server is not None and not _server.alive:
            _server.close()
            _server = None
        if _server is None:
            _server = Server()
        return _server


@atexit.register
def end_server() -> None:
    """End the server of this process, if there is one; the next fit starts another."""
    global _server
    with _starting:
        if _server is not None:
            _server.close()
            _server = None


def serve(fd: int) -> None:
    """Fork for each request, until the process that started this one ends; the main function of the server."""
    from nmlab.launch.guard import guard

    import_module("torch._dynamo")  # as an optimizer's first step would in each fork
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no child is left as a zombie
    gc.collect()
    gc.freeze()  # what is there now is never collected, so that its memory stays shared with the forks
    requests = socket.socket(fileno=fd)
    while True:
        ready, _, _ = select.select([requests], [], [], 5.0)
        if not ready:
            if os.getppid() != parent:
                return
            continue
        data, fds, _, _ = socket.recv_fds(requests, 1, 1)
        if not data:
            return
        for received in fds:
            if os.fork() == 0:
                requests.close()
                guard(Connection(received))
            os.close(received)
