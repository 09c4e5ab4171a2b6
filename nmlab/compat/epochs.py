"""An epoch as NeuroMANCER's Trainer has it, recorded as nmlab records it.

The same operations in the same order, its callbacks and loggers at their points: weights are the same to the last bit.
All that such an epoch reads and changes (optimizer, metrics, patience, best weights) is the trainer's own, which a
callback may change at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from neuromancer.callbacks import Callback
from neuromancer.loggers import BasicLogger, LossLogger

from nmlab.data.given import GivenLoader, LoadedDataset
from nmlab.data.splits import Batch
from nmlab.errors import FieldError
from nmlab.problem.weights import copy_weights
from nmlab.runtime.rng import CallersStreams, RandomStreams
from nmlab.training.module import samples_of
from nmlab.training.profile import section
from nmlab.training.whole_epochs import Passes, WholeEpochsModule

if TYPE_CHECKING:
    from nmlab.compat.trainer import Trainer

_PRINTING = (BasicLogger.log_metrics, LossLogger.log_metrics)
"""What loggers do with an output of which they read their `stdout` alone."""


@dataclass(frozen=True)
class Choice:
    """By what the best epoch is chosen.

    Parameters
    ----------
    monitor : str
        Column of the record.
    of_samples : tuple of str, optional
        Split and metric whose mean over samples it is; None for the value in the last output, as in NeuroMANCER.
    """

    monitor: str
    of_samples: tuple[str, str] | None


class NeuromancerEpochs:
    """The training loop of a `Trainer`.

    Parameters
    ----------
    trainer : Trainer
        What is trained, and how.
    choice : Choice
        By what the best epoch is chosen.
    names : dict of str to str
        Names of the batches, by split.
    """

    def __init__(self, trainer: Trainer, choice: Choice, names: dict[str, str]) -> None:
        self._trainer, self._choice, self._names = trainer, choice, names

    def make_streams(self, seed: int) -> RandomStreams:
        """Return the fit's own random numbers if the trainer has a seed, and the caller's if not."""
        return CallersStreams(seed) if self._trainer.seed is None else RandomStreams(seed)

    def make_module(self, *arguments: Any) -> EpochsModule:
        """Return the module that Lightning trains."""
        return EpochsModule(*arguments, own=self._trainer, choice=self._choice, names=self._names)

    def to_json(self) -> dict[str, Any]:
        """Return the trainer's arguments."""
        return {"name": "nmlab.Trainer", **self._trainer.settings()}


