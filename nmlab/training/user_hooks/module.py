"""The LightningModule around a Problem with a user's own steps and hooks in it.

They see what NeuroMANCER documents: `problem`, `train_metric`, `dev_metric`, `test_metric`, the lists of step outputs,
and all that Lightning gives a module. nmlab's record goes on beside them: what a step returns or logs is the loss of
its batch, and the terms are taken from the Problem's last output within the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, SupportsIndex

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from neuromancer.problem import Problem

from nmlab.data.loader import first_batch, trial_batches
from nmlab.data.splits import Batch
from nmlab.errors import FieldError, NonFiniteLossError
from nmlab.options import TrainerOptions
from nmlab.problem.state import preserving_state
from nmlab.runtime.control import Control, StopRequested
from nmlab.runtime.rng import RandomStreams
from nmlab.training.module import ProblemModule
from nmlab.training.ranks import Ranks
from nmlab.training.user_hooks.hooks import STEP_OF, STEPS, Hook, UserHooks

_KNOWN_AT = {"on_validation_epoch_end": ("dev",), "on_train_epoch_end": ("train", "dev")}
"""Splits whose losses Lightning's callback metrics have in a hook."""


LAST_LOSS = "train_loss_step"
TRAIN_MEANS = ("train_loss_epoch", "training_epoch_average")
"""Names under which NeuroMANCER's module logs the last batch's train loss, and the mean of all."""


class StepOutputs(list[Any]):
    """Outputs of an epoch's steps, without the graphs behind them."""

    def append(self, output: Any) -> None:
        super().append(_detached(output))

    def extend(self, outputs: Iterable[Any]) -> None:
        super().extend(_detached(output) for output in outputs)

    def insert(self, index: SupportsIndex, output: Any) -> None:
        super().insert(index, _detached(output))


