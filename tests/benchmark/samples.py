"""What an epoch costs by the number of samples, in batches of 1000."""

from tests.benchmark.axes import along
from tests.benchmark.problems import Case, Returned, rosenbrock, rosenbrock_data
from tests.benchmark.table import Result
from tests.benchmark.timing import Scale


def of_so_many(samples: int) -> Case:
    def data() -> Returned:
        return rosenbrock_data(samples, samples, 1000)

    return Case(f"{samples} samples", rosenbrock, data)


def measure(scale: Scale) -> Result:
    return along("samples", [10**power for power in range(3, 6 if scale.quick else 7)], of_so_many, scale.shorter())
