"""A table of the same contestants along one axis, such as the number of samples."""

from collections.abc import Callable, Iterable
from dataclasses import asdict

from tests.benchmark.contestants import CONTESTANTS, LIT, NMLAB, PLAIN
from tests.benchmark.headless import seconds, timed
from tests.benchmark.problems import Case
from tests.benchmark.table import Result, Table
from tests.benchmark.timing import Scale

NAMES = (PLAIN, NMLAB, LIT)


def along(axis: str, values: Iterable[int], case: Callable[[int], Case], scale: Scale) -> Result:
    """Time the contestants at each value of an axis, of which `case` makes a problem with its data."""
    header = [axis, *(f"{name}, s / epoch" for name in NAMES), "nmlab × plain (least–most)", "by processor time"]
    result = Result([table := Table(f"Seconds an epoch by number of {axis}", header)])
    for value in values:
        timings = timed(case(value), scale, {name: CONTESTANTS[name] for name in NAMES})
        cells = [seconds(timings.median(name).wall) if name in timings.taken else "fails" for name in NAMES]
        ratios = [str(timings.ratio(NMLAB, PLAIN)), f"{timings.cpu_ratio(NMLAB, PLAIN).median:.2f}"]
        table.rows.append([f"{value:,}", *cells, *ratios])
        result.figures[f"{value:,} {axis}: nmlab / plain loop"] = timings.ratio(NMLAB, PLAIN).median
        result.measured[str(value)] = asdict(timings)
    return result
