"""Memory in use and the memory limit of the container, at which the kernel is killed.

Both are read from Linux's control groups (version 2 and 1), which enforce the limit. JupyterHub also gives its limit in
MEM_LIMIT. If only that or no limit is known, the memory of the Jupyter server's processes is added up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_NONE_FROM = 1 << 60
"""Bytes from which a number means that there is no limit, in version 1 of control groups."""


@dataclass(frozen=True)
class _Files:
    """Names of the files of one version of control groups, and where groups are mounted."""

    mount: str
    limit: str
    used: str
    cache: str  # in memory.stat: file pages that are freed before a process is killed


_V2 = _Files("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
_V2_BESIDE_V1 = _Files("sys/fs/cgroup/unified", "memory.max", "memory.current", "inactive_file")
_V1 = _Files("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def memory_in_use(root: Path = Path("/")) -> tuple[int, int | None]:
    """Return the memory in use and the memory limit.

    Parameters
    ----------
    root : pathlib.Path, default Path('/')
        Folder that contains the system's files.

    Returns
    -------
    used : int
        Bytes that count towards the limit: those of the container, without what it can free at once. If the container
        has no limit, those of the Jupyter server and all its processes.
    limit : int or None
        Bytes at which the kernel is killed; None if there is no limit.
    """
    group, limit = _limits(root)
    used = _used_in(*group) if group is not None else None
    return (_used_by_processes() if used is None else used), limit


def memory_available(root: Path = Path("/")) -> int:
    """Return the bytes that can still be used, in the container and on the machine; `root` as for `memory_in_use`."""
    used, limit = memory_in_use(root)
    free = int(psutil.virtual_memory().available)
    return free if limit is None else max(0, min(free, limit - used))


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes at which the kernel is killed, or None if there is no limit; `root` as for `memory_in_use`."""
    return _limits(root)[1]


def _limits(root: Path) -> tuple[tuple[Path, _Files] | None, int | None]:
    """Return the control group with the lowest limit, and the limit that applies."""
    limited = [(limit, group, files) for group, files in _groups(root) if (limit := _limit_of(group, files))]
    hub_limit = _hub_limit()
    if not limited:
        return None, hub_limit
    limit, group, files = min(limited, key=lambda found: found[0])
    return (group, files), limit if hub_limit is None else min(limit, hub_limit)


def _groups(root: Path) -> Iterator[tuple[Path, _Files]]:
    """Yield the control groups of this process and their parents, as far as they are visible."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            kinds = [_V2, _V2_BESIDE_V1]
        elif "memory" in controllers.split(","):
            kinds = [_V1]
        else:
            continue
        # A container may see its own group as the root, but the path as it is outside.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for files in kinds:
            for length in range(len(parts), -1, -1):
                folder = root.joinpath(files.mount, *parts[:length])
                if _read(folder / files.limit):
                    yield folder, files


def _limit_of(group: Path, files: _Files) -> int | None:
    limit = _number(_read(group / files.limit))  # 'max' is no limit
    return limit if limit is not None and 0 < limit < _NONE_FROM else None


def _hub_limit() -> int | None:
    """Return the limit that JupyterHub gives, in bytes."""
    limit = _number(os.environ.get("MEM_LIMIT", ""))
    return limit if limit is not None and 0 < limit < _NONE_FROM else None


def _used_in(group: Path, files: _Files) -> int | None:
    used = _number(_read(group / files.used))
    if used is None:
        return None
    stat = dict(line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines() if " " in line)
    return max(0, used - (_number(stat.get(files.cache, "")) or 0))


def _used_by_processes() -> int:
    """Return the memory of the Jupyter server of this kernel, or else of this process, and of all child processes."""
    own = psutil.Process()
    server = own.parent() if "JPY_PARENT_PID" in os.environ else None
    used = 0
    for process in _with_children(server or own):
        try:
            used += _size_of(process)
        except psutil.Error:  # it has ended, or belongs to another user
            continue
    return used


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [psutil.Process()]


def _size_of(process: psutil.Process) -> int:
    """Return the bytes of a process; shared memory is counted proportionally if the system supports it."""
    try:
        return int(process.memory_full_info().pss)
    except (AttributeError, psutil.AccessDenied):
        return int(process.memory_info().rss)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (OSError, ValueError):  # including an invalid path
        return ""


def _number(text: str) -> int | None:
    try:
        return int(float(text)) if "." in text else int(text)
    except (ValueError, OverflowError):
        return None
