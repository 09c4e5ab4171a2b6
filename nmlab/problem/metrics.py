"""Metrics of one pass over a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from itertools import groupby
from typing import Any

import torch

from nmlab.problem.metric_names import RAW
from nmlab.problem.term_weights import unweighted
from nmlab.problem.terms import Term

HELD = 1_000_000
"""Number of violations to store before they are reduced at once; many small reductions would be slow."""


class MetricAccumulator:
    """Metrics of one pass over a split, weighted by samples, which stay on their device until they are read.

    Parameters
    ----------
    terms : list of Term
        Terms of the Problem.
    measured : collection of str, default ()
        Names of the terms whose value without the weight is a metric too; see `nmlab.problem.term_weights.Weight`.
    """

    def __init__(self, terms: list[Term], measured: Collection[str] = ()) -> None:
        self.gather: Callable[[torch.Tensor], torch.Tensor] | None = None
        """Takes a vector and returns those of all processes as rows, where several pass parts of each batch."""
        self._terms = terms
        self.measure(measured)

    def measure(self, measured: Collection[str]) -> None:
        """Take in the values of these terms without their weights too; removes all batches."""
        raw = [term for term in self._terms if term.name in measured]
        violated = [term for term in self._terms if term.violation_key]
        self.names = ["loss", *(term.name for term in self._terms), *(f"{term.name}{RAW}" for term in raw)]
        """Names of the values that `means` returns."""
        self.names += [f"{term.name}_{kind}" for kind in ("violation", "violation_max") for term in violated]
        keys = ["loss", *(term.key for term in self._terms)]
        self._keys = keys, [term.key for term in raw], [term.violation_key for term in violated]
        self._numbers = len(keys) + len(raw)  # how many of the values are a single number
        self._called: dict[str, list[list[str]]] = {}
        self.clear()

    def clear(self) -> None:
        """Remove all batches."""
        self._means: list[torch.Tensor] = []
        self._maxima: list[torch.Tensor] = []
        self._samples: list[int] = []
        self._waiting: list[list[torch.Tensor]] = []
        self._held = 0

    def add(self, output: dict[str, Any], name: str, samples: int) -> None:
        """Add the output of the Problem for a batch.

        Parameters
        ----------
        output : dict
            Output of the Problem.
        name : str
            Name of the batch, with which the keys of the output begin.
        samples : int
            Number of samples of the batch.
        """
        keys = self._called.get(name)
        if keys is None:
            keys = self._called[name] = [[f"{name}_{key}" for key in group] for group in self._keys]
        numbers, raw, violations = keys
        values = [_detached(output[key]) for key in numbers]
        values += [_detached(unweighted(output[key])) for key in raw]
        values += [_detached(output[key]) for key in violations]
        self._waiting.append(values)
        self._samples.append(samples)
        self._held += sum(violation.numel() for violation in values[self._numbers :])
        if self._held > HELD:
            self._reduce()

    def _reduce(self) -> None:
        """Reduce the waiting batches to their means and maxima, one row per batch."""
        count = self._numbers
        for _, group in groupby(self._waiting, key=lambda values: [value.shape for value in values]):
            batches = list(group)
            if any(number.ndim for number in batches[0][:count]):
                # a term is a number; NeuroMANCER also accepts a tensor of several numbers and uses their mean
                batches = [[number.mean() for number in batch[:count]] + batch[count:] for batch in batches]
            means = [torch.stack([number for batch in batches for number in batch[:count]]).reshape(-1, count)]
            if len(batches[0]) > count:
                columns = zip(*(batch[count:] for batch in batches), strict=True)
                violations = [torch.stack(column).reshape(len(column), -1) for column in columns]
                means.append(torch.stack([violation.mean(1) for violation in violations], 1))
                self._maxima.append(torch.stack([violation.amax() for violation in violations]))
            self._means.append(torch.cat(means, 1))
        self._waiting.clear()
        self._held = 0

    def _of_one(self, values: list[torch.Tensor]) -> list[float]:
        """Return the means of a pass of one batch, with few operations and one synchronization with the device."""
        numbers, violations = values[: self._numbers], values[self._numbers :]
        numbers = [number.mean() if number.ndim else number for number in numbers]
        worst = [violation.amax() for violation in violations]
        return torch.stack([*numbers, *(violation.mean() for violation in violations), *worst]).tolist()

    @property
    def samples(self) -> int:
        """Number of samples so far."""
        return sum(self._samples)

    @property
    def loss(self) -> float:
        """Mean loss so far, NaN before the first batch; waits for the device."""
        return self.means().get("loss", math.nan)

    def means(self) -> dict[str, float]:
        """Return the means of loss and terms, and each constraint's mean and maximum violation.

        Returns
        -------
        dict of str to float
            Values by name, those without weight as `…_raw`, of violations as `…_violation` and `…_violation_max`; {}
            without batches.
        """
        with torch.no_grad():
            if len(self._samples) == len(self._waiting) == 1 and self.gather is None:
                return dict(zip(self.names, self._of_one(self._waiting[0]), strict=True))
            self._reduce()
        if not self._means:
            return {}
        weights = torch.tensor(self._samples, dtype=torch.float64, device="cpu")
        means = torch.cat(self._means).cpu().double()
        maxima = torch.stack(self._maxima).amax(0).cpu().double() if self._maxima else means[0, :0]
        if self.gather is None:
            average = (means * (weights / self.samples)[:, None]).sum(0)
        else:
            sums = (means * weights[:, None]).sum(0)
            every = self.gather(torch.cat([weights.sum()[None], sums, maxima]))
            average = every[:, 1 : 1 + len(sums)].sum(0) / every[:, 0].sum()
            maxima = every[:, 1 + len(sums) :].amax(0)
        return dict(zip(self.names, average.tolist() + maxima.tolist(), strict=True))


def _detached(value: Any) -> torch.Tensor:
    return value.detach() if isinstance(value, torch.Tensor) else torch.tensor(value)
