"""Selects and checks the columns of a file: numbers by key, increasing time, separate experiments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from nmlab.data.files.findings import MOST_LISTED, Findings, listed, rows_text
from nmlab.data.files.formats import Columns
from nmlab.data.files.matrices import values_of
from nmlab.data.files.text import UNNAMED
from nmlab.data.files.times import Experiments, divided, read_times
from nmlab.fields.field import unknown_name

AUTO = "auto"
"""Stands for the columns with the usual names."""

TIMES = ("time", "timestamp", "datetime", "date_time", "date", "t")
"""Names of a column that is used as the time by default, the first of them that there is; `t` in lower case only."""

EXPERIMENTS = ("exp_id", "experiment", "experiment_id")
"""Names of a column that identifies the experiment by default; the first one is NeuroMANCER's."""

OWN = ("name", "epoch", "index")
"""Keys of a batch in addition to the data."""

_LETTERS = re.compile(r"([yudx])_?\d*", re.IGNORECASE)
"""NeuroMANCER's names of outputs, inputs, disturbances and states, alone or with a number."""

_UNIT = re.compile(r"\s*[\[(].*[\])]$|[ _](?:s|sec|secs|seconds?|ms|min|minutes?|h|hours?|d|days?|utc|gmt)$", re.I)
"""A unit behind a name."""

_INDICES = (UNNAMED, "__index_level_0__")
"""Names of an index without a name, as pandas writes it."""


@dataclass(frozen=True)
class Selection:
    """What is made of the columns of a file; see `from_file`."""

    columns: Mapping[str, str | Sequence[str]] | None = None
    time: str | Sequence[str] | None = AUTO
    experiment: str | None = AUTO
    gap: float | None = 10.0
    dayfirst: bool | None = None


