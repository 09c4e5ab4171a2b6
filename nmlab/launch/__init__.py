"""Where fits and other tasks are carried out: in a thread of this process.

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `data`, `runs`, `provenance`, `training`, `fitting`.
"""
