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

from nmlab.data.files.formats import MOST_NUMBERS
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


def scaling_of(values: Mapping[str, np.ndarray], norm: Norm | None) -> Scaling:
    """Return the scaling for a norm, from the rows of train.

    Parameters
    ----------
    values : mapping of str to numpy.ndarray of shape (rows, columns)
        Rows of train, by key. A column that is constant in them is shifted but not scaled.
    norm : {'zscore', 'zero-one', 'one-one'} or None
        NeuroMANCER's norms: mean 0 and standard deviation 1, range 0 to 1, or range -1 to 1. None: no scaling.

    Returns
    -------
    Scaling
        The scaling.
    """
    offset, scale = {}, {}
    for key, rows in values.items():
        lowest, highest = rows.min(axis=0), rows.max(axis=0)
        shifts, widths = {
            None: (np.zeros_like(lowest), np.ones_like(lowest)),
            "zscore": (rows.mean(axis=0), rows.std(axis=0)),
            "zero-one": (lowest, highest - lowest),
            "one-one": ((lowest + highest) / 2, (highest - lowest) / 2),
        }[norm]
        # the range of a constant is only a rounding error, by which the other splits must not be divided
        constant = highest - lowest <= 1e-12 * np.maximum(abs(lowest), abs(highest))
        offset[key], scale[key] = shifts, np.where(constant, 1.0, widths)
    return Scaling(offset, scale)


def rows_by_split(table: Table, cut: Cut) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the rows of each sample, by split, and all faults.

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
    rows : dict of str to numpy.ndarray of shape (samples, horizon)
        Numbers of rows, by split; {} if there are faults.
    faults : list of str
        What is wrong and what would be valid.
    """
    faults: list[str] = []
    horizon = cut.horizon or 1
    if cut.dev_fraction + cut.test_fraction >= 1:
        fractions = f"dev_fraction={cut.dev_fraction:g} and test_fraction={cut.test_fraction:g}"
        faults.append(f"{fractions} leave no rows for train; their sum must be less than 1")
    if cut.shuffle_rows and horizon > 1:
        faults.append(f"shuffle_rows would break up windows of horizon={horizon}; shuffle rows only with horizon=None")
    if faults:
        return {}, faults
    rows = table.rows
    sizes = {"dev": round(rows * cut.dev_fraction), "test": round(rows * cut.test_fraction)}
    sizes = {"train": rows - sum(sizes.values()), **sizes}
    wanted = {"train": True, "dev": cut.dev_fraction > 0, "test": cut.test_fraction > 0}
    order = np.random.default_rng(cut.split_seed).permutation(rows) if cut.shuffle_rows else np.arange(rows)
    firsts: dict[str, np.ndarray] = {}
    start = 0
    for split, size in sizes.items():
        parts = list(_parts(table, start, start + size))
        start += size
        if not wanted[split]:
            continue
        step = 1 if cut.moving_horizon else horizon
        firsts[split] = np.concatenate([np.empty(0, int), *(np.arange(a, b - horizon + 1, step) for a, b in parts)])
        if not len(firsts[split]):
            longest = max((high - low for low, high in parts), default=0)
            needed = "a sample" if cut.horizon is None else f"a window of horizon={horizon}"
            faults.append(f"{split} has {size} of {rows} rows, at most {longest} in succession: too few for {needed}")
    width = sum(values.shape[1] for values in table.values.values())
    if (count := sum(map(len, firsts.values())) * horizon * width) > MOST_NUMBERS:
        faults.append(
            f"its windows would hold {count} numbers; the limit is {MOST_NUMBERS}: choose a shorter horizon, or "
            "moving_horizon=False"
        )
    if faults:
        return {}, faults
    return {split: order[first[:, None] + np.arange(horizon)] for split, first in firsts.items()}, []


def _parts(table: Table, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of each part of a block that lies within one experiment."""
    for low, high in table.experiments:
        low, high = max(low, start), min(high, stop)
        if low < high:
            yield low, high


def tensors_of(
    table: Table, rows: np.ndarray, horizon: int | None, scaling: Scaling, initial: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Return samples as tensors.

    Parameters
    ----------
    table : Table
        The table.
    rows : numpy.ndarray of shape (samples, horizon)
        Numbers of the rows of each sample.
    horizon : int or None
        Number of steps of a window; None for samples of one row.
    scaling : Scaling
        Scaling of the values.
    initial : mapping of str to str
        Keys that hold the first step of the windows of another key.

    Returns
    -------
    dict of str to torch.Tensor
        Tensors of shape (samples, horizon, columns), or (samples, columns) without a horizon, by key.
    """
    kind = torch.get_default_dtype()
    tensors = {}
    for key, values in table.values.items():
        scaled = scaling.from_units(key, values[rows])
        tensors[key] = torch.from_numpy(scaled if horizon is not None else scaled[:, 0]).to(kind)
    return tensors | {key: tensors[whole][:, :1].clone() for key, whole in initial.items()}
