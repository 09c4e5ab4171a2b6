"""What a fit in another process says of itself while it goes on, and what it is asked to do: two files of its run.

Whoever sees the folder can watch and stop the run, also a kernel that was started after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nmlab.runs.json_files import read_object, write_json
from nmlab.runs.layout import ASKED, FIGURES, LIVE, LIVE_VIEW
from nmlab.runtime.files import atomic_write


class JsonSeen:
    """A JSON file that another process replaces, read again only when it was.

    Parameters
    ----------
    path : pathlib.Path
        Path of the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self.content: dict[str, Any] = {}
        """What it held when it was last read; {} before it exists."""

    def changed(self) -> bool:
        """Read the file if it is another one than before, and return whether it was."""
        try:
            info = self._path.stat()
        except OSError:
            return False
        stamp = info.st_ino, info.st_mtime_ns
        if stamp == self._stamp:
            return False
        content, fault = read_object(self._path)
        if fault is None:
            self._stamp, self.content = stamp, content
        return fault is None

    @property
    def written(self) -> float | None:
        """When it was last written, in seconds since the epoch; None if there is no such file."""
        try:
            return self._path.stat().st_mtime
        except OSError:
            return None


def any_live(folder: Path) -> bool:
    """Return whether a run in a folder of runs may go on in another process; quick, also among many runs."""
    return next(folder.glob(f"*/{ASKED}"), None) is not None


class Live:
    """The two files of one run.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.said = JsonSeen(folder / LIVE)
        """What the fit says."""
        self.asked = JsonSeen(folder / ASKED)
        """What it is asked."""

    def begin(self, **asked: Any) -> None:
        """Forget what was said and asked in an earlier training of the run, and ask this at the start."""
        self.end()
        write_json(self._folder / ASKED, asked)

    def ask(self, **asked: Any) -> None:
        """Ask the fit something, beside what it was asked before."""
        self.asked.changed()
        write_json(self._folder / ASKED, {**self.asked.content, **asked})

    def say(self, said: Mapping[str, Any], png: bytes | None = None) -> None:
        """Say how the fit stands; `png`, a new picture of the view."""
        if png is not None:
            (self._folder / FIGURES).mkdir(exist_ok=True)
            with atomic_write(self._folder / FIGURES / LIVE_VIEW) as aside:
                aside.write_bytes(png)
        write_json(self._folder / LIVE, said)

    def picture(self) -> bytes | None:
        """Return the newest picture of the view as PNG; None if there is none."""
        try:
            return (self._folder / FIGURES / LIVE_VIEW).read_bytes()
        except OSError:
            return None

    def end(self) -> None:
        """Remove the files: the run has ended."""
        for path in (self._folder / LIVE, self._folder / ASKED, self._folder / FIGURES / LIVE_VIEW):
            with suppress(OSError):
                path.unlink()
