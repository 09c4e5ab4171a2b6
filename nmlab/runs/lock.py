"""The lock that shows that a run is running: the system releases it however the process ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import filelock


def acquire(path: Path) -> filelock.BaseFileLock:
    """Acquire the lock at `path` for this process and return it.

    Raises
    ------
    filelock.Timeout
        If another process holds it.
    """
    lock = filelock.FileLock(path, thread_local=False)
    lock.acquire(timeout=1.0)  # a reader that checks the lock may hold it for a moment
    return lock


if sys.platform == "win32":

    def is_held(path: Path) -> bool:
        """Return whether a process holds the lock at `path`."""
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

    def is_held(path: Path) -> bool:
        """Return whether a process holds the lock at `path`; readers share their lock and need no write access."""
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False
