"""Callbacks of installed packages, which Lightning looks for whenever a Trainer is made.

It reads the metadata of every package for that, which takes longer than the rest of making a Trainer. Here they are
read again only when something was installed or removed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

from lightning.fabric.utilities import registry


@contextmanager
def known_entry_points() -> Iterator[None]:
    """Let Lightning take entry points from memory within the block."""
    lightnings: Any = registry
    looked_up = lightnings.entry_points
    lightnings.entry_points = lambda group: _entry_points(group, _installed())
    try:
        yield
    finally:
        lightnings.entry_points = looked_up


@lru_cache(maxsize=8)
def _entry_points(group: str, _installed: tuple[tuple[str, int], ...]) -> EntryPoints:
    return entry_points(group=group)


def _installed() -> tuple[tuple[str, int], ...]:
    """Return the folders in which packages are, with the times of their last changes."""
    return tuple((path, Path(path).stat().st_mtime_ns) for path in sys.path if Path(path).exists())
