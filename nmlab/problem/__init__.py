"""A NeuroMANCER Problem as nmlab sees it: terms, formulas, graph, weights, a fast loss, metrics, state.

Imports `errors`, `runtime`.
"""
