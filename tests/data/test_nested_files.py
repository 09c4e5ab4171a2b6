"""MAT files of both kinds, HDF5, Parquet and npz: one rule for what lies deeper; what cannot be read is named."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import csc_matrix

from nmlab import DataError, FileData, from_file, preview
from tests.helpers.processes import ROOT

REFERENCE = h5py.special_dtype(ref=h5py.Reference)


class Mat73:
    """Writes a file as MATLAB does with -v7.3."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = h5py.File(path, "w", userblock_size=512)
        self._count = 0

    def put(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            group = self.file.create_group(name)
            group.attrs["MATLAB_class"] = np.bytes_("struct")
            for field, inner in value.items():
                self.put(f"{name}/{field}", inner)
            return group
        if isinstance(value, csc_matrix):
            group = self.file.create_group(name)
            group.attrs.update(MATLAB_class=np.bytes_("double"), MATLAB_sparse=np.uint64(value.shape[0]))
            for part, array in (("data", value.data), ("ir", value.indices), ("jc", value.indptr)):
                group[part] = array
            return group
        if isinstance(value, list):  # cells, or a structure array of dicts
            if all(isinstance(each, dict) for each in value):
                group = self.file.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("struct")
                for field in value[0]:
                    self._references(f"{name}/{field}", [each[field] for each in value])
                return group
            cells = self._references(name, value)
            cells.attrs["MATLAB_class"] = np.bytes_("cell")
            return cells
        if isinstance(value, str):
            data = self.file.create_dataset(name, data=np.array([[ord(sign)] for sign in value], np.uint16))
            data.attrs.update(MATLAB_class=np.bytes_("char"), MATLAB_int_decode=np.int32(2))
            return data
        array = np.atleast_2d(value)
        data = self.file.create_dataset(name, data=array.T)
        data.attrs["MATLAB_class"] = np.bytes_("double")
        return data

    def _references(self, name: str, values: list[Any]) -> Any:
        items = []
        for value in values:
            self._count += 1
            items.append(self.put(f"#refs#/{self._count}", value).ref)
        data = self.file.create_dataset(name, (len(items), 1), REFERENCE)
        data[:, 0] = items
        return data

    def close(self) -> None:
        self.file.close()
        with self.path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")


def saved(path: Path, variables: dict[str, Any], version: str) -> Path:
    if version == "7.3":
        mat = Mat73(path)
        for name, value in variables.items():
            mat.put(name, value)
        mat.close()
        return path
    cells = {name: _as_cells(value) for name, value in variables.items()}
    savemat(path, cells)
    return path


def _as_cells(value: Any) -> Any:
    """SciPy writes a structure array from a record array, and cells from an object array."""
    if isinstance(value, dict):
        return {name: _as_cells(inner) for name, inner in value.items()}
    if not isinstance(value, list):
        return value
    if all(isinstance(each, dict) for each in value):
        records = np.empty(len(value), [(field, object) for field in value[0]])
        for place, each in enumerate(value):
            records[place] = tuple(_as_cells(inner) for inner in each.values())
        return records
    cells = np.empty(len(value), object)
    for place, each in enumerate(value):
        cells[place] = _as_cells(each)
    return cells


COLUMN = np.arange(6.0).reshape(6, 1)
KEPT = "ignore:a.mat:UserWarning"


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.filterwarnings(KEPT)
def test_both_kinds_of_mat_files_are_read_by_one_rule(version: str, tmp_path: Path) -> None:
    variables: dict[str, Any] = {
        "data": {"u": COLUMN, "y": 2 * COLUMN, "Ts": 0.1, "about": {"who": "me"}},
        "x": csc_matrix(np.diag(np.arange(1.0, 7.0))),
    }
    data = from_file(saved(tmp_path / "a.mat", variables, version))
    values = data.table().values
    assert np.array_equal(values["U"], COLUMN)
    assert np.array_equal(values["Y"], 2 * COLUMN)
    assert np.array_equal(values["X"], np.diag(np.arange(1.0, 7.0)))
    assert "left out, as single values: 'Ts' (0.1), 'who' ('me')" in data.remarks
    named = from_file(tmp_path / "a.mat", columns={"in": "data/u", "out": "y"})
    assert np.array_equal(named.table().values["in"], COLUMN)


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.filterwarnings(KEPT)
def test_cells_and_structure_arrays_are_called_by_their_numbers(version: str, tmp_path: Path) -> None:
    variables = {"runs": [{"y": COLUMN}, {"y": 3 * COLUMN}], "cells": [COLUMN, "text", 5 * COLUMN]}
    path = saved(tmp_path / "a.mat", variables, version)
    columns = {"one": "runs(1)/y", "two": "runs(2)/y", "three": "cells{1}", "four": "cells{3}"}
    values = from_file(path, columns=columns).table().values
    for key, factor in {"one": 1, "two": 3, "three": 1, "four": 5}.items():
        assert np.array_equal(values[key], factor * COLUMN), key
    single = from_file(saved(tmp_path / "b.mat", {"y": COLUMN, "u": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]}, version))
    assert single.table().values["U"].ravel().tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_row_vectors_are_read_as_columns_and_told(version: str, tmp_path: Path) -> None:
    variables = {"t": COLUMN.T, "y": COLUMN.T, "u": 2 * COLUMN}
    data = from_file(saved(tmp_path / "a.mat", variables, version))
    assert np.array_equal(data.table().values["Y"], COLUMN)
    assert "read as columns: the row vectors 'y'" in data.remarks
    data = from_file(saved(tmp_path / "b.mat", {"y": COLUMN.T, "u": COLUMN.T}, version))
    assert data.table().rows == 6


