"""Runs as a table: JSON rows, a DataFrame, HTML and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from nmlab.runs.best import best_of, withheld
from nmlab.runs.changes import changed_text
from nmlab.runs.record import Run
from nmlab.runs.repeats import Group, groups_of
from nmlab.runs.shown import html_table, shorten, text_table, value_text
from nmlab.runs.summary import Summary, summary_of
from nmlab.runtime.text import duration_text, number_text, size_text

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 300
"""Maximum number of characters of an error in a row; the run has all of it."""

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
"""Keys of a row, and the column of the DataFrame for each."""

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
"""Keys of a row that are shown, and the title of each."""

BEST = (
    "the best of the runs that can be compared with it; runs with other weights of terms cannot, unless the metric is "
    "free of them, as a raw value or a violation is"
)
"""What ★ means."""

_HIDDEN_IF_EMPTY = ("note", "error")

_STAR = f'<span role="img" aria-label="best" title="{BEST}">★</span> '


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the rows of the table as JSON.

    Parameters
    ----------
    runs : sequence of Run
        The runs.

    Returns
    -------
    list of dict
        One object per run, in their order, with the keys id, name, data, changed (compared with the run before it),
        epochs, best (best value of the monitored metric), best_epoch, test (test loss), seconds, size (in bytes),
        status, note, created (ISO 8601), starts_from, is_best (among comparable runs), error and group. Numbers are
        finite or None. Runs on several seeds have one group, with the keys id, count, best (mean and spread as text),
        mean and withheld (why there is no ★, or ''); of others it is None.
    """
    best = best_of(runs)
    reasons = withheld(runs)
    groups = {each.id: group for group in groups_of(map(summary_of, runs)) for each in group.members}
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
                "group": _group_row(groups[summary.id], reasons),
            }
        )
        before = run if summary.settings else before
    return made


def to_pandas(runs: Sequence[Run]) -> pd.DataFrame:
    """Return `rows` as a DataFrame, with complete errors, a test loss that may be infinite or NaN, and all keywords.

    Each keyword of builders and data functions has a column, called `problem.x` or `data.x` where another column, or a
    keyword of the other function, has that name too.
    """
    import pandas as pd

    summaries = [summary_of(run) for run in runs]
    complete = [
        row | {"error": summary.error, "test": summary.test_metrics.get("test_loss")}
        for row, summary in zip(rows(runs), summaries, strict=True)
    ]
    frame = pd.DataFrame(complete, columns=list(_FRAME)).rename(columns=_FRAME)
    for (part, name), column in _keyword_columns(summaries).items():
        values = [(summary.settings.get(part) or {}).get(name) for summary in summaries]
        frame[column] = [value_text(value) if isinstance(value, dict | list) else value for value in values]
    return frame


def _keyword_columns(summaries: Sequence[Summary]) -> dict[tuple[str, str], str]:
    """Return the column of each keyword that some run has, by its part of the settings and its name."""
    names = {
        part: dict.fromkeys(name for summary in summaries for name in summary.settings.get(part) or {})
        for part in ("problem_kwargs", "data_kwargs")
    }
    taken = {*_FRAME.values(), *(names["problem_kwargs"].keys() & names["data_kwargs"].keys())}
    return {
        (part, name): f"{part.partition('_')[0]}.{name}" if name in taken else name
        for part, known in names.items()
        for name in known
    }


def to_html(runs: Sequence[Run]) -> str:
    """Return the runs as an HTML table; runs of one group are one line, which unfolds."""
    table = rows(runs)
    if not table:
        return "<p>No runs yet.</p>"
    columns = _columns(table)

    def cells(row: dict[str, Any]) -> list[str]:
        return [(_STAR if key == "best" and row["is_best"] else "") + escape(_text(key, row[key])) for key in columns]

    def line(members: list[dict[str, Any]]) -> list[str]:
        if len(members) == 1:
            return cells(members[0])
        single = [f"{escape(row['id'])}: {escape(_text('best', row['best']))}" for row in members]
        folded = cells(_folded(members))
        folded[0] = f"<details><summary>{folded[0]}</summary>{'<br>'.join(single)}</details>"
        return folded

    lines = map(line, _by_group(table))
    notes = "".join(f"<p>{escape(text)}</p>" for text in withheld(runs))
    return html_table([_TITLES[key] for key in columns], lines) + notes


def to_text(runs: Sequence[Run]) -> str:
    """Return the runs as plain text, one per line, those of a group below the line of the group."""
    table = rows(runs)
    if not table:
        return "No runs yet."
    columns = _columns(table)

    def line(row: dict[str, Any], indent: str = "") -> list[str]:
        star = row["is_best"] and not indent
        cells = [("★ " if key == "best" and star else "") + _text(key, row[key]) for key in columns]
        return [indent + cells[0], *cells[1:]]

    lines = []
    for members in _by_group(table):
        lines.append(line(_folded(members) if len(members) > 1 else members[0]))
        lines += [line(row, "  ") for row in members if len(members) > 1]
    return "\n".join([text_table([[_TITLES[key] for key in columns], *lines]), *withheld(runs)])


def _group_row(group: Group, reasons: Sequence[str]) -> dict[str, Any] | None:
    if len(group.members) < 2:
        return None
    withheld = next((text for text in reasons if group.name in text), "")
    return {
        "withheld": withheld,
        "id": group.members[0].id,
        "count": len(group.members),
        "best": group.text,
        "mean": group.mean,
    }


def _by_group(table: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the rows of each group, in the order of their first ones."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table:
        found.setdefault(row["group"]["id"] if row["group"] else row["id"], []).append(row)
    return list(found.values())


def _folded(members: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one row for the runs of a group."""
    first, group = members[0], members[0]["group"]
    states = dict.fromkeys(row["status"] for row in members)
    return {
        **dict.fromkeys(first),
        **{key: first[key] for key in ("name", "data", "changed", "note")},
        "id": f"{first['id']} and {group['count'] - 1} more seed{'s' * (group['count'] > 2)}",
        "best": group["best"],
        "epochs": sum(row["epochs"] for row in members),
        "seconds": sum(row["seconds"] for row in members),
        "size": sum(row["size"] for row in members),
        "status": ", ".join(states),
        "is_best": any(row["is_best"] for row in members),
    }


def _columns(table: list[dict[str, Any]]) -> list[str]:
    """Return the columns to show: names only if the user gave one, notes and errors only if there are any."""
    named = any(row["name"] not in (row["data"], row["id"]) for row in table)
    empty = [key for key in _HIDDEN_IF_EMPTY if not any(row[key] for row in table)]
    return [key for key in _TITLES if key not in empty and (named or key != "name")]


def _text(key: str, value: Any) -> str:
    """Return a row's value as text."""
    if value is None:
        return ""
    if key == "seconds":
        return duration_text(value).replace(" ", "\N{NO-BREAK SPACE}")
    if key == "size":
        return size_text(value).replace(" ", "\N{NO-BREAK SPACE}")
    return number_text(value) if isinstance(value, float) else shorten(str(value), 200)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
