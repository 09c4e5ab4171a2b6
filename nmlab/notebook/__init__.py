"""The bench in the notebook: the form, the live view of a run, and the Lab that joins them.

The only room that knows of IPython and of widgets.

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `identity`, `data`, `runs`, `provenance`, `plots`,
`training`, `fitting`, `launch`, `sweeps`, `tuning`, `analysis`, `compat`, `gallery`, `form`, `tensorboard`.
"""
