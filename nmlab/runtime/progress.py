"""How far a fit has come: plain numbers that any thread may read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Progress:
    """How far a fit has come; plain numbers that are safe to read from another thread."""

    epoch: int = 0
    """Epoch being trained, from 0."""
    max_epochs: int = 0
    batch: int = 0
    """Batches done of the pass that goes on (train or dev)."""
    batches: int = 0
    other_batches: int = 0
    """Batches of this epoch done in other passes than the one that goes on."""
    epoch_batches: int = 0
    """Batches of a whole epoch, train and dev; 0 where that is not known."""
    samples: int = 0
    """Training samples seen since the training began."""
    loss: float = float("nan")
    """Mean training loss over the batches seen so far in this epoch."""
    first_epoch: int = 0
    """Epoch at which this training began (not 0 where a run is resumed)."""
    started: float = 0.0
    """`clock()` when the training began; 0 before."""
    drawn: list[float] = field(default_factory=list)
    """Seconds of each picture that the training waited for."""
    drawn_beside: list[float] = field(default_factory=list)
    """Seconds of each picture of it that another thread drew meanwhile."""
    _train_pass: tuple[int, int] = (0, 0)  # batches done, and all, of the train pass within which dev is scored
    _dev_done: int = 0
    _aside: tuple[float, float | None] = (0.0, None)  # seconds of the ends of `aside`, and when the present one began

    # --- the fit's side ---

    def begin(self, epoch: int, max_epochs: int) -> None:
        """Say that the training begins, at `epoch`."""
        self.started = self.clock()
        self.drawn.clear()
        self.drawn_beside.clear()
        self.max_epochs = max_epochs
        self.first_epoch = self.epoch = epoch

    def begin_epoch(self, epoch: int, batches: int, dev_batches: int) -> None:
        """Say that an epoch begins that has so many batches, its dev passes' in all beside them."""
        self.epoch, self.batch, self.batches, self.other_batches = epoch, 0, batches, 0
        self.epoch_batches = batches + dev_batches
        self._dev_done = 0

    def batch_done(self, samples: int = 0) -> None:
        """Say that a batch is done; `samples`, those that were trained on."""
        self.batch += 1
        self.samples += samples

    def begin_dev(self, batches: int) -> None:
        """Say that a dev pass begins, within or after the train pass."""
        self._train_pass = (self.batch, self.batches)
        self.other_batches = self.batch + self._dev_done
        self.batch, self.batches = 0, batches

    def end_dev(self) -> None:
        """Say that the dev pass is over."""
        self._dev_done += self.batch
        (self.batch, self.batches), self.other_batches = self._train_pass, self._dev_done

    # --- the watchers' side ---

    def clock(self) -> float:
        """Return a time in seconds that stands still within `aside`."""
        seconds, since = self._aside
        return (time.perf_counter() if since is None else since) - seconds

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count the block's time neither as training nor in the pace: a pause, or a picture that is drawn."""
        seconds, since = self._aside
        if since is not None:  # within another one
            yield
            return
        began = time.perf_counter()
        self._aside = (seconds, began)
        try:
            yield
        finally:
            self._aside = (seconds + time.perf_counter() - began, None)

    @property
    def fraction(self) -> float:
        """Share of all epochs that is done, moving within an epoch too (0 to 1)."""
        if not self.max_epochs:
            return 0.0
        batches = self.epoch_batches or self.batches
        within = (self.other_batches + self.batch) / batches if batches else 0.0
        return min(1.0, (self.epoch + min(within, 1.0)) / self.max_epochs)

    @property
    def seconds_left(self) -> float | None:
        """Time left at the pace so far, in seconds; None while there is no pace yet."""
        first = self.first_epoch / self.max_epochs if self.max_epochs else 0.0
        done = self.fraction - first
        if not self.started or done <= 0:
            return None
        return (self.clock() - self.started) * (1.0 - self.fraction) / done

    @property
    def samples_per_second(self) -> float | None:
        """Training samples per second since the training began; None before the first batch."""
        seconds = self.clock() - self.started
        return self.samples / seconds if self.started and self.samples and seconds > 0 else None
