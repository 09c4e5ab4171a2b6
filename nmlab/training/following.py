"""The part that a process takes in a training which another one leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from neuromancer.problem import Problem

from nmlab.data.loader import SplitsDataModule
from nmlab.data.splits import Splits
from nmlab.options import TrainerOptions
from nmlab.runtime.control import Control
from nmlab.runtime.rng import RandomStreams
from nmlab.training.lightning_trainer import make_trainer
from nmlab.training.module import ProblemModule, ready_to_train
from nmlab.training.progress import ProgressCallback
from nmlab.training.ranks import Ranks
from nmlab.training.torch_settings import callers_torch_settings
from nmlab.training.whole_epochs import WholeEpochsData


@dataclass(frozen=True)
class Joint:
    """A training as the process that leads it sends it to the others, all in one, so that what is shared stays so.

    Parameters: `make_module` and `monitor`, as for `train`; `whole`, whether an epoch is one of Lightning's steps;
    `last`, the checkpoint from which it goes on; `extended`, `renews`, `taken_up`, of the module; `folder`, of the run.
    """

    problem: Problem
    splits: Splits
    options: TrainerOptions
    seed: int
    make_module: Callable[..., ProblemModule]
    monitor: str
    whole: bool
    last: Path | None
    extended: list[tuple[int, int, int]]
    renews: bool
    taken_up: int
    folder: Path


class Follower(Checkpoint):  # as the Recorder, after everything else of an epoch's end
    """Takes over what the leading process decides.

    Parameters
    ----------
    ranks : Ranks
        The processes.
    streams : RandomStreams
        Random numbers of this process, which a checkpoint does not hold.
    """

    def __init__(self, ranks: Ranks, streams: RandomStreams) -> None:
        self._ranks, self._streams = ranks, streams

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._streams.reseed()
        if self._ranks.broadcast():
            pl_module.begin_comparing_anew()  # type: ignore[operator]  # a ProblemModule

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        changes, anew = self._ranks.broadcast()
        for change in changes:
            if "lr" in change:
                module.change_lr(change["lr"])
            module.set_weights(change.get("weights", {}))
        if anew:
            module.begin_comparing_anew()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        wanted, trainer.should_stop = self._ranks.broadcast()
        if "max_epochs" in wanted:
            module: Any = pl_module
            done = trainer.current_epoch + 1
            epochs = max(wanted["max_epochs"], done)
            trainer.fit_loop.max_epochs = epochs
            module.change_length(done, epochs)


def follow(joint: Joint, ranks: Ranks) -> None:
    """Train a process's part until the training has ended; raises what the Problem's own functions raise."""
    options, control = joint.options, Control()
    own_seed = int(np.random.SeedSequence([joint.seed, ranks.part.rank]).generate_state(1)[0])
    drawn, ordered = RandomStreams(own_seed), RandomStreams(joint.seed)
    module = joint.make_module(joint.problem, options, drawn, control, joint.monitor, ranks)
    module.extended, module.renews, module.taken_up = list(joint.extended), joint.renews, joint.taken_up
    if options.callbacks or options.loggers:
        module.log_for(None)
    make_data = WholeEpochsData if joint.whole else SplitsDataModule
    data = make_data(joint.splits, ordered, options.shuffle, options.num_workers, options.drop_last, ranks.part)
    dev = joint.splits.dev is not None
    more: list[Callback] = [] if joint.whole else [ProgressCallback(control)]
    callbacks = [*options.callbacks, *more, Follower(ranks, drawn)]
    seen = options.replace(gradient_clip_val=None) if joint.whole else options

    def make() -> Trainer:
        return make_trainer(seen, joint.folder, callbacks, None, dev and not joint.whole, None, ranks)

    keep_anomaly = "detect_anomaly" not in options.trainer_kwargs
    with ready_to_train(joint.problem), callers_torch_settings(make, keep_anomaly=keep_anomaly) as trainer:
        trainer.fit(module, datamodule=data, ckpt_path=joint.last, weights_only=True)
        ranks.broadcast()  # until the one that leads has come as far
