"""Where dev or test exceed the range of train, and whether by so much that chance does not explain it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from nmlab.runtime.text import typeset_number

FAR, NEAR, CHANCE = 0.25, 0.01, 1e-4
"""A split is warned of that exceeds the range of train by more than the fraction FAR of it; or by more than NEAR, in so
many values that the probability of as many is less than CHANCE for values from the distribution of train."""


def outside_train(
    what: str, parts: Mapping[str, np.ndarray], spans: Mapping[str, tuple[float, float, float, int]]
) -> Iterator[tuple[str, bool]]:
    """Yield how each split exceeds the range of train, and whether by so much that it deserves a warning."""
    if "train" not in parts or np.isnan(spans["train"][0]):
        return
    low, high, *_ = spans["train"]
    for split, values in parts.items():
        if np.isnan(spans[split][0]) or (spans[split][0] >= low and spans[split][1] <= high):
            continue
        each = values.reshape(len(values), -1)
        with np.errstate(invalid="ignore"):
            below, above = ((each < low) & np.isfinite(each)), ((each > high) & np.isfinite(each))
        outside = below | above
        found, farthest = how_far(each, below, above, (low, high))
        often = _probability(int(outside.sum()), each.size, parts["train"].size) < CHANCE
        yield f"{split}: {what} is {found}", farthest > FAR or (farthest > NEAR and often)


def how_far(values: np.ndarray, below: np.ndarray, above: np.ndarray, span: tuple[float, float]) -> tuple[str, float]:
    """Return in words how far values exceed the range of train, and how far as a fraction of that range.

    Parameters
    ----------
    values : numpy.ndarray of shape (samples, numbers)
        The values.
    below, above : numpy.ndarray of shape (samples, numbers)
        Which of them are less than the smallest and greater than the largest value in train.
    span : tuple of float
        Smallest and largest value in train.
    """
    (low, high), found, farthest = span, [], 0.0
    sides = (("below", "minimum", below, low, np.min), ("above", "maximum", above, high, np.max))
    for side, end, beyond, border, reach in sides:
        if beyond.any():
            far = abs(float(reach(values[beyond])) - border)
            share = far / (high - low) if high > low else np.inf
            farthest = max(farthest, share)
            text = f" ({_percent(share)} of its range)" if high > low else ""
            found.append(f"up to {typeset_number(far)} {side} train's {end} of {typeset_number(border)}{text}")
    count = int((below | above).any(axis=1).sum())
    return f"{' and '.join(found)}, in {count} of {len(values)} samples", farthest


def _probability(outside: int, size: int, train: int) -> float:
    """Return the probability that at least so many of `size` values are outside the range of `train` others.

    All are from one distribution; the numbers beyond either end are taken as independent and geometric.
    """
    share = size / (size + train)
    return float(share**outside * (1 + outside * (1 - share)))


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "less than 1%"
