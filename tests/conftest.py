"""Imported before any test module and by no other: what must be set before torch and NeuroMANCER are loaded."""

import os

# The tests share their cores with kernels and a browser, where torch's threads would mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# First, so that NeuroMANCER's import is the quick one whatever a test module imports before nmlab.
import nmlab  # noqa: F401
