"""Division of a table into train, dev and test: first blocks, then windows within each, scaled by statistics of train.

NeuroMANCER's own loaders compute the statistics over all splits, let the splits overlap by a horizon, and join the last
window of one experiment to the first of the next, so that information from dev and test leaks into training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch

from nmlab.data.files.limits import memory_fault
from nmlab.data.files.tables import Table

Norm = Literal["zscore", "zero-one", "one-one"]

Values = TypeVar("Values", np.ndarray, torch.Tensor)


@dataclass(frozen=True)
class Cut:
    """How a table is divided; see `FileData.__call__`."""

    horizon: int | None
    moving_horizon: bool
    dev_fraction: float
    test_fraction: float
    shuffle_rows: bool
    split_seed: int


@dataclass(frozen=True)
class Scaling:
    """How values in the file's units are scaled for the data sets: `(values - offset) / scale`.

    Parameters
    ----------
    offset : mapping of str to numpy.ndarray of shape (columns,)
        Offset by key, in the file's units.
    scale : mapping of str to numpy.ndarray of shape (columns,)
        Scale by key, in the file's units.

    Examples
    --------
    >>> import numpy as np
    >>> from nmlab.data.files import Scaling
    >>> scaling = Scaling({"Y": np.array([20.0])}, {"Y": np.array([5.0])})
    >>> scaling.to_units("Y", np.array([[0.0], [1.0]]))
    array([[20.],
           [25.]])
    """

    offset: Mapping[str, np.ndarray]
    scale: Mapping[str, np.ndarray]

    def to_units(self, key: str, values: Values) -> Values:
        """Convert scaled values, such as predictions, to the file's units.

        Parameters
        ----------
        key : str
            Key of the data sets to which the values belong.
        values : numpy.ndarray or torch.Tensor of shape (..., columns)
            The scaled values.

        Returns
        -------
        numpy.ndarray or torch.Tensor of shape (..., columns)
            The values in the file's units.
        """
        offset, scale = self._like(key, values)
        return cast(Values, values * scale + offset)

    def from_units(self, key: str, values: Values) -> Values:
        """Scale values in the file's units as the data sets have them.

        Parameters
        ----------
        key : str
            Key of the data sets to which the values belong.
        values : numpy.ndarray or torch.Tensor of shape (..., columns)
            The values in the file's units.

        Returns
        -------
        numpy.ndarray or torch.Tensor of shape (..., columns)
            The scaled values.
        """
        offset, scale = self._like(key, values)
        return cast(Values, (values - offset) / scale)

    def _like(self, key: str, values: Any) -> tuple[Any, Any]:
        if key not in self.scale:
            raise KeyError(f"{key!r} is not one of the keys: {', '.join(self.scale)}")
        parts = self.offset[key], self.scale[key]
        if not isinstance(values, torch.Tensor):
            return parts
        offset, scale = (torch.as_tensor(part, dtype=values.dtype, device=values.device) for part in parts)
        return offset, scale


@dataclass(frozen=True)
class Samples:
    """The samples of a split: sample i has the rows from `first[i]` on, as many as the horizon has steps."""

    first: np.ndarray
    horizon: int

    @property
    def block(self) -> slice | None:
        """The rows, if the samples follow each other without gaps; None otherwise."""
        if not len(self.first) or (np.diff(self.first) != self.horizon).any():
            return None
        return slice(int(self.first[0]), int(self.first[-1]) + self.horizon)

    def covered(self, rows: int) -> slice | np.ndarray:
        """Return which of the rows of a table are in a sample."""
        if self.block is not None:
            return self.block
        inside = np.zeros(rows + 1, np.int64)
        np.add.at(inside, self.first, 1)
        np.add.at(inside, self.first + self.horizon, -1)
        return np.flatnonzero(np.cumsum(inside[:-1]))


def scaling_of(table: Table, train: Samples, norm: Norm | None) -> Scaling:
    """Return the scaling for a norm, from the rows of train.

    Parameters
    ----------
    table : Table
        The table. A column that is constant in the rows of train is shifted but not scaled.
    train : Samples
        The samples of train.
    norm : {'zscore', 'zero-one', 'one-one'} or None
        NeuroMANCER's norms: mean 0 and standard deviation 1, range 0 to 1, or range -1 to 1. None: no scaling.

    Returns
    -------
    Scaling
        The scaling.
    """
    rows = train.covered(table.rows) if norm is not None else slice(0)
    offset, scale = {}, {}
    for key, values in table.values.items():
        pairs = np.array([_offset_and_scale(column[rows], norm) for column in values.T])
        offset[key], scale[key] = pairs[:, 0], pairs[:, 1]
    return Scaling(offset, scale)


def _offset_and_scale(column: np.ndarray, norm: Norm | None) -> tuple[float, float]:
    """Return the offset and scale of one column, by its rows in train."""
    if norm is None:
        return 0.0, 1.0
    column = column.astype(np.float64)
    lowest, highest = float(column.min()), float(column.max())
    shift, width = {
        "zscore": (column.mean(), column.std()),
        "zero-one": (lowest, highest - lowest),
        "one-one": ((lowest + highest) / 2, (highest - lowest) / 2),
    }[norm]
    # the range of a constant is only a rounding error, by which the other splits must not be divided
    constant = highest - lowest <= 1e-12 * max(abs(lowest), abs(highest))
    return float(shift), 1.0 if constant else float(width)


def samples_by_split(table: Table, cut: Cut) -> tuple[dict[str, Samples], list[str], list[str]]:
    """Return the samples of each split, all faults, and what is in no sample.

    Each split is a block of rows, in the order train, dev, test; the rows are in the order of the table, or shuffled.
    A sample is one row, or a window of `horizon` rows within its block and its experiment.

    Parameters
    ----------
    table : Table
        The table.
    cut : Cut
        How to divide it.

    Returns
    -------
    samples : dict of str to Samples
        By split; {} if there are faults.
    faults : list of str
        What is wrong and what would be valid.
    remarks : list of str
        Rows that are left out because they do not fill a window.
    """
    faults: list[str] = []
    remarks: list[str] = []
    horizon = cut.horizon or 1
    if cut.dev_fraction + cut.test_fraction >= 1:
        fractions = f"dev_fraction={cut.dev_fraction:g} and test_fraction={cut.test_fraction:g}"
        faults.append(f"{fractions} leave no rows for train; their sum must be less than 1")
    if cut.shuffle_rows and horizon > 1:
        faults.append(f"shuffle_rows would break up windows of horizon={horizon}; shuffle rows only with horizon=None")
    if faults:
        return {}, faults, []
    rows = table.rows
    sizes = {"dev": round(rows * cut.dev_fraction), "test": round(rows * cut.test_fraction)}
    sizes = {"train": rows - sum(sizes.values()), **sizes}
    wanted = {"train": True, "dev": cut.dev_fraction > 0, "test": cut.test_fraction > 0}
    samples: dict[str, Samples] = {}
    start = 0
    for split, size in sizes.items():
        parts = list(_parts(table, start, start + size))
        start += size
        if not wanted[split]:
            continue
        step = 1 if cut.moving_horizon else horizon
        firsts = [np.arange(low, high - horizon + 1, step) for low, high in parts]
        samples[split] = Samples(np.concatenate([np.empty(0, int), *firsts]), horizon)
        unused = sum(
            high - low if not len(f) else high - int(f[-1]) - horizon
            for (low, high), f in zip(parts, firsts, strict=True)
        )
        if not len(samples[split].first):
            longest = max((high - low for low, high in parts), default=0)
            needed = "a sample" if cut.horizon is None else f"a window of horizon={horizon}"
            faults.append(f"{split} has {size} of {rows} rows, at most {longest} in succession: too few for {needed}")
        elif unused:
            remarks.append(f"{unused} of {size} rows of {split} fill no window of horizon={horizon} and are left out")
    width = sum(values.shape[1] for values in table.values.values())
    count = sum(len(each.first) for each in samples.values()) * horizon * width
    if cut.moving_horizon and (fault := memory_fault(4 * count, f"windows of {count} numbers")):
        faults.append(f"{fault}; or choose a shorter horizon, or moving_horizon=False")
    if faults:
        return {}, faults, []
    if cut.shuffle_rows:
        order = np.random.default_rng(cut.split_seed).permutation(rows)
        samples = {split: Samples(order[each.first], horizon) for split, each in samples.items()}
    return samples, [], remarks


def rounding(table: Table, scaling: Scaling) -> list[str]:
    """Return which columns lose much of their resolution in torch's default dtype."""
    kind = torch.get_default_dtype()
    lost = []
    for key, values in table.values.items():
        if torch.from_numpy(values[:0]).dtype.itemsize <= kind.itemsize:
            continue
        low, high = (scaling.from_units(key, end(axis=0)) for end in (values.min, values.max))
        steps = torch.finfo(kind).eps * np.maximum(abs(low), abs(high))
        lost += [f"{key}[{column}]" for column in np.flatnonzero((steps > 1e-3 * (high - low)) & (high > low))]
    if not lost:
        return []
    name = str(kind).removeprefix("torch.")
    return [
        f"{name} keeps less than 1000 different values over the range of {', '.join(lost)}, which is small beside the "
        "values; choose normalise, or torch.set_default_dtype(torch.float64)"
    ]


