"""The numbers of the runs in a folder, of which each is used once, whichever process takes it."""

from __future__ import annotations

import itertools
from pathlib import Path

from nmlab.runs.names import number_of

_highest: dict[Path, int] = {}
"""The highest numbers that this process gave in each folder of runs; no run gets the id of another one again."""


class Numbers:
    """The numbers of the runs in one folder.

    Parameters
    ----------
    folder : pathlib.Path
        Absolute path of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def given(self) -> bool:
        """Whether this process took one here."""
        return self._folder in _highest

    def next(self) -> int:
        """Reserve the next free number; two processes never get the same one, as only one `mkdir` succeeds."""
        highest = max({*self._used(), _highest.get(self._folder, 0)})
        number = next(filter(self.take, itertools.count(1 + highest)))
        _highest[self._folder] = number
        return number

    def take(self, number: int) -> bool:
        """Reserve this number if it is free, and return whether it was."""
        if number in self._used():
            return False
        place = self._folder / ".ids" / f"{number:04d}"
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            return False
        return True

    def _used(self) -> set[int]:
        """Return all used numbers, also those of runs in the trash or without an entry in `.ids`."""
        places = (self._folder / ".ids", self._folder, self._folder / ".trash")
        numbers = (number_of(path.name) for place in places for path in folders_in(place))
        return {number for number in numbers if number is not None}


def folders_in(place: Path) -> list[Path]:
    """Return the folders in a place, by name; [] if it cannot be read."""
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())
    except OSError:
        return []
