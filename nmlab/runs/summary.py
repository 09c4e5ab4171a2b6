"""What tables and comparisons show of a run, cached until its files change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmlab.runs.helpers import helpers_of
from nmlab.runs.layout import RECORD_FILES
from nmlab.runs.record import Run


@dataclass(frozen=True)
class Summary:
    """The values of a run at one moment."""

    id: str
    name: str
    data: str | None
    status: str
    epochs: int
    monitor: str
    mode: str
    best: float | None
    best_epoch: int | None
    test_metrics: dict[str, float]
    seconds: float
    note: str
    remark: str | None
    created: str
    starts_from: str | None
    error: str | None
    settings: dict[str, Any]
    helpers: dict[str, str]


_Stamp = tuple[tuple[int, int, int], ...]

_known: dict[Path, tuple[_Stamp, Summary]] = {}

_CACHE_SIZE = 1000
"""Maximum number of cached summaries."""


def summary_of(run: Run) -> Summary:
    """Return the summary of a run; of one that has ended, from the cache unless its files have changed."""
    stamp = tuple(_file_stamp(run.folder / name) for name in RECORD_FILES)
    if run.folder in _known and _known[run.folder][0] == stamp:
        return _known[run.folder][1]
    summary = _read(run)
    if summary.status != "running":  # when its process dies, the status changes but not the files
        if len(_known) >= _CACHE_SIZE:
            _known.clear()
        _known[run.folder] = (stamp, summary)
    return summary


def _read(run: Run) -> Summary:
    settings = run.settings
    return Summary(
        id=run.id,
        name=run.name,
        data=run.data_name,
        status=run.status,
        epochs=run.epochs,
        monitor=run.monitor,
        mode=run.mode,
        best=run.best_value,
        best_epoch=run.best_epoch,
        test_metrics=run.test_metrics,
        seconds=run.seconds,
        note=run.note,
        remark=run.remark,
        created=run.created,
        starts_from=run.starts_from,
        error=run.error,
        settings=settings,
        helpers=helpers_of(settings),
    )


def _file_stamp(path: Path) -> tuple[int, int, int]:
    try:
        info = path.stat()
    except OSError:
        return (0, 0, 0)
    return (info.st_ino, info.st_mtime_ns, info.st_size)
