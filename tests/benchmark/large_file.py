"""A Parquet file of 10⁷ rows and 10 columns in float32: peak memory of reading and previewing it, and seconds.

Counted is how much higher the peak of a process gets than after it has previewed a small file.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import nmlab
from tests.benchmark.goals import LARGE_FILE, LARGE_PREVIEW
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale

NAMES = ("y1", "y2", "u1", "u2", "x1", "x2", "x3", "d1", "d2", "d3")
GROUP = 500_000


def measure(scale: Scale) -> Result:
    groups = 4 if scale.quick else 20
    size = groups * GROUP * len(NAMES) * 4 / 1e6
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.parquet"
        write(path, groups)
        code = f"import nmlab\nfrom tests.benchmark.large_file import session\nsession({str(path)!r})"
        said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    found = json.loads(said.stdout.splitlines()[-1])
    ratio = found["peak"] / size
    rows = [
        ["from_file", f"{found['from_file']:.1f} s"],
        ["preview", f"{found['preview']:.1f} s"],
        ["peak, × the size of its numbers", f"{ratio:.2f}"],
    ]
    figures = {LARGE_FILE: ratio} | ({} if scale.quick else {LARGE_PREVIEW: found["preview"]})
    return Result([Table(f"A Parquet file with {size:.0f} MB of numbers", ["", ""], rows)], figures, found)


def write(path: Path, groups: int) -> None:
    """Write a file of so many row groups."""
    rng = np.random.default_rng(0)
    schema = pa.schema([(name, pa.float32()) for name in NAMES])
    with pq.ParquetWriter(path, schema) as file:
        for _ in range(groups):
            columns = [pa.array(rng.standard_normal(GROUP, dtype=np.float32)) for _ in NAMES]
            file.write_table(pa.table(columns, schema=schema))


def session(path: str) -> None:
    """Read and preview the file; print seconds, and by how many megabytes the peak of this process rose."""
    small = nmlab.from_file("small.csv", content=b"y,u\n1,2\n2,3\n3,4\n4,5\n5,6\n")
    nmlab.preview(small)
    before, start = peak(), time.perf_counter()
    data = nmlab.from_file(path)
    read = time.perf_counter()
    nmlab.preview(data, batch_size=10_000)
    seconds = {"from_file": read - start, "preview": time.perf_counter() - read}
    print(json.dumps({**seconds, "peak": peak() - before}))


def peak() -> float:
    """Megabytes of this process at its most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
