"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and move it into place when the block has ended well.

    On Windows a file that a reader has open cannot be replaced at that instant; the move is then tried again.
    """
    aside = path.with_name(path.name + ".tmp")
    yield aside
    for attempt in range(50):
        try:
            os.replace(aside, path)
        except PermissionError:
            if attempt == 49:
                raise
            time.sleep(0.02)
        else:
            return
