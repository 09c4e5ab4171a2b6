"""Runs on disk: a folder for each, the truth that every view of a run reads.

    nmlab_runs/
        .gitignore            "*"
        .ids/0007/            a number that was given out; made by an atomic mkdir, never given twice
        .trash/               deleted runs, until the trash is emptied
        0007-rosenbrock/
            settings.json     what the run was asked to do; written before the data are made
            status.json       how it stands: state, error, test metrics, monitored metric
            metrics.csv       one row an epoch, appended as it comes
            checkpoints/      start.ckpt, best.ckpt, last.ckpt
            label.json        what the user calls it, notes about it and guessed of it, once there is any
            figures/          view.png and view.pdf: the last picture by the user's view
            profile/          where the time went: profile.json, report.txt, a profiler's own; if one was asked for
            log.txt           what Lightning had to say, warnings, tracebacks
            alive.lock        held by the process that fits
            events.out.…      TensorBoard's

A run is `running` as long as its lock is held; one that says so without a holder was `interrupted`. Readers never
write.

Imports `errors`, `runtime`, `problem`.
"""

from nmlab.runs.compare import Comparison, best_of, changed_text, changes, comparable
from nmlab.runs.record import LAYOUT, Run
from nmlab.runs.store import Runs, RunStore
from nmlab.runs.table import rows
from nmlab.runs.writer import RunWriter

__all__ = [
    "LAYOUT",
    "Comparison",
    "Run",
    "RunStore",
    "RunWriter",
    "Runs",
    "best_of",
    "changed_text",
    "changes",
    "comparable",
    "rows",
]
