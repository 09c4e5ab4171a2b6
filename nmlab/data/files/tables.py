"""Selects and checks the columns of a file: numbers by key, increasing time, separate experiments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nmlab.data.files.formats import Columns
from nmlab.fields.field import unknown_name

TIMES = ("t", "time", "date", "datetime", "timestamp")
"""Names of a column that is used as the time by default."""

EXPERIMENT = "exp_id"
"""NeuroMANCER's name of the column that identifies the experiment."""

OWN = ("name", "epoch", "index")
"""Keys of a batch in addition to the data."""

_LETTERS = re.compile(r"([yudx])_?\d*", re.IGNORECASE)
"""NeuroMANCER's names of outputs, inputs, disturbances and states, alone or with a number."""

_NAMED = 5
"""Maximum number of columns or rows that a message lists."""


@dataclass(frozen=True)
class Table:
    """The data of a file: by key a matrix of finite numbers with one row per time step."""

    values: dict[str, np.ndarray]
    experiments: tuple[tuple[int, int], ...]
    """First row of each experiment, and the row after its last one."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.experiments[-1][1]


def make_table(
    columns: Columns,
    chosen: Mapping[str, str | Sequence[str]] | None,
    time: str | None,
    experiment: str | None,
) -> tuple[Table | None, list[str]]:
    """Make a table of the columns of a file.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        Arrays by name.
    chosen : mapping of str to str or sequence of str, or None
        Columns of each key; None for NeuroMANCER's names or, if there are none, each column as its own key.
    time : str or None
        Column of the time; None for one with a usual name.
    experiment : str or None
        Column that identifies the experiment; None for one with NeuroMANCER's name.

    Returns
    -------
    table : Table or None
        The table; None if there are faults.
    faults : list of str
        What is wrong and what would be valid.
    """
    faults: list[str] = []
    named = {"time": time, "experiment": experiment}
    faults += [
        f"{what}={name!r}: {unknown_name(name, list(columns))}"
        for what, name in named.items()
        if name is not None and name not in columns
    ]
    series = {
        name: array.reshape(-1) for name, array in columns.items() if array.size == max(array.shape, default=0) > 1
    }
    time = time or next((name for name in series if name.lower() in TIMES), None)
    experiment = experiment or next((name for name in series if name.lower() == EXPERIMENT), None)
    # in a MAT file these may be row vectors
    columns = {**columns, **{name: series[name] for name in (time, experiment) if name in series}}
    keys, wrong = _keys(columns, chosen, {time, experiment})
    faults += wrong
    if wrong:
        return None, faults
    values: dict[str, np.ndarray] = {}
    for key, names in keys.items():
        parts = [_matrix(name, columns[name], faults) for name in names]
        good = [part for part in parts if part is not None]
        if len(good) == len(parts) and len({len(part) for part in good}) == 1:
            values[key] = np.concatenate(good, axis=1)
    used = [name for names in keys.values() for name in names] + [n for n in (time, experiment) if n in columns]
    lengths = {name: len(columns[name]) if columns[name].ndim else 1 for name in used}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        return None, [*faults, f"its columns differ in length: {text} rows; each time step must be one row"]
    if not lengths or not max(lengths.values()):
        return None, [*faults, "it has no rows of data"]
    rows = max(lengths.values())
    experiments: tuple[tuple[int, int], ...] = ((0, rows),)
    if experiment in columns:
        experiments = _experiments(experiment, columns[experiment], faults)
    if time in columns:
        faults += _time_faults(time, columns[time], experiments)
    return (None if faults else Table(values, experiments)), faults


def _keys(
    columns: Columns, chosen: Mapping[str, str | Sequence[str]] | None, excluded: set[str | None]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the names of the columns of each key, and the faults."""
    if chosen is None:
        keys = _keys_by_name(columns, excluded)
        if not keys:
            return {}, ["it has no column of data"]
        wrong = [key for key in keys if key in OWN]
        return keys, [
            f"a column is named {key!r}, which is a key of every batch; rename it, or choose columns by columns={{…}}"
            for key in wrong
        ]
    faults: list[str] = []
    keys = {}
    for key, names in chosen.items():
        keys[key] = [names] if isinstance(names, str) else list(names)
        if key in OWN:
            faults.append(f"columns: {key!r} is a key of every batch; give another name")
        if not keys[key]:
            faults.append(f"columns[{key!r}] names no column")
        faults += [
            f"columns[{key!r}]: {name!r} is an {unknown_name(str(name), list(columns))}"
            for name in keys[key]
            if name not in columns
        ]
    return keys, faults if keys else ["columns={} selects no columns; give {'Y': ['a column', …], …}"]


