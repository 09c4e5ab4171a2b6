"""What comes before a training: the Problem built, its data made, a dry run, what a resumed run goes on with.

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `identity`, `data`, `runs`, `provenance`, `training`.
"""
