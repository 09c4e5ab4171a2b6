"""What to try next, and what to give up early: Optuna by ask and tell, in this process and without a trace on disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from nmlab.fields.field import unknown_name
from nmlab.sweeps.config import Config

Samplers = optuna.samplers.BaseSampler
Pruners = optuna.pruners.BasePruner

SAMPLERS = {"tpe": "bayes", "random": "random", "grid": "grid"}
"""Names of samplers, and wandb's method for each."""

PRUNERS: dict[str, Callable[[int, int], Pruners]] = {
    "median": lambda trials, epochs: optuna.pruners.MedianPruner(
        n_startup_trials=max(2, min(5, trials // 4)), n_warmup_steps=epochs // 10
    ),
    "hyperband": lambda trials, epochs: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(epochs, 1)),
    "halving": lambda trials, epochs: optuna.pruners.SuccessiveHalvingPruner(),
}
"""Makes a pruner for so many trials of so many epochs."""


@dataclass(frozen=True)
class How:
    """How a sweep goes about it.

    Parameters: `sampler`, 'tpe', 'random', 'grid', one of Optuna's, or None for the configuration's method; `pruner`,
    'median', 'hyperband', 'halving', one of Optuna's, or None; `parallel`, how many trials at once; `seed` of what is
    drawn, None for the options'; `tied`, parameters of data function and builder that are one, None for those that
    agree.
    """

    sampler: str | Samplers | None = None
    pruner: str | Pruners | None = None
    parallel: int = 1
    seed: int | None = None
    tied: tuple[str, ...] | None = None

    def faults(self, launch: str) -> dict[str, str]:
        """Return what is wrong with it, by name; `launch` is where fits are carried out."""
        found = {}
        for name, given, known, kind in (
            ("sampler", self.sampler, SAMPLERS, Samplers),
            ("pruner", self.pruner, PRUNERS, Pruners),
        ):
            if given is not None and not isinstance(given, kind) and given not in known:
                what = unknown_name(given, list(known)) if isinstance(given, str) else f"{given!r} is none of Optuna's"
                found[name] = what
        if isinstance(self.parallel, bool) or not isinstance(self.parallel, int) or self.parallel < 1:
            found["parallel"] = f"{self.parallel!r}; give an integer of at least 1"
        elif self.parallel > 1 and launch != "process":
            found["parallel"] = f"{self.parallel} fits at once need processes of their own: options launch='process'"
        return found


@dataclass(frozen=True)
class Draw:
    """What was drawn for one trial: `params`, by parameter; `trial`, Optuna's."""

    params: dict[str, Any]
    trial: optuna.Trial


class TrialSampler:
    """Proposes draws and is told what came of them.

    Parameters: `config`; `count`, most trials, or None for all that the configuration has; `mode`, 'min' or 'max';
    `seed` of what is drawn; `how`, sampler and pruner; `epochs` of a trial.
    """

    def __init__(
        self, config: Config, count: int | None, mode: str, seed: int, how: How | None = None, epochs: int = 1
    ) -> None:
        how = how or How()
        self._distributions = {name: parameter.distribution for name, parameter in config.parameters.items()}
        draws = {name: parameter.draws or () for name, parameter in config.parameters.items()}
        self.combinations = math.prod(map(len, draws.values())) if config.method == "grid" else None
        """How many a grid has; None for no grid."""
        self.total = min(limit for limit in (count, config.most, self.combinations) if limit is not None)
        """How many trials there will be."""
        sampler: Samplers
        if isinstance(how.sampler, Samplers):
            sampler = how.sampler
        elif config.method == "bayes":
            # Optuna's ten random trials before the first that learns from others would be all of a short sweep
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, min(10, self.total // 3)))
        else:
            sampler = optuna.samplers.RandomSampler(seed=seed)
        pruner = PRUNERS[how.pruner](self.total, epochs) if isinstance(how.pruner, str) else how.pruner
        self.prunes = pruner is not None
        """Whether trials may be ended early."""
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study says that it was made
        try:
            self._study = optuna.create_study(
                sampler=sampler,
                pruner=pruner or optuna.pruners.NopPruner(),
                direction="maximize" if mode == "max" else "minimize",
            )
        finally:
            optuna.logging.set_verbosity(verbosity)
        if config.method == "grid":
            for number in range(self.total):  # itertools.product would hold all that a parameter can be
                point, rest = {}, number
                for name, each in reversed(draws.items()):
                    rest, at = divmod(rest, len(each))
                    point[name] = each[at]
                self._study.enqueue_trial(point)

    def ask(self) -> Draw:
        """Return the draws of the next trial."""
        trial = self._study.ask(self._distributions)
        return Draw(trial.params, trial)

    def is_hopeless(self, draw: Draw, epoch: int, value: float) -> bool:
        """Report a trial's metric after an epoch; return whether the pruner would end the trial here."""
        if math.isfinite(value):
            draw.trial.report(value, epoch)
        return draw.trial.should_prune()

    def tell(self, draw: Draw, value: float | None, pruned: bool = False) -> None:
        """Say what the trial's metric is; None where it failed, and `pruned` where it was ended early."""
        if value is None or pruned:
            # what Optuna is told to have failed it learns nothing from, and tries again; what is pruned counts as bad
            self._study.tell(draw.trial, state=TrialState.PRUNED)
        else:
            self._study.tell(draw.trial, value)
