"""Reads a MAT file in a separate process, because a damaged file can crash SciPy 1.17 and with it the kernel.

Run as a script: it reads the file named by its argument, or the bytes on stdin, and writes to stdout in NumPy's npz
format the names, remarks on what cannot be read, and the arrays; errors go to stderr. It imports nothing from nmlab, so
that it starts in a third of a second. Names are those that `hdf5` gives to the same variables in a file of version 7.3.
"""

import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatlabFunction, MatlabObject, MatlabOpaque
from scipy.sparse import issparse

KINDS = "biufcSU"
"""Kinds of arrays that are read: numbers and text."""

Found = tuple[str, Any, str]
"""Name, array or None, and why there is no array."""


def parts(name: str, value: Any, limit: int) -> Iterator[Found]:
    """Yield the arrays in a variable: fields of a structure as 'a/b' or 'a(1)/b', cells as 'a{1}'."""
    if issparse(value):
        if math.prod(value.shape) > limit:
            yield name, None, f"is a sparse matrix of {value.shape[0]}×{value.shape[1]}, too large as a full one"
        else:
            yield name, value.toarray(), ""
    elif isinstance(value, (MatlabOpaque, MatlabFunction, MatlabObject)):
        yield name, None, f"is {kind_of(value)}, which only MATLAB can read; save its columns as arrays"
    elif value.ndim == 0 and value.dtype == object:  # the element of an empty structure
        yield name, None, "is empty"
    elif value.dtype.names is not None:
        if not value.size or not value.dtype.names:
            yield name, None, "is empty"
        for place, record in enumerate(value.reshape(-1, order="F"), 1):
            within = name if value.size == 1 else f"{name}({place})"
            for field in value.dtype.names:
                yield from parts(f"{within}/{field}", np.asanyarray(record[field]), limit)
    elif value.dtype == object:
        cells = [cell if issparse(cell) else np.asanyarray(cell) for cell in value.reshape(-1, order="F")]
        if cells and all(
            not issparse(c) and c.size == 1 and c.dtype.kind in "biufU" and c.dtype.names is None for c in cells
        ):
            texts = [c.dtype.kind == "U" for c in cells]
            if all(texts) or not any(texts):
                yield name, np.array([c.item() for c in cells]).reshape(value.shape, order="F"), ""
                return
        for place, cell in enumerate(cells, 1):
            yield from parts(f"{name}{{{place}}}", cell, limit)
    elif value.size == 0:
        yield name, None, "is empty"
    elif value.dtype.kind in KINDS:
        yield name, np.asarray(value), ""
    else:
        yield name, None, f"holds values of an unknown kind ({value.dtype})"


def kind_of(value: Any) -> str:
    """Return what an object of MATLAB is."""
    if isinstance(value, MatlabFunction):
        return "a function"
    if isinstance(value, MatlabObject):
        return f"an object of class {value.classname}"
    words = [str(value.reshape(-1)[0][field]) for field in (value.dtype.names or ()) if field in ("s2", "_Class")]
    named = next((word.strip("[]b'\"") for word in words if word), "unknown")
    return f"a {named}" if named in ("table", "timetable", "string", "datetime", "duration") else f"an object ({named})"


def main() -> None:
    """Convert the MAT file to an npz file on stdout."""
    limit, path = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    with suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (8 * limit + 2**31, resource.RLIM_INFINITY))
    source: Any = path or BytesIO(sys.stdin.buffer.read())
    count = sum(math.prod(shape) for _, shape, kind in whosmat(source) if kind != "sparse")
    if count > limit:
        sys.exit(f"it holds {count} numbers; there is memory for {limit}")
    if path is None:
        source.seek(0)
    try:
        variables = loadmat(source, chars_as_strings=True)
    except MemoryError:
        sys.exit(f"it is too large for the memory; there is room for {limit} numbers")
    found = [
        part
        for name, value in variables.items()
        if name not in ("__header__", "__version__", "__globals__", "__function_workspace__")
        for part in parts("an unnamed variable" if name in ("None", "") else name, value, limit)
    ]
    arrays = {name: value for name, value, _ in found if value is not None}
    unread = [f"{name!r} {why}" for name, value, why in found if value is None]
    out = BytesIO()
    # not by name, as a name may be that of a parameter of savez
    np.savez(out, np.array([*arrays], str), np.array(unread, str), *arrays.values())
    sys.stdout.buffer.write(out.getbuffer())


if __name__ == "__main__":
    main()
