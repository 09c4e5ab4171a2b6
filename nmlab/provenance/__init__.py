"""A run described so that it can be done again: its settings as JSON, and as a plain script.

Imports `errors`, `sources`, `fields`, `options`, `runs`.
"""
