"""Progress of a fit, as plain numbers that any thread may read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Progress of a fit, as plain numbers that are safe to read from another thread."""

    epoch: int = 0
    """Current epoch, counted from 0."""
    max_epochs: int = 0
    batch: int = 0
    """Number of finished batches of the current pass (train or dev)."""
    batches: int = 0
    other_batches: int = 0
    """Number of finished batches of this epoch in other passes."""
    epoch_batches: int = 0
    """Number of batches of a whole epoch, train and dev; 0 if unknown."""
    samples: int = 0
    """Number of training samples since the training began."""
    loss: float = float("nan")
    """Mean training loss over the batches so far in this epoch."""
    first_epoch: int = 0
    """Epoch in which this training began; not 0 if a run is resumed."""
    started: float = 0.0
    """`clock()` when the training began; 0 before."""
    drawn: list[float] = field(default_factory=list)
    """Duration of each picture that the training waited for, in seconds."""
    drawn_beside: list[float] = field(default_factory=list)
    """Duration of each picture that another thread drew during the training, in seconds."""
    _train_pass: tuple[int, int] = (0, 0)  # finished and all batches of the train pass that the dev pass interrupts
    _dev_done: int = 0
    _aside: tuple[float, float | None] = (
        0.0,
        None,
    )  # seconds of finished blocks of `aside`, and start of the current one

    # --- for the fit ---

    def begin(self, epoch: int, max_epochs: int) -> None:
        """Report that the training begins, in `epoch`."""
        self.started = self.clock()
        self.drawn.clear()
        self.drawn_beside.clear()
        self.max_epochs = max_epochs
        self.first_epoch = self.epoch = epoch

    def begin_epoch(self, epoch: int, batches: int, dev_batches: int) -> None:
        """Report that an epoch begins, with its number of train batches and of all dev batches."""
        self.epoch, self.batch, self.batches, self.other_batches = epoch, 0, batches, 0
        self.epoch_batches = batches + dev_batches
        self._dev_done = 0

    def batch_done(self, samples: int = 0) -> None:
        """Report that a batch is finished, with the number of its training samples."""
        self.batch += 1
        self.samples += samples

    def begin_dev(self, batches: int) -> None:
        """Report that a dev pass begins, within or after the train pass."""
        self._train_pass = (self.batch, self.batches)
        self.other_batches = self.batch + self._dev_done
        self.batch, self.batches = 0, batches

    def end_dev(self) -> None:
        """Report that the dev pass has ended."""
        self._dev_done += self.batch
        (self.batch, self.batches), self.other_batches = self._train_pass, self._dev_done

    # --- for watchers ---

    def clock(self) -> float:
        """Return a time in seconds that stops within blocks of `aside`."""
        seconds, since = self._aside
        return (time.perf_counter() if since is None else since) - seconds

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Exclude the time of the block, such as a pause or the drawing of a picture, from all durations."""
        seconds, since = self._aside
        if since is not None:  # within another block
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
        """Finished fraction of all epochs, from 0 to 1, which also increases within an epoch."""
        if not self.max_epochs:
            return 0.0
        batches = self.epoch_batches or self.batches
        within = (self.other_batches + self.batch) / batches if batches else 0.0
        return min(1.0, (self.epoch + min(within, 1.0)) / self.max_epochs)

    @property
    def seconds_left(self) -> float | None:
        """Estimated remaining time in seconds; None before the first batch."""
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
