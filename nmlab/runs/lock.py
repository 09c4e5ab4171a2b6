"""What shows that a run is running: a lock that the system releases however the process ends, and a heartbeat.

Not every folder has locks (NFS and Lustre may answer ENOSYS, ENOLCK or EOPNOTSUPP), and those of some hold on their own
machine only. A run therefore also touches a file every few seconds; a file that was touched lately is a sign of life,
unless it is of this machine and the lock, or without locks the process, is gone.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import filelock
import psutil

BEAT = ".beat"
"""Suffix of the heartbeat's file, beside that of the lock."""

SECONDS = 10.0
"""Time between two beats."""

FRESH = 60.0
"""Age of a beat, in seconds, up to which its run is taken to be alive; clocks of machines may differ by some of it."""


class RunLock:
    """Shows that this process writes a run, until `release` or the end of the process.

    Parameters
    ----------
    path : pathlib.Path
        File of the lock.

    Raises
    ------
    filelock.Timeout
        If another process holds the lock or, where there are no locks, shows a sign of life.
    """

    def __init__(self, path: Path) -> None:
        self._beat = path.with_suffix(BEAT)
        path.touch()
        self._lock: filelock.BaseFileLock | None = None
        if _is_held(path) is not None:
            self._lock = filelock.FileLock(path, thread_local=False)
            self._lock.acquire(timeout=1.0)  # a reader that checks the lock may hold it for a moment
        elif _beats(self._beat, has_locks=False):
            raise filelock.Timeout(str(path))
        with suppress(OSError):  # a full disk: the lock alone must do
            self._beat.write_text(json.dumps({"host": platform.node(), "pid": os.getpid()}), encoding="utf-8")
        self._released = threading.Event()
        threading.Thread(target=self._go_on_beating, name="nmlab heartbeat", daemon=True).start()

    def _go_on_beating(self) -> None:
        while not self._released.wait(SECONDS):
            with suppress(OSError):
                os.utime(self._beat)

    def release(self) -> None:
        """Show no more signs of life."""
        self._released.set()
        with suppress(OSError):
            self._beat.unlink()
        if self._lock is not None:
            self._lock.release()


def is_alive(path: Path) -> bool:
    """Return whether a process writes the run with the lock at `path`, or may do so."""
    held = _is_held(path)
    return bool(held) or _beats(path.with_suffix(BEAT), has_locks=held is not None)


def _beats(beat: Path, *, has_locks: bool) -> bool:
    """Return whether a heartbeat is a sign of life, beside a lock that is free or cannot be had."""
    try:
        age = abs(time.time() - beat.stat().st_mtime)
        writer = json.loads(beat.read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError):
        return False
    if writer.get("host") == platform.node() and (has_locks or not psutil.pid_exists(writer.get("pid", -1))):
        return False
    return age < FRESH


if sys.platform == "win32":

    def _is_held(path: Path) -> bool | None:
        """Return whether a process holds the lock at `path`; None if there are no locks there."""
        if not path.exists():
            return False
        lock = filelock.FileLock(path, thread_local=False)
        for _ in range(5):  # another reader that checks it may hold it for a moment
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                time.sleep(0.002)
            else:
                lock.release()
                return False
        return True

else:
    import fcntl

    def _is_held(path: Path) -> bool | None:
        """Return whether a process holds the lock at `path`; None if there are no locks there.

        Readers share their lock and need no write access.
        """
        try:
            file = path.open("rb")
        except OSError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                return None
        return False