def _keys_by_name(columns: Columns, excluded: set[str | None]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for name in columns:
        if (letter := _LETTERS.fullmatch(name)) and name not in excluded:
            keys.setdefault(letter[1].upper(), []).append(name)
    if keys:
        return keys
    sizes = [array.size for name, array in columns.items() if name not in excluded]
    # besides series a MAT file often holds single numbers, such as the sampling time
    single = {name for name, array in columns.items() if array.size == 1 < max(sizes, default=0)}
    return {name: [name] for name in columns if name not in excluded | single}


def _matrix(name: str, array: np.ndarray, faults: list[str]) -> np.ndarray | None:
    """Return a column or matrix as numbers with one row per time step, and add what is wrong to `faults`."""
    if array.ndim > 2:
        faults.append(f"{name!r} has {array.ndim} axes {array.shape}; give a matrix with one row per time step")
        return None
    matrix = array.reshape(len(array) if array.ndim else 1, -1) if array.size else np.empty((0, 1))
    if matrix.dtype.kind in "biuf":
        numbers = matrix.astype(np.float64)
        text = np.zeros(matrix.shape, bool)
    elif matrix.dtype.kind in "OUST":
        columns = [pd.Series(column, dtype=object) for column in matrix.T]
        read = [pd.to_numeric(column, errors="coerce").to_numpy(np.float64) for column in columns]
        numbers = np.stack(read, axis=1)
        text = np.isnan(numbers) & np.stack([column.notna().to_numpy() for column in columns], axis=1)
    else:
        what = {"c": "complex numbers", "M": "dates", "m": "durations"}.get(matrix.dtype.kind, "records")
        remedy = f"give it as time={name!r}, or " if what == "dates" else ""
        faults.append(f"{name!r} holds {what}, not real numbers; {remedy}choose other columns by columns={{…}}")
        return None
    before = len(faults)
    if text.any():
        row, column = map(int, np.argwhere(text)[0])
        first = str(matrix[row, column])[:40]
        faults.append(f"{name!r} is not a number in {_rows(text)}: {first!r}; choose other columns by columns={{…}}")
    if (missing := np.isnan(numbers) & ~text).any():
        faults.append(f"{name!r} has no value (or nan) in {_rows(missing)}; remove or fill such rows")
    if (infinite := np.isinf(numbers)).any():
        faults.append(f"{name!r} is infinite in {_rows(infinite)}")
    return numbers if len(faults) == before else None


def _rows(where: np.ndarray) -> str:
    """Return a text with the rows in which a condition holds, counted from 1 below the names."""
    rows = np.flatnonzero(where.any(axis=1)) + 1
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_NAMED]))}{more}"


def _experiments(name: str | None, array: np.ndarray, faults: list[str]) -> tuple[tuple[int, int], ...]:
    ids = array.reshape(len(array), -1)
    if ids.shape[1] != 1:
        faults.append(f"{name!r} has {ids.shape[1]} columns; give a single one that identifies the experiment")
        return ((0, len(ids)),)
    series = pd.Series(ids[:, 0])
    starts = [0, *(np.flatnonzero((series != series.shift()).to_numpy()[1:]) + 1), len(ids)]
    first = [series.iloc[start] for start in starts[:-1]]
    if split := {str(value) for value in first if first.count(value) > 1}:
        faults.append(f"the rows of {name!r} {', '.join(sorted(split)[:_NAMED])} are not consecutive; sort by it")
    return tuple(zip(map(int, starts[:-1]), map(int, starts[1:]), strict=True))


def _time_faults(name: str | None, array: np.ndarray, experiments: Sequence[tuple[int, int]]) -> list[str]:
    """Return the faults of the time: it is not a time, or does not increase within an experiment."""
    column = array.reshape(len(array), -1)
    if column.shape[1] != 1:
        return [f"time {name!r} has {column.shape[1]} columns; give a single one"]
    times: Any = pd.Series(column[:, 0])
    if column.dtype.kind not in "biufM":
        numbers = pd.to_numeric(times, errors="coerce")
        dates = pd.to_datetime(times, errors="coerce", utc=True, format="ISO8601")
        times = dates if dates.notna().sum() > numbers.notna().sum() else numbers
    unread = times.isna().to_numpy()[:, None]
    if unread.any():
        return [f"time {name!r} is neither a number nor a date such as 2024-01-31 12:00 in {_rows(unread)}"]
    not_later = np.zeros((len(column), 1), bool)
    for start, stop in experiments:
        part = times.iloc[start:stop].to_numpy()
        not_later[start + 1 : stop, 0] = part[1:] <= part[:-1]
    if not not_later.any():
        return []
    return [f"time {name!r} does not increase in {_rows(not_later)}; sort by it, and remove duplicates"]
