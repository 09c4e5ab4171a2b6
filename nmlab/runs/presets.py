"""Presets: settings of a form, saved by name beside the runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nmlab.errors import RunError
from nmlab.runs import RunStore
from nmlab.runs.json_files import read_object, write_json
from nmlab.runs.names import slug

LAYOUT = 1
"""Version of a preset's file; a file with another version is not read."""


class Presets:
    """The presets of a folder of runs, each a file in its `.presets`.

    Parameters
    ----------
    runs_dir : str or path-like
        The folder of runs; created when the first preset is saved.
    """

    def __init__(self, runs_dir: str | os.PathLike[str]) -> None:
        self._store = RunStore(runs_dir)
        self.folder = self._store.folder / ".presets"

    def names(self) -> list[str]:
        """Return the names of the presets in alphabetical order; files that cannot be read are left out."""
        contents = [read_object(path)[0] for path in self.folder.glob("*.json")]
        names = {str(content["name"]) for content in contents if _values(content) is not None}
        return sorted(names, key=lambda name: (name.casefold(), name))

    def save(self, name: str, values: Mapping[str, Any]) -> None:
        """Save a preset; one with the same name is replaced.

        Parameters
        ----------
        name : str
            Name of the preset; any text that is not empty.
        values : mapping
            Values by name, as JSON.

        Raises
        ------
        RunError
            If the name is empty, or the folder cannot be written.
        """
        cleaned = _cleaned(name)
        if not cleaned:
            raise RunError(f"A preset cannot be saved as {name!r}: give a name that is not empty.")
        self._store.make()
        try:
            self.folder.mkdir(exist_ok=True)
            write_json(self._path(cleaned), {"layout": LAYOUT, "name": cleaned, "values": dict(values)})
        except OSError as error:
            raise RunError(f"The preset {cleaned!r} cannot be written: {error}") from error

    def load(self, name: str) -> dict[str, Any]:
        """Return the values of a preset.

        Parameters
        ----------
        name : str
            Name of the preset.

        Returns
        -------
        dict
            Values by name.

        Raises
        ------
        RunError
            If there is no such preset, or it cannot be read.
        """
        path = self._known(name)
        content, reason = read_object(path)
        values = _values(content)
        if values is None:
            reason = reason or f"it was written by another version of nmlab; this one reads layout {LAYOUT}"
            raise RunError(f"The preset {name!r} cannot be read: {reason}")
        return values

    def delete(self, name: str) -> None:
        """Delete a preset, or raise RunError if there is no such preset."""
        self._known(name).unlink(missing_ok=True)

    def _known(self, name: str) -> Path:
        path = self._path(_cleaned(name))
        if not path.exists():
            names = ", ".join(map(repr, self.names())) or "none"
            raise RunError(f"There is no preset {name!r}; there are: {names}.")
        return path

    def _path(self, name: str) -> Path:
        # names that differ only in case, which a file system may ignore, still have different files
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        # by the digest alone, as an earlier version's file has other letters before it
        stored = sorted(self.folder.glob(f"*-{digest}.json"))
        return stored[0] if stored else self.folder / f"{slug(name)}-{digest}.json"


def _cleaned(name: str) -> str:
    return " ".join(str(name).split())


def _values(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values in a preset's file; None if it is not a preset, or of another version."""
    values = content.get("values")
    known = content.get("layout") == LAYOUT and isinstance(content.get("name"), str)
    return dict(values) if known and isinstance(values, dict) else None
