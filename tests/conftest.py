"""Imported before any test module, so that NeuroMANCER's import is the quick one whatever a module imports first."""

import nmlab  # noqa: F401
