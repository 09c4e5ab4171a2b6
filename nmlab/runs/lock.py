"""The lock by which a run is known to live: the system lets go of it however a process ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import filelock


def acquire(path: Path) -> filelock.BaseFileLock:
    """Take the lock at `path` for this process and return it; `filelock.Timeout` where another holds it."""
    lock = filelock.FileLock(path, thread_local=False)
    lock.acquire(timeout=1.0)  # whoever looks whether it is held may hold it for an instant
    return lock


if sys.platform == "win32":

    def is_held(path: Path) -> bool:
        """Tell whether a process holds the lock at `path`."""
        if not path.exists():
            return False
        lock = filelock.FileLock(path, thread_local=False)
        for _ in range(5):  # another reader that looks at the same time holds it for an instant
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
        """Tell whether a process holds the lock at `path`; shared among those who look, who need not write."""
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False
