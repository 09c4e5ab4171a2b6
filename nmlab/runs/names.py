"""Names and numbers that runs have, as folders and otherwise."""

from __future__ import annotations

import re
import unicodedata
from secrets import token_hex


def number_of(id: str) -> int | None:
    """Return the number in a run's id; None if the folder was not named by a store."""
    found = re.match(r"(\d{4,6})(-|$)", id, re.ASCII)
    return None if found is None else int(found[1])


def unique() -> str:
    """Return an id that no other run or group of runs has."""
    return token_hex(8)


def slug(name: str) -> str:
    """Return a file's name for a name: safe on every system, at most 41 characters; letters of any script stay."""
    kept = "".join(c if c in "._-" or unicodedata.category(c)[0] in "LMN" else " " for c in _composed(name))
    text = re.sub(r"[ -]*( )[ -]*", "-", kept)[:40].strip("-._ ") or "run"
    return f"{text}_" if re.fullmatch(_DEVICES, text.partition(".")[0], re.IGNORECASE) else text


_DEVICES = r"con|prn|aux|nul|(com|lpt)[0-9¹²³]"
"""Names that Windows gives to devices, whatever their suffix."""


def _composed(name: str) -> str:
    """Return the name as every file system stores it alike: "é" as one character."""
    return unicodedata.normalize("NFC", name)
