"""Problems, data and runs examined without training: look, preview, score, cross scores, a guess.

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `identity`, `data`, `runs`, `plots`, `fitting`, `launch`.
"""
