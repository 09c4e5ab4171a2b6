"""Reads HDF5 files, and MAT files of version 7.3, which are HDF5 with attributes by which MATLAB tells its classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nmlab.data.files.findings import Findings
from nmlab.data.files.limits import memory_fault

OTHER_FILE = "is stored in another file"


class HDF5Reader:
    """The arrays of a file.

    Parameters
    ----------
    h5py : module
        The library.
    file : h5py.File
        The open file.
    matlab : bool
        Whether MATLAB wrote it.
    findings : Findings
        Gets faults, and what cannot be read.
    """

    def __init__(self, h5py: Any, file: Any, matlab: bool, findings: Findings) -> None:
        self._h5py = h5py
        self._file = file
        self._matlab = matlab
        self._findings = findings
        self._seen: set[Any] = set()

    def read(self) -> dict[str, np.ndarray]:
        """Return the arrays by their full names; {} if there are faults."""
        sets = list(self._group("", self._file))
        shapes = [self._shape(item) for _, item in sets]
        if fault := memory_fault(
            sum(math.prod(shape) * item.dtype.itemsize for shape, (_, item) in zip(shapes, sets, strict=True))
        ):
            self._findings.faults.append(fault)
        for name, item in sets:
            if isinstance(item, self._h5py.Dataset) and (item.is_virtual or item.external):
                self._findings.faults.append(f"{name!r} {OTHER_FILE}")
        if self._findings.faults:
            return {}
        arrays: dict[str, np.ndarray] = {}
        for name, item in sets:
            for part, array in self._arrays(name, item):
                if array.size == 0:
                    self._leave_out(part, "is empty")
                else:
                    arrays[part] = array
        return arrays

    def _leave_out(self, name: str, why: str) -> None:
        self._findings.warnings.append(f"left out: {name!r} {why}")

    def _group(self, path: str, group: Any) -> Iterator[tuple[str, Any]]:
        """Yield the data sets in a group; links to other files are not followed."""
        address = self._h5py.h5o.get_info(group.id).addr
        if address in self._seen:
            return
        self._seen.add(address)
        for key in group:
            name = f"{path}/{key}" if path else key
            if not path and self._matlab and key.startswith("#"):  # what cells and objects refer to
                continue
            link = group.get(key, getlink=True)
            if isinstance(link, self._h5py.ExternalLink):
                self._leave_out(name, f"is a link to another file, {link.filename}")
                continue
            if isinstance(link, self._h5py.SoftLink):
                if link.path not in self._file:
                    self._leave_out(name, f"is a link to {link.path}, which does not exist")
                continue  # the object itself is read where it is
            yield from self._item(name, group[key])

    def _item(self, name: str, item: Any) -> Iterator[tuple[str, Any]]:
        kind = _class_of(item) if self._matlab else ""
        if isinstance(item, self._h5py.Group):
            if "MATLAB_sparse" in item.attrs and self._matlab:
                yield name, _Sparse(item)
            elif kind in ("", "struct"):
                yield from self._group(name, item)
            else:
                self._leave_out(name, f"is of class {kind}, which only MATLAB can read; save its columns as arrays")
        elif not isinstance(item, self._h5py.Dataset):
            self._leave_out(name, "is a named type, not data")
        elif self._matlab and ("MATLAB_object_decode" in item.attrs or kind in _OBJECTS):
            self._leave_out(name, f"is a {kind or 'object'}, which only MATLAB can read; save its columns as arrays")
        elif self._matlab and "MATLAB_empty" in item.attrs:
            self._leave_out(name, "is empty")
        elif self._h5py.check_ref_dtype(item.dtype) is not None:
            if self._matlab:
                yield from self._referred(name, item, kind)
            else:
                self._leave_out(name, "holds references, not data")
        elif item.shape is None:
            self._leave_out(name, "is empty")
        else:
            yield name, item

    def _referred(self, name: str, item: Any, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield what the cells of a cell array, or the elements of a field of a structure array, refer to."""
        refs = np.asarray(item[()]).T.reshape(-1, order="F")
        items = [self._file[ref] for ref in refs if ref]
        singles = [each for each in items if _is_single_number(self._h5py, each)]
        if kind == "cell" and items and len(singles) == len(refs):
            yield name, _Cells(items, np.asarray(item[()]).T.shape)
            return
        above, _, field = name.rpartition("/")
        for place, ref in enumerate(refs, 1):
            part = f"{name}{{{place}}}" if kind == "cell" else f"{above}({place})/{field}"
            if ref:
                yield from self._item(part, self._file[ref])

    def _shape(self, item: Any) -> tuple[int, ...]:
        return tuple(item.shape or ())

    def _arrays(self, name: str, item: Any) -> Iterator[tuple[str, np.ndarray]]:
        if isinstance(item, (_Sparse, _Cells)):
            yield name, item.array()
            return
        if scaled := [key for key in ("scale_factor", "add_offset") if key in item.attrs]:
            self._leave_out(name, f"is stored scaled ({', '.join(scaled)}); store its values themselves")
            return
        if self._h5py.check_string_dtype(item.dtype) is not None:
            yield name, np.asarray(item.asstr()[()])
            return
        array = np.asarray(item[()])
        if names := array.dtype.names:
            if {*names} != {"real", "imag"}:
                yield from ((f"{name}/{field}", array[field]) for field in names)
                return
            array = array["real"] + 1j * array["imag"]
        if "_FillValue" in item.attrs and array.dtype.kind in "iuf":
            filled = np.isin(array, item.attrs["_FillValue"])
            array = np.where(filled, np.nan, array) if filled.any() else array
        if array.dtype.kind == "V" or array.dtype == object:
            self._leave_out(name, f"holds values of another kind ({item.dtype})")
            return
        if self._matlab:  # which writes matrices transposed
            array, kind = array.T, _class_of(item)
            if kind == "logical":
                array = array.astype(bool)
            elif kind == "char":
                rows = array if array.ndim == 2 else array.reshape(1, -1)
                array = np.array(["".join(map(chr, row)) for row in rows])
        yield name, array


