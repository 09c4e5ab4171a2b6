"""The callback that records a Lightning fit as a run: metrics, best weights, checkpoints, events."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from nmlab.options.changes import before
from nmlab.problem.metric_names import RAW, is_free_of_weights
from nmlab.problem.term_weights import weight_faults, weights_of
from nmlab.problem.weights import PREFIX, copy_weights, equal_weights
from nmlab.runs import RunWriter
from nmlab.runs.shown import change_text
from nmlab.runtime.control import Control
from nmlab.training.callbacks import without_masks
from nmlab.training.checkpoints import CheckpointWriter, weights_content
from nmlab.training.events import EventWriter
from nmlab.training.module import ProblemModule
from nmlab.training.profile import section

SNAPSHOT_EVERY = 1.0
"""Seconds between two copies of the whole state at an epoch's end, from which a stopped run can go on."""


@dataclass(frozen=True)
class Earlier:
    """The best of a resumed run's epochs.

    Parameters: `epoch`; `value`, of the monitored metric; `weights`; `again`, whether this epoch will be trained again,
    and is then the best once more with the same value; `changed`, what is no longer as it was, in words; `since`, from
    which epoch on the terms have the weights that the value is of.
    """

    epoch: int
    value: float
    weights: dict[str, torch.Tensor]
    again: bool
    changed: tuple[str, ...] = ()
    since: int = 0


