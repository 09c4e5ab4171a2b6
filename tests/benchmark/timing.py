"""How long something takes beside something else.

All take turns, so that a machine's noise hits them alike, and what counts is a ratio within a round. Where fits cannot
be held between two epochs (`turns` does that), seconds an epoch are the slope between a short and a long fit, so that
starting up is left out.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Accelerator = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Scale:
    """How thoroughly to measure.

    Parameters: `quick`, everything smaller; `rounds`; `seconds` of all long fits of a round together; `problems`,
    parts of the names of those that are wanted, none for all; `accelerator`, where headless fits compute.
    """

    quick: bool = False
    rounds: int = 5
    seconds: float = 30.0
    problems: tuple[str, ...] = ()
    accelerator: Accelerator = "cpu"

    def wants(self, problem: str) -> bool:
        return not self.problems or any(part.lower() in problem.lower() for part in self.problems)

    def shorter(self) -> Scale:
        """For what is measured at many sizes."""
        return replace(self, rounds=max(2, self.rounds // 2), seconds=self.seconds / 2)

    def __str__(self) -> str:
        return f"{self.rounds} rounds of about {self.seconds:g} s{', all smaller' if self.quick else ''}"


@dataclass(frozen=True)
class Taken:
    """Seconds on the wall, and of this process's threads on the processor; these a busy machine disturbs less."""

    wall: float
    cpu: float

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Taken) -> Taken:
        return Taken(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, number: float) -> Taken:
        return Taken(self.wall / number, self.cpu / number)


def now() -> Taken:
    return Taken(time.perf_counter(), time.process_time())


def clocked(act: Callable[[], object]) -> Taken:
    """What a call takes; what earlier ones left behind is collected before."""
    gc.collect()
    start = now()
    act()
    return now() - start


def slope(fit: Callable[[int], object], short: int, long: int) -> Taken:
    """Seconds an epoch of a fit that is called with the number of epochs."""
    few, many = clocked(lambda: fit(short)), clocked(lambda: fit(long))
    return (many - few) / (long - short)


@dataclass(frozen=True)
class Ratio:
    """The median over the rounds, with the least and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Iterable[float]) -> Ratio:
        values = list(ratios)
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass
class Timings:
    """What each contestant took in each round, and why some could not be timed."""

    taken: dict[str, list[Taken]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    epochs: dict[str, Any] = field(default_factory=dict)
    """Of the short fit and of the long one; or of a turn."""

    def median(self, name: str) -> Taken:
        rounds = self.taken[name]
        return Taken(statistics.median(t.wall for t in rounds), statistics.median(t.cpu for t in rounds))

    def ratio(self, name: str, to: str) -> Ratio:
        """How many times as long `name` takes on the wall, round by round."""
        return Ratio.of(a.wall / b.wall for a, b in zip(self.taken[name], self.taken[to], strict=True))

    def cpu_ratio(self, name: str, to: str) -> Ratio:
        """The same by the processor's time."""
        return Ratio.of(a.cpu / b.cpu for a, b in zip(self.taken[name], self.taken[to], strict=True))


Slope = Callable[[int, int], Taken]
"""Called with the epochs of the short fit and of the long one, returns what an epoch takes."""


def interleaved(contestants: Mapping[str, Slope], rounds: int, seconds: float, may_fail: Iterable[str] = ()) -> Timings:
    """Time them in turns, each round beginning with another one.

    First turns warm up, and say how many epochs each needs for its share of about `seconds` a round: the same time for
    all, since in few epochs of the fast ones noise would show. One of `may_fail` that raises there is left out, with
    what it raised noted.
    """
    timings = Timings()
    for name, run in contestants.items():
        try:
            run(1, 2)  # what only a process's first fit takes, imports above all, would turn the slope over
            an_epoch = run(1, 3)
            if an_epoch.wall < 0.1:  # two so short ones say little
                an_epoch = run(10, 50)
            timings.epochs[name] = epochs_of_a_round(an_epoch, seconds / len(contestants))
        except Exception as error:
            if name not in may_fail:
                raise
            timings.failed[name] = in_a_line(error)
    names = list(timings.epochs)
    timings.taken = {name: [] for name in names}
    for turn in range(rounds):
        for name in rotated(names, turn):
            timings.taken[name].append(contestants[name](*timings.epochs[name]))
    return timings


def rotated(names: list[str], turn: int) -> list[str]:
    """Each turn begins with another one."""
    shift = turn % len(names)
    return names[shift:] + names[:shift]


def in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def epochs_of_a_round(an_epoch: Taken, seconds: float) -> tuple[int, int]:
    """Epochs of the short fit and of the long one, which takes about `seconds`.

    At least five lie between them: over fewer, noise and what only the first epochs do would show.
    """
    long = max(6, round(seconds / max(1e-3, an_epoch.wall)))
    return max(1, long // 5), long
