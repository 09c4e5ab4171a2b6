"""A training loop other than nmlab's own, as `Trainer` has NeuroMANCER's."""

from __future__ import annotations

from typing import Any, Protocol

from nmlab.runtime.rng import RandomStreams
from nmlab.training.whole_epochs import WholeEpochsModule


class Loop(Protocol):
    """What a fit asks of such a loop; its optimizer and callbacks go on with the states in which they are."""

    def make_streams(self, seed: int) -> RandomStreams:
        """Return the random numbers that the fit draws."""

    def make_module(self, *arguments: Any) -> WholeEpochsModule:
        """Return the module that Lightning trains, from a `ProblemModule`'s arguments."""

    def to_json(self) -> dict[str, Any]:
        """Return what a run's settings keep of it."""
