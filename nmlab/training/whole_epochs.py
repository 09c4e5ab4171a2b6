"""A whole epoch as one of Lightning's steps.

What Lightning does around every batch (hooks, counters, transfers, a loop of its own for the dev pass) takes as long as
a small step itself. Where nobody asks for single batches, one of its steps is an epoch here: the same steps on the same
batches in the same order, by Lightning's manual optimization, with a stop or pause heeded between any two batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler
from torch import nn

from nmlab.data.given import GivenLoader
from nmlab.data.loader import Loader, SplitsDataModule
from nmlab.data.splits import Batch
from nmlab.options import TrainerOptions
from nmlab.options.together import clip_together
from nmlab.training.module import ProblemModule
from nmlab.training.profile import section


def supports_whole_epochs(options: TrainerOptions) -> bool:
    """Whether a fit with these options needs no single batches of Lightning's."""
    asked = (options.callbacks, options.loggers, options.trainer_kwargs)
    return not any(asked) and options.precision == "32-true" and not isinstance(options.profiler, Profiler)


class Passes:
    """All batches of an epoch, in place of a single batch; not a tuple, which Lightning would traverse.

    Parameters
    ----------
    train : Loader or GivenLoader
        Batches of the train split.
    dev : Loader or GivenLoader or None
        Batches of the dev split.
    """

    def __init__(self, train: Loader | GivenLoader, dev: Loader | GivenLoader | None) -> None:
        self.train = train
        self.dev = dev


class _Once:
    """A dataloader of one item."""

    def __init__(self, item: Passes) -> None:
        self._item = item

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Passes]:
        yield self._item


class WholeEpochsData(SplitsDataModule):
    """Hands Lightning all batches of an epoch at once."""

    def train_dataloader(self) -> Any:
        dev = self.splits is not None and self.splits.dev is not None
        return _Once(Passes(self.loader("train"), self.loader("dev") if dev else None))

    def val_dataloader(self) -> Any:
        return []


@contextmanager
def eval_mode(modules: list[nn.Module]) -> Iterator[None]:
    """Put the modules into evaluation mode within the block, and back into the mode of each afterwards."""
    modes = [module.training for module in modules]
    if any(type(module).train is not nn.Module.train for module in modules):
        modules[0].eval()  # which a module may understand in its own way
    else:
        for module in modules:
            vars(module)["training"] = False  # a tenth of what eval() takes
    try:
        yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            vars(module)["training"] = training


class WholeEpochsModule(ProblemModule):
    """A Problem whose every step, as Lightning sees it, is an epoch; its trainer must not clip or validate."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.automatic_optimization = False

    def training_step(self, passes: Passes, batch_idx: int) -> None:  # type: ignore[override]
        train, dev = passes.train, passes.dev
        progress = self._control.progress
        progress.begin_epoch(self.current_epoch, len(train), len(dev) if dev else 0)
        self._control.phase = "training"
        optimizer: Any = self.optimizers()
        scheduler: Any = self.lr_schedulers()
        # the interval and frequency of a scheduler are Lightning's, who leaves the steps to whoever optimizes
        config = self.trainer.lr_scheduler_configs[0] if scheduler is not None else None
        every = config.frequency if config is not None else 0
        by_step = config is not None and config.interval == "step"
        for number, batch in self._batches(train, "train_dataloader_next"):
            optimizer.step(partial(self._descend, optimizer, batch, number))
            if by_step and (number + 1) % every == 0:
                scheduler.step()
            progress.batch_done(self.samples("train", batch, number))
        if scheduler is not None and not by_step and (self.current_epoch + 1) % every == 0:
            with section(self.trainer, "lr_scheduler_step"):
                scheduler.step()
        if dev is not None:
            progress.begin_dev(len(dev))
            self._control.phase = "dev pass"
            self._dev_pass(dev)
            progress.end_dev()
            self._control.phase = "training"

    def _batches(self, loader: Loader | GivenLoader, name: str) -> Iterator[tuple[int, Batch]]:
        """Yield numbered batches on their device, a stop or pause heeded before each."""
        trainer, elsewhere = self.trainer, self.device.type != "cpu"
        batches = iter(loader)
        for number in range(len(loader)) if isinstance(loader, Loader) else count():
            with section(trainer, name):
                batch = next(batches, None)
            if batch is None:
                return
            self._control.check()
            if elsewhere:
                with section(trainer, "batch_to_device"):
                    batch = self.transfer_batch_to_device(batch, self.device, 0)
            yield number, batch

    @property
    def steps_schedulers(self) -> bool:
        return True

    def _batches_and_accumulation(self) -> tuple[int, int]:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # nmlab's own
        return len(data.loader("train")), 1

    def _batches_in(self, split: str) -> int | None:
        return None

    def _descend(self, optimizer: Any, batch: Batch, number: int) -> torch.Tensor:
        """Return the loss of a batch, with its gradient in place; what an optimizer's step begins with."""
        trainer = self.trainer
        with section(trainer, "training_step"):
            loss = super().training_step(batch, number)
        with section(trainer, "optimizer_zero_grad"):
            optimizer.zero_grad()
        with section(trainer, "backward"):
            if self.ranks is None:
                loss.backward()
            else:
                loss = loss * self.share
                loss.backward()
                loss = self.ranks.sum_gradients(self.problem.parameters(), loss)
                self.take_loss(loss)
        with section(trainer, "configure_gradient_clipping"):
            if self.options.gradient_clip_val:
                norm = clip_together(optimizer, self.options.gradient_clip_val)
                if not self._repeated:
                    self.norms.add(norm)
        return loss

    def _dev_pass(self, dev: Loader | GivenLoader) -> None:
        with eval_mode(self._modules_of_problem), torch.no_grad():
            self.totals["dev"].clear()
            for number, batch in self._batches(dev, "val_next"):
                self._score("dev", batch, number)
                self._control.progress.batch_done()

    def on_train_start(self) -> None:
        super().on_train_start()
        self._modules_of_problem = list(self.problem.modules())

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self._tell({name: value for name, value in self.row.items() if name.startswith("dev_")})
