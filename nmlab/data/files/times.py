"""Times of rows: read from numbers, dates and times of day, and divided into experiments where they pause.

Numbers keep their unit; dates and times of day become seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from nmlab.data.files.findings import Findings, listed, rows_text
from nmlab.runtime.text import typeset_number

Experiments = tuple[tuple[int, int], ...]
"""First row of each experiment, and the row after its last one."""

MISSING = 1.5
"""Steps of more than so many median steps count as missing samples."""

_OF_DAY = re.compile(
    r"\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,:]\d+)?))?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?\s*"
)
_DATE = re.compile(r"\s*(?P<one>\d{1,4})(?P<sign>[./-])(?P<two>\d{1,2})[./-](?P<three>\d{1,4})(?:[T ,;]+(?P<rest>.*))?")
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_DAY = 86_400.0
_NEITHER = "is neither a number nor a date or time such as 2024-01-31 12:00:00"


def read_times(
    name: str, columns: Sequence[np.ndarray], dayfirst: bool | None, findings: Findings
) -> np.ndarray | None:
    """Return the times of the rows as float64; None if there are faults.

    Parameters
    ----------
    name : str
        Name of the column, or of both.
    columns : sequence of numpy.ndarray of shape (rows,)
        One column, or a column of dates and one of times of day.
    dayfirst : bool or None
        Whether 01/02/2024 is the first of February; None for what the dates show.
    findings : Findings
        Gets faults and remarks.
    """
    if len(columns) > 1:
        date, *rest = columns
        if date.dtype.kind == "M":
            parts = [read_times(name, [each], dayfirst, findings) for each in columns]
            whole = [part for part in parts if part is not None]
            return sum(whole) if len(whole) == len(parts) else None  # type: ignore[return-value]
        text = pd.Series(date).astype(str).str.strip()
        for each in rest:
            text = text + " " + pd.Series(each).astype(str).str.strip()
        return _read_text(name, text, dayfirst, findings)
    [column] = columns
    if column.dtype.kind == "f" or column.dtype.kind in "biu":
        times = _compact(name, column, findings)
        times = column.astype(np.float64) if times is None else times
    elif column.dtype.kind in "Mm":
        times = _seconds(pd.Series(column))
    elif column.dtype.kind in "OUST":
        series = pd.Series(column)
        numbers = pd.to_numeric(series.mask(series.map(lambda cell: isinstance(cell, str))), errors="coerce")
        if numbers.notna().sum() > 0.5 * len(series):
            times = numbers.to_numpy(np.float64)
        else:
            return _read_text(name, series.astype(str).where(series.notna()), dayfirst, findings)
    else:
        findings.faults.append(f"time {name!r} {_NEITHER}")
        return None
    return _without_gaps(name, times, findings)


def _without_gaps(name: str, times: np.ndarray, findings: Findings) -> np.ndarray | None:
    unread = ~np.isfinite(times)
    if unread.any():
        findings.faults.append(f"time {name!r} {_NEITHER} in {_rows(unread)}")
        return None
    return times


def _compact(name: str, column: np.ndarray, findings: Findings) -> np.ndarray | None:
    """Return dates that are written as integers, such as 20240131120000; None if they are other numbers."""
    if column.dtype.kind not in "iu" or not len(column) or column.min() < 0:
        return None
    shape = _COMPACT.get(len(str(column[0])))
    if shape is None or len(str(column.min())) != len(str(column.max())):
        return None
    dates = pd.to_datetime(pd.Series(column).astype(str), format=shape, errors="coerce")
    if dates.isna().any() or not dates.dt.year.between(1900, 2100).all():
        return None
    findings.notes.append(f"{name!r} is read as dates such as {dates.iloc[0]}")
    return _seconds(dates)


def _seconds(times: pd.Series) -> np.ndarray:
    """Return dates as seconds from the first one, and durations as seconds; NaN where there are none."""
    if times.dtype.kind == "M":
        times = times - times.min()
    seconds: np.ndarray = times.dt.total_seconds().to_numpy(np.float64)
    return seconds


def _read_text(name: str, text: pd.Series, dayfirst: bool | None, findings: Findings) -> np.ndarray | None:
    iso = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    if iso.notna().all():
        return _seconds(iso)
    of_day = _of_day(text)
    if of_day.notna().all():
        times = of_day.to_numpy(np.float64)
        days = np.cumsum(np.diff(times, prepend=times[:1]) < -_DAY / 2)
        if days.any():
            findings.notes.append(f"{name!r} is a time of day that passes midnight {days[-1]}×")
        return np.asarray(times + _DAY * days)
    dates = text.str.extract(_DATE)
    if dates["one"].notna().sum() > 0.5 * len(text):
        return _read_dates(name, dates, dayfirst, findings)
    shape = pd.tseries.api.guess_datetime_format(str(text.iloc[0]), dayfirst=bool(dayfirst))
    if shape is not None:
        iso = pd.to_datetime(text, format=shape, utc=True, errors="coerce")
    return _without_gaps(name, _seconds(iso), findings)


def _of_day(text: pd.Series) -> pd.Series:
    """Return times of day in seconds, minus their offset from UTC; NaN where there are none."""
    parts = text.str.extract(f"^{_OF_DAY.pattern}$")
    second = parts["second"].str.replace("[,:]", ".", regex=True).astype(float).fillna(0)
    hour = parts["hour"].astype(float)
    half = parts["half"].str.lower().str.replace(".", "", regex=False)
    hour = hour.where(half.isna(), hour % 12 + 12 * (half == "pm"))
    zone = parts["zone"].where(parts["zone"].str.match("[+-]", na=False).astype(bool))
    sign = zone.str[0].map({"+": 1.0, "-": -1.0})
    offset = (sign * (zone.str[1:3].astype(float) * 60 + zone.str[-2:].astype(float))).fillna(0)
    seconds = 3600 * hour + 60 * (parts["minute"].astype(float) - offset) + second
    return seconds.where((hour <= 24) & (parts["minute"].astype(float) < 60) & (second < 61))


def _read_dates(name: str, parts: pd.DataFrame, dayfirst: bool | None, findings: Findings) -> np.ndarray | None:
    rest = parts["rest"].fillna("").str.strip()
    of_day = _of_day(rest).where(rest != "", 0.0)
    found: dict[bool, np.ndarray] = {
        first: (_dates(parts, first) + of_day).to_numpy(np.float64) for first in (True, False)
    }
    good = [first for first, times in found.items() if np.isfinite(times).all()]
    if dayfirst is not None or len(good) != 2:
        first = dayfirst if dayfirst is not None else good[0] if good else True
        return _without_gaps(name, found[first], findings)
    one, other = found[True], found[False]
    if np.allclose(np.diff(one), np.diff(other)):  # year first, or the same day throughout
        return one
    example = "".join(parts.loc[0, ["one", "sign", "two", "sign", "three"]])
    if (parts["sign"] == ".").all():
        findings.notes.append(f"{name!r}: dates with points, such as {example}, are read as day first")
        return one
    rising = [first for first in (True, False) if (np.diff(found[first]) >= 0).all()]
    if len(rising) == 1:
        findings.warnings.append(f"{name!r}: only if dayfirst={rising[0]} do dates such as {example} increase; read so")
        return found[rising[0]]
    findings.faults.append(f"time {name!r}: {example} may be day or month first; give dayfirst=True or dayfirst=False")
    return None


def _dates(parts: pd.DataFrame, dayfirst: bool) -> pd.Series:
    """Return dates in seconds; NaN where there are none."""
    one, two, three = (parts[part].astype(float) for part in ("one", "two", "three"))
    year_first = parts["one"].str.len() == 4
    year = one.where(year_first, three)
    short = parts["three"].str.len() <= 2
    year = year.where(year_first | ~short, year + np.where(year < 70, 2000, 1900))
    day, month = (one, two) if dayfirst else (two, one)
    day, month = day.where(~year_first, three), month.where(~year_first, two)
    dates = pd.to_datetime(pd.DataFrame({"year": year, "month": month, "day": day}), errors="coerce")
    return (dates - pd.Timestamp(1970, 1, 1)).dt.total_seconds()


def divided(
    name: str, times: np.ndarray, experiments: Experiments, gap: float | None, findings: Findings
) -> Experiments:
    """Return the experiments, divided where the time pauses; times that do not increase are faults.

    Parameters
    ----------
    name : str
        Name of the column.
    times : numpy.ndarray of shape (rows,)
        Times of the rows.
    experiments : tuple of (int, int)
        Experiments that the file itself tells apart.
    gap : float or None
        A step of more than so many median steps ends an experiment; None for never.
    findings : Findings
        Gets faults and remarks.
    """
    times = times.copy()
    wrong = np.zeros(len(times), bool)
    for start, stop in experiments:
        times[start:stop], wrong[start:stop] = _spread(name, times[start:stop], findings)
    if wrong.any():
        findings.faults.append(
            f"time {name!r} does not increase in {_rows(wrong)}; sort by it, and remove duplicates. If another "
            "experiment begins there, number them in a column experiment=; if rows are evenly spaced in their order, "
            "give time=None; if this is no time, choose it as data by columns={…}"
        )
        return experiments
    inner = [np.diff(times[start:stop]) for start, stop in experiments]
    if not sum(map(len, inner)):
        return experiments
    overall = float(np.median(np.concatenate(inner)))
    medians = [float(np.median(steps)) if len(steps) > 2 else overall for steps in inner]
    found: list[tuple[int, int]] = []
    missing, at = 0, []
    for (start, stop), steps, median in zip(experiments, inner, medians, strict=True):
        pauses = np.flatnonzero(steps > gap * median) if gap is not None else np.empty(0, int)
        lacking = np.setdiff1d(np.flatnonzero(steps > MISSING * median), pauses)
        missing += int(np.round(steps[lacking] / median - 1).sum())
        at += (lacking + start + 2).tolist()
        borders = [start, *(pauses + start + 1).tolist(), stop]
        found += pairwise(borders)
    findings.notes.append(f"{name!r} is the time, in steps of {typeset_number(overall, 4)}; it is not part of the data")
    if max(medians) > MISSING * min(medians):
        steps_text = f"{typeset_number(min(medians), 4)} to {typeset_number(max(medians), 4)}"
        findings.warnings.append(f"experiments have different steps of {name!r}: {steps_text}")
    if at:
        findings.warnings.append(
            f"about {missing} sample{'s are' if missing > 1 else ' is'} missing before {rows_text(at)}, where "
            f"{name!r} has a step of more than {MISSING:g} times the median; windows reach across"
        )
    if len(found) > len(experiments):
        shown = listed([f"{start + 1} to {stop}" for start, stop in found])
        count = len(found) - len(experiments)
        findings.warnings.append(
            f"{name!r} has {count} pause{'s' if count > 1 else ''} of more than {gap:g} times its step (gap={gap:g}): "
            f"{len(found)} experiments, of rows {shown}"
        )
    return tuple(found)


def _spread(name: str, times: np.ndarray, findings: Findings) -> tuple[np.ndarray, np.ndarray]:
    """Return times in which equal ones, rounded to the same unit, are spread evenly; and where they do not increase."""
    steps = np.diff(times)
    wrong = np.zeros(len(times), bool)
    wrong[1:] = steps <= 0
    if not (steps == 0).any() or (steps < 0).any():
        return times, wrong
    starts = np.flatnonzero(np.concatenate([[True], steps > 0]))
    lengths = np.diff([*starts, len(times)])
    inner = lengths[1:-1]
    usual = int(np.median(inner)) if len(inner) else 0
    if usual < 2 or len(inner) < 2 or lengths.max() > usual + 1:
        return times, wrong
    step = float(np.median(np.diff(times[starts])))
    place = np.arange(len(times)) - np.repeat(starts, lengths)
    of = np.repeat(lengths, lengths).astype(float)
    first, last = lengths[0], lengths[-1]
    if first < usual:  # it began within the unit
        place[:first] += usual - first
        of[:first] = usual
    of[-last:] = max(usual, last)
    note = f"{name!r} is rounded, to about {usual} rows of each value; they are taken as evenly spaced"
    if note not in findings.notes:
        findings.notes.append(note)
    return times + step * place / of, np.zeros(len(times), bool)


def _rows(where: np.ndarray) -> str:
    return rows_text((np.flatnonzero(where) + 1).tolist())
