"""What to try next: Optuna's samplers by ask and tell, in this process and without a trace on disk."""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.trial import TrialState

from nmlab.sweeps.config import Config


class TrialSampler:
    """Proposes draws and is told what came of them, one at a time.

    Parameters: `config`; `count`, most trials, or None for all that the configuration has; `mode`, 'min' or 'max';
    `seed` of what is drawn.
    """

    def __init__(self, config: Config, count: int | None, mode: str, seed: int) -> None:
        self._distributions = {name: parameter.distribution for name, parameter in config.parameters.items()}
        draws = {name: parameter.draws or () for name, parameter in config.parameters.items()}
        self.combinations = math.prod(map(len, draws.values())) if config.method == "grid" else None
        """How many a grid has; None for no grid."""
        self.total = min(limit for limit in (count, config.most, self.combinations) if limit is not None)
        """How many trials there will be."""
        sampler: optuna.samplers.BaseSampler
        if config.method == "bayes":
            # Optuna's ten random trials before the first that learns from others would be all of a short sweep
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, min(10, self.total // 3)))
        else:
            sampler = optuna.samplers.RandomSampler(seed=seed)
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study says that it was made
        try:
            self._study = optuna.create_study(sampler=sampler, direction="maximize" if mode == "max" else "minimize")
        finally:
            optuna.logging.set_verbosity(verbosity)
        if config.method == "grid":
            for number in range(self.total):  # itertools.product would hold all that a parameter can be
                point, rest = {}, number
                for name, each in reversed(draws.items()):
                    rest, at = divmod(rest, len(each))
                    point[name] = each[at]
                self._study.enqueue_trial(point)

    def ask(self) -> dict[str, Any]:
        """Return the draws of the next trial, by parameter."""
        self._trial = self._study.ask(self._distributions)
        return self._trial.params

    def tell(self, value: float | None) -> None:
        """Say what the trial's metric is; None where it failed."""
        if value is None:
            # what Optuna is told to have failed it learns nothing from, and tries again; what is pruned counts as bad
            self._study.tell(self._trial, state=TrialState.PRUNED)
        else:
            self._study.tell(self._trial, value)
