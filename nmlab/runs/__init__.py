"""Runs on disk: one folder for each run, which every view of the run reads.

    nmlab_runs/
        .gitignore            "*"
        .ids/0007/            a number in use; reserved by an atomic mkdir and never used again
        .trash/               deleted runs, until the trash is emptied
        0007-rosenbrock/
            settings.json     the run's settings; written before the data are made
            status.json       state, error, test metrics, monitored metric
            metrics.csv       one row per epoch, appended when the epoch ends
            checkpoints/      start.ckpt, best.ckpt, last.ckpt
            label.json        the user's name, note and guess, if there are any
            figures/          view.png and view.pdf: the last picture of the user's view
            profile/          profile.json, report.txt and the profiler's own files, if a profiler was used
            log.txt           output, Lightning's messages, warnings, tracebacks
            alive.lock        held by the process that fits
            alive.beat        touched by it every ten seconds, where a lock cannot be had or seen
            events.out.…      TensorBoard's events

A run is `running` as long as its lock is held, or its heartbeat goes on where that cannot be seen. If its status says
so while there is neither, it was `interrupted`. Readers never write.

Imports `errors`, `runtime`, `problem`, `identity`.
"""

from nmlab.runs.best import best_of, withheld
from nmlab.runs.changes import changed_text, changes, same_but_seed
from nmlab.runs.compare import Comparison
from nmlab.runs.layout import LAYOUT
from nmlab.runs.listing import Runs
from nmlab.runs.meaning import comparable
from nmlab.runs.record import Run
from nmlab.runs.store import RunStore
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
    "same_but_seed",
    "withheld",
]
