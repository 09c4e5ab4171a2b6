"""`from_file()`: a user's data file as a `data_setup_function`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from weakref import WeakKeyDictionary

from annotated_types import Ge, Le
from neuromancer.dataset import DictDataset

from nmlab.data.files.cut import Cut, Norm, Samples, Scaling, rounding, samples_by_split, scaling_of, tensors_of
from nmlab.data.files.formats import Content, read_columns
from nmlab.data.files.tables import AUTO, OWN, Selection, Table, make_table
from nmlab.data.files.text import TextOptions
from nmlab.errors import DataError
from nmlab.fields.field import unknown_name


def from_file(
    path: str | os.PathLike[str],
    *,
    content: bytes | None = None,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    initial: Mapping[str, str] | None = None,
    time: str | Sequence[str] | None = AUTO,
    experiment: str | None = AUTO,
    gap: float | None = 10.0,
    dayfirst: bool | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    header: int | None = None,
    encoding: str | None = None,
) -> FileData:
    r"""Make a `data_setup_function` from a text file (such as CSV), or a MAT, Parquet, HDF5 or npz file.

    The file is read and checked at once, and read again whenever data are made. The keywords of the function, which a
    form shows, say how to divide the file into train, dev and test; see `FileData.__call__`. Parquet and HDF5, and
    therefore MAT of version 7.3, need `pip install 'nmlab[files]'`.

    What a text file does not say of itself is read from its lines: separators, a comment sign or lines before the
    names, units below them. What can be read in two ways is asked for. Whatever is left out, guessed or converted is in
    the result's `remarks`, in `preview` and in the record of a run; a warning tells what deserves a look.

    Parameters
    ----------
    path : str or path-like
        The file. Its suffix names the format, which the content must match.
    content : bytes, optional
        Content of a file that is not on disk; `path` is then only its name.
    columns : mapping of str to str or sequence of str, optional
        Columns of each key of the data sets, such as {'Y': ['angle', 'speed'], 'U': 'voltage'}. Default: if all are
        named y, u, d or x, alone or with a number, as Y, U, D and X; otherwise each column as its own key. Variables in
        structures and groups are called by the last part of their names where it is unique, such as 'u' for 'data/u'.
    initial : mapping of str to str, optional
        Keys that hold the first step of the windows of another key, such as {'xn': 'X'}.
    time : str or sequence of str or None, default 'auto'
        Column of the time, with numbers, dates or times of day, which must increase; or the column of dates and that of
        times of day. It is not part of the data. 'auto': a column named time, timestamp, datetime, date or t that is
        not chosen as data. None: there is no time, and rows are taken as evenly spaced.
    experiment : str or None, default 'auto'
        Column that identifies the experiment; a window never has rows of two experiments. 'auto': a column named
        exp_id, experiment or experiment_id. None: there is none.
    gap : float or None, default 10.0
        A step of the time of more than so many median steps ends an experiment. None: none does.
    dayfirst : bool, optional
        Whether 01/02/2024 is the first of February. Default: what the dates of the file show.
    separator : str, optional
        Separator of the columns of a text file; ' ' for any white space. Default: what its lines show.
    decimal, thousands : str, optional
        Decimal separator of a text file, and the sign that groups digits. Default: what its numbers show.
    header : int, optional
        Number of the line with the names of a text file, counted from 1. Default: what its lines show.
    encoding : str, optional
        Encoding of a text file. Default: UTF-8, or UTF-16 with its mark; if it is neither, Windows-1252.

    Returns
    -------
    FileData
        The `data_setup_function`.

    Raises
    ------
    DataError
        If the file cannot be read or its content cannot be used; the error reports all faults.

    Warns
    -----
    UserWarning
        If something was left out, guessed or converted that deserves a look.

    Examples
    --------
    >>> import nmlab
    >>> content = b"time,y,u\n" + b"".join(b"%d,%d,1\n" % (step, 2 * step) for step in range(10))
    >>> data_setup_function = nmlab.from_file("heater.csv", content=content)
    >>> train, dev, test, batch_size = data_setup_function(horizon=2)
    >>> train.datadict["Y"].shape  # 3 windows of 2 steps, 1 column
    torch.Size([3, 2, 1])
    >>> train.datadict["Y"][0]
    tensor([[0.],
            [2.]])
    """
    data = FileData(
        Path(path) if content is not None else Path(path).absolute(),
        content,
        columns,
        initial,
        time,
        experiment,
        gap,
        dayfirst,
        TextOptions(separator, decimal, thousands, header, encoding),
    )
    if told := _first_look(data).warnings:
        warnings.warn("\n- ".join([f"{data.path.name}:", *told]), stacklevel=2)
    return data


@dataclass(frozen=True, eq=False)
class FileData:
    r"""A `data_setup_function` for a file; made by `from_file`, which also checks the file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    content : bytes, optional
        Content of a file that is not on disk.
    columns : mapping of str to str or sequence of str, optional
        Columns of each key of the data sets.
    initial : mapping of str to str, optional
        Keys that hold the first step of the windows of another key.
    time : str or sequence of str or None, default 'auto'
        Column of the time, or columns of date and time of day.
    experiment : str or None, default 'auto'
        Column that identifies the experiment.
    gap : float or None, default 10.0
        A step of the time of more than so many median steps ends an experiment.
    dayfirst : bool, optional
        Whether 01/02/2024 is the first of February.
    text : TextOptions, optional
        How a text file is written.

    See Also
    --------
    from_file : Describes the parameters and their defaults.

    Examples
    --------
    >>> import nmlab
    >>> data_setup_function = nmlab.from_file("heater.csv", content=b"y,u\n1,0\n2,1\n3,1\n4,0\n5,1\n")
    >>> train, dev, test, batch_size = data_setup_function()
    >>> len(train), len(dev), len(test)
    (3, 1, 1)
    """

    path: Path
    content: bytes | None = None
    columns: Mapping[str, str | Sequence[str]] | None = None
    initial: Mapping[str, str] | None = None
    time: str | Sequence[str] | None = AUTO
    experiment: str | None = AUTO
    gap: float | None = 10.0
    dayfirst: bool | None = None
    text: TextOptions = field(default_factory=TextOptions)

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

        Train is the first part of the rows, followed by dev and then test; a window never has rows of two splits. Each
        data set has the attribute `scaling`, whose `to_units` converts predictions to the file's units, and `remarks`,
        which say what was left out, guessed or converted.

        Parameters
        ----------
        horizon : int, optional
            Number of steps of a window; none for a table whose rows are samples.
        moving_horizon : bool, default False
            Whether a window begins at every step; otherwise it begins where the previous one ends.
        normalise : {'zscore', 'zero-one', 'one-one'}, optional
            Scaling by statistics of train: to mean 0 and standard deviation 1, to the range 0 to 1, or to the range
            -1 to 1.
        dev_fraction : float, default 0.2
            Fraction of the rows in dev; 0 for no dev split.
        test_fraction : float, default 0.2
            Fraction of the rows in test; 0 for no test split.
        shuffle_rows : bool, default False
            Whether to assign rows to the splits at random. Not for time series, where neighbouring rows are similar.
        split_seed : int, default 0
            Seed of the random assignment.
        batch_size : int, default 64
            Number of samples per batch.

        Returns
        -------
        train : neuromancer.dataset.DictDataset
            Training data.
        dev : neuromancer.dataset.DictDataset or None
            Data for the choice of the best epoch; None without a dev split.
        test : neuromancer.dataset.DictDataset or None
            Test data; None without a test split.
        batch_size : int
            Number of samples per batch.

        Raises
        ------
        DataError
            If the file cannot be used or is too short; the error reports all faults.
        """
        cut = Cut(horizon, moving_horizon, dev_fraction, test_fraction, shuffle_rows, split_seed)
        table, samples, scaling, remarks = self._read(cut, normalise)
        sets: dict[str, Any] = dict.fromkeys(("dev", "test"))
        for split, part in samples.items():
            tensors = tensors_of(table, part, horizon is not None, scaling, self.initial or {})
            sets[split] = DictDataset(tensors, name=split)
            sets[split].scaling = scaling
            sets[split].remarks = (*table.remarks, *remarks)
            sets[split].columns, sets[split].initial = table.columns, dict(self.initial or {})
        return sets["train"], sets["dev"], sets["test"], batch_size

    def content_of_file(self) -> Content:
        """Read all columns of the file.

        Returns
        -------
        Content
            The columns, and in its findings the faults and remarks.
        """
        return read_columns(self.path, self.content, self.text)

    def table(self) -> Table:
        """Read the file.

        Returns
        -------
        Table
            The selected columns, by key.

        Raises
        ------
        DataError
            If the file cannot be used; the error reports all faults.
        """
        read = self.content_of_file()
        findings = read.findings
        table = make_table(read.columns, self._selection(read.aliases), findings) if read.columns else None
        faults = [*findings.faults, *(self._initial_faults(table) if table is not None else [])]
        if table is None or faults:
            read_so = [f"it was read so: {remark}" for remark in findings.remarks]
            raise DataError(
                [*(faults or ["it has no columns"]), *read_so], subject=f"{self.path} cannot be used as data"
            )
        return table

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the data sets."""
        return _first_look(self).keys

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was left out, guessed or converted when the file was first read, and how it was read."""
        return _first_look(self).remarks

    def _selection(self, aliases: Mapping[str, str]) -> Selection:
        def short(names: Any) -> Any:
            return aliases.get(names, names) if isinstance(names, str) else [short(name) for name in names]

        columns = None if self.columns is None else {key: short(names) for key, names in self.columns.items()}
        time = None if self.time is None else short(self.time)
        experiment = None if self.experiment is None else short(self.experiment)
        return Selection(columns, time, experiment, self.gap, self.dayfirst)

    def scaling(self, **data_kwargs: Any) -> Scaling:
        r"""Return the scaling of the data that these keywords make.

        Parameters
        ----------
        **data_kwargs : Any
            Keywords as for a call, such as a run's `settings['data_kwargs']`.

        Returns
        -------
        Scaling
            The scaling, whose `to_units` converts predictions to the file's units.

        Examples
        --------
        >>> import nmlab
        >>> data_setup_function = nmlab.from_file("heater.csv", content=b"y\n10\n20\n30\n15\n25\n")
        >>> scaling = data_setup_function.scaling(normalise="zero-one")
        >>> scaling.to_units("Y", 0.5).item()
        20.0
        """
        train: Any = self(**data_kwargs)[0]
        scaling: Scaling = train.scaling
        return scaling

    def _read(self, cut: Cut, norm: Norm | None) -> tuple[Table, dict[str, Samples], Scaling, list[str]]:
        table = self.table()
        samples, faults, remarks = samples_by_split(table, cut)
        if cut.horizon is None and self.initial:
            faults.append(f"initial={dict(self.initial)!r} takes the first step of windows; give a horizon as well")
        if faults:
            raise DataError(faults, subject=f"{self.path} cannot be divided like this")
        scaling = scaling_of(table, samples["train"], norm)
        offset, scale = (
            {**part, **{key: part[whole] for key, whole in (self.initial or {}).items()}}
            for part in (scaling.offset, scaling.scale)
        )
        return table, samples, Scaling(offset, scale), [*remarks, *rounding(table, scaling)]

    def _initial_faults(self, table: Table) -> list[str]:
        taken = {*table.values, *OWN}
        initial = self.initial or {}
        faults = [f"initial: {key!r} is already a key; give it another name" for key in initial if key in taken]
        return faults + [
            f"initial[{key!r}]: {whole!r} is an {unknown_name(whole, list(table.values))}"
            for key, whole in initial.items()
            if whole not in table.values
        ]

    @property
    def __name__(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def source(self) -> str:
        """The call of `from_file` that makes this object, for a run's record."""
        parts = [repr(str(self.path))]
        if self.content is not None:
            parts.append(f"content=<{len(self.content)} bytes>")
        given = {each.name: (getattr(self, each.name), each.default) for each in fields(self)[2:-1]}
        given |= {each.name: (getattr(self.text, each.name), each.default) for each in fields(self.text)}
        parts += [f"{name}={value!r}" for name, (value, default) in given.items() if value != default]
        return f"nmlab.from_file({', '.join(parts)})"

    def __repr__(self) -> str:
        return self.source


class _FirstLook(NamedTuple):
    """What is known of a file since it was first read."""

    remarks: tuple[str, ...]
    warnings: tuple[str, ...]
    keys: tuple[str, ...]


_FIRST_LOOKS: WeakKeyDictionary[FileData, _FirstLook] = WeakKeyDictionary()


def _first_look(data: FileData) -> _FirstLook:
    if data not in _FIRST_LOOKS:
        table = data.table()
        _FIRST_LOOKS[data] = _FirstLook(table.remarks, table.warnings, (*table.values, *(data.initial or {})))
    return _FIRST_LOOKS[data]