class EpochsModule(WholeEpochsModule):
    """Trains a Problem by NeuroMANCER's loop; the parameters are those of `ProblemModule` and `NeuromancerEpochs`."""

    def __init__(self, *arguments: Any, own: Trainer, choice: Choice, names: dict[str, str]) -> None:
        super().__init__(*arguments)
        self.weights_after_epoch = True
        self._own, self._choice, self._names = own, choice, names
        self._loaders: dict[str, tuple[Any, GivenLoader]] = {}
        self._complete = False
        self._judged = float("nan")
        self._best_epoch: int | None = None
        self._theirs: tuple[Any, int | None] = own.best_devloss, None

    def configure_optimizers(self) -> Any:
        return self._own.optimizer

    # --- an epoch ---

    def training_step(self, passes: Passes, batch_idx: int) -> None:  # type: ignore[override]
        progress, train, dev = self._control.progress, self._loader("train"), self._loader("dev")
        if train is None:
            raise FieldError({"train_data": "None; give a DataLoader"}, "Trainer")
        progress.begin_epoch(self.current_epoch, len(train), len(dev) if dev else 0)
        self._control.phase = "training"
        self._complete = self._reads_all()
        with self._streams:
            output = self._train(train)
            with torch.set_grad_enabled(bool(self.problem.grad_inference)):
                self._evaluate(dev, output)

    def _train(self, train: GivenLoader) -> dict[str, Any]:
        own, problem, metric = self._own, self.problem, self._own.train_metric
        problem.train()
        losses = []
        output: dict[str, Any] = {}
        self.norms.maximum = own.clip
        for _, batch in self._batches(train, "train_dataloader_next"):
            with section(self.trainer, "training_step"):
                output = self._outputs(batch)
                self._read(output, metric, "train_metric")
                if own.multi_fidelity:
                    for node in problem.nodes:
                        output[metric] += node.callable.get_alpha_loss()
                self._look_at(output[metric], output, batch)
            own.optimizer.zero_grad()
            with section(self.trainer, "backward"):
                output[metric].backward()
            with section(self.trainer, "configure_gradient_clipping"):
                if own.clip is not None:
                    self.norms.add(torch.nn.utils.clip_grad_norm_(problem.parameters(), own.clip))
            self._step()
            losses.append(output[metric].detach())
            samples = train.samples or samples_of(batch)
            self._count("train", output, batch["name"], metric, samples)
            own.callback.end_batch(own, output)
            self._control.progress.batch_done(samples)
        if not losses:
            raise FieldError({"train_data": "it gave no batch in this epoch"}, "Trainer")
        mean = f"mean_{metric}"
        output[mean] = torch.mean(torch.stack(losses))
        own.callback.begin_epoch(own, output)
        if own.lr_scheduler is not None:
            own.lr_scheduler.step(output[mean])
        return output

    def _step(self) -> None:
        optimizer: Any = self.optimizers()
        # a callback may have put another one in its place
        (optimizer if optimizer.optimizer is self._own.optimizer else self._own.optimizer).step()

    def _evaluate(self, dev: GivenLoader | None, output: dict[str, Any]) -> None:
        own, epoch = self._own, self._own.current_epoch
        self.problem.eval()
        if dev is not None:
            output = {**output, **self._dev_output(dev)}
        own.callback.begin_eval(own, output)
        self._judge(output, epoch)
        if own.logger is not None:
            own.logger.log_metrics(output, step=epoch)
        elif epoch % own.epoch_verbose == 0:
            print(f"epoch: {epoch}  {own.train_metric}: {output[f'mean_{own.train_metric}']}")
        own.callback.end_eval(own, output)
        own.callback.end_epoch(own, output)
        own.last_output = output
        if own.badcount > own.patience:
            print("Early stopping!!!")
            self.trainer.should_stop = True
        else:
            own.current_epoch = epoch + 1

    def _dev_output(self, dev: GivenLoader) -> dict[str, Any]:
        metric, progress, losses = self._own.dev_metric, self._control.progress, []
        progress.begin_dev(len(dev))
        self._control.phase = "dev pass"
        output: dict[str, Any] = {}
        for _, batch in self._batches(dev, "val_next"):
            batch.pop("epoch")  # which there it has in training alone
            output = self._outputs(batch)
            losses.append(self._read(output, metric, "dev_metric").detach())
            self._count("dev", output, batch["name"], metric, dev.samples or samples_of(batch))
            progress.batch_done()
        progress.end_dev()
        self._control.phase = "training"
        if losses:
            output[f"mean_{metric}"] = torch.mean(torch.stack(losses))
        return output

    # --- its parts ---

    def _loader(self, split: str) -> GivenLoader | None:
        """Return the batches of what the trainer has now."""
        data = getattr(self._own, f"{split}_data")
        if data is None:
            return None
        if split not in self._loaders or self._loaders[split][0] is not data:
            # within the epoch the fit's random numbers are in place
            made = GivenLoader(LoadedDataset(data), lambda: self._own.current_epoch, CallersStreams(0), False)
            self._loaders[split] = data, made
        return self._loaders[split][1]

    def _reads_all(self) -> bool:
        """Whether somebody reads more of an output than the loss and its terms."""
        own = self._own
        prints = own.logger is None or getattr(type(own.logger), "log_metrics", None) in _PRINTING
        if type(own.callback) is not Callback or not prints:
            return True
        read = {own.train_metric, own.dev_metric, own.eval_metric, *getattr(own.logger, "stdout", ())}
        terms = [*self.problem.loss.objectives, *self.problem.loss.constraints]
        known = ("loss", "objective_loss", "penalty_loss", *(key for term in terms for key in term.output_keys))
        there = {f"{name}_{key}" for name in self._names.values() for key in known}
        return any(key.startswith(f"{name}_") for name in self._names.values() for key in read - there)

    def _outputs(self, batch: Batch) -> dict[str, Any]:
        return self.problem(batch) if self._complete else self._fast(batch)

    def _read(self, output: dict[str, Any], key: str, argument: str) -> Any:
        if key not in output:
            there = ", ".join(name for name, value in output.items() if getattr(value, "ndim", 1) == 0)
            fault = f"{key!r} is not in the Problem's output, whose single numbers are: {there}"
            raise FieldError({argument: fault}, "Trainer")
        return output[key]

    def _count(self, split: str, output: dict[str, Any], name: str, metric: str, samples: int) -> None:
        with section(self.trainer, "metrics"):
            loss = output[metric]
            same = output.get(f"{name}_loss") is loss
            self.totals[split].add(output if same else {**output, f"{name}_loss": loss}, name, samples)

    def _look_at(self, loss: torch.Tensor, output: dict[str, Any], batch: Batch) -> None:
        if self._own.allow_nan:
            self._control.progress.loss = float(loss.detach())
        else:
            super()._look_at(loss, output, batch)

    def _check_finite(self, row: dict[str, float]) -> None:
        if not self._own.allow_nan:
            super()._check_finite(row)

    # --- the best epoch ---

    def _judge(self, output: dict[str, Any], epoch: int) -> None:
        own = self._own
        their_value = output.get(own.eval_metric)
        if self._choice.of_samples is None:
            value = torch.as_tensor(self._read(output, own.eval_metric, "eval_metric")).detach().clone()
        else:
            split, metric = self._choice.of_samples
            value = torch.tensor(self.totals[split].means()[metric], dtype=torch.float64)
        self._judged = float(value)
        self.scored = None
        if own.is_better(value, own.best_devloss):
            own.best_model = self.scored = copy_weights(self.problem)
            own.best_devloss, own.badcount, self._best_epoch = value, 0, epoch
        elif epoch > own.warmup:
            own.badcount += 1
        if their_value is not None and own.is_better(their_value, self._theirs[0]):
            self._theirs = torch.as_tensor(their_value).detach().clone(), epoch
        self.remarks = list(self._told())

    def _told(self) -> list[str]:
        told = []
        if self._best_epoch is None:
            told.append(
                "No epoch of this run was better than what the Trainer had found before, which the Problem holds."
            )
        elif self._choice.of_samples is not None and self._theirs[1] != self._best_epoch:
            told.append(
                f"Epoch {self._best_epoch} is best by the mean over samples; NeuroMANCER's Trainer, which takes the "
                f"last batch's {self._own.eval_metric}, would have kept epoch {self._theirs[1]}, as "
                "eval_last_batch=True does."
            )
        return told

    def metric_names(self, dev: bool) -> list[str]:
        names = super().metric_names(dev)
        return names if self._monitor in names else [*names, self._monitor]

    def metrics(self) -> dict[str, float]:
        return {**super().metrics(), self._monitor: self._judged}
