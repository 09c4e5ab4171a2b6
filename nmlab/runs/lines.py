"""Text files of a run that grow by whole lines, also where a line could be written only in part."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


class LinesFile:
    """A file to which lines are appended; lines that cannot be written wait.

    Parameters
    ----------
    path : pathlib.Path
        Path of the file.
    most : int, optional
        Number of bytes that may wait; where there are more, those in the middle are left out, which a line says.
    """

    def __init__(self, path: Path, most: int | None = None) -> None:
        self._path, self._most = path, most
        self._file: BinaryIO | None = None
        self._size: int | None = None  # of the lines that are whole
        self.waiting = b""
        """What is still to be written."""

    def add(self, text: str, errors: str = "strict") -> None:
        """Have text of whole lines wait for `write`."""
        self.waiting += text.encode("utf-8", errors)
        if self._most is not None and len(self.waiting) > self._most:
            half = self._most // 2
            left_out = b"\n[left out: the disk took nothing more]\n"
            self.waiting = self.waiting[:half].replace(left_out, b"") + left_out + self.waiting[-half:]

    def write(self) -> None:
        """Append what waits; raises `OSError` where that is impossible, and leaves no incomplete line then."""
        if not self.waiting:
            return
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
                size = self._file.seek(0, 2)
                if self._size is not None and size > self._size:  # an incomplete line of a try before
                    size = self._file.truncate(self._size)
                self._size = size
            rest = memoryview(self.waiting)
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            with suppress(OSError):
                if self._file is not None and self._size is not None:
                    self._file.truncate(self._size)
            self.close()
            raise
        self._size = (self._size or 0) + len(self.waiting)
        self.waiting = b""

    def begin_anew(self) -> None:
        """Forget the file as it was and what waits: another one takes its place."""
        self.close()
        self._size, self.waiting = None, b""

    def close(self) -> None:
        """Close the file; what is added later opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
