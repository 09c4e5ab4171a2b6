"""Many fits of one Problem, each with other values.

What to try (`distributions`, `space`, `config`), where it goes (`plan`), what comes next (`sampler`), and the trials,
one after the other or several at once (`trials`).

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `runs`, `provenance`, `fitting`, `launch`.
"""

from nmlab.sweeps.distributions import Distribution, choice, log_uniform, uniform
from nmlab.sweeps.result import Sweep
from nmlab.sweeps.sweeping import sweep

__all__ = ["Distribution", "Sweep", "choice", "log_uniform", "sweep", "uniform"]