class Recorder(Checkpoint):  # a Checkpoint, so that it comes after everything else of an epoch's end
    """Records a fit.

    Parameters
    ----------
    module : ProblemModule
        The module that is trained.
    writer : RunWriter
        Writes the run.
    control : Control
        Control of the fit.
    monitor : str
        Name of the metric that determines the best epoch.
    mode : {'min', 'max'}
        Whether the lowest or the highest value is best.
    columns : list of str
        Names of the metrics, in the order in which they are stored.
    checkpoints : CheckpointWriter or None
        Writes checkpoints; None for none.
    events : EventWriter or None
        Writes TensorBoard events; None for none.
    """

    def __init__(
        self,
        module: ProblemModule,
        writer: RunWriter,
        control: Control,
        monitor: str,
        mode: str,
        columns: list[str],
        checkpoints: CheckpointWriter | None,
        events: EventWriter | None,
    ) -> None:
        self._module = module
        self._writer = writer
        self._control = control
        self._monitor = monitor
        self._sign = -1.0 if mode == "max" else 1.0
        self._columns = list(columns)
        self._checkpoints = checkpoints
        self._events = events
        self._epoch_started = 0.0
        self._snapshot_taken = -math.inf
        self._snapshot_of = -1
        self._of_train = monitor.startswith("train_")
        self._one_step = self._of_train and not module.weights_after_epoch
        self._steps = 0
        self._since = 0
        self._earlier: Earlier | None = None
        self._before: dict[str, torch.Tensor] | None = None
        self._ended: dict[str, torch.Tensor] | None = None
        self.patience: PatienceAfterWarmup | None = None
        """The callback that stops after epochs without improvement; None without one."""
        self.best_value = math.inf
        self.best_weights: dict[str, torch.Tensor] | None = None

    def go_on_from(self, earlier: Earlier) -> None:
        """Take over the best value and weights of a resumed run."""
        best = self._sign * earlier.value
        self.best_value = math.nextafter(best, math.inf) if earlier.again else best
        self.best_weights, self._earlier = earlier.weights, earlier

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._control.progress.begin(trainer.current_epoch, trainer.max_epochs or 0)
        self._control.on_pause = self._flush  # a machine that goes away while the fit waits takes nothing with it
        anew = self._earlier is not None and self._compare(trainer, self._earlier)
        if self._module.ranks is not None:
            self._module.ranks.broadcast(anew)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        changes = self._make_changes(trainer.current_epoch)
        if self._module.ranks is not None:
            self._module.ranks.broadcast(changes)
        self._epoch_started = self._control.progress.clock()
        if self._one_step:
            self._before, self._steps = copy_weights(self._module.problem), trainer.global_step

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._control.phase = "scoring the test split"
        self._control.check()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        known = {
            **self._module.row,
            "epoch": float(trainer.current_epoch),
            "seconds": self._control.progress.clock() - self._epoch_started,
        }
        row = {name: known.get(name, math.nan) for name in self._columns}
        value = self._sign * row[self._monitor]
        best = math.isfinite(value) and value < self.best_value
        if best:
            with section(trainer, "best weights"):
                self.best_value, self.best_weights = value, without_masks(self._scored(trainer))
        elif self._one_step:
            self._one_step = trainer.global_step - self._steps <= 1
        if self._module.keeps_scored:
            self._ended = copy_weights(self._module.problem)
        with section(trainer, "logging"):
            self._writer.append(row)
            if self._events is not None:
                self._events.add(trainer.current_epoch, {**self._module.extra, **row}, best)
        if wanted := self._control.take_wanted("max_epochs", "patience"):
            self._change(trainer, wanted)
        if self._module.ranks is not None:
            self._module.ranks.broadcast((wanted, trainer.should_stop))
        last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if self._checkpoints is not None:
            if best:
                self._keep_best(trainer)
            ends = last and self._module.keeps_scored  # before callbacks change the weights at the training's end
            waits = ends or self._control.pausing or self._control.stepping
            if waits or time.perf_counter() - self._snapshot_taken >= SNAPSHOT_EVERY:
                self._snapshot(trainer)
        self._control.epoch_ended(last)

    def _change(self, trainer: Trainer, wanted: Mapping[str, int]) -> None:
        """Train longer, or with more patience, from the next epoch on; recorded as if it had been so at the start."""
        module, told = self._module, self._writer.run.settings
        before, done = module.options.max_epochs, trainer.current_epoch + 1
        if "max_epochs" in wanted and (epochs := max(wanted["max_epochs"], done)) != before:
            trainer.fit_loop.max_epochs = self._control.progress.max_epochs = epochs
            module.change_length(done, epochs)
            stored = [list(change) for change in module.extended]
            self._writer.describe(options={**told["options"], "max_epochs": epochs}, extended=stored)
            self._remark(f"Extended after {done} epochs: max_epochs {before} → {epochs}.")
        if "patience" in wanted and self.patience is not None:
            self.patience.patience = wanted["patience"]
            if self.patience.stopped_epoch == trainer.current_epoch and self.patience.wait_count < wanted["patience"]:
                trainer.should_stop = False  # it was this callback that asked for it
            options = {**self._writer.run.settings["options"], "patience": wanted["patience"]}
            self._writer.describe(options=options)

    def _make_changes(self, epoch: int) -> tuple[list[dict[str, Any]], bool]:
        """Change what is to change with this epoch, by the options or because a watcher asked for it.

        Returns the changes, and whether epochs from this one on are compared anew.
        """
        module = self._module
        if wanted := self._control.take_wanted("lr", "weights"):
            self._note_change(epoch, wanted)
        changes = module.changes_of(epoch)
        for change in changes:
            if "lr" in change:
                module.change_lr(change["lr"])
            if raw := module.set_weights(change.get("weights", {})):
                names = [f"{split}_{name}{RAW}" for split in ("train", "dev") for name in raw]
                names = [name for name in names if name.removesuffix(RAW) in self._columns]
                self._columns += [name for name in names if name not in self._columns]
                self._writer.widen(names)
            self._remark(f"From epoch {epoch} on: {change_text(change)}.")
        weighted = any("weights" in change for change in changes) and not is_free_of_weights(self._monitor)
        return changes, weighted and self._score_best_anew(epoch)

    def _note_change(self, epoch: int, wanted: Mapping[str, Any]) -> None:
        """Add to the options what a watcher wants to be changed, as if it had been given with them."""
        module, told = self._module, self._writer.run.settings
        held = weights_of(module.problem)
        weights = {name: value for name, value in wanted.get("weights", {}).items() if held.get(name) != value}
        if faults := weight_faults(module.problem, weights):
            self._remark("Not changed: " + "; ".join(f"{name}: {fault}" for name, fault in faults.items()) + ".")
            weights = {}
        change: dict[str, Any] = {"epoch": epoch, **({"weights": weights} if weights else {})}
        if wanted.get("lr") not in (None, module.base_lr):
            change["lr"] = wanted["lr"]
        if len(change) > 1:
            module.options = module.options.replace(changes=[*module.options.changes, change])
            stored = [dict(each) for each in module.options.changes]
            self._writer.describe(options={**told["options"], "changes": stored})

    def _score_best_anew(self, epoch: int) -> bool:
        """Score the best weights so far by the loss as it is from this epoch on, which values before do not mean.

        Returns whether there are any.
        """
        if self.best_weights is None:
            self._since = epoch
            self._scored_beside(None, None)
            return False
        best, value = (
            self._writer.run.best_epoch,
            self._value_of("train" if self._of_train else "dev", self.best_weights),
        )
        self._since = epoch
        self._begin_comparing(epoch, best, value)
        if self._checkpoints is not None and self.best_weights is not None and best is not None:
            self._keep_best(self._module.trainer, best)
        return True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._control.training_over()
        if wanted := self._control.take_wanted("lr", "weights"):
            self._remark(f"Not changed, as no epoch followed: {change_text(wanted)}.")
        changed = self._ended is not None and not equal_weights(self._module.problem.state_dict(), self._ended)
        if self._checkpoints is not None and not (changed and self._snapshot_of == self._module.epochs_done):
            self._snapshot(trainer)
        if self._module.row and not self._module.weights_after_epoch:
            self._score_last(trainer)
        if self._module.remarks:
            self._remark(*self._module.remarks)

    def _scored(self, trainer: Trainer) -> dict[str, torch.Tensor]:
        """Return the weights to which the monitored value of this epoch belongs."""
        if self._one_step and trainer.global_step - self._steps <= 1 and self._before is not None:
            return self._before  # a train loss is of the weights before the step
        self._one_step = False
        if self._module.scored is not None and (not self._of_train or self._module.weights_after_epoch):
            return self._module.scored
        return copy_weights(self._module.problem)

    def _score_last(self, trainer: Trainer) -> None:
        """Score the weights that the training ends with, where no epoch has: they may be the best."""
        problem, split = self._module.problem, "train" if self._of_train else "dev"
        if not self._one_step:
            known = [held for held in (self._ended, self._module.scored) if held is not None]
            if not known or any(equal_weights(problem.state_dict(), held) for held in known):
                return
        value = self._value_of(split)
        better = math.isfinite(value) and self._sign * value < self.best_value
        if better:
            self.best_value = self._sign * value
            self.best_weights = without_masks(copy_weights(problem))
            if self._checkpoints is not None:
                self._keep_best(trainer)
            self._scored_beside(self._module.epochs_done - 1, value)
        if not self._one_step:
            kept = "and are kept" if better else "which is no better than the best epoch's, so these are kept"
            self._remark(f"The weights that a callback left at the end have {self._monitor} {value:.6g}, {kept}.")

    def _value_of(self, split: str, weights: dict[str, torch.Tensor] | None = None) -> float:
        name = self._monitor.removeprefix(f"{split}_")
        return self._module.score_split(split, weights).get(name, math.nan)

    def _compare(self, trainer: Trainer, earlier: Earlier) -> bool:
        """Find out whether the best value of the epochs before holds on the data of now, and if not, score it anew.

        Returns whether it does not.
        """
        split = "train" if self._of_train else "dev"
        done, changes = trainer.current_epoch, self._module.options.changes
        if not is_free_of_weights(self._monitor):
            self._since = max((each["epoch"] for each in before(changes, done) if "weights" in each), default=0)
        if earlier.since >= done > 0:  # its value is by weights that the terms do not have yet
            earlier = replace(earlier, value=self._value_of(split, earlier.weights))
            self.go_on_from(earlier)
        changed = list(earlier.changed)
        value = math.nan
        if changed or not self._of_train:
            value = self._value_of(split, earlier.weights)
        differs = math.isfinite(value) and not math.isclose(value, earlier.value, rel_tol=1e-3, abs_tol=1e-30)
        again = not changed and differs and self._value_of(split, earlier.weights)
        if again is not False and again == value:  # a pass that draws random numbers would tell nothing
            changed = ["losses (the same weights no longer have the same)"]
        if not changed:
            return False
        self._since = done
        found = self._begin_comparing(done, earlier.epoch, value)
        what = f"has {self._monitor} {value:.6g} now" if found else "cannot be scored on them"
        self._remark(
            f"From epoch {done} on with other {', '.join(changed)}: metrics before and after are not comparable; the "
            f"best of before, epoch {earlier.epoch}, {what}."
        )
        return True

    def _begin_comparing(self, done: int, epoch: int | None, value: float) -> bool:
        """Compare epochs from `done` on with the best one of before, if that has a value now; return whether it has.

        Parameters: `epoch`, the best one of before; `value`, its value as it would be now.
        """
        found = math.isfinite(value)
        self.best_value = self._sign * value if found else math.inf
        self.best_weights = self.best_weights if found else None
        self._scored_beside(epoch if found else None, value if found else None)
        self._module.begin_comparing_anew()
        if self.patience is not None:
            self.patience.begin_with([done - 1.0] if found else [], [value] if found else [])
        return found

    def _scored_beside(self, epoch: int | None, value: float | None) -> None:
        self._writer.update(scored={"epoch": epoch, "value": value, "since": self._since})

    def _remark(self, *texts: str) -> None:
        said = self._writer.run.remark
        new = [text for text in texts if text not in (said or "")]
        if new:
            self._writer.update(remark=" ".join([*([said] if said else []), *new]))

    def _keep_best(self, trainer: Trainer, epoch: int | None = None) -> None:
        """Hold the best weights for their checkpoint; `epoch`, which they are of, by default the last one."""
        assert self._checkpoints is not None
        assert self.best_weights is not None
        done = self._module.epochs_done if epoch is None else epoch + 1
        told = {"epoch": done - 1, "global_step": trainer.global_step, "value": self._sign * self.best_value}
        told["since"] = self._since
        content = weights_content(self.best_weights, PREFIX, epochs_done=done, **told)
        self._checkpoints.hold(self._writer.checkpoint("best"), content)

    def _snapshot(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self._writer.checkpoint("last"), weights_only=False)
        self._snapshot_taken, self._snapshot_of = time.perf_counter(), self._module.epochs_done

    def close(self) -> None:
        """Write what is still held in memory."""
        self._control.training_over()
        self._flush()

    def _flush(self) -> None:
        if self._events is not None:
            self._events.flush()
        if self._checkpoints is not None:
            self._checkpoints.flush()


