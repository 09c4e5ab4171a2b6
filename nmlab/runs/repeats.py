"""Runs with the same settings on several seeds: one group, with a mean, a spread, and tests of differences."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nmlab.runs.place import uid_of
from nmlab.runs.summary import Summary
from nmlab.runtime.text import number_text

T = TypeVar("T")

ONE_SEED = (
    "One seed each says little of whether the difference is real: lab.repeat(5) does the same settings on further "
    "seeds."
)


def group_key(settings: Mapping[str, Any]) -> str | None:
    """Return what runs of one group have in common, and of a run without others its unique id; None if unknown."""
    repeat = settings.get("repeat")
    return str(repeat["group"]) if isinstance(repeat, dict) and repeat.get("group") else uid_of(settings)


@dataclass(frozen=True)
class Group:
    """Runs with the same settings on several seeds, or a single run."""

    members: tuple[Summary, ...]

    @property
    def values(self) -> list[float]:
        """The best values of the monitored metric, of the runs that have one and have ended."""
        return [each.best for each in self.members if each.best is not None and each.status not in UNENDED]

    @property
    def mean(self) -> float | None:
        """Mean of the best values; None where there are none."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of the best values; None of fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        """The mean and its spread, such as '0.52 ± 0.08'."""
        return spread_text(self.mean, self.spread)

    @property
    def name(self) -> str:
        """The ids of its runs in short, such as '0001-rings and 4 more seeds'."""
        more = len(self.members) - 1
        return self.members[0].id + (f" and {more} more seed{'s' * (more > 1)}" if more else "")

    def overlap(self, other: Group) -> float:
        """Return by how much the intervals of mean ± spread of two groups overlap; 0 or less if they do not."""
        (low, high), (others_low, others_high) = self._interval, other._interval
        return min(high, others_high) - max(low, others_low)

    @property
    def _interval(self) -> tuple[float, float]:
        mean, spread = self.mean or 0.0, self.spread or 0.0
        return mean - spread, mean + spread


UNENDED = ("running", "damaged")
"""States of runs whose best value may still change, or cannot be read."""


def spread_text(mean: float | None, spread: float | None) -> str:
    """Return a mean and a spread as text, the mean to the digits that the spread leaves it."""
    if mean is None:
        return ""
    if not spread:
        return number_text(mean) if spread is None else f"{number_text(mean)} ± 0"
    digits = max(2 - math.floor(math.log10(spread)) - 1, 0)
    if digits > 8 or abs(mean) >= 1e6:
        return f"{number_text(mean)} ± {spread:.2g}"
    return f"{mean:.{digits}f} ± {spread:.{digits}f}"


def groups_of(summaries: Iterable[Summary]) -> list[Group]:
    """Return the groups, in the order of their first runs; a run that was not repeated is one alone."""
    return [Group(tuple(members)) for members in grouped(summaries, lambda summary: summary.settings)]


def grouped(items: Iterable[T], settings_of: Callable[[T], Mapping[str, Any]]) -> list[list[T]]:
    """Return runs, or what stands for them, those of a group together."""
    found: dict[Any, list[tuple[bool, T]]] = {}
    for number, item in enumerate(items):
        settings = settings_of(item)
        key = group_key(settings)
        found.setdefault(number if key is None else key, []).append((bool(settings.get("repeat")), item))
    groups: list[list[T]] = []
    for members in found.values():
        each = [item for _, item in members]
        # a folder that was copied is no repeat
        groups += [each] if any(repeats for repeats, _ in members) else [[item] for item in each]
    return groups


def chance_text(a: Sequence[float], b: Sequence[float], metric: str) -> str:
    """Say how likely a difference between the values of two groups is by chance.

    By Welch's t-test for two samples of unequal variance, two-sided (B. L. Welch, Biometrika 34, 1947, 28-35). It takes
    the values of different seeds as independent and roughly normally distributed.

    Parameters
    ----------
    a, b : sequence of float
        The best value of each run of a group.
    metric : str
        What they are values of.

    Returns
    -------
    str
        A sentence.
    """
    described = [
        f"{spread_text(statistics.fmean(each), statistics.stdev(each) if len(each) > 1 else None)} over "
        f"{len(each)} seed{'s' * (len(each) != 1)}"
        for each in (a, b)
    ]
    told = f"Best {metric}: {described[0]}, and {described[1]}."
    if min(len(a), len(b)) < 2:
        return f"{told} With one seed on a side, it cannot be told whether the difference is real."
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are nearly equal
        p = float(stats.ttest_ind(a, b, equal_var=False).pvalue)
    if not math.isfinite(p):
        return f"{told} The seeds make no difference, so there is no chance to speak of."
    share = f"{100 * p:.2g} %" if p >= 0.0001 else "less than 0.01 %"
    return (
        f"{told} If the settings made no difference, one at least this large would appear by chance in {share} of such "
        "comparisons (Welch's t-test, two-sided)."
    )
