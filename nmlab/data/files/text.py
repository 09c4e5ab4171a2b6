"""Reads delimited text as instruments, spreadsheets and programs write it, with pandas once its layout is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nmlab.data.files.findings import Findings, listed, rows_text
from nmlab.data.files.layout import COMMENT, SEPARATORS, Layout, find_layout
from nmlab.data.files.marks import Marks, to_numbers

_CHUNK = 200_000
"""Number of rows whose signs are judged at once."""

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


EXACT = {} if int(pd.__version__.partition(".")[0]) >= 3 else {"float_precision": "round_trip"}
"""Keywords by which pandas reads numbers as exactly as Python does; later versions do so anyway."""


@dataclass(frozen=True)
class TextOptions:
    """What a user says of a text file; None for what the file itself shows. See `from_file`."""

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: int | None = None
    encoding: str | None = None


def read_text(source: Path | BytesIO, head: bytes, options: TextOptions, findings: Findings) -> dict[str, np.ndarray]:
    """Read the columns of a text file.

    Parameters
    ----------
    source : pathlib.Path or io.BytesIO
        The file.
    head : bytes
        Its first bytes.
    options : TextOptions
        What the user says of it.
    findings : Findings
        Gets faults, and remarks on how the file was read.

    Returns
    -------
    dict of str to numpy.ndarray
        Columns by name; {} if the file cannot be read.
    """
    scanned = _scan(source, head, options.encoding, findings)
    if scanned is None:
        return {}
    encoding, lines, comments = scanned
    layout = find_layout(lines, options.separator, options.header, findings)
    if layout is None:
        return {}
    if inner := [n for n in comments if n >= layout.first]:
        findings.warnings.append(f"left out: {len(inner)} lines that begin with a comment sign, {_numbers(inner)}")
    keywords: dict[str, Any] = {
        "sep": {"": "\x1f", " ": r"\s+"}.get(layout.separator, layout.separator), "header": None, "index_col": False,
        "names": range(max(len(layout.names), layout.width) + 1), "low_memory": False,
        "skiprows": [*range(layout.first), *inner] if inner else layout.first,
        "skipinitialspace": layout.separator != " ", **EXACT,
        "skip_blank_lines": layout.width > 1,
    }  # fmt: skip
    try:
        table = _numbers_of(_Body(source, encoding, keywords), layout, options, findings)
    except pd.errors.EmptyDataError:
        findings.faults.append("it has no rows of data")
        return {}
    except pd.errors.ParserError as error:
        findings.faults.append(f"its rows differ in length ({len(layout.names)} names): {str(error).strip()}")
        return {}
    return {} if table is None else _named(table, layout, findings)


def _open(source: Path | BytesIO, encoding: str) -> TextIOWrapper:
    if isinstance(source, Path):
        return source.open(encoding=encoding)
    return TextIOWrapper(BytesIO(source.getvalue()), encoding)


def _scan(
    source: Path | BytesIO, head: bytes, encoding: str | None, findings: Findings
) -> tuple[str, list[str], list[int]] | None:
    """Return the encoding, the first lines, and the places of comment lines; None if it is not text."""
    marked = next((name for mark, name in _BOMS.items() if head.startswith(mark)), None)
    tried = [encoding] if encoding else [marked] if marked else ["utf-8", "cp1252"]
    for attempt in tried:
        try:
            with _open(source, attempt) as file:
                size, lines, comments = 0, [], []
                for place, line in enumerate(file):
                    if "\0" in line:
                        findings.faults.append(f"line {place + 1} holds a null character; it is damaged, or not text")
                        return None
                    if line[0] in "#%!/ \t" and COMMENT.match(line):
                        comments.append(place)
                    if size < len(head):
                        lines.append(line.rstrip("\n"))
                        size += len(line)
        except LookupError:
            findings.faults.append(
                f"encoding={encoding!r} is unknown; give one of Python's, such as 'utf-8' or 'cp1252'"
            )
            return None
        except UnicodeError:
            continue
        if attempt == "cp1252" and not encoding:
            findings.warnings.append("its text is not in UTF-8; read as Windows-1252 (encoding= gives another)")
        elif attempt not in ("utf-8", "utf-8-sig"):
            findings.notes.append(f"read as {attempt.upper()}")
        return attempt, lines, comments
    findings.faults.append(f"its text is not in {tried[0].upper()}; save it as CSV (UTF-8), or give its encoding=")
    return None


@dataclass(frozen=True)
class _Body:
    """The rows of a file, read as text with the line ends by which lines were counted."""

    source: Path | BytesIO
    encoding: str
    keywords: dict[str, Any]

    def read(self, **more: Any) -> pd.DataFrame:
        """Return all rows."""
        with _open(self.source, self.encoding) as file:
            return pd.read_csv(file, **self.keywords, **more)

    def chunks(self) -> Iterator[pd.DataFrame]:
        """Yield the rows as texts."""
        with _open(self.source, self.encoding) as file:
            yield from pd.read_csv(file, **self.keywords, dtype=str, keep_default_na=False, chunksize=_CHUNK)


def _numbers_of(body: _Body, layout: Layout, options: TextOptions, findings: Findings) -> pd.DataFrame | None:
    """Return the rows, numbers where they are numbers; None if their signs must be asked for."""
    marks = Marks(options.decimal, options.thousands)
    by_comma = layout.separator == ","
    if not by_comma:
        for chunk in body.chunks():
            for place in chunk:
                marks.see(chunk[place].dropna().tolist())
    plain = by_comma and not (options.decimal or options.thousands)
    decimal, thousands, unclear = (".", None, "") if plain else marks.decide()
    if unclear:
        findings.faults.append(_ask(unclear))
        return None
    table: pd.DataFrame
    if thousands is None:
        table = body.read(decimal=decimal)
    else:
        table = body.read(dtype=str)
    texts = [place for place in table if table[place].dtype.kind not in "biuf"]
    if plain and texts:
        for place in texts:
            marks.see(table[place].dropna().astype(str).tolist())
        if any(
            table[place].dtype.kind == "f" and (table[place].dropna() % 1 != 0).any()
            for place in table
            if place not in texts
        ):
            marks.decimals.setdefault(".", "the numbers without quotes")
        if {*marks.decimals, *marks.groups, *marks.doubtful} - {"."}:
            decimal, thousands, unclear = marks.decide()
    if unclear:
        findings.faults.append(_ask(unclear))
        return None
    for place in texts:
        table[place] = to_numbers(table[place], decimal, thousands)
    if layout.separator != ",":
        findings.notes.append(f"columns are separated by {SEPARATORS.get(layout.separator, repr(layout.separator))}")
    if decimal != "." or thousands:
        grouped = f", {thousands!r} groups digits" if thousands else ""
        findings.notes.append(f"{decimal!r} is the decimal separator{grouped}")
    return table


def _ask(unclear: str) -> str:
    return f"{unclear}; give decimal= and thousands=, such as decimal=',', thousands='.'"


def _named(table: pd.DataFrame, layout: Layout, findings: Findings) -> dict[str, np.ndarray]:
    names = layout.names + [""] * (table.shape[1] - len(layout.names))
    if repeated := [name for name, count in Counter(filter(None, names)).items() if count > 1]:
        findings.faults.append(f"several columns are named {', '.join(map(repr, repeated))}; names must be unique")
    if layout.width == 1:  # blank lines at the end are no rows
        table = table.iloc[: int(table[0].notna().to_numpy().nonzero()[0].max(initial=-1)) + 1]
    if not len(table):
        findings.faults.append("it has no rows of data")
        return {}
    columns, empty = {}, []
    for place, name in enumerate(names):
        column = table[place]
        there = column.notna().to_numpy()
        if not there.any():
            if name:
                empty.append(name)
            continue
        if not name and place >= len(layout.names):
            row = int(there.argmax()) + 1
            findings.faults.append(
                f"row {row} is longer than the first line, which names {len(layout.names)} columns"
                if layout.first == 1 else f"row {row} is longer than the line of {len(layout.names)} names"
            )  # fmt: skip
        elif not name and place > 0:
            findings.faults.append(f"column {place + 1} has no name in the first line")
        else:
            columns[name or UNNAMED] = column.to_numpy()
        if open_quotes := list(_broken(column)):
            findings.faults.append(f"column {name!r} has a quoted text over several lines in {rows_text(open_quotes)}")
    if empty:
        findings.warnings.append(f"left out, as they are empty: {listed([repr(name) for name in empty])}")
    return columns


UNNAMED = "Unnamed: 0"
"""pandas's name of a first column without one, usually an index."""


def _broken(column: pd.Series) -> Iterator[int]:
    if column.dtype.kind not in "biuf":
        for row, cell in enumerate(column, 1):
            if isinstance(cell, str) and re.search(r"[\r\n]", cell):
                yield row


def _numbers(places: list[int]) -> str:
    return f"line{'s' if len(places) > 1 else ''} {listed([place + 1 for place in places])}"