def test_objects_of_matlab_are_named_and_not_taken_for_numbers(tmp_path: Path) -> None:
    mat = Mat73(tmp_path / "a.mat")
    mat.put("y", COLUMN)
    for name, kind in (("T", "table"), ("when", "datetime"), ("label", "string")):
        data = mat.put(name, np.array([[3707764736.0, 2, 1, 1, 1, 1]]))
        data.attrs.update(MATLAB_class=np.bytes_(kind), MATLAB_object_decode=np.int32(3))
    empty = mat.put("nothing", np.array([[0.0, 0.0]]))
    empty.attrs["MATLAB_empty"] = np.uint8(1)
    mat.close()
    with pytest.warns(UserWarning, match="'T' is a table, which only MATLAB can read") as told:
        data = from_file(tmp_path / "a.mat")
    assert list(data.table().values) == ["Y"]
    for text in ("'when' is a datetime", "'label' is a string", "'nothing' is empty"):
        assert text in str(told[0].message)
    assert "'T' is a table" in repr(preview(data))


SHAPES = st.recursive(
    st.integers(0, 9),
    lambda inner: st.dictionaries(st.sampled_from("abcdef"), inner, min_size=1, max_size=3),
    max_leaves=5,
).filter(lambda shape: isinstance(shape, dict))


def _leaves(shape: Any, path: str) -> dict[str, int]:
    if not isinstance(shape, dict):
        return {path: shape}
    return {p: n for name, inner in shape.items() for p, n in _leaves(inner, f"{path}/{name}".lstrip("/")).items()}