_OBJECTS = ("table", "timetable", "string", "datetime", "duration", "categorical", "function_handle")


class _Sparse:
    """A sparse matrix of MATLAB."""

    def __init__(self, group: Any) -> None:
        self._group = group
        columns = len(group["jc"]) - 1
        self.shape = (int(group.attrs["MATLAB_sparse"]), columns)
        self.dtype = group["data"].dtype if "data" in group else np.dtype(float)

    def array(self) -> np.ndarray:
        """Return it as a full matrix."""
        from scipy.sparse import csc_matrix

        if "data" not in self._group:
            return np.zeros(self.shape)
        data, rows, starts = (self._group[key][()] for key in ("data", "ir", "jc"))
        if data.dtype.names is not None:
            data = data["real"] + 1j * data["imag"]
        full: np.ndarray = csc_matrix((data, rows, starts), shape=self.shape).toarray()
        return full


class _Cells:
    """A cell array of single numbers."""

    def __init__(self, items: list[Any], shape: tuple[int, ...]) -> None:
        self._items = items
        self.shape = shape
        self.dtype = np.dtype(float)

    def array(self) -> np.ndarray:
        """Return it as a matrix."""
        return np.array([item[()].item() for item in self._items]).reshape(self.shape, order="F")


def _is_single_number(h5py: Any, item: Any) -> bool:
    return (
        isinstance(item, h5py.Dataset)
        and item.size == 1
        and item.dtype.kind in "iuf"
        and _class_of(item) not in ("char", "cell", *_OBJECTS)
        and not {"MATLAB_empty", "MATLAB_object_decode"} & {*item.attrs}
    )


def _class_of(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)


def read_hdf5(h5py: Any, source: Path | Any, matlab: bool, findings: Findings) -> dict[str, np.ndarray]:
    """Read the arrays of an HDF5 file by their full names; {} if there are faults."""
    with h5py.File(source, "r") as file:
        return HDF5Reader(h5py, file, matlab, findings).read()
