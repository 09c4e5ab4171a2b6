"""`Runs`: some runs of a folder, in order, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from nmlab.runs import table
from nmlab.runs.record import Run
from nmlab.runs.repeats import group_key

if TYPE_CHECKING:
    import pandas as pd

    from nmlab.runs.store import RunStore


class Runs(Sequence[Run]):
    """Runs of a store: a sequence that a notebook shows as a table.

    An index is a position, a slice, an id, or a run's number as text: `runs[-1]`, `runs['0007']`.

    Parameters
    ----------
    store : RunStore
        The folder of the runs.
    runs : iterable of Run
        The runs.
    before : Run, optional
        The run before the first of these, with which the column `changed` compares it.
    """

    def __init__(self, store: RunStore, runs: Iterable[Run], before: Run | None = None) -> None:
        self._store = store
        self._runs = list(runs)
        self.before = before

    @overload
    def __getitem__(self, key: int) -> Run: ...
    @overload
    def __getitem__(self, key: slice) -> Runs: ...
    @overload
    def __getitem__(self, key: str) -> Run: ...
    def __getitem__(self, key: int | slice | str) -> Run | Runs:
        if isinstance(key, str):
            return self._store.get(key)
        if not isinstance(key, slice):
            return self._runs[key]
        start = key.indices(len(self._runs))[0]
        return Runs(self._store, self._runs[key], self._runs[start - 1] if 0 < start < len(self._runs) else self.before)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def where(self, holds: Callable[[Run], bool]) -> Runs:
        """Return the runs for which a condition is true.

        Parameters
        ----------
        holds : callable
            Function that takes a run and returns whether to include it.

        Returns
        -------
        Runs
            The included runs.
        """
        return Runs(self._store, filter(holds, self._runs))

    def group(self, key: Run | str) -> Runs:
        """Return the runs that are repeats of each other on several seeds.

        Parameters
        ----------
        key : Run or str
            One of them, or what they have in common.

        Returns
        -------
        Runs
            The runs.
        """
        wanted = group_key(key.settings) if isinstance(key, Run) else key
        return self.where(lambda run: run.damage is None and group_key(run.settings) == wanted)

    def all(self) -> Runs:
        """Return all runs in the folder, of every Lab and Problem."""
        return self._store.runs()

    def rename(self, run: Run, name: str) -> None:
        """Rename a run; see `RunStore.rename`."""
        self._store.rename(run, name)

    def annotate(self, run: Run, note: str) -> None:
        """Set the note of a run; see `RunStore.annotate`."""
        self._store.annotate(run, note)

    def delete(self, run: Run) -> None:
        """Move a run to the trash; see `RunStore.delete`."""
        self._store.delete(run)

    def undelete(self, run: Run | None = None) -> Run:
        """Restore a run from the trash; see `RunStore.undelete`."""
        return self._store.undelete(run)

    def empty_trash(self) -> int:
        """Delete the runs in the trash permanently and return their number."""
        return self._store.empty_trash()

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a DataFrame.

        Returns
        -------
        pandas.DataFrame
            One row per run, with the columns name, data, changed, epochs, best_value, best_epoch, test_loss, seconds
            and others, and one for each keyword of builders and data functions, called `problem.x` or `data.x` where
            another column has that name. `best` is true for the best of the runs that can be compared with each other.
        """
        return table.to_pandas(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table as JSON, one object per run; see `nmlab.runs.table.rows`."""
        return table.rows(self)

    def _repr_html_(self) -> str:
        return table.to_html(self)

    def __repr__(self) -> str:
        return table.to_text(self)
