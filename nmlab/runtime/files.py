"""Files that are written atomically."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move the file to `path` if the block ends without an exception.

    Windows cannot replace a file while a reader has it open; the move is then tried again.

    Parameters
    ----------
    path : pathlib.Path
        Path of the file.

    Yields
    ------
    pathlib.Path
        The temporary path, in the same folder.
    """
    aside = path.with_name(path.name + ".tmp")
    try:
        yield aside
    except BaseException:
        with suppress(OSError):  # what is incomplete takes room where there may be little
            aside.unlink()
        raise
    for attempt in range(50):
        try:
            os.replace(aside, path)
        except PermissionError:
            if attempt == 49:
                raise
            time.sleep(0.02)
        else:
            return
