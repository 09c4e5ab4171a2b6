"""The norm of the gradient before it is clipped, over the steps of an epoch."""

from __future__ import annotations

import math

import torch

COLUMNS = ("grad_norm", "grad_norm_max", "grad_clipped")
"""Metrics of an epoch: mean and maximum of the norm, and the share of the steps that were clipped."""

HELD = 10_000
"""Number of norms to store before they are reduced at once."""


class GradientNorms:
    """The norms of an epoch's steps, which stay on their device until they are read.

    Parameters
    ----------
    maximum : float or None
        The norm from which on a gradient is clipped; None for none.
    """

    def __init__(self, maximum: float | None) -> None:
        self.maximum = maximum
        self.clear()

    def clear(self) -> None:
        """Remove all norms."""
        self._waiting: list[torch.Tensor] = []
        self._sum = self._clipped = self._count = 0.0
        self._maxima: list[float] = []

    def add(self, norm: torch.Tensor | None) -> None:
        """Add the norm that a step's clipping has computed; None for a step without a gradient."""
        if norm is not None:
            self._waiting.append(norm.detach())
            if len(self._waiting) >= HELD:
                self._reduce()

    def _reduce(self) -> None:
        if self._waiting:
            norms = torch.stack(self._waiting)
            limit = torch.inf if self.maximum is None else self.maximum
            factors, values = (limit / (norms + 1e-6)).tolist(), norms.tolist()  # as torch scales, to the last bit
            self._sum += math.fsum(values)
            self._maxima.append(math.nan if any(map(math.isnan, values)) else max(values))
            self._clipped += sum(factor < 1.0 for factor in factors)
            self._count += len(values)
            self._waiting.clear()

    def metrics(self) -> dict[str, float]:
        """Return the metrics; {} where no step was clipped or could have been."""
        self._reduce()
        if not self._count:
            return {}
        largest = math.nan if any(map(math.isnan, self._maxima)) else max(self._maxima)
        return dict(zip(COLUMNS, (self._sum / self._count, largest, self._clipped / self._count), strict=True))
