"""Reads the columns of a CSV, MAT, Parquet or HDF5 file with the libraries for these formats.

The format is determined from a file's content, not only from its name. Nothing in a file is executed, links to other
files are not followed, and sizes are checked before numbers are unpacked.
"""

from __future__ import annotations

import csv
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

Columns = dict[str, np.ndarray]
"""Arrays by name, as they are in the file: a column has one axis, a matrix has time steps along its first axis."""

Read = tuple[Columns, list[str]]
"""Columns, and their faults."""

SUFFIXES = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), "CSV"),
    ".mat": "MAT",
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), "HDF5"),
}

MOST_NUMBERS = 50_000_000
"""Maximum count of numbers in a file or a data set; more would not fit a laptop's memory during a fit."""

MOST_BYTES = 1_000_000_000

_HEAD = 65_536
"""Number of bytes from which the format is determined."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_V73 = b"MATLAB 7.3 MAT-file"

_OTHERS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; save its sheet as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save its sheet as CSV (UTF-8)",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"\x93NUMPY": "a NumPy array; give its columns names, in a CSV or MAT file",
    b"\x80\x02": "a Python pickle, which is never opened: it could run code",
    b"\x80\x03": "a Python pickle, which is never opened: it could run code",
    b"\x80\x04": "a Python pickle, which is never opened: it could run code",
    b"\x80\x05": "a Python pickle, which is never opened: it could run code",
    b"\xff\xfe": "text in UTF-16; save it as UTF-8",
    b"\xfe\xff": "text in UTF-16; save it as UTF-8",
}


def read_columns(path: Path, content: bytes | None = None) -> Read:
    """Read the columns of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file, whose suffix names the format.
    content : bytes, optional
        Content of a file that is not on disk.

    Returns
    -------
    columns : dict of str to numpy.ndarray
        Arrays by name; {} if the file cannot be read.
    faults : list of str
        What is wrong and what would be valid.
    """
    expected = SUFFIXES.get(path.suffix.lower())
    if expected is None:
        return {}, [f"its suffix is {path.suffix!r}; give a file with one of {', '.join(SUFFIXES)}"]
    try:
        size = len(content) if content is not None else path.stat().st_size
        head = content[:_HEAD] if content is not None else _head_of(path)
    except OSError as error:
        return {}, [f"it cannot be opened: {error.strerror or error}"]
    if size == 0:
        return {}, ["it is empty"]
    if size > MOST_BYTES:
        return {}, [f"it has {size / 1e6:.0f} MB; the limit is {MOST_BYTES / 1e6:.0f} MB"]
    found = _format_of(head)
    if found != expected and not (expected == "MAT" and found == "HDF5" and head.startswith(_V73)):
        return {}, [f"its suffix {path.suffix} means {expected}, but it is {_ARTICLES.get(found, found)}"]
    try:
        return _READERS[found](path if content is None else BytesIO(content), head)
    except _MissingReaderError as error:
        return {}, [str(error)]
    except Exception as error:  # the libraries raise various errors for a damaged file
        return {}, [f"it is damaged, or not a {expected} file: {type(error).__name__}: {error}"]


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _format_of(head: bytes) -> str:
    """Return the format that a file's first bytes show, or a description of what else it is."""
    if head.startswith(b"PAR1"):
        return "Parquet"
    if _HDF5 in (head[:8], head[512:520]):
        return "HDF5"
    if head.startswith(b"MATLAB 5.0 MAT-file") or head[126:128] in (b"IM", b"MI"):
        return "MAT"
    for start, what in _OTHERS.items():
        if head.startswith(start):
            return what
    # version 4 of MATLAB's format has no signature, but begins with a number below 5000, whose zero bytes no text has
    return (
        ("MAT" if len(head) >= 20 and head[2:4] == b"\0\0" else "binary data of another kind")
        if b"\0" in head
        else "CSV"
    )


_ARTICLES = {"CSV": "text, such as CSV", "MAT": "a MAT file", "Parquet": "a Parquet file", "HDF5": "an HDF5 file"}


class _MissingReaderError(Exception):
    """A library that reads a format is not installed."""


