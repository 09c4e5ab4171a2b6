"""Where fits and other tasks are carried out: in a thread of this process.

Imports `errors`, `runtime`, `options`, `data`, `runs`, `training`, `fitting`.
"""
