"""Memory in use against the limit of the container, at which the kernel is killed.

The kernel's own accounts are read (control groups, version 2 and 1), as they are what kills. JupyterHub tells its
limit in MEM_LIMIT too. Where only that is known, or no limit at all, the processes of the Jupyter server are added up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_NONE_FROM = 1 << 60
"""Bytes from which a number is version 1's way to say that there is no limit."""


@dataclass(frozen=True)
class _Files:
    """What the files of one version of control groups are called, and where groups are mounted."""

    mount: str
    limit: str
    used: str
    cache: str  # in memory.stat: file pages that are given up before anything is killed


_V2 = _Files("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
_V2_BESIDE_V1 = _Files("sys/fs/cgroup/unified", "memory.max", "memory.current", "inactive_file")
_V1 = _Files("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def memory_in_use(root: Path = Path("/")) -> tuple[int, int | None]:
    """Return the bytes in use and the bytes at which the kernel is killed, or None where there is no limit.

    In use is what counts towards the limit: that of the container less what it can give up at once. Without a limit of
    the container it is the memory of the Jupyter server and all its processes.

    Parameters: `root`, where the system's files are looked for.
    """
    group, limit = _limits(root)
    used = _used_in(*group) if group is not None else None
    return (_used_by_processes() if used is None else used), limit


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes at which the kernel is killed, or None where there is no limit; parameters as above."""
    return _limits(root)[1]


def _limits(root: Path) -> tuple[tuple[Path, _Files] | None, int | None]:
    """The group of processes whose limit is the lowest, and the limit that holds."""
    limited = [(limit, group, files) for group, files in _groups(root) if (limit := _limit_of(group, files))]
    told = _told_limit()
    if not limited:
        return None, told
    limit, group, files = min(limited, key=lambda each: each[0])
    return (group, files), limit if told is None else min(limit, told)


def _groups(root: Path) -> Iterator[tuple[Path, _Files]]:
    """This process's control groups and those around them, as far as they can be seen from here."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            kinds = [_V2, _V2_BESIDE_V1]
        elif "memory" in controllers.split(","):
            kinds = [_V1]
        else:
            continue
        # A container may see its own group as the top one, and the path as it is outside.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for files in kinds:
            for length in range(len(parts), -1, -1):
                folder = root.joinpath(files.mount, *parts[:length])
                if _read(folder / files.limit):
                    yield folder, files


def _limit_of(group: Path, files: _Files) -> int | None:
    limit = _number(_read(group / files.limit))  # 'max' is none
    return limit if limit is not None and 0 < limit < _NONE_FROM else None


def _told_limit() -> int | None:
    """The limit that JupyterHub tells, in bytes."""
    limit = _number(os.environ.get("MEM_LIMIT", ""))
    return limit if limit is not None and 0 < limit < _NONE_FROM else None


def _used_in(group: Path, files: _Files) -> int | None:
    used = _number(_read(group / files.used))
    if used is None:
        return None
    stat = dict(line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines() if " " in line)
    return max(0, used - (_number(stat.get(files.cache, "")) or 0))


def _used_by_processes() -> int:
    """The memory of the Jupyter server that began this kernel, else of this process, and of all that they began."""
    own = psutil.Process()
    server = own.parent() if "JPY_PARENT_PID" in os.environ else None
    used = 0
    for process in _with_children(server or own):
        try:
            used += _size_of(process)
        except psutil.Error:  # it ended meanwhile, or is another user's
            continue
    return used


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [psutil.Process()]


def _size_of(process: psutil.Process) -> int:
    """Bytes of a process, with a share only of what it has in common with others where the system counts so."""
    try:
        return int(process.memory_full_info().pss)
    except (AttributeError, psutil.AccessDenied):
        return int(process.memory_info().rss)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (OSError, ValueError):  # a path that none can be, too
        return ""


def _number(text: str) -> int | None:
    try:
        return int(float(text)) if "." in text else int(text)
    except (ValueError, OverflowError):
        return None
