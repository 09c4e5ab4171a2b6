"""Long curves reduced to few points without a visible change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def thin(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, columns: int = 320
) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve reduced to at most 4 points per interval.

    The first, the last, the lowest and the highest finite value of each interval are kept. This is M4 (Jugel et al.
    2014, https://doi.org/10.14778/2732951.2732953), which does not change the picture if an interval is one pixel wide.
    An interval without a finite value remains a gap.

    Parameters
    ----------
    x, y : sequence of float
        The curve.
    columns : int, default 320
        Number of intervals.

    Returns
    -------
    x, y : ndarray
        The reduced curve; the whole curve if it has at most 4 points per interval.
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