@given(shape=SHAPES)
@settings(deadline=None, max_examples=4)
def test_structures_of_any_depth_are_read_alike(
    shape: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    def filled(inner: Any) -> Any:
        return {n: filled(i) for n, i in inner.items()} if isinstance(inner, dict) else COLUMN + inner

    folder = tmp_path_factory.mktemp("mat")
    leaves = _leaves(shape, "")
    columns = {f"k{place}": path for place, path in enumerate(leaves)}
    for version in ("5", "7.3"):
        path = saved(folder / f"{version}.mat", filled(shape), version)
        values = from_file(path, columns=columns).table().values
        for key, name in columns.items():
            assert np.array_equal(values[key], COLUMN + leaves[name]), (version, name)


# --- HDF5 ---


def test_groups_of_hdf5_and_what_is_no_matrix(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["run/y"] = COLUMN
        file["run/u"] = 2 * COLUMN
        file["table"] = np.array([(1.0, 2)] * 6, [("d", "f8"), ("count", "i4")])
        file["again"] = h5py.SoftLink("/run/y")
        file["lost"] = h5py.SoftLink("/nowhere")
        file["run/loop"] = file["run"]
        scaled = file.create_dataset("packed", data=np.arange(6))
        scaled.attrs["scale_factor"] = 0.1
        file.create_dataset("to", (6,), REFERENCE)[:] = [file["run/y"].ref] * 6
    with pytest.warns(UserWarning, match="left out: 'lost' is a link to /nowhere") as told:
        data = from_file(tmp_path / "a.h5")
    assert "'packed' is stored scaled (scale_factor)" in str(told[0].message)
    assert "'to' holds references" in str(told[0].message)
    assert sorted(data.table().values) == ["count", "d", "u", "y"]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["y"] = np.array([1.0, -999.0, 2.0])
        file["y"].attrs["_FillValue"] = -999.0
    with pytest.raises(DataError, match=r"'y' has no value \(or nan\) in row 2"):
        from_file(tmp_path / "b.h5")


# --- Parquet ---


def parquet(path: Path, **columns: Any) -> FileData:
    pq.write_table(pa.table(columns), path)
    return from_file(path)


def test_types_of_parquet(tmp_path: Path) -> None:
    data = parquet(
        tmp_path / "a.parquet",
        time=pa.array(pd.date_range("2024-01-01", periods=3, freq="s", tz="Europe/Berlin")),
        whole=pa.array([1, 2, 3], pa.uint8()),
        exact=pa.array([decimal.Decimal("1.25"), decimal.Decimal("2.50"), decimal.Decimal("3.75")]),
        kind=pa.array([1.5, 2.5, 1.5]).dictionary_encode(),
        half=pa.array(np.array([0.5, 1.5, 2.5], np.float16)),
        on=pa.array([True, False, True]),
        inner=pa.array([{"a": 1.0, "b": {"c": 4}}] * 3),
        text=pa.array(["1.5", "2", "-3"]),
    )
    values = {key: column.ravel().tolist() for key, column in data.table().values.items()}
    assert values == {
        "whole": [1, 2, 3], "exact": [1.25, 2.5, 3.75], "kind": [1.5, 2.5, 1.5], "half": [0.5, 1.5, 2.5],
        "on": [1, 0, 1], "a": [1, 1, 1], "c": [4, 4, 4], "text": [1.5, 2, -3],
    }  # fmt: skip
    told = "\n".join(data.remarks)
    assert "'exact' holds decimals" in told
    assert "'on' holds true and false, read as 1 and 0" in told
    assert "'text' holds numbers as text, read as numbers" in told
    assert "'time' is the time, in steps of 1" in told


def test_missing_values_of_parquet_are_not_made_up(tmp_path: Path) -> None:
    for column in (pa.array([1, None, 3]), pa.array([True, None, False]), pa.array([0.5, None, 1.5])):
        with pytest.raises(DataError, match=r"'u' has no value \(or nan\) in row 2"):
            parquet(tmp_path / "a.parquet", u=column)
    with pytest.raises(DataError, match=r"'u' has integers beyond 2\*\*53 and missing values"):
        parquet(tmp_path / "a.parquet", u=pa.array([2**60, None, 3]))
    with pytest.raises(DataError, match="'u' is not a number in rows 1, 2"):
        parquet(tmp_path / "a.parquet", u=pa.array([[1.0], [2.0]]))
    with pytest.raises(DataError, match="'when' holds dates, not real numbers; give it as time='when'"):
        parquet(tmp_path / "a.parquet", when=pa.array([datetime.datetime(2024, 1, day) for day in (1, 2)]))


def test_float32_stays_float32(tmp_path: Path) -> None:
    data = parquet(tmp_path / "a.parquet", y=pa.array(np.arange(9, dtype=np.float32)))
    assert data.table().values["Y"].dtype == np.float32


# --- npz ---


def test_npz_without_what_would_run_code(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=COLUMN, u=2 * COLUMN, objects=np.array([{"a": 1}], object))
    with pytest.warns(UserWarning, match="left out: 'objects' holds Python objects, which are never loaded"):
        data = from_file(tmp_path / "a.npz")
    assert np.array_equal(data.table().values["U"], 2 * COLUMN)


# --- memory ---

MEASURE = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.compute, pyarrow.parquet as pq
import nmlab, nmlab.analysis.preview, nmlab.data.files
names = ["y1", "y2", "u1", "u2", "x1", "x2", "x3", "d1", "d2", "d3"]
schema = pa.schema([(name, pa.float32()) for name in names])
groups, rows = 10, 200_000
with pq.ParquetWriter("a.parquet", schema) as file:
    for _ in range(groups):
        file.write_table(pa.table([np.random.rand(rows).astype(np.float32) for _ in names], schema=schema))
nmlab.preview(nmlab.from_file("b.csv", content=b"y,u\\n1,2\\n2,3\\n3,4\\n4,5\\n5,6\\n"))  # what comes once
pa.default_memory_pool().release_unused()
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = most()
data = nmlab.from_file("a.parquet")
nmlab.preview(data, batch_size=10_000)
print((most() - before) / (groups * rows * len(names) * 4))
"""


def test_a_large_file_takes_less_than_twice_its_numbers(tmp_path: Path) -> None:
    """An eighth of `make bench`'s file; what one column more and pyarrow's buffers take weighs the more."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 2
