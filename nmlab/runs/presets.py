"""Presets: settings of a form, kept by name beside the runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nmlab.errors import RunError
from nmlab.runs import RunStore
from nmlab.runs.json_files import read_object, write_json
from nmlab.runs.store import slug

LAYOUT = 1
"""Version of a preset's file; one with a newer is not read."""


class Presets:
    """The presets of a runs folder, each a file in its `.presets`.

    Parameters: `runs_dir`, the runs folder, made when the first preset is saved.
    """

    def __init__(self, runs_dir: str | os.PathLike[str]) -> None:
        self._store = RunStore(runs_dir)
        self.folder = self._store.folder / ".presets"

    def names(self) -> list[str]:
        """Return the presets' names in the order of the alphabet; files that cannot be read are left out."""
        contents = [read_object(path)[0] for path in self.folder.glob("*.json")]
        names = {str(content["name"]) for content in contents if _values(content) is not None}
        return sorted(names, key=lambda name: (name.casefold(), name))

    def save(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep `values` as the preset `name`, in place of one of the same name.

        Parameters: `name`, any text; `values`, what JSON knows, by name.
        Raises `RunError` for a name without a sign, and where the folder cannot be written.
        """
        cleaned = _cleaned(name)
        if not cleaned:
            raise RunError(f"A preset cannot be saved as {name!r}: a name needs a letter or a sign.")
        self._store.make()
        try:
            self.folder.mkdir(exist_ok=True)
            write_json(self._path(cleaned), {"layout": LAYOUT, "name": cleaned, "values": dict(values)})
        except OSError as error:
            raise RunError(f"The preset {cleaned!r} cannot be written: {error}") from error

    def load(self, name: str) -> dict[str, Any]:
        """Return the values of the preset `name`; `RunError` naming those there are, or saying why it is unreadable."""
        path = self._known(name)
        content, reason = read_object(path)
        values = _values(content)
        if values is None:
            reason = reason or f"it was written by another version of nmlab; this one reads layout {LAYOUT}"
            raise RunError(f"The preset {name!r} cannot be read: {reason}")
        return values

    def delete(self, name: str) -> None:
        """Delete the preset `name`; `RunError` naming those there are."""
        self._known(name).unlink(missing_ok=True)

    def _known(self, name: str) -> Path:
        path = self._path(_cleaned(name))
        if not path.exists():
            there = ", ".join(map(repr, self.names())) or "none"
            raise RunError(f"There is no preset {name!r}; there are: {there}.")
        return path

    def _path(self, name: str) -> Path:
        # names that only a file system takes for the same still have files of their own
        mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return self.folder / f"{slug(name)}-{mark}.json"


def _cleaned(name: str) -> str:
    return " ".join(str(name).split())


def _values(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a preset's file holds; None where this is not such a file, or a newer one."""
    values = content.get("values")
    known = content.get("layout") == LAYOUT and isinstance(content.get("name"), str)
    return dict(values) if known and isinstance(values, dict) else None
