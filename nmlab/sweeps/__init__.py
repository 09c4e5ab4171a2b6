"""Many fits of one Problem, each with other values: what to try (`space`), where it goes (`plan`), and the trials.

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `runs`, `provenance`, `fitting`, `launch`.
"""

from nmlab.sweeps.result import Sweep
from nmlab.sweeps.sweeping import sweep

__all__ = ["Sweep", "sweep"]