class HookedModule(ProblemModule):
    """The LightningModule that trains a Problem with a custom training step and hooks.

    Parameters
    ----------
    problem, options, streams, control, monitor, ranks
        As in `ProblemModule`.
    user_hooks : UserHooks
        The custom functions.
    """

    def __init__(
        self,
        problem: Problem,
        options: TrainerOptions,
        streams: RandomStreams,
        control: Control,
        monitor: str,
        ranks: Ranks | None = None,
        *,
        user_hooks: UserHooks,
    ) -> None:
        super().__init__(problem, options, streams, control, monitor, ranks)
        self.automatic_optimization = user_hooks.automatic_optimization
        self.lr = options.lr
        metrics = {split: user_hooks.metrics.get(split, f"{split}_loss") for split in STEP_OF}
        self.train_metric, self.dev_metric, self.test_metric = metrics.values()
        self.training_step_outputs = StepOutputs()
        """What the training steps of this epoch gave, detached."""
        self.validation_step_outputs = StepOutputs()
        """What the dev steps of this epoch gave, detached."""
        self._last_loss: torch.Tensor | None = None
        self.last_metrics: dict[str, torch.Tensor] = {}
        """All that was logged, as it stood when the training ended."""
        self._events: TensorBoardLogger | None = None
        self._hooks = dict(user_hooks.hooks)
        self._untried = user_hooks.untried
        self._columns = {*super().metric_names(dev=True), "test_loss"} - {"epoch", "lr", "seconds"}
        self._logged_values: dict[str, list[float]] = {}
        self._returned: Any = None
        self._users_turn = self._drawing = False
        self._heard = True
        self.log_for(frozenset())
        for name, hook in self._hooks.items():
            if name not in STEPS:
                setattr(self, name, self._adapted(hook, getattr(self, name)))

    def get_problem(self) -> Problem:
        """Return the Problem, as NeuroMANCER's module does."""
        return self.problem

    @property
    def logger(self) -> Any:
        """The user's logger; where none was given one of TensorBoard's, which adds to the run's own events."""
        if self._trainer is None or self._trainer.logger is not None:
            return super().logger
        if self._events is None:
            self._events = TensorBoardLogger(self._trainer.default_root_dir, name="", version="")
        return self._events

    def teardown(self, stage: str) -> None:
        if self._events is not None:
            self._events.finalize("finished")

    # --- the user's functions ---

    def _adapted(self, hook: Hook, own: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function for Lightning to call: the user's instead of the module's own, or both."""
        # an optimizer's step runs the training step within, which has random numbers of its own
        draws = hook.name != "optimizer_step"

        def users(*arguments: Any, **keywords: Any) -> Any:
            for split in _KNOWN_AT.get(hook.name, ()):
                if self.totals[split].samples:
                    self.trainer.callback_metrics[f"{split}_loss"] = torch.tensor(self.totals[split].loss)
            with self._their_turn(draws):
                return hook(self, *arguments, **keywords)

        def both(*arguments: Any, **keywords: Any) -> Any:
            # what the user logs at an end goes into the record that nmlab makes there
            first, second = (users, own) if hook.name.endswith("_end") else (own, users)
            results = first(*arguments, **keywords), second(*arguments, **keywords)
            return next((result for result in results if result is not None), None)

        def optimizers() -> Any:
            if (made := users()) is None:
                raise FieldError({"configure_optimizers": "it returned None; return an optimizer"})
            return made

        if hook.name == "configure_optimizers":
            return optimizers
        return users if hook.instead else both

    @contextmanager
    def _their_turn(self, draws: bool = True) -> Iterator[None]:
        """Run the user's code on the fit's random numbers; what it logs under a name of nmlab's is taken over."""
        before = self._users_turn, self._drawing
        draws = draws and not self._drawing
        self._users_turn, self._drawing = True, self._drawing or draws
        if draws:
            self._streams.__enter__()
        try:
            yield
        except KeyboardInterrupt:  # by which Lightning would end the process
            self._control.stop()
            raise StopRequested from None
        finally:
            if draws:
                self._streams.__exit__()
            self._users_turn, self._drawing = before

    def log(self, name: str, value: Any, *arguments: Any, **keywords: Any) -> None:
        if self._repeated:  # another evaluation within the same step
            return
        if self._users_turn and name in self._columns:  # which is logged when its pass has ended
            self._logged_values.setdefault(name, []).append(float(_detached(value)))
            return
        if self._users_turn and isinstance(value, (int, float, torch.Tensor)):
            self.extra[name] = math.nan  # known when the epoch has ended
        super().log(name, value, *arguments, **keywords)

    def log_for(self, names: frozenset[str] | None) -> None:
        super().log_for(None if names is None else names | {"train_loss", "dev_loss"})

    # --- steps ---

    # what a step returned beside its loss goes on to the hooks that come after it

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self._last_loss = loss.detach()
        self._repeated = False
        returned, self._returned = self._returned, None
        return {**_detached(dict(returned)), "loss": loss} if isinstance(returned, Mapping) else loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        super().validation_step(batch, batch_idx)
        returned, self._returned = self._returned, None
        return _detached(returned)

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        super().test_step(batch, batch_idx)
        returned, self._returned = self._returned, None
        return _detached(returned)

    def _look(self, batch_idx: int) -> bool:
        # a step of the user's own may draw in some of its batches only
        return bool(self._hooks.keys() & set(STEPS)) or super()._look(batch_idx)

    def _pass(self, split: str, batch: Batch, batch_idx: int) -> dict[str, Any]:
        name = batch["name"]
        hook = self._hooks.get(STEP_OF[split])
        outputs = {"train": self.training_step_outputs, "dev": self.validation_step_outputs}.get(split, StepOutputs())
        if split == "train" and self._repeated:
            outputs = StepOutputs()  # one output counts for a step
        metric = getattr(self, f"{split}_metric")
        if hook is None:
            output = self._fast(batch) if metric == f"{name}_loss" else self.problem(batch)
            loss = output[metric]
            outputs.append(_detached(loss))  # it may be a list of the user's own
        else:
            loss, output = self._ask(hook, split, batch, batch_idx, outputs)
        self._heard = f"{name}_loss" in output
        if hook is None and metric == f"{name}_loss":
            return output
        unknown = loss.detach().new_full((), math.nan)
        keys = [key for term in self.terms for key in (term.key, term.violation_key) if key]
        return {**{f"{name}_{key}": unknown for key in keys}, **output, f"{name}_loss": loss}

    def _ask(
        self, hook: Hook, split: str, batch: Batch, batch_idx: int, outputs: StepOutputs
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Run a step of the user's; return its loss and the Problem's last output in it, {} for none."""
        output: dict[str, Any] = {}

        def hear(_module: Any, _arguments: Any, heard: dict[str, Any]) -> None:
            output.clear()
            output.update(heard)

        listening = self.problem.register_forward_hook(hear)
        drawing, self._drawing = self._drawing, True
        kept = len(outputs)
        try:
            with self._their_turn():
                result = hook(self, batch, batch_idx)
        finally:
            listening.remove()
            self._drawing = drawing
        told = self._logged_values.pop(f"{split}_loss", [])
        loss = result.get("loss") if isinstance(result, Mapping) else result
        if loss is None and (split != "train" or not self.automatic_optimization):
            found = [told[-1:], outputs[kept:][-1:], [output[key] for key in [self._metric(split)] if key in output]]
            loss = next((values[0] for values in found if values), None)
        if not isinstance(loss, (torch.Tensor, int, float)):
            raise FieldError({hook.name: self._no_loss(split, result)})
        loss = torch.as_tensor(loss, device=self.device)
        if loss.numel() != 1:
            fault = f"it returned a loss of shape {tuple(loss.shape)}; return a single number, such as its mean"
            raise FieldError({hook.name: fault})
        if split == "train" and self.automatic_optimization and not loss.requires_grad:
            fault = "it returned a loss without a gradient; return it as computed, not as a float or detached"
            raise FieldError({hook.name: fault})
        self._returned = result
        if split == "train":
            outputs.append(_detached(loss))
        return loss, output

    def _metric(self, split: str) -> str:
        return str(getattr(self, f"{split}_metric"))

    def _no_loss(self, split: str, result: Any) -> str:
        what = "nothing" if result is None else f"a {type(result).__name__}"
        if split == "train" and self.automatic_optimization:
            more = "a step that optimizes by itself needs automatic_optimization=False"
        else:
            more = f"self.log('{split}_loss', …) and self.problem(batch) tell it too"
        return f"it returned {what}; return the loss ({more})"

    def _lost(self, split: str, term: str) -> NonFiniteLossError:
        return super()._lost(split, term if self._heard else "loss")

    # --- epochs ---

    def on_fit_start(self) -> None:
        """Find the metrics in what the Problem gives: their names may have another prefix than the batches."""
        if "train" not in self._untried:
            super().on_fit_start()
        faults = {}
        splits = self.trainer.datamodule.splits  # type: ignore[attr-defined]  # nmlab's own
        for split, dataset in splits.items():
            name, metric = first_batch(dataset)["name"], self._metric(split)
            rest = metric.removeprefix(f"{name}_").removeprefix("nstep_").removeprefix(f"{split}_")
            if split == "test":  # often called as the other splits' are
                rest = rest.removeprefix("train_").removeprefix("dev_")
            if rest == "loss":
                setattr(self, f"{split}_metric", f"{name}_loss")
                continue
            keys = {term.name: f"{name}_{term.key}" for term in self.terms}
            if split in self._untried:
                setattr(self, f"{split}_metric", keys.get(rest, f"{name}_{rest}"))
                continue
            output = self._trial_output(split, dataset)
            keys |= {k: f"{name}_{k}" for k in ("loss", "objective_loss", "penalty_loss") if f"{name}_{k}" in output}
            key = next((key for key in (keys.get(rest), metric, f"{name}_{rest}") if key in output), None)
            if key is None:
                there = ", ".join(f"{split}_{known}" for known in keys)
                fault = f"{metric!r} is not an output of the Problem; the outputs are: {there}"
                if split == "test":  # which stops no training
                    splits.leave_out_test(f"test_metric: {fault}")
                else:
                    faults[f"{split}_metric"] = fault
            else:
                setattr(self, f"{split}_metric", key)
        if faults:
            raise FieldError(faults)

    def _trial_output(self, split: str, dataset: Any) -> dict[str, Any]:
        """Return what the Problem gives for a few samples of a split, or where these do not fit for a real batch."""
        gradients = split == "train" or bool(self.problem.grad_inference)
        *few, last = trial_batches(dataset, self.trainer.datamodule.batch_size)  # type: ignore[attr-defined]
        with preserving_state(self.problem), torch.set_grad_enabled(gradients), self._constants:
            for batch in few:
                with suppress(Exception):  # whatever a user's node raises; the real batch has been tried out
                    return self.problem(self.trainer.strategy.batch_to_device(batch, self.device))  # type: ignore[no-any-return]
            return self.problem(self.trainer.strategy.batch_to_device(last, self.device))  # type: ignore[no-any-return]

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._logged_values.clear()
        self.extra.clear()
        self.training_step_outputs.clear()
        self.validation_step_outputs.clear()

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.validation_step_outputs.clear()

    def on_validation_epoch_end(self) -> None:
        self._tell({name: value for name, value in self.metrics().items() if name.startswith("dev_")})

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        if self.extra:  # of which Lightning makes means, where they are to be
            known = self.trainer.callback_metrics
            self.extra = {name: float(known[name]) for name in self.extra if name in known}
        known = self.trainer.callback_metrics
        if self._last_loss is not None:  # by the names under which NeuroMANCER's module logs them
            known[LAST_LOSS] = self._last_loss
            known |= {name: torch.tensor(self.row["train_loss"]) for name in TRAIN_MEANS}
        if self._monitor not in super().metric_names(dev=True):  # one that the user's functions are to log
            if self._monitor not in known:
                there = ", ".join(sorted({*self.row, *known}))
                raise FieldError({"monitor": f"{self._monitor!r} is no metric of this fit; there are: {there}"})
            self.row[self._monitor] = float(known[self._monitor])

    def metric_names(self, dev: bool) -> list[str]:
        names = super().metric_names(dev)
        # whether the user's functions log what is monitored shows in the first epoch
        own = (self._hooks or self._monitor == LAST_LOSS) and self._monitor not in {*names, *self._columns}
        return [*names, self._monitor] if own else names

    def metrics(self) -> dict[str, float]:
        return super().metrics() | self._means_told(("train_", "dev_"))

    def test_metrics(self) -> dict[str, float]:
        return super().test_metrics() | self._means_told(("test_",))

    def _means_told(self, splits: tuple[str, ...]) -> dict[str, float]:
        return {
            name: sum(values) / len(values) for name, values in self._logged_values.items() if name.startswith(splits)
        }

    def on_fit_end(self) -> None:
        self.last_metrics = dict(self.trainer.callback_metrics)


def _detached(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.detach()
    if isinstance(output, dict):
        return {key: _detached(value) for key, value in output.items()}
    return type(output)(map(_detached, output)) if type(output) in (list, tuple) else output
