"""The norm of the gradient before it is clipped, over the steps of an epoch."""

from __future__ import annotations

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
        self._reduced: list[torch.Tensor] = []
        self._count = 0

    def add(self, norm: torch.Tensor | None) -> None:
        """Add the norm that a step's clipping has computed; None for a step without a gradient."""
        if norm is not None:
            self._waiting.append(norm.detach())
            if len(self._waiting) >= HELD:
                self._reduce()

    def _reduce(self) -> None:
        if self._waiting:
            norms = torch.stack(self._waiting)
            # as torch has it, to the last bit
            clipped = (torch.inf if self.maximum is None else self.maximum) / (norms + 1e-6) < 1.0
            parts = [norms.double().sum(), norms.double().amax(), clipped.double().sum()]
            self._reduced.append(torch.stack(parts).cpu())
            self._count += len(norms)
            self._waiting.clear()

    def metrics(self) -> dict[str, float]:
        """Return the metrics; {} where no step was clipped or could have been."""
        self._reduce()
        if not self._count:
            return {}
        parts = torch.stack(self._reduced)
        values = parts[:, 0].sum() / self._count, parts[:, 1].amax(), parts[:, 2].sum() / self._count
        return dict(zip(COLUMNS, map(float, values), strict=True))
