"""The best of the runs whose losses can be compared."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from nmlab.runs.meaning import comparable
from nmlab.runs.record import Run
from nmlab.runs.repeats import UNENDED, groups_of
from nmlab.runs.summary import Summary, summary_of
from nmlab.runtime.text import number_text


def best_of(runs: Iterable[Run]) -> set[str]:
    """Return the ids of the best runs, one of each set of at least two comparable runs that have ended.

    Runs that are repeats of each other count by their mean. Where mean ± spread of the best and of any other one
    overlap, there is no best; see `withheld`. Of equally good single runs the first one is the best.
    """
    return {best for best, _ in _ranked(runs) if best is not None}


def withheld(runs: Iterable[Run]) -> list[str]:
    """Return sentences that say where no run is the best, as repeated runs overlap, and by how much."""
    return [reason for _, reason in _ranked(runs) if reason]


def _ranked(runs: Iterable[Run]) -> Iterator[tuple[str | None, str]]:
    """Yield for each set of comparable runs the id of the best one, or None and the reason why there is none."""
    sets: dict[Hashable, list[Summary]] = {}
    for run in runs:
        summary = summary_of(run)
        if summary.best is not None and summary.status not in UNENDED:
            sets.setdefault(comparable(run), []).append(summary)
    for summaries in sets.values():
        sign = -1.0 if summaries[0].mode == "max" else 1.0
        groups = sorted(groups_of(summaries), key=lambda group: sign * (group.mean or 0.0))  # which is stable
        best, others = groups[0], groups[1:]
        if not others:  # the seeds of one group are no competition
            continue
        close = max(others, key=best.overlap)
        if (len(best.members) > 1 or len(close.members) > 1) and (by := best.overlap(close)) >= 0:
            yield (
                None,
                (
                    f"No ★: {best.name} ({best.text}) and {close.name} ({close.text}) overlap by {number_text(by)}; "
                    "lab.compare says how likely the difference is by chance."
                ),
            )
        else:
            yield min(best.members, key=lambda summary: sign * (summary.best or 0.0)).id, ""
