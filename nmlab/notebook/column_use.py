"""What each column of a data file is used for: suggested by its name, chosen by the user in a small table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nmlab.data.files import TIMES, FileData
from nmlab.runtime.text import number_text

USES = {"X": "state (X)", "U": "input (U)", "Y": "output (Y)", "D": "disturbance (D)"}
"""NeuroMANCER's keys and what they hold."""

TIME, OWN = "time", "own name"

_START = re.compile(r"([xyud])(?:n|0|_0|_init)")
"""Names of keys that hold the first step of the windows of X, Y, U or D."""

MOST = 60
"""Maximum number of columns in the table."""


def column_table(data: FileData, columns: Mapping[str, np.ndarray], reads: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a file and the uses that each may have, as JSON.

    Parameters
    ----------
    data : FileData
        The file.
    columns : mapping of str to numpy.ndarray
        Its columns.
    reads : sequence of str
        Keys that the Problem reads from the data.

    Returns
    -------
    dict
        'uses', a list of [value, label]; and 'columns', a list with one dict per column: 'name', 'values' as text and
        'use', the suggested one. '' leaves a column out.
    """
    own = [key for key in reads if key not in USES and not _START.fullmatch(key)]
    uses = [*([key, f"{key} (the Problem reads it)"] for key in own), *([key, label] for key, label in USES.items())]
    uses += [[TIME, "time"], [OWN, "data under its own name"], ["", "leave out"]]
    chosen = {
        name: key
        for key, names in (data.columns or {}).items()
        for name in ([names] if isinstance(names, str) else names)
    }
    shown = list(columns.items())[:MOST]
    return {
        "uses": uses,
        "columns": [
            {"name": name, "values": _values(array), "use": chosen.get(name, _suggested(name, array, own))}
            for name, array in shown
        ],
        "more": len(columns) - len(shown),
    }


def _suggested(name: str, array: np.ndarray, own: Sequence[str]) -> str:
    if name in own:
        return name
    if name.lower() in TIMES and name != "T":
        return TIME
    if array.dtype.kind not in "biuf" or array.size < 2:
        return ""
    return name[0].upper() if re.fullmatch(r"[xyudXYUD]_?\d*", name) else ""


def _values(array: np.ndarray) -> str:
    """Return the first values of a column as text."""
    flat = array.reshape(-1)[:4]
    texts = [number_text(float(v), 4) if array.dtype.kind in "biuf" else str(v)[:16] for v in flat]
    shape = f"{'×'.join(map(str, array.shape))}: " if array.ndim > 1 else ""
    return shape + ", ".join(texts) + (", …" if array.size > len(flat) else "")


def from_uses(data: FileData, uses: Mapping[str, str], reads: Sequence[str]) -> FileData:
    """Return the data of a file with its columns used as chosen.

    A key such as `xn` that the Problem reads and that holds no column is the first step of X, if there is X.
    """
    columns: dict[str, list[str]] = {}
    for name, use in uses.items():
        if use and use != TIME:
            columns.setdefault(name if use == OWN else use, []).append(name)
    time = [name for name, use in uses.items() if use == TIME]
    starts = {key: match[1].upper() for key in reads if key not in columns and (match := _START.fullmatch(key))}
    initial = {key: whole for key, whole in starts.items() if whole in columns}
    return replace(data, columns=columns, initial=initial or None, time=time or None)
