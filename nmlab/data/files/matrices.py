"""Columns of a file as matrices of finite numbers, one row per time step; what is none is a fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nmlab.data.files.findings import Findings, rows_text
from nmlab.data.files.formats import Columns


def values_of(columns: Columns, keys: Mapping[str, Sequence[str]], findings: Findings) -> dict[str, np.ndarray]:
    """Return the matrix of each key, without those that have faults; columns are removed once they are copied."""
    left = Counter(name for names in keys.values() for name in names)
    values: dict[str, np.ndarray] = {}
    for key, names in keys.items():
        parts: list[tuple[int, np.ndarray | None]] = []
        whole: np.ndarray | None = None
        kind = np.result_type(*(_kind(columns[name]) for name in names))
        widths = [columns[name].size // max(len(columns[name]), 1) if columns[name].ndim > 1 else 1 for name in names]
        for place, name in enumerate(names):
            matrix = _matrix(name, columns[name], findings)
            left[name] -= 1
            if not left[name]:
                del columns[name]
            parts.append((place, matrix))
            if matrix is None or len(names) == 1:
                whole = matrix
                continue
            if whole is None and place == 0:
                whole = np.empty((len(matrix), sum(widths)), kind)
            if whole is not None and len(whole) == len(matrix):
                whole[:, sum(widths[:place]) : sum(widths[: place + 1])] = matrix
            parts[-1] = (place, matrix[:0])
        if whole is not None and all(matrix is not None for _, matrix in parts):
            values[key] = whole
    return values


def _kind(array: np.ndarray) -> np.dtype[Any]:
    """Return the type of a column's numbers: float32 where the file has it, float64 otherwise."""
    return np.dtype(np.float32 if array.dtype in (np.float16, np.float32) else np.float64)


def _matrix(name: str, array: np.ndarray, findings: Findings) -> np.ndarray | None:
    """Return a column or matrix as numbers with one row per time step, and add what is wrong to the findings."""
    faults = findings.faults
    if array.ndim > 2:
        faults.append(f"{name!r} has {array.ndim} axes {array.shape}; give a matrix with one row per time step")
        return None
    matrix = array.reshape(len(array) if array.ndim else 1, -1) if array.size else np.empty((0, 1))
    text = None
    if matrix.dtype.kind in "biuf":
        if matrix.dtype.kind == "b":
            findings.notes.append(f"{name!r} holds true and false, read as 1 and 0")
        elif matrix.dtype.kind in "iu" and matrix.size and max(abs(int(matrix.min())), abs(int(matrix.max()))) > 2**53:
            findings.warnings.append(f"{name!r} has integers beyond 2**53, which float64 rounds")
        numbers = matrix.astype(_kind(array), copy=False)
    elif matrix.dtype.kind in "OUST":
        cells = pd.Series(matrix.reshape(-1), dtype=object)  # readers have made numbers of texts that are some
        words = cells.map(lambda cell: isinstance(cell, (str, bytes)))
        read = pd.to_numeric(cells.mask(words), errors="coerce")
        text = (words | (read.isna() & cells.notna())).to_numpy(bool).reshape(matrix.shape)
        numbers = read.to_numpy(np.float64).reshape(matrix.shape)
    else:
        what = {"c": "complex numbers", "M": "dates", "m": "durations"}.get(matrix.dtype.kind, "records")
        remedy = f"give it as time={name!r}, or " if what == "dates" else ""
        faults.append(f"{name!r} holds {what}, not real numbers; {remedy}choose other columns by columns={{…}}")
        return None
    if np.isfinite(numbers).all():
        return np.require(numbers, requirements="W")  # tensors may share its memory
    if text is not None and text.any():
        row, column = map(int, np.argwhere(text)[0])
        first = str(matrix[row, column])[:40]
        faults.append(f"{name!r} is not a number in {_rows(text)}: {first!r}; choose other columns by columns={{…}}")
    if (missing := np.isnan(numbers) & ~(text if text is not None else np.zeros(1, bool))).any():
        faults.append(f"{name!r} has no value (or nan) in {_rows(missing)}; remove or fill such rows")
    if (infinite := np.isinf(numbers)).any():
        faults.append(f"{name!r} is infinite in {_rows(infinite)}")
    return None


def _rows(where: np.ndarray) -> str:
    """Return a text with the rows in which a condition holds, counted from 1 below the names."""
    return rows_text((np.flatnonzero(where.any(axis=1)) + 1).tolist())
