"""Reads Parquet files column by column, so that beside the numbers there is never more than one further column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nmlab.data.files.findings import Findings
from nmlab.data.files.limits import memory_fault


def read_parquet(pyarrow: Any, parquet: Any, source: Path | Any, findings: Findings) -> dict[str, np.ndarray]:
    """Read the columns of a Parquet file; {} if there are faults.

    Parameters
    ----------
    pyarrow, parquet : module
        The library and its `parquet`.
    source : pathlib.Path or file object
        The file.
    findings : Findings
        Gets faults, and remarks on conversions.
    """
    with parquet.ParquetFile(source, page_checksum_verification=True) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        names = list(schema.names)
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            shown = ", ".join(map(repr, repeated))
            findings.faults.append(f"several columns are named {shown}; names must be unique")
        widths = [_width(field.type) for field in schema]
        if fault := memory_fault(rows * sum(widths), f"{rows} rows of {len(names)} columns"):
            findings.faults.append(fault)
        if findings.faults:
            return {}
        columns: dict[str, np.ndarray] = {}
        for name in names:
            column = file.read(columns=[name], use_threads=False).column(name)
            for part, values in _flat(pyarrow, name, column):
                columns[part] = _array(pyarrow, part, values, findings)
        del column, values
        pyarrow.default_memory_pool().release_unused()
        return columns


def _width(kind: Any) -> int:
    try:
        return max(int(kind.bit_width) // 8, 1)
    except ValueError:  # texts and others of no fixed size
        return 16


def _flat(pyarrow: Any, name: str, column: Any) -> Iterator[tuple[str, Any]]:
    """Yield a column, or the fields of a column of structures as 'name/field'."""
    if not pyarrow.types.is_struct(column.type):
        yield name, column
        return
    table = pyarrow.table({name: column}).flatten()
    for inner, values in zip(table.schema.names, table.columns, strict=True):
        yield from _flat(pyarrow, f"{name}/{inner.removeprefix(f'{name}.')}", values)


def _array(pyarrow: Any, name: str, column: Any, findings: Findings) -> np.ndarray:
    types, kind = pyarrow.types, column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_decimal(kind):
        column = column.cast(pyarrow.float64(), safe=False)
        findings.notes.append(f"{name!r} holds decimals ({kind}), read as float64")
    elif types.is_boolean(kind) and column.null_count:
        column = column.cast(pyarrow.int8())
    elif types.is_time(kind):
        column = column.cast(pyarrow.time64("us"), safe=False).cast(pyarrow.int64())
        column = pyarrow.compute.divide(column.cast(pyarrow.float64()), 1e6)
        findings.notes.append(f"{name!r} holds times of day, read as seconds")
    if types.is_integer(column.type) and column.null_count:
        # pyarrow makes float64 of integers with missing values
        ends = pyarrow.compute.min_max(column).as_py()
        if max(abs(ends["min"] or 0), abs(ends["max"] or 0)) > 2**53:
            findings.faults.append(
                f"{name!r} has integers beyond 2**53 and missing values; fill these, or store float64"
            )
    array: np.ndarray = column.to_numpy()
    return array if array.flags.writeable else array.copy()
