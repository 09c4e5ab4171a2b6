"""What the next runs of a Lab start from: its own start weights, those of a run, or those that were kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from neuromancer.problem import Problem

from nmlab.errors import RunError
from nmlab.problem.lazy import has_lazy
from nmlab.problem.start import Start, start_of
from nmlab.problem.weights import copy_weights, read_weights
from nmlab.runs import Run

KEPT = "kept weights"
"""What runs start from after `swap(keep_weights=True)`, in words."""

NEW_START = "The Problem's weights were changed, and not by a fit: the runs of this Lab now start from {}."
"""What is said once of them."""

Weights = dict[str, torch.Tensor]


class StartWeights:
    """The weights that the next runs start from, and their name.

    Parameters
    ----------
    problem : Problem or callable
        The Lab's Problem, whose weights as nmlab first saw them are the Lab's own start weights; a builder has none.
    """

    def __init__(self, problem: Problem | Callable[..., Problem]) -> None:
        self._problem = problem if isinstance(problem, Problem) else None
        self._own: Start | None = None
        self._kept: Weights | None = None
        self._pending = False
        self._taken: tuple[str, Weights] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Take weights to which something else than a fit changed the Problem's for the Lab's own start weights."""
        if self._problem is not None:
            self._own = start_of(self._problem)

    def news(self) -> str | None:
        """Return once what to say of own start weights that something else than a fit changed; else None."""
        self.refresh()
        if self._own is None or self._taken is not None or not self._own.is_news:
            return None
        self._own.is_news = False
        return NEW_START.format(self.own_name)

    @property
    def name(self) -> str | None:
        """Where the weights come from: a run's id, or words; None for those that the Problem had at first."""
        return self._taken[0] if self._taken is not None else self._own.name if self._own is not None else None

    @property
    def choice(self) -> str:
        """The name of weights that were chosen instead of the Lab's own start weights; "" for these."""
        return self._taken[0] if self._taken is not None else ""

    @property
    def own_name(self) -> str:
        """What the Lab's own start weights are called."""
        name = self._own.name if self._own is not None else None
        return "fresh weights" if name is None else name if " " in name else f"weights of run {name}"

    @property
    def weights(self) -> Weights | None:
        """The weights; None for those that a builder gives, empty until the first run where modules are lazy."""
        if self._taken is not None:
            return self._taken[1]
        return self._own.weights if self._own is not None else None

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
            self._taken = None
        elif run.checkpoint_path is None:
            raise RunError(f"Run {run.id} kept no checkpoint: there are no weights to start from.")
        else:
            self._taken = run.id, read_weights(run.checkpoint_path)
        self._pending = False

    def take_kept(self) -> None:
        """Start from the weights that were kept."""
        self._taken = None if self._kept is None else (KEPT, self._kept)

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
