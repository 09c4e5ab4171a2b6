"""A run's file of TensorBoard events: on disk at each moment, and never worth a fit.

Records are written where they come up, not by a thread with a queue: what was measured is there when TensorBoard looks
and when the process dies, and what fails, fails where it can be told. Rows are thinned in time, so that fast epochs do
not pay for them.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

from nmlab.plots.picture import png_size
from nmlab.training.events.earlier import BEST, PROBLEM, TEST_LOSS, kept_records
from nmlab.training.events.hparams import Hyperparameter

_OURS = ".nmlab"
"""The end of our files' names, by which those of others in the folder are left alone."""

_LARGEST = 3.4e38
"""TensorBoard's scalars are 32-bit floats."""


class EventWriter:
    """Writes one run's events: rows of metrics, pictures, hyperparameters and how the session ended.

    TensorBoard keeps the first hyperparameters and the first status that it finds of a run. So a resumed run gets a
    further file, which also holds what it keeps of the earlier ones, and these are emptied.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    hparams : mapping, optional
        Hyperparameters.
    epochs : int, default 0
        For a resumed run, the number of epochs whose earlier events are kept.
    every : float, default 0.25
        Minimum seconds between two writes of metrics.
    views_every : float, default 5.0
        Minimum seconds between two pictures of the user's view.
    tell : callable, default print
        Called once with a message if the file cannot be written; nothing is written afterwards.
    """

    def __init__(
        self,
        folder: Path,
        hparams: Mapping[str, Hyperparameter] | None = None,
        *,
        epochs: int = 0,
        every: float = 0.25,
        views_every: float = 5.0,
        tell: Callable[[str], object] = print,
    ) -> None:
        self._every, self._views_every = every, views_every
        self._tell = tell
        self._file: BinaryIO | None = None
        self._last = self._last_view = -math.inf
        self.epochs = 0
        """Of how many epochs the file tells, or will once it is flushed."""
        self._waiting: dict[str, tuple[int, float, Mapping[str, float], bool]] = {}
        with self._guarded():
            earlier = sorted(folder.glob(f"events.out.tfevents.*{_OURS}"))
            # TensorBoard reads a folder's files in the order of their names
            name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}{_OURS}"
            self._file = (folder / name).open("xb")
            self._put(0, file_version="brain.Event:2")
            # at a run's second start a TensorBoard that has read the first takes away what came of it
            self._put(0, session_log=SessionLog(status=SessionLog.START))
            start = SessionStartInfo(start_time_secs=time.time())
            for key, value in (hparams or {}).items():
                kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
                setattr(start.hparams[key], kind, value)
            self._put_session(metadata.SESSION_START_INFO_TAG, session_start_info=start)
            for epoch, record in kept_records(earlier, epochs):
                RecordWriter(self._file).write(record)
                self.epochs = max(self.epochs, epoch + 1)
            self._file.flush()
            for path in earlier:  # a TensorBoard that reads one stays at it for ever where it goes
                os.truncate(path, 0)

    def add(self, epoch: int, row: Mapping[str, float], best: bool) -> None:
        """Take in one epoch's metrics; `best`, whether it is the best so far."""
        self.epochs = max(self.epochs, epoch + 1)
        self._waiting["newest"] = epoch, time.time(), row, best
        if best:
            self._waiting["best"] = self._waiting["newest"]
        if time.perf_counter() - self._last >= self._every:
            self.flush()

    def add_problem(self, png: bytes) -> None:
        """Write a picture of the Problem, a PNG file's bytes."""
        self._put_picture(PROBLEM, png, 0)

    def add_view(self, png: bytes, epoch: int | None, last: bool = False) -> None:
        """Write a picture of the user's view, a PNG file's bytes, unless one came just before; the last in any case.

        The last shows the best weights and stands at the end all the same, since a TensorBoard that gets an earlier
        step takes it for a new start.
        """
        self.epochs = max(self.epochs, 1 + (epoch or 0))
        if last or time.perf_counter() - self._last_view >= self._views_every:
            self._last_view = time.perf_counter()
            self._put_picture("view", png, self.epochs - 1)

    def flush(self) -> None:
        """Write the rows that wait."""
        rows = {row[0]: row for row in self._waiting.values()}
        with self._guarded():
            for epoch, (_, moment, row, best) in sorted(rows.items()):
                self._put(epoch, moment, summary=_scalars(_by_tag(row, best)))
            if self._file is not None:
                self._file.flush()
        self._waiting = {}
        self._last = time.perf_counter()

    def close(self, failed: bool = False, test_loss: float = math.nan) -> None:
        """Write what waits, the loss of the test split and how the session ended; nothing can be written after."""
        self.flush()
        with self._guarded():
            self._put(max(self.epochs - 1, 0), summary=_scalars({TEST_LOSS: test_loss}))
            end = SessionEndInfo(status=STATUS_FAILURE if failed else STATUS_SUCCESS, end_time_secs=time.time())
            self._put_session(metadata.SESSION_END_INFO_TAG, session_end_info=end)
            if self._file is not None:
                self._file.close()
        self._file = None

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Go on without events where the block fails: a record that is half written ends what can be read."""
        try:
            yield
        except Exception as error:
            file, self._file = self._file, None
            with suppress(Exception):  # the telling is not worth a fit either
                self._tell(f"Writing of TensorBoard events stopped: {type(error).__name__}: {error}")
            with suppress(Exception):
                if file is not None:
                    file.close()

    def _put(self, epoch: int, moment: float | None = None, **what: Any) -> None:
        if self._file is not None:
            event = Event(wall_time=time.time() if moment is None else moment, step=epoch, **what)
            RecordWriter(self._file).write(event.SerializeToString())

    def _put_session(self, tag: str, **info: Any) -> None:
        known = metadata.create_summary_metadata(HParamsPluginData(**info))
        self._put(0, summary=Summary(value=[Summary.Value(tag=tag, metadata=known, tensor=metadata.NULL_TENSOR)]))

    def _put_picture(self, tag: str, png: bytes, epoch: int) -> None:
        with self._guarded():
            width, height = png_size(png)
            image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
            self._put(epoch, summary=Summary(value=[Summary.Value(tag=tag, image=image)]))
            if self._file is not None:
                self._file.flush()


def _by_tag(row: Mapping[str, float], best: bool) -> dict[str, float]:
    """Return a row's values by tag: one chart a metric, with train and dev in it; of the best its loss once more."""
    values = {}
    for name, value in row.items():
        split, _, rest = name.partition("_")
        values[f"{rest}/{split}" if split in ("train", "dev") else name] = value
    values.pop("epoch", None)
    if best:
        name = "dev_loss" if "dev_loss" in row else "train_loss"
        values[f"{BEST}/{name}"] = row.get(name, math.nan)
    return values


def _scalars(values: Mapping[str, float]) -> Any:
    finite = {tag: value for tag, value in values.items() if abs(value) <= _LARGEST}
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in finite.items()])
