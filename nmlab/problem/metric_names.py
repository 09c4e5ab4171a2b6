"""Names of the metrics of terms; needs no torch, since tables of runs read them."""

from __future__ import annotations

from collections.abc import Iterable

RAW = "_raw"
"""End of the name of a term's value without its weight."""

VIOLATIONS = ("_violation", "_violation_max")
"""Ends of the names of a constraint's violation: the mean over samples, and the largest."""

SPLITS = ("train_", "dev_", "test_")


def is_free_of_weights(metric: str) -> bool:
    """Return whether a metric of a run means the same whatever the terms' weights: a raw value or a violation."""
    return metric.endswith((RAW, *VIOLATIONS))


def raw_terms(metrics: Iterable[str]) -> list[str]:
    """Return the names of the terms whose raw values are among these metrics."""
    named = [name.removesuffix(RAW) for name in metrics if name.endswith(RAW) and name.startswith(SPLITS)]
    return [name.partition("_")[2] for name in named]
