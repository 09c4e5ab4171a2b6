"""Reads the columns of a CSV, MAT, Parquet, HDF5 or NumPy file with the libraries for these formats.

The format is determined from a file's content, not only from its name. Nothing in a file is executed, links to other
files are not followed, and sizes are checked before numbers are unpacked.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from nmlab.data.files.findings import Findings
from nmlab.data.files.hdf5 import read_hdf5
from nmlab.data.files.limits import memory_fault, most_bytes
from nmlab.data.files.parquet import read_parquet
from nmlab.data.files.text import TextOptions, read_text

Columns = dict[str, np.ndarray]
"""Arrays by name, as they are in the file: a column has one axis, a matrix has time steps along its first axis."""


@dataclass
class Content:
    """What a file holds.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        Arrays by name; {} if the file cannot be read.
    findings : Findings
        Faults, and remarks on how it was read.
    aliases : dict of str to str
        Names of columns by their full names, such as 'data/u', where they are called by the last part.
    """

    columns: Columns
    findings: Findings
    aliases: dict[str, str] = field(default_factory=dict)


SUFFIXES = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat", ".asc", ".prn"), "CSV"),
    ".mat": "MAT",
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), "HDF5"),
    ".npz": "NumPy",
}

_HEAD = 65_536
"""Number of bytes from which the format is determined."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_V73 = b"MATLAB 7."

_OTHERS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; save its sheet as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save its sheet as CSV (UTF-8)",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"\x93NUMPY": "a NumPy array; give its columns names, in a CSV or MAT file",
    b"\x80\x02": "a Python pickle, which is never opened: it could run code",
    b"\x80\x03": "a Python pickle, which is never opened: it could run code",
    b"\x80\x04": "a Python pickle, which is never opened: it could run code",
    b"\x80\x05": "a Python pickle, which is never opened: it could run code",
}


def read_columns(path: Path, content: bytes | None = None, options: TextOptions | None = None) -> Content:
    """Read the columns of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file, whose suffix names the format.
    content : bytes, optional
        Content of a file that is not on disk.
    options : TextOptions, optional
        What the user says of a text file.

    Returns
    -------
    Content
        The columns, and what was found.
    """
    findings = Findings()
    read = Content({}, findings)
    expected = SUFFIXES.get(path.suffix.lower())
    if expected is None:
        findings.faults.append(f"its suffix is {path.suffix!r}; give a file with one of {', '.join(SUFFIXES)}")
        return read
    try:
        size = len(content) if content is not None else path.stat().st_size
        head = content[:_HEAD] if content is not None else _head_of(path)
    except OSError as error:
        findings.faults.append(f"it cannot be opened: {error.strerror or error}")
        return read
    found = _format_of(head, expected)
    if size == 0:
        findings.faults.append("it is empty")
    elif found != expected and not (expected == "MAT" and found == "HDF5" and head.startswith(_V73)):
        findings.faults.append(f"its suffix {path.suffix} means {expected}, but it is {_ARTICLES.get(found, found)}")
    elif found in _UNPACKED and (fault := memory_fault(_UNPACKED[found] * size)):
        findings.faults.append(fault)
    if findings.faults:
        return read
    source = path if content is None else BytesIO(content)
    try:
        if found == "CSV":
            read.columns = read_text(source, head, options or TextOptions(), findings)
        else:
            read.columns, read.aliases = _shortened(_READERS[found](source, head, findings))
            for name, column in read.columns.items():
                read.columns[name] = _without_texts_of_numbers(name, column, findings)
    except _MissingReaderError as error:
        findings.faults.append(str(error))
    except MemoryError:
        findings.faults.append("there is not enough memory to read it; store fewer columns or rows")
    except Exception as error:  # the libraries raise various errors for a damaged file
        findings.faults.append(f"it is damaged, or not a {expected} file: {type(error).__name__}: {error}")
    return read


_UNPACKED = {"CSV": 2, "MAT": 1, "NumPy": 1}
"""Size of a file's numbers, at least, in sizes of the file, for formats that do not tell it beforehand."""


