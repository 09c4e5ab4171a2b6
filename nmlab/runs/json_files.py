"""A run's JSON files: objects, read with a reason where they cannot be, and replaced whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from nmlab.runtime.files import atomic_write

_OBJECTS = ("data_function", "data_kwargs", "error", "options", "test_metrics")
"""What is an object itself in the objects of settings.json and status.json."""


def read_object(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return a JSON file's content and None, or {} and the reason why it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, f"{path.name} cannot be read: {error}"
    if not isinstance(content, dict):
        return {}, f"{path.name} holds no JSON object"
    odd = [key for key in _OBJECTS if not isinstance(content.get(key), (dict, NoneType))]
    return ({}, f"{path.name}: {', '.join(odd)} should be a JSON object") if odd else (content, None)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` so that a reader sees the old or the new, never half of it."""
    # a lone surrogate, as in the name of a file that is no UTF-8, becomes an escape that JSON knows
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