class PatienceAfterWarmup(EarlyStopping):
    """Stops after `patience` epochs without improvement, not counting the first `warmup` epochs.

    This is the behaviour of NeuroMANCER's LitTrainer, for metrics to minimize or maximize. Where the dev split is not
    scored once an epoch, a dev pass without improvement stops the training if at least `patience` epochs have passed
    since the best one.
    """

    def __init__(self, monitor: str, mode: str, patience: int, warmup: int) -> None:
        at_end = True if monitor.startswith("train_") else None  # which is known whenever an epoch has ended
        super().__init__(monitor=monitor, mode=mode, patience=patience, verbose=False, check_on_train_epoch_end=at_end)
        self._warmup = warmup
        self._best_place: float | None = None

    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        if trainer.current_epoch < self._warmup or self.monitor not in trainer.callback_metrics:
            return
        part = (trainer.fit_loop.batch_idx + 1) / max(int(trainer.num_training_batches), 1)
        place = trainer.current_epoch + part
        if self._best_place is not None:
            self.wait_count = math.floor(place - self._best_place + 1e-9) - 1  # Lightning adds one without improvement
        before = self.best_score
        super()._run_early_stopping_check(trainer)
        if self.best_score is not before:
            self._best_place = place

    def begin_with(self, epochs: Sequence[float], values: Sequence[float]) -> None:
        """Take in epochs that were trained before, so that patience counts as if it had been there."""
        sign = -1.0 if self.mode == "max" else 1.0
        best = math.inf
        self._best_place, self.wait_count = None, 0
        for epoch, value in zip(epochs, values, strict=True):
            if epoch >= self._warmup and sign * value < best:
                best, self._best_place = sign * value, epoch + 1.0
        self.best_score = torch.tensor(sign * best if math.isfinite(best) else sign * math.inf)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "best_place": self._best_place}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        patience = self.patience  # which may be another now
        super().load_state_dict(state_dict)
        self.patience = patience
        self._best_place = state_dict.get("best_place", self._best_place)
