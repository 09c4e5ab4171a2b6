"""Problems, data and runs examined and used without training.

Look, preview, score, cross scores, a guess; and what `Run` offers of them: predict, worst, rollout, export, report.

Imports `errors`, `runtime`, `fields`, `options`, `problem`, `identity`, `data`, `runs`, `provenance`, `plots`,
`fitting`, `launch`.
"""
