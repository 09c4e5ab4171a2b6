"""Reads a MAT file in a process of its own: a damaged one can crash SciPy 1.17, and the kernel with it.

Run as a script: the file's bytes come in by stdin, the numbers go out by stdout as NumPy's npz, and what is wrong by
stderr. It imports nothing of nmlab, so that it starts in a third of a second.
"""

import math
import sys
from io import BytesIO

import numpy as np
from scipy.io import loadmat, whosmat

KINDS = "biufcSU"
"""What is passed on: numbers and text; cells and structures are not data."""


def main() -> None:
    source, most = BytesIO(sys.stdin.buffer.read()), int(sys.argv[1])
    count = sum(math.prod(shape) for _, shape, _ in whosmat(source))
    if count > most:
        sys.exit(f"it holds {count} numbers; at most {most} are read")
    source.seek(0)
    found = {name: np.asarray(value) for name, value in loadmat(source).items() if not name.startswith("__")}
    found = {name: value for name, value in found.items() if value.dtype.kind in KINDS}
    out = BytesIO()
    np.savez(out, np.array([*found], str), *found.values())  # not by name: one may be called as a parameter of savez
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    main()
