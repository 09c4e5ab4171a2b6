"""Where the names and the numbers of a text file are: its separator, its line of names and its first row of data.

Loggers write lines about themselves before the names, NumPy puts a comment sign before the names, and a row of units
may follow them. Whatever is passed over is named; where several lines could hold the names, they are asked for.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from nmlab.data.files.findings import Findings, listed

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar", " ": "white space", "": "nothing"}
"""Separators of columns with their names; '' for a file of one column."""

COMMENT = re.compile(r"\s*(#+|%+|//+|!+)\s*")
_COMMENT_OF_NAMES = re.compile(r"\s*(#+|%+|//+|!+|;+|\*+)\s*")

_NUMBER = re.compile(
    r"[+-]?(\d{1,3}(?P<group>[., '’\u00a0\u202f])\d{3}((?P=group)\d{3})*([.,]\d*)?|\d+([.,]\d*)?|[.,]\d+)"
    r"([eEdD][+-]?\d+)?|[+-]?(inf|infinity|nan)",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ,;].*)?|\d{1,2}:\d{2}(:\d{2}.*)?|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}.*"
)
_WORDS = {"", "na", "n/a", "null", "none", "-", "--", "?", "#n/a", "true", "false"}
"""Texts in place of a number or a truth value, in lower case."""

_ATOM = (
    r"(?:[mkMGµμunhcd]?(?:m|s|g|N|Pa|V|A|W|J|Hz|bar|l|L|mol|VA|Wh|Ohm|ohm|Ω|F|T|rad|K|eV|cd|lm|B|dB|Bm)|sec|seconds?|"
    r"mins?|minutes?|hrs?|h|hours?|d|days?|t|psi|rpm|°|°C|degC|deg ?C|Deg ?C|℃|C|°F|degF|deg ?F|deg|degrees?|%|%RH|"
    r"RH|ppm|pH|lx|lux|var|Volts?|Amps?|Amperes?|Watts?|Kelvin|Celsius|Pascal|a\.?u\.?|cm|in|ft|gal|1|TS|RN)"
)
_UNIT = re.compile(rf"{_ATOM}(?:\^?[-+]?\d|[²³⁻¹])*(?:\s?[/·*. ]\s?{_ATOM}(?:\^?[-+]?\d|[²³⁻¹])*)*|[\[(<].*[\])>]|-+|")
_STATISTICS = {"smp", "avg", "min", "max", "std", "tot", "med", "wvc", "unitless", "none", "n/a", "dimensionless"}
"""Words in place of a unit, in lower case, among them a Campbell logger's."""


@dataclass(frozen=True)
class Layout:
    """Where names and numbers are."""

    separator: str
    names: list[str]
    first: int
    """Number of lines before the first row of data."""
    width: int
    """Number of fields of a row."""


def is_value(field: str) -> bool:
    """Return whether a field is a number or a time."""
    return bool(_NUMBER.fullmatch(field) or _TIME.fullmatch(field))


def split(line: str, separator: str) -> list[str]:
    """Return the fields of a line."""
    if separator == "":
        return [line.strip().strip('"')]
    if separator == " ":
        line = line.replace("\t", " ").strip()
    return [field.strip() for field in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]


def find_layout(lines: Sequence[str], separator: str | None, header: int | None, findings: Findings) -> Layout | None:
    """Find names and numbers in the first lines of a file.

    Parameters
    ----------
    lines : sequence of str
        The first lines of the file.
    separator : str or None
        Separator of the columns; None for the one that the lines show.
    header : int or None
        Number of the line with the names, counted from 1; None for the one that the lines show.
    findings : Findings
        Gets the faults, and what was passed over.

    Returns
    -------
    Layout or None
        None if there are faults.
    """
    if not any(line.strip() for line in lines):
        findings.faults.append("it is empty")
        return None
    if declared := re.fullmatch(r'"?sep=(.)"?\s*', lines[0]):  # as Excel writes it
        separator, lines = separator or declared[1], ["", *lines[1:]]
    if header is not None and not 1 <= header <= len(lines):
        findings.faults.append(f"header={header}; give the number of a line from 1 to {len(lines)}")
        return None
    tried = [separator, ""] if separator is not None else [*SEPARATORS]  # it may have a single column
    found = [part for sep in tried for part in _candidates(lines, sep, header)]
    if not found:
        findings.faults.append(_why_none(lines, header))
        return None
    best = max(found, key=lambda part: part.score)
    alike = [part for part in found if part.separator == best.separator and part.width == best.width]
    top = next(place for place, line in enumerate(lines) if line.strip())
    apart = best.zone[-1] > 0 and not lines[best.zone[-1] - 1].strip()
    at_top = [part for part in alike if part.zone[-1] == top]
    if at_top and not apart:  # what breaks its rows is a fault of the file, not a second line of names
        best = at_top[0]
    elif [part for part in alike if part is not best and 5 * part.rows > best.rows]:
        findings.faults.append(_several(lines, [part.zone[-1] for part in alike]))
        return None
    return _chosen(lines, best, header, findings)


@dataclass(frozen=True)
class _Candidate:
    """Consecutive rows with values, and the lines above them that may be names and units."""

    separator: str
    zone: list[int]
    start: int
    width: int
    rows: int
    own: bool
    """Whether names and values have the same separator."""
    purity: float
    """Fraction of fields that are numbers, times, or words in place of them."""

    @property
    def score(self) -> tuple[bool, bool, float, int, int]:
        """The best candidate has the largest score."""
        return self.own, self.width > 1, round(self.purity, 1), self.width, self.rows


