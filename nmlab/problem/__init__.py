"""What nmlab reads from a NeuroMANCER Problem: terms, formulas, graph, weights, a fast loss, metrics, state.

Imports `errors`, `runtime`, `fields`.
"""