def _parts(table: Table, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of each part of a block that lies within one experiment."""
    for low, high in table.experiments:
        low, high = max(low, start), min(high, stop)
        if low < high:
            yield low, high


_CHUNK = 1_000_000
"""Number of values that are converted at once, so that no second copy of all is made."""


def tensors_of(
    table: Table, samples: Samples, windows: bool, scaling: Scaling, initial: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Return samples as tensors, which share the memory of the table where nothing is converted.

    Parameters
    ----------
    table : Table
        The table.
    samples : Samples
        The samples.
    windows : bool
        Whether samples are windows, which have an axis for their steps, or rows.
    scaling : Scaling
        Scaling of the values.
    initial : mapping of str to str
        Keys that hold the first step of the windows of another key.

    Returns
    -------
    dict of str to torch.Tensor
        Tensors of shape (samples, horizon, columns), or (samples, columns) without windows, by key.
    """
    tensors = {}
    for key, values in table.values.items():
        tensor = _tensor(values, samples, scaling.offset[key], scaling.scale[key])
        tensors[key] = tensor if windows else tensor[:, 0]
    return tensors | {key: tensors[whole][:, :1].clone() for key, whole in initial.items()}


def _tensor(values: np.ndarray, samples: Samples, offset: np.ndarray, scale: np.ndarray) -> torch.Tensor:
    kind, device = torch.get_default_dtype(), torch.get_default_device()
    shape = (len(samples.first), samples.horizon, values.shape[1])
    unscaled = not offset.any() and (scale == 1).all()
    if unscaled and samples.block is not None and torch.from_numpy(values[:0]).dtype == kind:
        return torch.from_numpy(values[samples.block].reshape(shape)).to(device)
    tensor = torch.empty(shape, dtype=kind, device="cpu")
    steps = np.arange(samples.horizon)
    size = max(1, _CHUNK // max(1, shape[1] * shape[2]))
    for start in range(0, len(tensor), size):
        part = values[samples.first[start : start + size, None] + steps]
        tensor[start : start + size] = torch.from_numpy(part if unscaled else (part - offset) / scale)
    return tensor.to(device)
