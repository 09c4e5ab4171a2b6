"""The part of the module around a Problem that has to do with optimizers and schedules of the learning rate."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from neuromancer.problem import Problem

from nmlab.errors import FieldError
from nmlab.options import TrainerOptions
from nmlab.options.changes import before, lr_after
from nmlab.options.schedules import Schedule, build_schedule, length_faults, schedule_named
from nmlab.training.rates import change_rates
from nmlab.training.schedules import SPANNING, StretchedLR, renew, stretched

ONE_CYCLE = "OneCycleLR"
"""The schedule by name whose highest rate, not the first one, is the option `lr`."""


class ScheduledModule(LightningModule):
    """A LightningModule with the optimizer and the schedule that the options name.

    Parameters
    ----------
    options : TrainerOptions
        Determines optimizer and scheduler.
    monitor : str
        Name of the metric that determines the best epoch.
    """

    problem: Problem

    def __init__(self, options: TrainerOptions, monitor: str) -> None:
        super().__init__()
        self.options = options
        self._monitor = monitor
        self._plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._plateau_monitor = monitor
        self._plateau_state: dict[str, Any] | None = None
        self._schedule: Schedule | None = None
        self.extended: list[tuple[int, int, int]] = []
        """Epochs done, and the old and the new `max_epochs`, of each change of the training's length."""
        self.renews = False
        """Whether the length was changed just now, and a function makes the schedule for it."""
        self.remarks: list[str] = []
        """What the run's record should say."""
        self.taken_up = 0
        """Epochs that were done before this training, of a run that it goes on with."""
        self._base_lr: float | None = None

    def metric_names(self, dev: bool) -> list[str]:
        """Return the names of the metrics; `dev`, whether there is that split."""
        raise NotImplementedError

    @property
    def steps_schedulers(self) -> bool:
        """Whether schedulers are stepped here, and not by the user's own code."""
        return self.automatic_optimization

    def configure_optimizers(self) -> Any:
        options = self.options
        optimizer = options.build_optimizer(self.problem)
        schedule, name = None, schedule_named(options.lr_scheduler)
        begun = options.lr if name == ONE_CYCLE else float(optimizer.param_groups[0]["lr"])
        self._base_lr = lr_after(begun, before(options.changes, self.taken_up))
        if self.extended and name in SPANNING:
            change_rates([optimizer], [], begun, self._base_lr)
            schedule, rows = stretched(self._now(options), optimizer, self.extended, self._scheduler_steps)
            if schedule is not None:
                schedule = replace(schedule, scheduler=StretchedLR(optimizer, rows, str(schedule.name)))
        else:
            epochs = options.max_epochs
            schedule = build_schedule(options, optimizer, lambda *when: self._scheduler_steps(epochs, *when))
        self._schedule = schedule
        if schedule is None:
            return optimizer
        if schedule.guessed is not None:
            logging.getLogger("nmlab").info(schedule.guessed)
            self.remarks.append(schedule.guessed)
        if isinstance(schedule.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            # stepped here: Lightning leaves it out of the epoch after which a fit was resumed
            self._plateau = schedule.scheduler
            self._plateau_monitor = schedule.monitor or self._monitor
            self._check_plateau(schedule)
            return optimizer
        config = {
            "scheduler": schedule.scheduler,
            "interval": schedule.interval,
            "frequency": schedule.frequency,
        }
        return {"optimizer": optimizer, "lr_scheduler": config}

    def change_length(self, done: int, epochs: int) -> None:
        """Train for another number of epochs; a schedule that spans the fit is stretched.

        Parameters: `done`, epochs that have ended; `epochs`, all.
        """
        self.extended = [*self.extended, (done, self.options.max_epochs, epochs)]
        self.options = self.options.replace(max_epochs=epochs)
        if self._schedule is not None and self._schedule.name in SPANNING:
            self._stretch()

    def change_lr(self, lr: float) -> None:
        """Set the base rate from which a scheduler goes on; all groups' rates change by the same factor."""
        optimizers, configs = self.trainer.optimizers, self.trainer.lr_scheduler_configs
        first = optimizers[0].param_groups[0]
        old = self._base_lr if self._base_lr is not None else float(first.get("initial_lr", first["lr"]))
        plateau = [] if self._plateau is None else [self._plateau]
        change_rates(optimizers, [*(config.scheduler for config in configs), *plateau], old, lr)
        self._base_lr = lr
        if any(isinstance(config.scheduler, StretchedLR) for config in configs):
            self._stretch()

    @property
    def base_lr(self) -> float | None:
        """The rate from which a scheduler goes on; None for an optimizer that a user's hook makes."""
        return self._base_lr

    def _now(self, options: TrainerOptions) -> TrainerOptions:
        """Return options with the base rate as it is now."""
        return options if self._base_lr is None else options.replace(lr=self._base_lr)

    def _stretch(self) -> None:
        """Replace the scheduler by one that is stretched after all changes of the length."""
        schedule = self._schedule
        assert schedule is not None
        optimizer, config = self.trainer.optimizers[0], self.trainer.lr_scheduler_configs[0]
        begun = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:  # from which the schedule began
            group["lr"] = group.get("initial_lr", group["lr"])
        options = self._now(self.options)
        if schedule.name == ONE_CYCLE:
            for group in optimizer.param_groups:
                group["lr"] = options.lr
        _, rows = stretched(options, optimizer, self.extended, self._scheduler_steps)
        for group, lr in zip(optimizer.param_groups, begun, strict=True):
            group["lr"] = lr
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of a scheduler that begins late
            longer = StretchedLR(optimizer, rows, str(schedule.name))
        longer.load_state_dict({"last_epoch": config.scheduler.last_epoch})
        config.scheduler = longer

    def _check_plateau(self, schedule: Schedule) -> None:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # nmlab's own
        columns = dict.fromkeys([*self.metric_names(data.splits.dev is not None), self._monitor])
        faults = []
        if schedule.interval != "epoch":
            faults.append("ReduceLROnPlateau follows the metrics of epochs; give interval='epoch'")
        if self._plateau_monitor not in columns:
            there = ", ".join(columns)
            faults.append(f"its monitor {self._plateau_monitor!r} is no metric of this fit; there are: {there}")
        if faults:
            raise FieldError({"lr_scheduler": "; ".join(faults)})

    def _scheduler_steps(self, epochs: int, interval: str, frequency: int) -> int:
        """Return how often a scheduler is stepped in so many epochs."""
        limited = self.trainer.max_steps is not None and self.trainer.max_steps >= 0
        if interval == "epoch" and not limited:
            return epochs // frequency
        batches, together = self._batches_and_accumulation()
        ends = [batch for batch in range(1, batches + 1) if batch % together == 0 or batch == batches]
        if limited:
            epochs = min(epochs, -(-self.trainer.max_steps // len(ends)))
        if interval == "epoch":
            return epochs // frequency
        steps = epochs * sum(batch % frequency == 0 for batch in ends)
        return min(steps, self.trainer.max_steps) if limited and frequency == 1 else steps

    def _batches_and_accumulation(self) -> tuple[int, int]:
        """Return how many batches an epoch has, and after how many the optimizer takes a step."""
        self.trainer.fit_loop.setup_data()
        return int(self.trainer.num_training_batches), int(self.trainer.accumulate_grad_batches)

    def _check_schedules(self) -> None:
        """Before the first step, compare what schedulers are made for with what they will do."""
        done = self.trainer.current_epoch
        for config in self.trainer.lr_scheduler_configs if self.steps_schedulers else []:
            if self.renews and self._schedule is not None and self._schedule.name is None:
                config.scheduler = renew(
                    self._schedule, self.options, self.trainer.optimizers[0], done, self._scheduler_steps
                )
            taken = int(getattr(config.scheduler, "last_epoch", 0))
            steps = [
                self._scheduler_steps(epochs, config.interval, config.frequency)
                for epochs in (done, self.options.max_epochs)
            ]
            unit = {"step": "step of the optimizer", "epoch": "epoch"}[config.interval]
            unit = unit if config.frequency == 1 else f"{config.frequency} {unit.replace('step', 'steps', 1)}s"
            fault, warning = length_faults(config.scheduler, taken, steps[1] - steps[0], unit)
            if fault is not None:
                raise FieldError({"lr_scheduler": fault})
            if warning is not None:
                warnings.warn(f"lr_scheduler: {warning}", stacklevel=2)
                self.remarks.append(warning)

    def begin_comparing_anew(self) -> None:
        """Forget what a scheduler compared metrics with, where those to come mean something else."""
        if self._plateau is not None:
            fresh = type(self._plateau)(self._plateau.optimizer, mode=self._plateau.mode)
            self._plateau.best, self._plateau.num_bad_epochs = fresh.best, 0
