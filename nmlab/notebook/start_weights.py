"""What the next runs of a Lab start from: its own start weights, those of a run, or those that were kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from neuromancer.problem import Problem

from nmlab.errors import RunError
from nmlab.problem.lazy import has_lazy
from nmlab.problem.weights import copy_weights, read_weights
from nmlab.runs import Run

KEPT = "kept weights"
"""What runs start from after `swap(keep_weights=True)`, in words."""

Weights = dict[str, torch.Tensor]


class StartWeights:
    """The weights that the next runs start from, and their name.

    Parameters
    ----------
    problem : Problem or callable
        The Lab's Problem, whose present weights are the Lab's own start weights; a builder has none.
    """

    def __init__(self, problem: Problem | Callable[[], Problem]) -> None:
        self._own: Weights | None = None
        if isinstance(problem, Problem):  # lazy modules get theirs in the first run, which adds them here
            self._own = {} if has_lazy(problem) else copy_weights(problem)
        self._kept: Weights | None = None
        self._pending = False
        self.name: str | None = None
        """None for the Lab's own start weights, a run's id, or "kept weights"."""
        self.weights: Weights | None = self._own
        """The weights; None for those that a builder gives, empty until the first run where modules are lazy."""

    @property
    def has_kept(self) -> bool:
        """Whether there are weights that `swap(keep_weights=True)` kept."""
        return self._kept is not None

    def take(self, run: Run | None) -> None:
        """Start from a run's best weights, or from the Lab's own start weights (None).

        Raises
        ------
        RunError
            Where the run kept no weights.
        """
        if run is None:
            self.name, self.weights = None, self._own
        elif run.checkpoint_path is None:
            raise RunError(f"Run {run.id} kept no checkpoint: there are no weights to start from.")
        else:
            self.name, self.weights = run.id, read_weights(run.checkpoint_path)
        self._pending = False

    def take_kept(self) -> None:
        """Start from the weights that were kept."""
        self.name, self.weights = KEPT, self._kept

    def swapped(self, keep: bool) -> None:
        """Start from the Lab's own start weights after other data were taken, or keep the present ones when due."""
        self._kept = None
        self.take(None)
        self._pending = keep

    def keep_if_asked(self, held: Problem | None, running: bool) -> None:
        """Keep the weights that a Problem holds, if that was asked for and no run changes them any more."""
        if self._pending and not running:
            if held is not None and not has_lazy(held):
                self._kept = copy_weights(held)
                self.take_kept()
            self._pending = False