def _candidates(lines: Sequence[str], separator: str, header: int | None) -> Iterator[_Candidate]:
    places = [n for n, line in enumerate(lines) if line.strip() and (n >= (header or 0)) and not COMMENT.match(line)]
    rows = {n: split(lines[n], separator) for n in places}
    for with_values, group in groupby(places, key=lambda n: any(map(is_value, rows[n]))):
        run = list(group)
        if not with_values:
            continue
        counts = Counter(len(rows[n]) for n in run)
        width = max(counts, key=lambda count: (counts[count], count == len(rows[run[0]])))
        if (width == 1) != (separator == ""):
            continue
        extra = _blank_at_end([rows[n] for n in run if len(rows[n]) == width], width)
        if header is not None:
            zone = [header - 1]
        else:
            zone = list(_zone(lines, run[0], separator, width, extra))[::-1]
        if not zone:
            continue
        own = _names_of(lines[zone[-1]], separator, width, extra, strict=True) is not None
        fields = [field for n in places if n >= run[0] for field in rows[n]]
        pure = sum(is_value(field) or field.lower() in _WORDS for field in fields) / len(fields)
        yield _Candidate(separator, zone, run[0], width, len(run), own, pure)
        if header is not None:
            return


def _blank_at_end(rows: Sequence[Sequence[str]], width: int) -> int:
    """Return how many columns at the end are blank in all rows."""
    return next((n for n in range(width) if any(row[width - 1 - n] for row in rows)), width)


def _zone(lines: Sequence[str], start: int, separator: str, width: int, extra: int) -> Iterator[int]:
    """Yield the lines above the values, upward, that may hold names or units."""
    blank = 0
    for place in range(start - 1, -1, -1):
        if not lines[place].strip():
            if (blank := blank + 1) > 1 or place < start - 1:
                return
            continue
        names = _names_of(lines[place], separator, width, extra)
        if names is None or any(map(is_value, names)) or not any(names):
            return
        yield place


def _names_of(line: str, separator: str, width: int, extra: int, strict: bool = False) -> list[str] | None:
    """Return the names in a line, as many as a row has fields; None if it does not hold them.

    If `strict`, they must be separated like the values.
    """
    comment = _COMMENT_OF_NAMES.match(line)
    if comment and not (separator == ";" and comment[1].startswith(";")):
        texts = [line[comment.end() :], line]
    else:
        texts = [line]
    for text in texts:
        others = (
            [] if strict or separator not in (" ", "\t") else [sep for sep in SEPARATORS if sep not in ("", separator)]
        )
        if separator == " " and len(fields := re.split(r"\s{2,}|\t", text.strip())) == width and not strict:
            return fields
        for sep in [separator, *others]:
            fields = split(text, sep)
            if width - extra <= len(fields) <= width:
                return fields + [""] * (width - len(fields))
            trimmed = len(fields) - _blank_at_end([fields], len(fields))
            if sep == separator and len(fields) > width > 1 and (trimmed <= width or strict or not comment):
                return fields  # rows that are shorter
            if sep == separator == " " and len(fields) == width - 1 and width > 2:
                return ["", *fields]  # as R writes the names of rows
    return None


def _chosen(lines: Sequence[str], best: _Candidate, header: int | None, findings: Findings) -> Layout | None:
    zone = list(best.zone)
    rows = [split(line, best.separator) for line in lines[best.start :] if line.strip() and not COMMENT.match(line)]
    extra = _blank_at_end([row for row in rows if len(row) == best.width], best.width)
    fields = {n: _names_of(lines[n], best.separator, best.width, extra) or [] for n in zone}
    while header is None and len(zone) > 1 and _are_units(fields[zone[-1]]):
        zone.pop()
    if header is None and len(zone) > 1:
        findings.faults.append(_several(lines, zone))
        return None
    place = zone[-1]
    names = fields[place] or split(lines[place], best.separator)
    if len(names) < best.width - extra:
        findings.faults.append(
            f"line {place + 1} names {len(names)} columns, and the rows have {best.width}; give each column a name"
        )
    above = [n + 1 for n in range(place) if lines[n].strip()]
    below = [n for n in range(place + 1, best.start) if lines[n].strip() and not COMMENT.match(lines[n])]
    below += [n for n in range(place + 1, best.start) if COMMENT.match(lines[n])]
    if above:
        findings.notes.append(f"the names are in line {place + 1}; left out: {_lines_text(above)} above them")
    for n in sorted(below):
        findings.notes.append(f"left out: line {n + 1}, which holds units or text: {_short(lines[n])}")
    return Layout(best.separator, names, best.start, best.width)


def _are_units(fields: Sequence[str]) -> bool:
    there = [field for field in fields if field]
    units = [field for field in there if _UNIT.fullmatch(field) or field.lower() in _STATISTICS]
    return 3 * len(units) >= 2 * len(there)


def _several(lines: Sequence[str], places: Sequence[int]) -> str:
    shown = " or ".join(f"line {n + 1} ({_short(lines[n])})" for n in places[:4])
    return f"its names may be in {shown}; give header=, the number of the line"


def _why_none(lines: Sequence[str], header: int | None) -> str:
    first = next(line for line in lines if line.strip())
    for separator in SEPARATORS:
        if separator and all(map(_NUMBER.fullmatch, split(first, separator))):
            return "its first line holds numbers; it must hold the names of the columns"
    if not any(is_value(field) for line in lines for sep in SEPARATORS for field in split(line, sep)):
        return "it has no rows of data"
    where = "no line" if header is None else f"line {header}"
    return (
        f"{where} has as many names as its rows have numbers; write one line with the names of the columns above the "
        "numbers, or give separator= or header=, the number of the line with the names"
    )


def _lines_text(numbers: list[int]) -> str:
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"lines {numbers[0]} to {numbers[-1]}"
    return f"line{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def _short(line: str) -> str:
    return repr(line.strip() if len(line.strip()) <= 60 else line.strip()[:59] + "…")
