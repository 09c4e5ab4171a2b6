"""Long curves made short without a change that could be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def thin(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, columns: int = 320
) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve with at most 4 points a column, among them the extremes of every stretch.

    Of each of `columns` stretches the first, the last, the least and the greatest finite value stay: M4 (Jugel et al.
    2014, https://doi.org/10.14778/2732951.2732953), whose picture is that of the whole curve where a column is a pixel.
    A stretch without a finite value stays a gap.
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if len(xs) <= 4 * columns:
        return xs, ys
    size = -(-len(xs) // columns)
    starts = np.arange(0, len(xs), size)
    padded = np.full(len(starts) * size, np.nan)
    padded[: len(ys)] = ys
    stretches = padded.reshape(-1, size)
    finite = np.isfinite(stretches)
    least = starts + np.where(finite, stretches, np.inf).argmin(axis=1)
    greatest = starts + np.where(finite, stretches, -np.inf).argmax(axis=1)
    last = np.minimum(starts + size, len(xs)) - 1
    kept = np.unique(np.concatenate([starts, least, greatest, last]))
    return xs[kept], ys[kept]
