"""A search before a fit, by a few steps under Lightning's Tuner.

It trains as a fit would, in a thread, one at a time, and can be stopped as one. It leaves nothing behind: no run, no
file, no weights, no random numbers drawn.
"""

from __future__ import annotations

import copy
import math
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.tuner.tuning import Tuner
from neuromancer.problem import Problem

from nmlab.data.loader import SplitsDataModule
from nmlab.data.splits import Batch, Splits
from nmlab.errors import FieldError
from nmlab.fitting.prepare import build_problem, check_data, initialize_lazy, splits_of
from nmlab.fitting.request import UNFIT, FitRequest, option_faults
from nmlab.launch.task import Task
from nmlab.problem.state import preserving_state
from nmlab.problem.term_weights import use_weights
from nmlab.problem.weights import load_weights
from nmlab.runtime.capture import captured_output
from nmlab.runtime.rng import RandomStreams
from nmlab.training.lightning_trainer import make_trainer
from nmlab.training.module import ProblemModule, ready_to_train
from nmlab.training.user_hooks import HookedModule

T = TypeVar("T")


class Search(Task[T]):
    """One search, from what is asked for to what it found; nothing happens before `start`.

    Parameters
    ----------
    request : FitRequest
        The fit before which it searches; it is checked at once. What concerns a record is not used.

    Raises
    ------
    FieldError
        Where the request is wrong, with all faults at once.
    """

    what: str
    """What is looked for, in words."""
    dev = True
    """Whether the dev split takes part."""
    unfinished = "was stopped before it had found one"

    def __init__(self, request: FitRequest) -> None:
        self.request = request.checked()
        if self.request.options.trainer_kwargs.get("fast_dev_run"):
            raise FieldError({"trainer_kwargs": "with fast_dev_run Lightning's Tuner does nothing; leave it out"})
        super().__init__(f"the search for a {self.what}")

    def _perform(self) -> T:
        request = self.request
        assert request.seed is not None
        with captured_output(lambda _text: None, request.echo):
            streams = RandomStreams(request.seed)
            self._say("building the Problem")
            problem = request.problem
            if not isinstance(problem, Problem):
                problem = build_problem(problem, streams, request.problem_kwargs)
            with _state_kept(request.options.optimizer), preserving_state(problem, request.seed):
                if faults := option_faults(problem, request.options):
                    raise FieldError(faults, subject=UNFIT)
                use_weights(problem, request.options.weights)
                self._say("making the data")
                splits = splits_of(request.data_setup_function, request.data_kwargs, request.batch_size, streams)
                initialize_lazy(problem, splits, request, request.seed)
                if request.start_weights:
                    load_weights(problem, dict(request.start_weights), source="the Lab's start")
                self._say("trying out the data")
                check_data(problem, splits, request.data_setup_function, request.options, request.user_hooks)
                self._check(problem, splits)
                self._say(f"looking for a {self.what}")
                streams.reseed()
                return self._tuned(problem, splits, streams)

    def _say(self, phase: str) -> None:
        self.control.check()
        self.control.phase = phase

    def _check(self, problem: Problem, splits: Splits) -> None:
        """Refuse what cannot be searched on."""

    def _tuned(self, problem: Problem, splits: Splits, streams: RandomStreams) -> T:
        # the user's callbacks and loggers are for fits
        options = self.request.options.replace(callbacks=(), loggers=(), lr_scheduler=None, profiler=None)
        make_probe: Any
        make_probe, make_data = (Probe, SplitsDataModule) if self.dev else (_TrainOnly, _TrainData)
        if (hooks := self.request.user_hooks) is not None:
            make_probe = partial(type("HookedProbe", (make_probe, HookedModule), {}), user_hooks=hooks)
        probe = make_probe(problem, options, streams, self.control, "train_loss")
        data = make_data(splits, streams, options.shuffle, options.num_workers, options.drop_last)
        try:
            with tempfile.TemporaryDirectory(prefix="nmlab-") as folder, ready_to_train(problem):
                trainer = make_trainer(options, Path(folder), [], None, splits.dev is not None, None)
                trainer.fit_loop.max_epochs = -1  # the steps are counted, however few an epoch has
                return self._tune(Tuner(trainer), probe, data)
        finally:
            data.close()

    @abstractmethod
    def _tune(self, tuner: Tuner, probe: Probe, data: SplitsDataModule) -> T:
        """Return what Lightning's tuner finds."""


class Probe(ProblemModule):
    """A Problem whose training can be stopped at every batch, and ends where its loss is not finite any more."""

    after_trial: Callable[[], object] = staticmethod(lambda: None)
    """Called after each training that Lightning's tuner makes, unless it failed."""

    def on_train_start(self) -> None:
        """Begin, and quieten what Lightning's tuner adds."""
        self.on_fit_start()  # in place of which Lightning calls its tuner
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # it is a Trainer's
            if hasattr(callback, "progress_bar_refresh_rate"):  # the tuner's own, which would print
                callback.progress_bar_refresh_rate = 0
        if self.automatic_optimization:
            schedulers = self.trainer.lr_scheduler_configs
            schedulers[:] = [one for one in schedulers if not one.reduce_on_plateau]  # which wait for a metric

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Stop here where that was asked for."""
        self._control.check()
        self._control.progress.batch += 1

    def on_validation_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Stop here where that was asked for."""
        self._control.check()

    def _look_at(self, loss: torch.Tensor, output: dict[str, Any], batch: Batch) -> None:
        if not math.isfinite(float(loss.detach())):
            self.trainer.should_stop = True

    def on_validation_epoch_end(self) -> None:
        """Tell nobody."""

    def on_train_epoch_end(self) -> None:
        """Tell nobody, and take a loss that is not finite as an answer."""

    def on_train_end(self) -> None:
        """Tell that a training of the tuner has ended."""
        self.after_trial()


# what a class has from Lightning's own, Lightning takes for not there, and warns of one without the other


class _TrainOnly(Probe):
    validation_step = LightningModule.validation_step  # type: ignore[assignment]  # never called

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if not self.automatic_optimization:  # where Lightning leaves the tuner's rates, too, to the user
            for config in self.trainer.lr_scheduler_configs:
                config.scheduler.step()  # type: ignore[call-arg]  # not ReduceLROnPlateau's


class _TrainData(SplitsDataModule):
    val_dataloader = LightningDataModule.val_dataloader


@contextmanager
def _state_kept(optimizer: Any) -> Iterator[None]:
    """Leave an optimizer, where it is one, with the state that it had before the block."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        yield
        return
    before = copy.deepcopy(optimizer.state_dict())
    try:
        yield
    finally:
        optimizer.load_state_dict(before)
