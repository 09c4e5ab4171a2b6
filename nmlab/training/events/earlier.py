"""What a resumed run keeps of the events that it wrote before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG, SESSION_START_INFO_TAG

PROBLEM = "problem"
"""Tag of the Problem's picture."""

BEST = "(best)"
"""Group of the losses under the best weights; the HParams tab shows of the metrics those whose names sort first."""

TEST_LOSS = f"{BEST}/test_loss"

_ANEW = {PROBLEM, TEST_LOSS, SESSION_START_INFO_TAG, SESSION_END_INFO_TAG}
"""Tags that the run writes once each time."""


def kept_records(paths: Iterable[Path], epochs: int) -> Iterator[tuple[int, bytes]]:
    """Return epochs and records of the first `epochs` epochs in event files, up to one that a killed process left torn.

    Each comes once, also where a process was killed, or a disk full, while it took over an earlier file's.
    """
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    seen = set[int]()  # not the records: pictures are large
    for path in paths:
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            tags = {value.tag for value in event.summary.value}
            if tags - _ANEW and event.step < epochs and hash(record) not in seen:
                seen.add(hash(record))
                yield event.step, record
