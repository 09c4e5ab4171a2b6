"""A run's metrics as TensorBoard events, thinned in time so that fast epochs do not pay for them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path


class EventWriter:
    """Writes rows of metrics as scalars over epochs: first, best and last, and at most two a second.

    Parameters: `folder`, where the event file goes; `every`, seconds between two rows.
    """

    def __init__(self, folder: Path, every: float = 0.5) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(log_dir=str(folder))
        self._every = every
        self._last = -math.inf
        self._waiting: dict[str, tuple[int, Mapping[str, float]]] = {}

    def add(self, epoch: int, row: Mapping[str, float], best: bool) -> None:
        """Take in one epoch's metrics; `best`, whether it is the best so far."""
        self._waiting["newest"] = (epoch, row)
        if best:
            self._waiting["best"] = (epoch, row)
        if time.perf_counter() - self._last >= self._every:
            self._write()

    def _write(self) -> None:
        for epoch, row in sorted(dict(self._waiting.values()).items()):
            for name, value in row.items():
                if name != "epoch" and math.isfinite(value):
                    split, _, rest = name.partition("_")
                    # one chart a metric, with train and dev in it
                    tag = f"{rest}/{split}" if split in ("train", "dev") else name
                    self._writer.add_scalar(tag, value, epoch)
        self._waiting = {}
        self._last = time.perf_counter()

    def close(self) -> None:
        """Write what waits and close the file."""
        self._write()
        self._writer.close()
