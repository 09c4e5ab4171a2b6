"""`from_file()`: a file of the user's own as a `data_setup_function`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from neuromancer.dataset import DictDataset

from nmlab.data.files.cut import Cut, Norm, Scaling, rows_by_split, scaling_of, tensors_of
from nmlab.data.files.formats import read_columns
from nmlab.data.files.tables import OWN, Table, make_table
from nmlab.errors import DataError
from nmlab.fields.field import unknown_name


def from_file(
    path: str | os.PathLike[str],
    *,
    content: bytes | None = None,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    initial: Mapping[str, str] | None = None,
    time: str | None = None,
    experiment: str | None = None,
) -> FileData:
    """Make a `data_setup_function` of a CSV, MAT, Parquet or HDF5 file; the file is read and checked at once.

    How it is cut into train, dev and test are the function's keywords, which a form shows; see `FileData.__call__`.
    The file is read again whenever data are made. Parquet and HDF5, and so MAT of version 7.3, need
    `pip install 'nmlab[files]'`.

    Parameters
    ----------
    path : the file; its ending says the format, and what it holds must be of that
    content : the file's bytes, where it is on no disk; `path` is its name then
    columns : the columns of each key of the data sets, such as {'Y': ['angle', 'speed'], 'U': 'voltage'}. By default
        those called y, u, d and x, alone or with a number, as Y, U, D and X; where there are none, each column
        under its own name
    initial : keys that hold the first step of another key's windows, such as {'xn': 'X'}
    time : the column of the time, of numbers or ISO dates; it must go forward, and is no data. Default: one called t,
        time, date, datetime or timestamp
    experiment : the column that tells experiments apart; no window holds rows of two. Default: one called exp_id

    Raises
    ------
    DataError : the file cannot be read, or what it holds cannot be used; all faults at once
    """
    data = FileData(
        Path(path) if content is not None else Path(path).absolute(), content, columns, initial, time, experiment
    )
    data.table()
    return data


@dataclass(frozen=True, eq=False)
class FileData:
    """A `data_setup_function` over a file; parameters as for `from_file`, which makes it and checks the file."""

    path: Path
    content: bytes | None = None
    columns: Mapping[str, str | Sequence[str]] | None = None
    initial: Mapping[str, str] | None = None
    time: str | None = None
    experiment: str | None = None

    def __call__(
        self,
        horizon: Annotated[int, Ge(1)] | None = None,
        moving_horizon: bool = False,
        normalise: Norm | None = None,
        dev_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.2,
        test_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.2,
        shuffle_rows: bool = False,
        split_seed: Annotated[int, Ge(0)] = 0,
        batch_size: Annotated[int, Ge(1)] = 64,
    ) -> tuple[Any, Any, Any, int]:
        """Return train, dev and test of the file, and the batch size.

        Train is the first part of the rows, then comes dev, then test; no window holds rows of two of them. Each data
        set has the numbers' `scaling`, whose `to_units` puts predictions back into the file's units.

        Parameters
        ----------
        horizon : int
            Steps of a window; none for a table whose rows are samples.
        moving_horizon : bool
            Whether a window begins at every step, or where the last one ends.
        normalise : str
            By what train shows: mean 0 and deviation 1, or least to greatest as 0 to 1 or -1 to 1.
        dev_fraction : float
            Part of the rows in dev; 0 for no dev.
        test_fraction : float
            Part of the rows in test; 0 for no test.
        shuffle_rows : bool
            Whether chance deals out the rows: never for a time series, where neighbours tell of each other.
        split_seed : int
            Which of the ways to deal them out.
        batch_size : int
            Samples a batch.

        Raises
        ------
        DataError : the file cannot be used, or is too short; all faults at once
        """
        cut = Cut(horizon, moving_horizon, dev_fraction, test_fraction, shuffle_rows, split_seed)
        table, rows, scaling = self._read(cut, normalise)
        sets: dict[str, Any] = dict.fromkeys(("dev", "test"))
        for split, samples in rows.items():
            sets[split] = DictDataset(tensors_of(table, samples, horizon, scaling, self.initial or {}), name=split)
            sets[split].scaling = scaling
        return sets["train"], sets["dev"], sets["test"], batch_size

    def table(self) -> Table:
        """Read the file; raises `DataError` where it cannot be used."""
        read, faults = read_columns(self.path, self.content)
        table, more = make_table(read, self.columns, self.time, self.experiment) if read else (None, [])
        faults = [*faults, *more, *(self._initial_faults(table) if table is not None else [])]
        if table is None or faults:
            raise DataError(faults or ["it has no columns"], subject=f"{self.path} cannot be used as data")
        return table

    def scaling(self, **data_kwargs: Any) -> Scaling:
        """Return how these keywords, such as a run's `settings['data_kwargs']`, scale the file's numbers."""
        train: Any = self(**data_kwargs)[0]
        found: Scaling = train.scaling
        return found

    def _read(self, cut: Cut, norm: Norm | None) -> tuple[Table, dict[str, np.ndarray], Scaling]:
        table = self.table()
        rows, faults = rows_by_split(table, cut)
        if cut.horizon is None and self.initial:
            faults.append(f"initial={dict(self.initial)!r} takes the first step of windows; give a horizon")
        if faults:
            raise DataError(faults, subject=f"{self.path} cannot be cut like this")
        seen = np.unique(rows["train"])
        scaling = scaling_of({key: values[seen] for key, values in table.values.items()}, norm)
        offset, scale = (
            {**part, **{key: part[whole] for key, whole in (self.initial or {}).items()}}
            for part in (scaling.offset, scaling.scale)
        )
        return table, rows, Scaling(offset, scale)

    def _initial_faults(self, table: Table) -> list[str]:
        taken = {*table.values, *OWN}
        initial = self.initial or {}
        faults = [f"initial: {key!r} is taken; give the key another name" for key in initial if key in taken]
        return faults + [
            f"initial[{key!r}]: {whole!r} is an {unknown_name(whole, list(table.values))}"
            for key, whole in initial.items()
            if whole not in table.values
        ]

    @property
    def __name__(self) -> str:
        return self.path.name

    @property
    def source(self) -> str:
        """The call that makes this again, for a run's record."""
        parts = [repr(str(self.path))]
        if self.content is not None:
            parts.append(f"content=<{len(self.content)} bytes>")
        given = {name: getattr(self, name) for name in ("columns", "initial", "time", "experiment")}
        parts += [f"{name}={value!r}" for name, value in given.items() if value is not None]
        return f"nmlab.from_file({', '.join(parts)})"

    def __repr__(self) -> str:
        return self.source
