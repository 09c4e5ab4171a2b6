"""NeuroMANCER's own signatures over nmlab's fit.

Imports `errors`, `fields`, `options`, `problem`, `runs`, `training`, `fitting`, `launch`, `sweeps`, `tuning`,
`analysis`.
"""