def _without_texts_of_numbers(name: str, column: np.ndarray, findings: Findings) -> np.ndarray:
    """Return a column as numbers if it holds nothing but texts of numbers."""
    if column.dtype.kind not in "OUST":
        return column
    flat = pd.Series(column.reshape(-1), dtype=object)
    texts = flat.map(lambda cell: isinstance(cell, (str, bytes)))
    numbers = pd.to_numeric(flat, errors="coerce")
    if not texts.any() or not numbers[texts].notna().all():
        return column
    findings.notes.append(f"{name!r} holds numbers as text, read as numbers")
    found: np.ndarray = numbers.to_numpy(np.float64).reshape(column.shape)
    return found


def _shortened(arrays: Columns) -> tuple[Columns, dict[str, str]]:
    """Return arrays under the last part of their names where this is unique, and these by their full names."""
    last = Counter(name.rpartition("/")[2] for name in arrays)
    aliases = {name: short for name in arrays if last[short := name.rpartition("/")[2]] == 1 and short != name}
    return {aliases.get(name, name): array for name, array in arrays.items()}, aliases


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _format_of(head: bytes, expected: str) -> str:
    """Return the format that a file's first bytes show, or a description of what else it is."""
    if head.startswith(b"PAR1"):
        return "Parquet"
    if _HDF5 in (head[:8], head[512:520]):
        return "HDF5"
    if head.startswith(b"MATLAB 5.0 MAT-file") or head[126:128] in (b"IM", b"MI"):
        return "MAT"
    if expected == "NumPy" and head.startswith(b"PK\x03\x04"):
        return "NumPy"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # text in UTF-16
        return "CSV"
    for start, what in _OTHERS.items():
        if head.startswith(start):
            return what
    # version 4 of MATLAB's format has no signature, but begins with a number below 5000, whose zero bytes no text has
    version_4 = min(int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")) < 5000
    return ("MAT" if len(head) >= 20 and version_4 else "binary data of another kind") if b"\0" in head else "CSV"


_ARTICLES = {
    "CSV": "text, such as CSV",
    "MAT": "a MAT file",
    "Parquet": "a Parquet file",
    "HDF5": "an HDF5 file",
    "NumPy": "a NumPy file",
}


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


# --- the formats ---


def _read_mat(source: Any, head: bytes, findings: Findings) -> Columns:
    numbers = most_bytes() // 8
    command = [sys.executable, "-P", str(Path(__file__).with_name("mat_reader.py")), str(numbers)]
    if isinstance(source, BytesIO):
        done = subprocess.run(command, input=source.getvalue(), capture_output=True, check=False)
    else:
        done = subprocess.run([*command, str(source)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        message = lines[-1] if done.returncode > 0 and lines else f"its reader crashed ({done.returncode})"
        damaged = f"it is damaged, or not a MAT file: {message}"
        findings.faults.append(message if message.startswith("it ") else damaged)
        return {}
    with np.load(BytesIO(done.stdout), allow_pickle=False) as arrays:
        names, unread, *values = arrays.values()
    findings.warnings += [f"left out: {text}" for text in unread]
    return dict(zip(map(str, names), values, strict=True))


def _read_parquet(source: Any, head: bytes, findings: Findings) -> Columns:
    parquet, pyarrow = _library("pyarrow.parquet", "Parquet"), _library("pyarrow", "Parquet")
    _library("pyarrow.compute", "Parquet")
    return read_parquet(pyarrow, parquet, source, findings)


def _read_hdf5(source: Any, head: bytes, findings: Findings) -> Columns:
    return read_hdf5(_library("h5py", "HDF5"), source, head.startswith(_V73), findings)


def _read_numpy(source: Any, head: bytes, findings: Findings) -> Columns:
    columns: Columns = {}
    with np.load(source, allow_pickle=False) as file:
        for name in file.files:
            try:
                columns[name] = file[name]
            except ValueError:
                findings.warnings.append(f"left out: {name!r} holds Python objects, which are never loaded")
    return columns


_READERS: dict[str, Callable[[Any, bytes, Findings], Columns]] = {
    "MAT": _read_mat,
    "Parquet": _read_parquet,
    "HDF5": _read_hdf5,
    "NumPy": _read_numpy,
}
