"""NeuroMANCER's own signatures over nmlab's fit.

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `data`, `runs`, `training`, `fitting`, `launch`, `sweeps`,
`tuning`, `analysis`.
"""
