"""Data for a fit: a `data_setup_function`'s returns checked, batches made of them, files read.

Imports `errors`, `runtime`, `fields`.
"""
