"""Where a run's folder is, also after it was renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nmlab.errors import RunError
from nmlab.runs.json_files import read_object


class RunFolder:
    """The folder of a run, followed by the unique id in its settings.

    Parameters
    ----------
    path : pathlib.Path
        Where it is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._uid: str | None = None
        self._stamp: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Its name, as it was last seen."""
        return self._path.name

    @property
    def path(self) -> Path:
        """Its path; if it was renamed within its folder of runs, the new one."""
        self._locate()
        return self._path

    @property
    def uid(self) -> str | None:
        """What identifies the run; None if that cannot be read."""
        self._locate()
        return self._uid

    @property
    def gone(self) -> str | None:
        """Reason why the folder, which was there, cannot be found any more; None if it can."""
        if self._locate():
            return None
        trash = self._path.parent / ".trash"
        if any(_uid_in(path) == self._uid for path in _folders(trash)):
            return f"it is in the trash, {trash}"
        if self._path.exists():
            return f"{self._path} belongs to another run now"
        return f"its folder {self._path} was deleted, or moved out of {self._path.parent}"

    def _locate(self) -> bool:
        """Find the folder by its unique id; return False where it was there and is not any more."""
        stamp = _stamp(self._path)
        if stamp is not None and stamp == self._stamp:
            return True
        found = None if stamp is None else _uid_in(self._path)
        if self._uid is None or (stamp is not None and found in (self._uid, None)):  # None: they cannot be read
            self._uid, self._stamp = found or self._uid, stamp
            return True
        for path in _folders(self._path.parent):
            if _uid_in(path) == self._uid:
                self._path, self._stamp = path, _stamp(path)
                return True
        return False


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path; raises RunError where it is relative and the working directory is gone."""
    try:
        return Path(path).expanduser().absolute()
    except FileNotFoundError:
        raise RunError(
            f"The working directory is gone, renamed or moved, so that {os.fspath(path)!r} has no place: change into "
            "one that exists by os.chdir(…), or give an absolute path."
        ) from None


def uid_of(settings: Mapping[str, Any]) -> str | None:
    """Return what identifies a run, from its settings; of one of an earlier version id, time and seed; else None."""
    if settings.get("uid"):
        return str(settings["uid"])
    return json.dumps([settings.get(key) for key in ("id", "created", "seed")]) if settings.get("created") else None


def _uid_in(folder: Path) -> str | None:
    return uid_of(read_object(folder / "settings.json")[0])


def _stamp(folder: Path) -> tuple[int, int] | None:
    """Return a pair that changes when the settings of a folder do; None where it has none."""
    try:
        info = (folder / "settings.json").stat()
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