def _library(module: str, what: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise _MissingReaderError(
            f"{what} is read by {package}, which is not installed: pip install 'nmlab[files]'"
        ) from None


def _too_many(shapes: Iterable[Sequence[int]]) -> list[str]:
    count = sum(math.prod(shape) for shape in shapes)
    return [f"it holds {count} numbers; the limit is {MOST_NUMBERS}"] if count > MOST_NUMBERS else []


def _doubled(names: Iterable[str]) -> list[str]:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    return [f"several columns are named {', '.join(map(repr, repeated))}; names must be unique"] if repeated else []


# --- the formats ---


def _read_csv(source: Any, head: bytes) -> Read:
    try:
        lines = head.decode("utf-8-sig", "strict" if len(head) < _HEAD else "ignore").splitlines()
    except UnicodeDecodeError:
        return {}, ["its text is not in UTF-8; save it as CSV (UTF-8)"]
    skipped = next((place for place, line in enumerate(lines) if line.strip()), None)
    if skipped is None:
        return {}, ["it is empty"]
    separator = max(",;\t", key=lambda sign: lines[skipped].count(sign))
    names = [name.strip() for name in next(csv.reader([lines[skipped]], delimiter=separator))]
    if all(map(_is_number, names)):
        return {}, ["its first line holds numbers; it must hold the names of the columns"]
    faults = _doubled(filter(None, names))
    if blank := [place for place, name in enumerate(names, 1) if not name and place > 1]:
        faults.append(f"column {blank[0]} has no name in the first line")
    # if the separator is not a comma, a comma between digits is probably the decimal separator
    comma = separator != "," and re.search(r"\d,\d", "\n".join(lines[skipped + 1 :])) is not None
    try:
        table = pd.read_csv(
            source, sep=separator, decimal="," if comma else ".", encoding="utf-8-sig", header=None,
            skiprows=skipped + 1, names=range(len(names) + 1), index_col=False, skipinitialspace=True, low_memory=False,
        )  # fmt: skip
    except UnicodeDecodeError:
        return {}, [*faults, "its text is not in UTF-8; save it as CSV (UTF-8)"]
    except pd.errors.EmptyDataError:
        return {}, [*faults, "it has no rows of data"]
    except pd.errors.ParserError as error:
        return {}, [*faults, f"its rows differ in length ({len(names)} names): {str(error).strip()}"]
    longer = table[len(names)].notna().to_numpy()  # an extra column, which only rows that are too long fill
    if longer.any():
        faults.append(f"row {int(longer.argmax()) + 1} is longer than the first line, which names {len(names)} columns")
    # a first column without a name is an index that pandas wrote
    return {name: table[place].to_numpy() for place, name in enumerate(names) if name}, faults


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _read_mat(source: Any, head: bytes) -> Read:
    content = source.getvalue() if isinstance(source, BytesIO) else source.read_bytes()
    command = [sys.executable, "-P", str(Path(__file__).with_name("mat_reader.py")), str(MOST_NUMBERS)]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        message = lines[-1] if done.returncode > 0 and lines else f"its reader crashed ({done.returncode})"
        return {}, [message if message.startswith("it ") else f"it is damaged, or not a MAT file: {message}"]
    with np.load(BytesIO(done.stdout), allow_pickle=False) as arrays:
        names, *values = arrays.values()
    return dict(zip(map(str, names), values, strict=True)), []


def _read_parquet(source: Any, head: bytes) -> Read:
    parquet: Any = _library("pyarrow.parquet", "Parquet")
    with parquet.ParquetFile(source) as file:
        names = list(file.schema_arrow.names)
        if faults := [*_too_many([(file.metadata.num_rows, len(names))]), *_doubled(names)]:
            return {}, faults
        table = file.read()
    return {name: column.to_numpy() for name, column in zip(names, table.columns, strict=True)}, []


def _read_hdf5(source: Any, head: bytes) -> Read:
    h5py: Any = _library("h5py", "HDF5")
    with h5py.File(source, "r") as file:
        sets: dict[str, Any] = {}
        # does not follow links
        file.visititems(lambda name, item: sets.update({name: item} if isinstance(item, h5py.Dataset) else {}))
        sets = {name: data for name, data in sets.items() if not name.startswith("#")}  # MATLAB's cells
        faults = _too_many(data.shape or () for data in sets.values())
        faults += [
            f"{name!r} is stored in another file" for name, data in sets.items() if data.is_virtual or data.external
        ]
        if faults:
            return {}, faults
        last = Counter(name.rpartition("/")[2] for name in sets)
        arrays: Columns = {}
        for name, data in sets.items():
            short = name.rpartition("/")[2]
            array = np.asarray(data[()])
            # MATLAB writes matrices transposed
            arrays[short if last[short] == 1 else name] = array.T if head.startswith(_V73) else array
    return arrays, []


_READERS: dict[str, Callable[[Any, bytes], Read]] = {
    "CSV": _read_csv,
    "MAT": _read_mat,
    "Parquet": _read_parquet,
    "HDF5": _read_hdf5,
}
