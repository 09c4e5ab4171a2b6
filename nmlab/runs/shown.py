"""Values and tables as text and HTML."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = "<style>.nmlab-table th,.nmlab-table td{text-align:left}.nmlab-table th{white-space:nowrap}</style>"
"""Jupyter aligns the text of tables to the right, which suits numbers only; and an id should stay on one line."""


def shorten(text: str, most: int) -> str:
    """Return a text on one line, cut with an ellipsis if it is longer than `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def value_text(value: Any, most: int = 40) -> str:
    """Return a value of a run's settings as text; a placeholder becomes the text that it holds."""
    if isinstance(value, dict) and set(value) == {"name"}:
        return shorten(str(value["name"]).rpartition(".")[2], most)
    if isinstance(value, dict) and set(value) == {"source"}:
        return shorten(str(value["source"]), most)
    if isinstance(value, dict) and set(value) == {"repr"}:
        return shorten(str(value["repr"]), most)
    if isinstance(value, dict):
        return shorten("{" + ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) + "}", most)
    if isinstance(value, list):
        return shorten("[" + ", ".join(map(value_text, value)) + "]", most)
    return "none" if value is None else shorten(str(value), most)


def code_text(name: Any, source: Any) -> str:
    """Return a function's name with a short hash of its source."""
    digest = "" if source is None else f" #{hashlib.sha256(str(source).encode(errors='replace')).hexdigest()[:6]}"
    return f"{value_text(name)}{digest}"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns, as text.
    rows : iterable of sequence of str
        Cells of each row, as HTML; the first one is the title of the row.

    Returns
    -------
    str
        The HTML.
    """
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    lines = (f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) for first, *rest in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'{_STYLE}<table class="nmlab-table"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def change_text(change: Mapping[str, Any]) -> str:
    """Return a change in words, such as 'lr 0.0001, weight of x_max 5'."""
    rate = [f"lr {change['lr']:g}"] if change.get("lr") is not None else []
    weights = change.get("weights") or {}
    return ", ".join([*rate, *(f"weight of {name} {weight:g}" for name, weight in weights.items())])
