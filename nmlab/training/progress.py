"""The callback that reports the progress of a Lightning fit and lets it stop or pause between batches."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nmlab.runtime.control import Control


class ProgressCallback(Callback):
    """Reports progress to the control of a fit, which may stop or pause it before each batch.

    Parameters
    ----------
    control : Control
        Control of the fit.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        batches = int(trainer.num_training_batches)
        self._control.progress.begin_epoch(trainer.current_epoch, batches, _dev_batches(trainer))
        self._control.phase = "training"

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._control.check()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module  # a ProblemModule
        self._control.progress.batch_done(module.samples("train", batch, batch_idx))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._control.progress.begin_dev(_dev_pass(trainer))
        self._control.phase = "dev pass"

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._control.check()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._control.progress.batch_done()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._control.progress.end_dev()
        self._control.phase = "training"


def _dev_pass(trainer: Trainer) -> int:
    """Return how many batches a dev pass has."""
    return int(sum(trainer.num_val_batches))


def _dev_batches(trainer: Trainer) -> int:
    """Return how many batches the dev passes of this epoch have."""
    every, after = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if not after or not every or (trainer.current_epoch + 1) % every:
        return 0
    return int(trainer.num_training_batches // after) * _dev_pass(trainer)
