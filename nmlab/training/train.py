"""Trains a Problem on its splits under Lightning, into a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from neuromancer.problem import Problem

from nmlab.data.loader import SplitsDataModule
from nmlab.data.splits import Splits
from nmlab.errors import FieldError
from nmlab.options import TrainerOptions
from nmlab.options.changes import before as changes_before
from nmlab.options.changes import weights_after
from nmlab.problem.weights import PREFIX, copy_weights, forget_values, load_weights, read_weights
from nmlab.runs import RunWriter
from nmlab.runtime.control import Control, StopRequested
from nmlab.runtime.rng import RandomStreams
from nmlab.training.callbacks import put_back, remove_masks
from nmlab.training.checkpoints import CheckpointWriter, epochs_done, save_weights
from nmlab.training.events import EventWriter
from nmlab.training.following import Joint
from nmlab.training.lightning_trainer import make_trainer
from nmlab.training.loop import Loop
from nmlab.training.module import ProblemModule, ready_to_train
from nmlab.training.profile import LoopProfiler
from nmlab.training.progress import ProgressCallback
from nmlab.training.ranks import RankLost, Ranks
from nmlab.training.recorder import Earlier, PatienceAfterWarmup, Recorder
from nmlab.training.torch_settings import callers_torch_settings
from nmlab.training.whole_epochs import WholeEpochsData, WholeEpochsModule, supports_whole_epochs

NO_DEV = "There is no dev split: the best epoch is chosen by the train loss."

OF_TRAIN = (
    "A train metric is of the weights before each step: with one step an epoch, the weights kept are those before it; "
    "with several, it is a mean over them, and the weights kept are those after the epoch."
)


@dataclass(frozen=True)
class Training:
    """What a training needs beside Problem and data.

    Parameters
    ----------
    options : TrainerOptions
        What the user set.
    streams : RandomStreams
        The random numbers that the training draws.
    writer : RunWriter
        Keeps the record.
    control : Control
        Asked at every batch whether to stop.
    events : EventWriter or None
        Takes the metrics in too.
    resume : bool, default False
        Whether to go on from the run's last checkpoint.
    changed : tuple of str, default ()
        What a resumed run goes on with that is not as before, so that its metrics cannot be compared.
    extended : tuple, default ()
        Epochs done, and the old and the new `max_epochs`, of each change of the training's length.
    loop : Loop, optional
        Another loop than nmlab's own.
    ranks : Ranks, optional
        The processes that share it, of which this one leads. Default: this one alone.
    """

    options: TrainerOptions
    streams: RandomStreams
    writer: RunWriter
    control: Control
    events: EventWriter | None = None
    resume: bool = False
    changed: tuple[str, ...] = ()
    extended: tuple[tuple[int, int, int], ...] = ()
    loop: Loop | None = None
    ranks: Ranks | None = None


def train(
    problem: Problem,
    splits: Splits,
    training: Training,
    make_module: Callable[..., ProblemModule] = ProblemModule,
    made: Callable[[Any], object] = lambda _module: None,
) -> None:
    """Train a Problem, load its best weights, and score the test split with them.

    Parameters
    ----------
    problem : Problem
        What is trained.
    splits : Splits
        The data.
    training : Training
        How, and into which record.
    make_module : callable, default ProblemModule
        Makes the module that Lightning trains.
    made : callable, optional
        Takes that module before the training begins.

    Raises
    ------
    FieldError
        Where the monitor is no metric.
    NonFiniteLossError, StopRequested
        And whatever the Problem's own functions raise; the best weights are in place then too.
    """
    options, streams, writer, control = training.options, training.streams, training.writer, training.control
    dev = splits.dev is not None
    monitor = options.monitor or ("dev_loss" if dev else "train_loss")
    loop = training.loop
    whole = loop is not None or (make_module is ProblemModule and supports_whole_epochs(options))
    make_data = WholeEpochsData if whole else SplitsDataModule
    if whole:
        make_module = WholeEpochsModule if loop is None else loop.make_module
    ranks = training.ranks
    module = make_module(problem, options, streams, control, monitor, ranks)
    made(module)
    module.keeps_scored = not whole
    columns = module.metric_names(dev)
    if monitor not in columns:
        raise FieldError({"monitor": f"{monitor!r} is no metric of this fit; there are: {', '.join(columns)}"})
    changed = training.changed
    if training.resume and (writer.run.monitor, writer.run.mode) != (monitor, options.mode):
        changed = (
            *changed,
            f"metric ({options.mode} of {monitor} in place of {writer.run.mode} of {writer.run.monitor})",
        )
    remark = (writer.run.remark or "") if training.resume else ""
    for text in (
        "" if module.weights_after_epoch else _remark(monitor, options, dev),
        f"The test split is not scored: {splits.unscored}." if splits.unscored else "",
        *(_extended(*change) for change in training.extended),
    ):
        remark = remark if text in remark else f"{remark} {text}".strip()
    module.extended = list(training.extended)
    before = writer.run.monitor
    writer.update(monitor=monitor, mode=options.mode, test_metrics={}, remark=remark or None)

    start = copy_weights(problem)
    files = None
    if options.checkpoint:
        files = CheckpointWriter({writer.checkpoint("best"): 2.0, writer.checkpoint("last"): 30.0}, writer.keep)
    recorder = Recorder(module, writer, control, monitor, options.mode, columns, files, training.events)
    last = _take_up(writer, recorder, before, changed) if training.resume else None
    if last is not None:
        module.taken_up = epochs_done(writer.run)
        module.set_weights(weights_after({}, changes_before(options.changes, module.taken_up)))
        writer.widen(columns)
    module.renews = last is not None and bool(training.extended) and training.extended[-1][0] == epochs_done(writer.run)

    callbacks: list[Callback] = [*options.callbacks, *([] if whole else [ProgressCallback(control)]), recorder]
    if options.patience is not None:
        recorder.patience = PatienceAfterWarmup(monitor, options.mode, options.patience, options.warmup)
        callbacks.append(recorder.patience)
        if last is not None:  # in case it had none before
            recorder.patience.begin_with(*writer.run.curve(monitor))
    if options.callbacks or options.loggers:
        module.log_for(None)  # who knows what they want
    elif options.patience is not None:
        module.log_for(frozenset([monitor]))
    for stateful in (options.optimizer, *options.callbacks) if loop is None else ():
        if isinstance(stateful, (torch.optim.Optimizer, Callback)):
            put_back(stateful)
    part = None if ranks is None else ranks.part
    data = make_data(splits, streams, options.shuffle, options.num_workers, options.drop_last, part)
    if ranks is not None:
        forget_values(problem)
        given = options.replace(profiler=None)
        ranks.broadcast(
            Joint(
                problem,
                splits,
                given,
                streams.seed,
                make_module,
                monitor,
                whole,
                last,
                module.extended,
                module.renews,
                module.taken_up,
                writer.folder,
            )
        )
    try:
        with ready_to_train(problem):
            profiler = _profiler(options, writer, control, whole)
            seen = options.replace(gradient_clip_val=None) if whole else options
            make = partial(make_trainer, seen, writer.folder, callbacks, files, dev and not whole, profiler, ranks)
            with callers_torch_settings(make, keep_anomaly="detect_anomaly" not in options.trainer_kwargs) as trainer:
                try:
                    trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
                except (SystemExit, ValueError) as error:
                    # Lightning exits where a callback or node raises KeyboardInterrupt, and sets a handler, which
                    # fails outside the main thread
                    if isinstance(error.__context__, KeyboardInterrupt):
                        raise error.__context__ from None
                    raise
                except RankLost:
                    assert ranks is not None
                    raise ranks.failure() from None
                finally:
                    if profiler is not None:
                        profiler.finish()
                if ranks is not None:
                    ranks.broadcast()
                    trainer.strategy.alone()  # type: ignore[attr-defined]  # a RankStrategy
                _put_best_back(problem, recorder, start)
                if splits.test is not None and not splits.unscored:
                    _score_test(trainer, module, data, splits, writer)
    finally:
        data.close()
        _put_best_back(problem, recorder, start)
        forget_values(problem)
        recorder.close()
        best = writer.checkpoint("best")
        if files is not None and not best.exists() and not writer.waits(best):
            writer.keep(best, partial(save_weights, copy_weights(problem), best, PREFIX))


def _score_test(
    trainer: Trainer, module: ProblemModule, data: SplitsDataModule, splits: Splits, writer: RunWriter
) -> None:
    """Score the test split; where it cannot be, the training is none the worse, and the record says why."""
    try:
        trainer.test(module, datamodule=data, verbose=False)
    except (StopRequested, FieldError):
        raise
    except Exception as error:
        splits.leave_out_test(f"{type(error).__name__}: {error}")
        told = f"The test split is not scored: {splits.unscored}."
        writer.update(remark=" ".join(text for text in (writer.run.remark, told) if text))
    else:
        writer.update(test_metrics=module.test_metrics())


def _remark(monitor: str, options: TrainerOptions, dev: bool) -> str:
    """Return what is to be known of the metric by which the best epoch is chosen."""
    if not monitor.startswith("train_"):
        return ""
    return ("" if dev or options.monitor else f"{NO_DEV} ") + OF_TRAIN


def _extended(done: int, before: int, now: int) -> str:
    return f"Extended after {done} epochs: max_epochs {before} → {now}."


def _take_up(writer: RunWriter, recorder: Recorder, monitor: str, changed: tuple[str, ...]) -> Path | None:
    """Prepare to go on from the run's last checkpoint and return it; None to start anew.

    Parameters: `monitor`, the metric of before; `changed`, what is no longer as it was.
    """
    run = writer.run
    last, best, done = run.last_checkpoint_path, run.checkpoint_path, epochs_done(run)
    if best is not None:
        # of a killed run, it may be younger than what `last` goes on from
        content = torch.load(best, weights_only=True)
        epoch = content.get("epochs_done", 0) - 1
        if 0 <= epoch < run.epochs and done:
            value = content["value"] if "value" in content else run.column(monitor)[epoch]
            since = int(content.get("since", 0))
            recorder.go_on_from(Earlier(epoch, value, read_weights(best), epoch >= done, changed, since))
    writer.keep_epochs(done)
    return last


def _put_best_back(problem: Problem, recorder: Recorder, start: dict[str, torch.Tensor]) -> None:
    """Load the best weights; without any, keep the present ones unless they are no longer finite."""
    remove_masks(problem)
    if recorder.best_weights is not None:
        load_weights(problem, recorder.best_weights)
    elif not all(bool(torch.isfinite(value).all()) for value in problem.parameters()):
        load_weights(problem, start)


def _profiler(options: TrainerOptions, writer: RunWriter, control: Control, whole: bool) -> LoopProfiler | None:
    """Make the profiler of one run; None where none was asked for."""
    if options.profiler is None:
        return None
    return LoopProfiler(options.profiler, control.progress, writer, options.resolved_accelerator(), whole)
