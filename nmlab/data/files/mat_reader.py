"""Reads a MAT file in a separate process, because a damaged file can crash SciPy 1.17 and with it the kernel.

Run as a script: it reads the file's bytes from stdin and writes the arrays to stdout in NumPy's npz format, and errors
to stderr. It imports nothing from nmlab, so that it starts in a third of a second.
"""

import math
import sys
from io import BytesIO

import numpy as np
from scipy.io import loadmat, whosmat

KINDS = "biufcSU"
"""Kinds of arrays that are read: numbers and text; cells and structures are not data."""


def main() -> None:
    """Convert the MAT file on stdin to an npz file on stdout."""
    source, limit = BytesIO(sys.stdin.buffer.read()), int(sys.argv[1])
    count = sum(math.prod(shape) for _, shape, _ in whosmat(source))
    if count > limit:
        sys.exit(f"it holds {count} numbers; the limit is {limit}")
    source.seek(0)
    found = {name: np.asarray(value) for name, value in loadmat(source).items() if not name.startswith("__")}
    found = {name: value for name, value in found.items() if value.dtype.kind in KINDS}
    out = BytesIO()
    np.savez(
        out, np.array([*found], str), *found.values()
    )  # not by name, as a name may be that of a parameter of savez
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    main()
