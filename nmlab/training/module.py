"""The LightningModule around a NeuroMANCER Problem: steps, the metrics of every term, optimisers."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any

import torch
from lightning.pytorch.plugins.precision import Precision
from neuromancer.problem import Problem

from nmlab.data.loader import first_batch
from nmlab.data.splits import Batch
from nmlab.errors import NonFiniteLossError
from nmlab.options import TrainerOptions
from nmlab.problem.constants import constants_of
from nmlab.problem.fast_loss import FastProblem
from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.state import preserving_state
from nmlab.problem.term_weights import measured_terms, use_weights
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import copy_weights, fit_multipliers, load_weights, plain_names
from nmlab.runtime.control import Control
from nmlab.runtime.rng import RandomStreams
from nmlab.training.callbacks import copy_modules
from nmlab.training.gradient_norms import COLUMNS as GRADIENT
from nmlab.training.gradient_norms import GradientNorms
from nmlab.training.profile import section
from nmlab.training.ranks import Ranks
from nmlab.training.scheduled import ScheduledModule

CHECK_EVERY = 50
"""Steps between two checks of the loss on a device that has to be synchronized."""

COPIED = "copy constants"
"""What a profile calls the copies of tensors to the device."""

FOLLOW = (
    "Functions of the Problem hold or make tensors on the CPU: they are copied to {0} where they meet tensors there, "
    "which a profile shows as {1!r}."
)

_logger = logging.getLogger("nmlab")
_logger.setLevel(logging.INFO)  # so that a run's log has it; on screen comes what is a warning at least


def _tell(text: str, fault: bool) -> None:
    _logger.log(logging.WARNING if fault else logging.INFO, text)


class ProblemModule(ScheduledModule):
    """The LightningModule that trains a Problem.

    Parameters
    ----------
    problem : Problem
        The Problem.
    options : TrainerOptions
        Determines optimizer and scheduler.
    streams : RandomStreams
        Random numbers for forward passes.
    control : Control
        Receives the progress of the fit.
    monitor : str
        Name of the metric that determines the best epoch.
    ranks : Ranks, optional
        The processes that share the training. Default: this one alone.
    """

    def __init__(
        self,
        problem: Problem,
        options: TrainerOptions,
        streams: RandomStreams,
        control: Control,
        monitor: str,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(options, monitor)
        self.problem = problem
        self.terms = terms_of(problem)
        self.measured = measured_terms(problem)
        """Terms of which the value without the weight is a metric too."""
        self.totals = {split: MetricAccumulator(self.terms, self.measured) for split in ("train", "dev", "test")}
        self.ranks = ranks
        for split in ("train", "dev") if ranks is not None else ():
            self.totals[split].gather = ranks.gather  # type: ignore[union-attr]
        self.share = 1.0
        """How much the loss of the last train batch counts; less than 1 for a part of it."""
        self.norms = GradientNorms(options.gradient_clip_val)
        """Norms of the gradients that are clipped."""
        self._fast = FastProblem(problem, _tell)
        self._streams = streams
        self._control = control
        self._constants: AbstractContextManager[Any] = nullcontext()
        self._log_names: frozenset[str] | None = frozenset()
        self._lr = math.nan
        self._counted = -1
        self._repeated = False
        self.keeps_scored = False
        """Whether to copy the weights that each dev pass scores, which callbacks may swap for those of an average."""
        self.scored: dict[str, torch.Tensor] | None = None
        """The weights that the last dev pass scored, where they are kept."""
        self.weights_after_epoch = False
        """Whether the weights of an epoch are those that it ends with, whatever its metric is of."""
        self.epochs_done = 0
        self.row: dict[str, float] = {}
        """The metrics of the epoch that ended last."""
        self.extra: dict[str, float] = {}
        """What else was logged in this epoch, by functions of the user's own."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes here which hook it is in, dozens of times an epoch; PyTorch's way would look for tensors
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # --- steps ---

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        # an optimizer such as LBFGS evaluates a batch several times in a step; the first is of the weights before it
        self._repeated = batch_idx == self._counted
        with section(self.trainer, "forward"), self._streams.drawing("train", self._look(batch_idx)), self._constants:
            output = self._pass("train", batch, batch_idx)
        loss = output[f"{batch['name']}_loss"]
        if not self._repeated:
            self._counted = batch_idx
            with section(self.trainer, "metrics"):
                self.totals["train"].add(output, batch["name"], self._own_samples("train", batch, batch_idx))
                self._look_at(loss, output, batch)
        return loss  # type: ignore[no-any-return]

    def samples(self, split: str, batch: Batch, batch_idx: int) -> int:
        """Return how many samples a batch has, in all processes together."""
        if self.ranks is None or split == "test":
            return samples_of(batch)
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # nmlab's own
        return int(data.samples(split, batch_idx))

    def _own_samples(self, split: str, batch: Batch, batch_idx: int) -> int:
        """Return how many samples of a batch count here, and note which share of it they are."""
        samples = self.samples(split, batch, batch_idx)
        if self.ranks is None or split == "test":
            return samples
        owned = self.ranks.part.owned(samples)
        if split == "train":
            self.share = owned / samples
        return owned

    def take_loss(self, loss: torch.Tensor) -> None:
        """Take in the loss of a batch of which each process has passed a part."""
        if loss.device.type == "cpu":
            self._control.progress.loss = float(loss)

    def _look_at(self, loss: torch.Tensor, output: dict[str, Any], batch: Batch) -> None:
        # on the CPU a look at the loss costs nothing; elsewhere the step would have to wait for the device
        if loss.device.type == "cpu" or self.global_step % CHECK_EVERY == 0:
            value = float(loss.detach())
            self._control.progress.loss = value
            if not math.isfinite(value):
                raise self._not_finite("train", output, batch["name"])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if self.keeps_scored and batch_idx == 0:
            self.scored = copy_weights(self.problem)
        self._score("dev", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._score("test", batch, batch_idx)

    def _look(self, batch_idx: int) -> bool:
        """Return whether to find out again what a pass draws from: in the first batch of epochs 0, 1, 2, 4, 8, ..."""
        return batch_idx == 0 and self.current_epoch & (self.current_epoch - 1) == 0

    def _score(self, split: str, batch: Batch, batch_idx: int) -> None:
        # problems that need gradients to be evaluated (PINNs, projected gradients) say so by grad_inference
        drawing = self._streams.drawing(split, self._look(batch_idx))
        with (
            section(self.trainer, "forward"),
            torch.set_grad_enabled(bool(self.problem.grad_inference)),
            drawing,
            self._constants,
        ):
            output = self._pass(split, batch, batch_idx)
        with section(self.trainer, "metrics"):
            self.totals[split].add(output, batch["name"], self._own_samples(split, batch, batch_idx))

    def _pass(self, split: str, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return what the Problem gives for a batch of a split, the loss and all terms among it."""
        return self._fast(batch)

    def score_split(self, split: str, weights: dict[str, torch.Tensor] | None = None) -> dict[str, float]:
        """Return the metrics of a whole split as a pass at this moment would give them; nothing is changed.

        Parameters: `weights`, in place of those that the Problem holds. The train split is passed in train mode, with
        the random numbers that the next step would draw. {} where the user's own code makes these passes.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # nmlab's own
        totals, loader, drawn = (
            MetricAccumulator(self.terms, measured_terms(self.problem)),
            data.loader(split, whole=True),
            self._streams.state_dict(),
        )
        gradients = split == "train" or bool(self.problem.grad_inference)
        try:
            with preserving_state(self.problem), torch.set_grad_enabled(gradients), self._streams:
                if weights is not None:
                    load_weights(self.problem, {name: value.to(self.device) for name, value in weights.items()})
                if split != "train":
                    self.problem.eval()
                self._fast.look()
                for number, batch in enumerate(islice(loader, self._batches_in(split))):
                    plugin = self.trainer.strategy.precision_plugin
                    moved = self.trainer.strategy.batch_to_device(plugin.convert_input(batch), self.device)
                    with plugin.forward_context(), self._constants:
                        output = self._pass(split, moved, number)
                    totals.add(output, batch["name"], samples_of(batch))
        finally:
            loader.close()
            self._streams.load_state_dict(drawn)
            self._fast.look()
        return totals.means()

    def _batches_in(self, split: str) -> int | None:
        """Return how many batches of a split an epoch has; None for all."""
        return int(self.trainer.num_training_batches if split == "train" else sum(self.trainer.num_val_batches))

    def _not_finite(self, split: str, output: dict[str, Any], name: str) -> NonFiniteLossError:
        broken = [t.name for t in self.terms if not torch.as_tensor(output[f"{name}_{t.key}"]).isfinite().all()]
        return self._lost(split, broken[0] if broken else "loss")

    def _lost(self, split: str, term: str) -> NonFiniteLossError:
        return NonFiniteLossError(self.current_epoch, self.global_step, term, split)

    def on_fit_start(self) -> None:
        if self.device.type == "cpu":
            return
        data, strategy = self.trainer.datamodule, self.trainer.strategy  # type: ignore[attr-defined]  # nmlab's own
        batch = strategy.precision_plugin.convert_input(first_batch(data.splits.train, data.batch_size))
        with strategy.precision_plugin.forward_context():
            there = strategy.batch_to_device(batch, self.device)
            found = constants_of(self.problem, there, self.device, lambda: section(self.trainer, COPIED))
        if found is not None:
            self._constants = found
            _tell(FOLLOW.format(self.device, COPIED), False)

    def clip_gradients(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as Lightning does, by default or in a hook of the user's, and keep the norm that this computes."""
        plugin = self.trainer.precision_plugin
        kept = self.norms

        def clip(optimizer: Any, clip_val: float) -> None:
            kept.maximum = clip_val
            norm = torch.nn.utils.clip_grad_norm_(plugin.main_params(optimizer), clip_val)
            if not self._repeated:
                kept.add(norm)

        if type(plugin).clip_grad_by_norm is Precision.clip_grad_by_norm:
            plugin.clip_grad_by_norm = clip  # type: ignore[method-assign]
        try:
            super().clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        finally:
            vars(plugin).pop("clip_grad_by_norm", None)

    # --- what changes between epochs ---

    def set_weights(self, weights: Mapping[str, float]) -> list[str]:
        """Give terms other weights, and return those of which the value without the weight is a metric from now on."""
        new = [name for name in weights if name not in self.measured]
        self.measured = [*self.measured, *new]
        use_weights(self.problem, weights, self.measured)
        for totals in self.totals.values() if new else ():
            totals.measure(self.measured)
        return new

    def changes_of(self, epoch: int) -> list[dict[str, Any]]:
        """Return the changes of the options that begin with an epoch."""
        return [dict(change) for change in self.options.changes if change["epoch"] == epoch]

    # --- epochs ---

    def on_train_epoch_start(self) -> None:
        self._counted = -1
        self.norms.clear()
        self.totals["train"].clear()
        self.totals["dev"].clear()
        self._fast.look()
        # here, since a scheduler has moved on by the epoch's end
        optimizer: Any = self.optimizers()
        self._lr = float((optimizer[0] if isinstance(optimizer, list) else optimizer).param_groups[0]["lr"])

    def on_validation_epoch_start(self) -> None:
        self.totals["dev"].clear()
        self._fast.look()

    def on_test_epoch_start(self) -> None:
        self.totals["test"].clear()
        self._fast.look()

    def on_validation_epoch_end(self) -> None:
        with section(self.trainer, "metrics"):
            means = self.totals["dev"].means()
        self._tell({f"dev_{name}": value for name, value in means.items()})

    def on_train_epoch_end(self) -> None:
        with section(self.trainer, "metrics"):
            self.row = row = self.metrics()
        self.epochs_done = self.current_epoch + 1
        self._check_finite(row)
        self._tell({name: value for name, value in row.items() if not name.startswith("dev_")})
        frequency = 1 if self._schedule is None else self._schedule.frequency
        if self._plateau is not None and self._plateau_monitor in row and (self.current_epoch + 1) % frequency == 0:
            self._plateau.step(row[self._plateau_monitor])

    def _check_finite(self, row: dict[str, float]) -> None:
        """Raise `NonFiniteLossError` where a loss of the epoch is not finite."""
        for split in ("train", "dev"):
            if not math.isfinite(row.get(f"{split}_loss", 0.0)):
                broken = [t.name for t in self.terms if not math.isfinite(row.get(f"{split}_{t.name}", 0.0))]
                raise self._lost(split, broken[0] if broken else "loss")

    def metric_names(self, dev: bool) -> list[str]:
        """Return the columns of a run's metrics, losses first as one reads them; `dev`, whether there is that split."""
        splits = ("train", "dev") if dev else ("train",)
        losses = [f"{split}_loss" for split in splits]
        rest = [f"{split}_{name}" for split in splits for name in self.totals[split].names if name != "loss"]
        return ["epoch", *losses, "lr", "seconds", *(GRADIENT if self.options.gradient_clip_val else ()), *rest]

    def metrics(self) -> dict[str, float]:
        """Return the epoch's metrics; without those of dev where no dev pass was made in this epoch."""
        row = {"lr": self._lr, **self.norms.metrics()}
        for split in ("train", "dev"):
            row |= {f"{split}_{name}": value for name, value in self.totals[split].means().items()}
        return row

    def test_metrics(self) -> dict[str, float]:
        """Return the metrics of the test split."""
        return {f"test_{name}": value for name, value in self.totals["test"].means().items()}

    def log_for(self, names: frozenset[str] | None) -> None:
        """Log these metrics (None: all) the Lightning way, for callbacks and loggers; each costs 0.3 ms an epoch."""
        self._log_names = names

    def _tell(self, metrics: dict[str, float]) -> None:
        chosen = {n: v for n, v in metrics.items() if self._log_names is None or n in self._log_names}
        if chosen:
            with section(self.trainer, "log"):
                self.log_dict(chosen)

    # --- checkpoints ---

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["epochs_done"] = self.epochs_done
        checkpoint["random_streams"] = self._streams.state_dict()
        if self._plateau is not None:
            checkpoint["plateau"] = self._plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._streams.load_state_dict(checkpoint["random_streams"])
        self._plateau_state = checkpoint.get("plateau")
        self.epochs_done = checkpoint["epochs_done"]
        fit_multipliers(self.problem, plain_names(checkpoint["state_dict"]))
        # Lightning counts steps at one place or another, by who optimizes: the fit may go on the other way
        loop, steps = checkpoint["loops"]["fit_loop"], checkpoint["global_step"]
        loop["epoch_loop.manual_optimization.optim_step_progress"]["total"] |= {"ready": steps, "completed": steps}
        automatic = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
        automatic["total"] |= {"ready": steps, "completed": steps}
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps

    def on_train_start(self) -> None:
        if self._plateau is not None and self._plateau_state is not None:
            self._plateau.load_state_dict(self._plateau_state)
        self._check_schedules()

    def __deepcopy__(self, memo: dict[int, Any]) -> ProblemModule:
        """Return a module with a copy of the Problem, as callbacks make that average weights; all else is shared."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        modules = copy_modules(dict(self.named_children()), memo)
        vars(copied).update({**vars(self), "_trainer": None, "_modules": modules})
        copied._fast = FastProblem(copied.problem, _tell)
        return copied


@contextmanager
def ready_to_train(problem: Problem) -> Iterator[None]:
    """Train mode within the block; after it, the modes and number types of all modules as they were."""
    modes = {module: module.training for module in problem.modules()}
    values = [*problem.parameters(), *problem.buffers()]
    types = [value.dtype for value in values]
    if not problem.training:  # a user who froze a part of a training Problem by eval() keeps that
        problem.train()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for value, dtype in zip(values, types, strict=True):  # which precision='64-true' and its like convert
            value.data = value.data.to(dtype)


def samples_of(batch: Batch) -> int:
    """Return how many samples a batch has."""
    if "index" in batch:
        return len(batch["index"])
    # a batch that a sampler of the user's made
    return next((len(value) for value in batch.values() if isinstance(value, torch.Tensor) and value.ndim), 1)
