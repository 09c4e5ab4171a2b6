"""One TensorBoard for a folder of runs, for this process alone.

Started by this Python, not by what stands on PATH; found again by a key of its own, so that neither the file that a
killed one left behind nor another kernel's is ever taken for it; gone when this process is.
"""

from __future__ import annotations

import atexit
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from nmlab.errors import TensorBoardError

STARTING = 90.0
"""Seconds that a server has to come up; on a busy machine with one slow core it takes its time."""

LOG = 4000
"""Characters of a log that are shown, the last ones."""


class Server:
    """A TensorBoard server on a free port of 127.0.0.1, for all runs in a folder.

    Parameters
    ----------
    folder : Path
        Folder of runs; it is created if it does not exist.

    Raises
    ------
    TensorBoardError
        If the process cannot be started.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard import manager

        self.folder = folder
        self.key = secrets.token_hex(8)
        """What the server answers to who asks which one it is."""
        self._said = ""
        self._owner = os.getpid()
        self._port: int | None = None
        arguments = ["--owner", str(self._owner), "--key", self.key, "--logdir", str(folder)]
        arguments += ["--host", "127.0.0.1", "--port", "0", "--reload_interval", "2"]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._known_by = manager.cache_key(str(Path.cwd()), arguments, {})
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server lives
            self._process = subprocess.Popen(
                # -P: the folder of the file is no place to import from
                [sys.executable, "-P", str(Path(__file__).with_name("process.py")), *arguments],
                # where this process looks for its note, whatever a cell has set since
                env={**os.environ, "TMPDIR": tempfile.gettempdir()},
                stdin=subprocess.PIPE,  # which closes when this process ends, however it does
                stdout=self._log,
                stderr=subprocess.STDOUT,
                # else ■, which interrupts the kernel's whole group, would end it
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            with suppress(AttributeError):  # not opened yet
                self._log.close()
            what = f"TensorBoard over {folder} could not be started by {sys.executable}"
            raise TensorBoardError(f"{what}: {error}") from error

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process lives; it may not answer yet."""
        return self._process.poll() is None

    @property
    def url(self) -> str:
        """Where it answers on this machine; waits like `port`."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def port(self) -> int:
        """The port; waits until the server answers, and raises `TensorBoardError` with its log where it does not."""
        end = time.monotonic() + STARTING
        while self._port is None:
            self._port = self._announced()
            if self._port is not None:
                break
            if not self.alive:
                reason = f"TensorBoard did not start (exit status {self._process.returncode})."
                if not self.log:
                    reason += f" It printed nothing. Check that there is free space in {tempfile.gettempdir()}."
                raise TensorBoardError(reason, self.log)
            if time.monotonic() > end:
                self.stop()
                raise TensorBoardError(f"TensorBoard did not answer within {STARTING:.0f} s.", self.log)
            time.sleep(0.1)
        return self._port

    def _announced(self) -> int | None:
        """Return the port, read from the file that TensorBoard writes when it has started; None before that."""
        from tensorboard import manager

        with suppress(OSError):  # another's note that went between listing and reading
            for note in manager.get_all():
                if note.cache_key == self._known_by:
                    return int(note.port)
        return None

    @property
    def log(self) -> str:
        """The end of what the process said."""
        if not self._log.closed:
            self._log.seek(0)
            self._said = self._log.read().decode(errors="replace").strip()[-LOG:]
        return self._said

    def stop(self) -> None:
        """End the process; harmless where it has ended, and in a fork of the process that started it."""
        if self._owner != os.getpid():
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        _ = self.log  # kept beyond its file
        self._log.close()


_servers: dict[Path, Server] = {}
_changing = threading.Lock()


def serve(folder: Path) -> Server:
    """Return this process's server over `folder`: the one that lives, else a new one that is about to come up."""
    with _changing:
        server = _servers.get(folder)
        if server is None or not server.alive or server._owner != os.getpid():
            if server is not None:
                server.stop()
            server = _servers[folder] = Server(folder)
        return server


def stop() -> int:
    """End all servers of this process and return how many there were."""
    with _changing:
        servers = list(_servers.values())
        _servers.clear()
    living = [server for server in servers if server.alive]
    for server in servers:
        server.stop()
    return len(living)


atexit.register(stop)
