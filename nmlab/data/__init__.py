"""Data for a fit: checks of what a `data_setup_function` returns, batches, and data from files.

Imports `errors`, `runtime`, `fields`.
"""
