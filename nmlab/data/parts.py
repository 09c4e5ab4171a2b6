"""The part of each batch that one of several processes computes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One process's part of each batch: a range of neighbouring samples, as equal in number as they can be.

    Where a batch has fewer samples than there are processes, some own none of them; they take the first one along,
    which counts nothing, so that all processes pass every batch.

    Parameters
    ----------
    rank : int
        Number of the process, from 0.
    ranks : int
        Number of processes.
    """

    rank: int
    ranks: int

    def within(self, samples: int) -> slice:
        """Return which samples of a batch this process passes; at least one."""
        start, stop = samples * self.rank // self.ranks, samples * (self.rank + 1) // self.ranks
        return slice(start, stop) if stop > start else slice(0, 1)

    def owned(self, samples: int) -> int:
        """Return how many samples of a batch count as this process's; over all processes, each counts once."""
        return samples * (self.rank + 1) // self.ranks - samples * self.rank // self.ranks
