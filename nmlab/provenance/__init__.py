"""A reproducible description of a run: its settings as JSON, and a plain script.

Imports `errors`, `sources`, `fields`, `options`, `identity`, `runs`.
"""
