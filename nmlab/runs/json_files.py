"""The JSON files of a run: reading that reports why it fails, and atomic writing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from nmlab.runtime.files import atomic_write

_OBJECTS = ("data_function", "data_kwargs", "error", "options", "problem_kwargs", "test_metrics")
"""Keys of settings.json and status.json whose values are objects."""


def read_object(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the content of a JSON file and None, or {} and the reason why it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, f"{path.name} cannot be read: {error}"
    if not isinstance(content, dict):
        return {}, f"{path.name} does not contain a JSON object"
    wrong = [key for key in _OBJECTS if not isinstance(content.get(key), (dict, NoneType))]
    return ({}, f"{path.name}: {', '.join(wrong)} should be a JSON object") if wrong else (content, None)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically: a reader sees the old content or the new one."""
    # a lone surrogate, as in a file's name that is not UTF-8, becomes an escape sequence of JSON
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
