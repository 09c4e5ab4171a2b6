"""What an epoch costs by the number of objectives and constraints, each of which nmlab records."""

from functools import partial

from tests.benchmark.axes import along
from tests.benchmark.problems import Case, Returned, many_terms, rosenbrock_data
from tests.benchmark.table import Result
from tests.benchmark.timing import Scale


def data() -> Returned:
    return rosenbrock_data(1000, 1000, 100)


def of_so_many(terms: int) -> Case:
    return Case(f"{terms} terms", partial(many_terms, terms), data)


def measure(scale: Scale) -> Result:
    return along("terms", [3, 30, 100] if scale.quick else [3, 10, 30, 100], of_so_many, scale.shorter())
