"""What a LitTrainer gives after a fit, under the names of Lightning's and NeuroMANCER's trainers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from neuromancer.problem import Problem

from nmlab.analysis.score import score
from nmlab.analysis.trained import weighted_as_in
from nmlab.errors import RunError
from nmlab.launch.base import Fit
from nmlab.problem.weights import PREFIX, copy_weights
from nmlab.runs import Run
from nmlab.training.checkpoints import save_weights
from nmlab.training.user_hooks import HookedModule

_NOTHING_YET = "This LitTrainer has not fitted anything yet; call fit(problem, data_setup_function)."


class AfterFit:
    """The last fit of a trainer, and what there is to be read of it."""

    epochs: int

    def __init__(self) -> None:
        self._fit: Fit | None = None
        self._run: Run | None = None
        self._problem: Problem | None = None

    def get_weights(self) -> dict[str, torch.Tensor]:
        """Return the state of the Problem that was fitted last: the best weights by `eval_metric`.

        Returns
        -------
        dict[str, torch.Tensor]
            The Problem's state dict.
        """
        return dict(self._fitted.state_dict())

    def save_checkpoint(self, filepath: str | os.PathLike[str]) -> None:
        """Write the weights that the Problem holds, for Lightning and NeuroMANCER's `load_state_dict_lightning`.

        Parameters
        ----------
        filepath : path-like
            The file; its folder is made if need be. The states of optimizer and scheduler are in the run's folder
            alone.
        """
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        save_weights(copy_weights(self._fitted), Path(filepath), PREFIX)

    def validate(self) -> list[dict[str, float]]:
        """Score the weights that the Problem holds on the dev split of the last fit.

        Returns
        -------
        list of dict
            One dict, of metrics as in the record, as Lightning's Trainer returns it.
        """
        return self._scored("dev")

    def test(self) -> list[dict[str, float]]:
        """Score the weights that the Problem holds on the test split of the last fit.

        Returns
        -------
        list of dict
            One dict, of metrics as in the record, as Lightning's Trainer returns it.
        """
        return self._scored("test")

    @property
    def run(self) -> Run:
        """The record of the last fit, or of the best one in a sweep."""
        return self._last.run if self._run is None else self._run

    @property
    def lit_problem(self) -> HookedModule:
        """The LightningModule around the Problem of the last fit."""
        if self._last.module is None and self._last.request.options.launch != "thread":
            raise RunError("The LightningModule of this fit is in its own process; LitTrainer(launch='thread') has it.")
        if self._last.module is None:
            raise RunError("This LitTrainer's fit has not come to its training.")
        return self._last.module

    @property
    def lit_data_module(self) -> Any:
        """The LightningDataModule of the last fit."""
        return self.lit_problem.trainer.datamodule  # type: ignore[attr-defined]  # which Lightning gives it

    @property
    def callback_metrics(self) -> dict[str, torch.Tensor]:
        """All that was logged in the last fit, as it stood at its end, or stands now."""
        return self._last.logged or self.lit_problem.last_metrics or dict(self.lit_problem.trainer.callback_metrics)

    @property
    def logged_metrics(self) -> dict[str, torch.Tensor]:
        """The same as `callback_metrics`; the record has every term by epoch."""
        return self.callback_metrics

    @property
    def current_epoch(self) -> int:
        """How many epochs the last fit has trained; while it runs, the epoch's number from 0."""
        if self._fit is None:
            return 0
        if (module := self._fit.module) is not None:
            return int(module.current_epoch)
        return self._fit.run.epochs if self._fit.done else self._fit.control.progress.epoch

    @property
    def global_step(self) -> int:
        """How many steps the optimizers have made in the last fit."""
        return 0 if self._fit is None or self._fit.module is None else int(self._fit.module.global_step)

    @property
    def max_epochs(self) -> int:
        """Maximum number of epochs of a fit."""
        return self.epochs

    def _scored(self, split: str) -> list[dict[str, float]]:
        problem, splits = self._fitted, self._last.splits
        if splits is None and self._last.request.options.launch != "thread":
            raise RunError("The data of this fit are in its own process; LitTrainer(launch='thread') has them.")
        if splits is None:
            raise RunError("The data of this LitTrainer's last fit are gone; call nmlab.score(problem, data).")
        with weighted_as_in(self.run, problem):
            return [{f"{split}_{name}": value for name, value in score(problem, splits, split).items()}]

    @property
    def _fitted(self) -> Problem:
        if self._problem is None:
            raise RunError(_NOTHING_YET)
        return self._problem

    @property
    def _last(self) -> Fit:
        if self._fit is None:
            raise RunError(_NOTHING_YET)
        return self._fit
