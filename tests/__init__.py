import nmlab  # noqa: F401  # first, so that no test pays for NeuroMANCER's costly import
