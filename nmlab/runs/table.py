"""Runs as a table: rows for a screen of one's own, a DataFrame, HTML and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from nmlab.runs.compare import best_of, changed_text
from nmlab.runs.record import Run
from nmlab.runs.shown import html_table, shorten, text_table
from nmlab.runs.summary import summary_of
from nmlab.runtime.text import duration_text, number_text, size_text

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 300
"""How many characters of an error a row holds; the run has all of it."""

_FRAME = {
    "id": "id",
    "name": "name",
    "data": "data",
    "changed": "changed",
    "epochs": "epochs",
    "best": "best_value",
    "best_epoch": "best_epoch",
    "test": "test_loss",
    "seconds": "seconds",
    "size": "size",
    "status": "status",
    "note": "note",
    "created": "created",
    "starts_from": "starts_from",
    "is_best": "best",
    "error": "error",
}
"""What a row holds, and what a DataFrame calls it."""

_TITLES = {
    "id": "run",
    "name": "name",
    "data": "data",
    "changed": "changed",
    "status": "status",
    "epochs": "epochs",
    "best": "best",
    "best_epoch": "best epoch",
    "test": "test loss",
    "seconds": "time",
    "size": "size",
    "note": "note",
    "error": "error",
}
"""What is shown, and its title."""

_WHERE_THERE_IS_ANY = ("note", "error")

_STAR = '<span role="img" aria-label="best" title="the best of the runs that can be compared with it">★</span> '


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one object a run, in their order, of what JSON knows.

    Each holds id, name, data, changed (against the run before it), epochs, best (the monitored metric's best value),
    best_epoch, test (loss), seconds, size (bytes), status, note, created (ISO 8601), starts_from, is_best (among
    comparable runs), error. Numbers are finite or None.
    """
    best = best_of(runs)
    made: list[dict[str, Any]] = []
    before: Run | None = getattr(runs, "before", None)
    for run in runs:
        summary = summary_of(run)
        made.append(
            {
                "id": summary.id,
                "name": summary.name,
                "data": summary.data,
                "changed": changed_text(run, before),
                "epochs": summary.epochs,
                "best": summary.best,
                "best_epoch": summary.best_epoch,
                "test": _finite(summary.test_metrics.get("test_loss")),
                "seconds": summary.seconds,
                "size": run.size,
                "status": summary.status,
                "note": summary.note,
                "created": summary.created,
                "starts_from": summary.starts_from,
                "is_best": summary.id in best,
                "error": None if summary.error is None else shorten(summary.error, LONGEST),
            }
        )
        before = run if summary.settings else before
    return made


def to_pandas(runs: Sequence[Run]) -> pd.DataFrame:
    """Return `rows` as a DataFrame, with whole errors and the test loss as it is."""
    import pandas as pd

    summaries = map(summary_of, runs)
    whole = [
        row | {"error": summary.error, "test": summary.test_metrics.get("test_loss")}
        for row, summary in zip(rows(runs), summaries, strict=True)
    ]
    return pd.DataFrame(whole, columns=list(_FRAME)).rename(columns=_FRAME)


def to_html(runs: Sequence[Run]) -> str:
    """Return the runs as an HTML table."""
    table = rows(runs)
    if not table:
        return "<p>No runs yet.</p>"
    columns = _columns(table)

    def line(row: dict[str, Any]) -> list[str]:
        return [(_STAR if key == "best" and row["is_best"] else "") + escape(_text(key, row[key])) for key in columns]

    return html_table([_TITLES[key] for key in columns], map(line, table))


def to_text(runs: Sequence[Run]) -> str:
    """Return the runs as plain text, one a line."""
    table = rows(runs)
    if not table:
        return "No runs yet."
    columns = _columns(table)

    def line(row: dict[str, Any]) -> list[str]:
        return [("★ " if key == "best" and row["is_best"] else "") + _text(key, row[key]) for key in columns]

    return text_table([[_TITLES[key] for key in columns], *map(line, table)])


def _columns(table: list[dict[str, Any]]) -> list[str]:
    """The columns worth showing: names only where a run has one of its own, notes and errors where there are any."""
    named = any(row["name"] not in (row["data"], row["id"]) for row in table)
    empty = [key for key in _WHERE_THERE_IS_ANY if not any(row[key] for row in table)]
    return [key for key in _TITLES if key not in empty and (named or key != "name")]


def _text(key: str, value: Any) -> str:
    """A row's value as people read it."""
    if value is None:
        return ""
    if key == "seconds":
        return duration_text(value).replace(" ", "\N{NO-BREAK SPACE}")
    if key == "size":
        return size_text(value).replace(" ", "\N{NO-BREAK SPACE}")
    return number_text(value) if isinstance(value, float) else shorten(str(value), 200)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
