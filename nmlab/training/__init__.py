"""One training under Lightning, into a run.

Imports `errors`, `runtime`, `options`, `problem`, `data`, `runs`, `provenance`, `plots`.
"""