@dataclass(frozen=True)
class Table:
    """The data of a file: by key a matrix of finite numbers with one row per time step."""

    values: dict[str, np.ndarray]
    experiments: Experiments
    """First row of each experiment, and the row after its last one."""
    remarks: tuple[str, ...] = ()
    """What was left out, guessed or converted when the file was read, and how it was read."""
    warnings: tuple[str, ...] = ()
    """Those of the remarks at which the user should look."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the columns of each key."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.experiments[-1][1]


def make_table(columns: Columns, selection: Selection, findings: Findings) -> Table | None:
    """Make a table of the columns of a file.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        Arrays by name; emptied, so that memory is released as the table is filled.
    selection : Selection
        What to make of them.
    findings : Findings
        Gets faults, and remarks on what was left out or converted.

    Returns
    -------
    Table or None
        The table; None if there are faults.
    """
    faults = findings.faults
    series = {
        name: array.reshape(-1) for name, array in columns.items() if array.size == max(array.shape, default=0) > 1
    }
    chosen = [n for names in (selection.columns or {}).values() for n in ([names] if isinstance(names, str) else names)]
    usual = _time_names(AUTO, series, chosen)
    time = _time_names(selection.time, series, chosen)
    experiment = selection.experiment
    if experiment == AUTO:
        experiment = next((name for name in series if name.lower() in EXPERIMENTS and name not in chosen), None)
    named = {"time": time, "experiment": [experiment] if experiment is not None else []}
    wrong = [
        f"{what}={name!r}: {unknown_name(name, list(columns))}"
        for what, names in named.items() for name in names if name not in columns
    ]  # fmt: skip
    # in a MAT file these may be row vectors
    columns |= {name: series[name] for name in (*time, experiment) if name in series}
    series.clear()  # it would keep every column in memory
    _turn_rows(columns, findings)
    unused = [] if selection.time == AUTO or selection.columns else [name for name in usual if name not in time]
    if unused:
        findings.notes.append(f"left out, though it may be a time: {listed([repr(name) for name in unused])}")
    keys = _keys(columns, selection.columns, {*time, *unused, experiment}, findings)
    faults += wrong
    if not keys:
        return None
    used = [name for names in keys.values() for name in names] + [n for n in (*time, experiment) if n in columns]
    lengths = {name: len(columns[name]) if columns[name].ndim else 1 for name in used}
    clock = [columns[name] for name in time if name in columns]
    ids = columns.get(experiment) if experiment is not None else None
    values = values_of(columns, keys, findings)
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        faults.append(f"its columns differ in length: {text} rows; each time step must be one row")
        return None
    if not lengths or not max(lengths.values()):
        faults.append("it has no rows of data")
        return None
    experiments: Experiments = ((0, max(lengths.values())),)
    if ids is not None:
        experiments = _experiments(experiment, ids, findings)
    if clock and not wrong:
        experiments = _by_time(time, clock, experiments, selection, findings)
    if faults:
        return None
    names = {key: tuple(chosen) for key, chosen in keys.items()}
    return Table(values, experiments, findings.remarks, tuple(findings.warnings), names)


# --- time and experiments ---


def _time_names(given: str | Sequence[str] | None, series: Columns, chosen: Sequence[str]) -> list[str]:
    """Return the names of the column of the time, or of those of the date and the time of day; [] for no time."""
    if given is None:
        return []
    if given != AUTO:
        return [given] if isinstance(given, str) else list(given)
    usual: dict[str, str] = {}
    for name in series:
        bare = _UNIT.sub("", name.strip())
        word = bare if bare in ("t", "T") else bare.lower()
        if name not in chosen and word in TIMES:
            usual.setdefault(word, name)
    if {"date", "time"} <= {*usual} and all(series[usual[part]].dtype.kind in "OUM" for part in ("date", "time")):
        return [usual["date"], usual["time"]]
    found = next((usual[word] for word in TIMES if word in usual), None)
    if found is None:  # an index without a name may hold dates
        found = next((name for name in _INDICES if name in series and series[name].dtype.kind in "OUM"), None)
    return [] if found is None else [found]


def _by_time(
    names: list[str], clock: list[np.ndarray], experiments: Experiments, selection: Selection, findings: Findings
) -> Experiments:
    name = " ".join(names)
    wide = [array for array in clock if array.size != max(array.shape, default=0)]
    if wide:
        findings.faults.append(f"time {name!r} has {wide[0].shape[1]} columns; give a single one")
        return experiments
    before = len(findings.faults)
    times = read_times(name, [array.reshape(-1) for array in clock], selection.dayfirst, findings)
    if times is None:
        if selection.time == AUTO and len(findings.faults) > before:
            findings.faults[-1] += f"; if {name!r} is not the time, give time=None or another column"
        return experiments
    return divided(name, times, experiments, selection.gap, findings)


def _experiments(name: str | None, array: np.ndarray, findings: Findings) -> Experiments:
    ids = array.reshape(len(array), -1)
    if ids.shape[1] != 1:
        findings.faults.append(f"{name!r} has {ids.shape[1]} columns; give a single one that identifies the experiment")
        return ((0, len(ids)),)
    series = pd.Series(ids[:, 0])
    if series.isna().any():
        findings.faults.append(f"{name!r} has no value in {rows_text((np.flatnonzero(series.isna()) + 1).tolist())}")
        return ((0, len(ids)),)
    starts = [0, *(np.flatnonzero((series != series.shift()).to_numpy()[1:]) + 1), len(ids)]
    first = [series.iloc[start] for start in starts[:-1]]
    if split := {str(value) for value, count in Counter(first).items() if count > 1}:
        shown = ", ".join(sorted(split)[:MOST_LISTED])
        findings.faults.append(f"the rows of {name!r} {shown} are not consecutive; sort by it")
    findings.notes.append(f"{name!r} tells {len(first)} experiments apart; it is not part of the data")
    return tuple(zip(map(int, starts[:-1]), map(int, starts[1:]), strict=True))


# --- the columns of each key ---


def _turn_rows(columns: Columns, findings: Findings) -> None:
    """Turn row vectors, as MATLAB makes them, if that gives them as many rows as the others have."""
    matrices = {name: array for name, array in columns.items() if array.ndim == 2 and array.size > 1}
    flat = {name: array for name, array in matrices.items() if array.shape[0] == 1}
    lengths = {len(array) for array in columns.values() if array.ndim and len(array) > 1}
    turned = [name for name, array in flat.items() if array.size in lengths or not lengths]
    if not lengths and len({flat[name].size for name in turned}) > 1:
        return
    columns |= {name: flat[name].T for name in turned}
    if turned:
        findings.notes.append(f"read as columns: the row vectors {listed([repr(name) for name in turned])}")


def _keys(
    columns: Columns, chosen: Mapping[str, str | Sequence[str]] | None, excluded: set[str | None], findings: Findings
) -> dict[str, list[str]]:
    """Return the names of the columns of each key; {} if there are faults."""
    if chosen is None:
        keys = _keys_by_name(columns, excluded, findings)
        if not keys:
            findings.faults.append("it has no column of data")
        elif wrong := [key for key in keys if key in OWN]:
            findings.faults += [
                f"a column is named {key!r}, which is a key of every batch; rename it, or choose columns by "
                "columns={…}"
                for key in wrong
            ]
            return {}
        return keys
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
    if not keys:
        faults.append("columns={} selects no columns; give {'Y': ['a column', …], …}")
    findings.faults += faults
    taken = {name for names in keys.values() for name in names} | excluded
    if rest := [repr(name) for name in columns if name not in taken]:
        findings.notes.append(f"not chosen: {listed(rest)}")
    return {} if faults else keys


def _keys_by_name(columns: Columns, excluded: set[str | None], findings: Findings) -> dict[str, list[str]]:
    """Return NeuroMANCER's keys if its names account for all columns with numbers, or else each column as its own."""
    there = [name for name in columns if name not in excluded]
    # besides series a MAT file often holds single numbers, such as the sampling time
    longest = max((columns[name].size for name in there), default=0)
    single = [name for name in there if columns[name].size == 1 < longest]
    index = [name for name in there if name in _INDICES and _counts(columns[name])]
    if single:
        findings.notes.append(f"left out, as single values: {listed([_shown(n, columns[n]) for n in single])}")
    if index:
        findings.notes.append("left out: the first column, which has no name and numbers the rows")
    there = [name for name in there if name not in (*single, *index)]
    letters = {name: match[1].upper() for name in there if (match := _LETTERS.fullmatch(name))}
    others = [name for name in there if name not in letters]
    words = [name for name in others if not _has_numbers(columns[name])] if letters else []
    keys: dict[str, list[str]] = {}
    if letters and len(words) == len(others):
        if words:
            findings.warnings.append(f"left out, as they hold no numbers: {listed([repr(name) for name in words])}")
        for name, letter in letters.items():
            keys.setdefault(letter, []).append(name)
        return keys
    if letters:
        rest = listed([repr(name) for name in others])
        findings.notes.append(
            f"each column is data under its own name, as {rest} is none of y, u, d and x; columns={{…}} groups them"
        )
    return {name: [name] for name in there}


def _shown(name: str, array: np.ndarray) -> str:
    value = array.item()
    return f"{name!r} ({value!r})" if len(repr(value)) < 30 else repr(name)


def _counts(array: np.ndarray) -> bool:
    """Return whether a column numbers its rows."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        return False
    return flat.dtype.kind in "iuf" and bool(len(flat) < 2 or (np.diff(flat) == 1).all())


def _has_numbers(array: np.ndarray) -> bool:
    if array.dtype.kind not in "OUST":
        return array.dtype.kind not in "Mm"
    return any(not isinstance(cell, (str, bytes)) and pd.notna(cell) for cell in array.reshape(-1))
