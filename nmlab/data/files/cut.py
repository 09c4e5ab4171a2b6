"""A table cut into train, dev and test: blocks first, then windows within each, scaled by what train shows.

NeuroMANCER's own loaders take the statistics from all splits, let thirds overlap by a horizon, and join the last window
of one experiment to the first of the next. A dev loss would then be told by what was trained on.
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
    """How a table is cut; see `FileData.__call__`."""

    horizon: int | None
    moving_horizon: bool
    dev_fraction: float
    test_fraction: float
    shuffle_rows: bool
    split_seed: int


@dataclass(frozen=True)
class Scaling:
    """How numbers in units became those in the data sets: less `offset`, by `scale`; for each key a number a column."""

    offset: Mapping[str, np.ndarray]
    scale: Mapping[str, np.ndarray]

    def to_units(self, key: str, values: Values) -> Values:
        """Return values of a key, such as predictions, in the file's units; the columns are their last axis."""
        offset, scale = self._like(key, values)
        return cast(Values, values * scale + offset)

    def from_units(self, key: str, values: Values) -> Values:
        """Return values in the file's units as the data sets have them."""
        offset, scale = self._like(key, values)
        return cast(Values, (values - offset) / scale)

    def _like(self, key: str, values: Any) -> tuple[Any, Any]:
        if key not in self.scale:
            raise KeyError(f"{key!r} is none of the keys: {', '.join(self.scale)}")
        parts = self.offset[key], self.scale[key]
        if not isinstance(values, torch.Tensor):
            return parts
        offset, scale = (torch.as_tensor(part, dtype=values.dtype, device=values.device) for part in parts)
        return offset, scale


def scaling_of(values: Mapping[str, np.ndarray], norm: Norm | None) -> Scaling:
    """Return the scaling that a norm makes of the rows of train; a column that is constant there is only shifted.

    The norms are NeuroMANCER's: mean 0 and standard deviation 1, least 0 and greatest 1, or least -1 and greatest 1.
    """
    offset, scale = {}, {}
    for key, rows in values.items():
        least, greatest = rows.min(axis=0), rows.max(axis=0)
        shifts, widths = {
            None: (np.zeros_like(least), np.ones_like(least)),
            "zscore": (rows.mean(axis=0), rows.std(axis=0)),
            "zero-one": (least, greatest - least),
            "one-one": ((least + greatest) / 2, (greatest - least) / 2),
        }[norm]
        # of a constant only rounding is left, by which the other splits must not be multiplied
        constant = greatest - least <= 1e-12 * np.maximum(abs(least), abs(greatest))
        offset[key], scale[key] = shifts, np.where(constant, 1.0, widths)
    return Scaling(offset, scale)


def rows_by_split(table: Table, cut: Cut) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return for each split its samples' rows, a sample a line, and what is wrong.

    Each split is a block of rows, in the order train, dev, test; of rows in their own order, or shuffled. A sample is
    one row, or a window of `horizon` rows within its block and its experiment.
    """
    faults: list[str] = []
    horizon = cut.horizon or 1
    if cut.dev_fraction + cut.test_fraction >= 1:
        told = f"dev_fraction={cut.dev_fraction:g} and test_fraction={cut.test_fraction:g}"
        faults.append(f"{told} leave nothing to train on; together they must be less than 1")
    if cut.shuffle_rows and horizon > 1:
        faults.append(
            f"shuffle_rows would tear windows of horizon={horizon} apart; shuffle rows with horizon=None only"
        )
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
            faults.append(f"{split} has {size} of {rows} rows, {longest} of them in one piece: too short for {needed}")
    width = sum(values.shape[1] for values in table.values.values())
    if (count := sum(map(len, firsts.values())) * horizon * width) > MOST_NUMBERS:
        faults.append(
            f"its windows would hold {count} numbers; at most {MOST_NUMBERS} are made: choose a shorter horizon, or "
            "moving_horizon=False"
        )
    if faults:
        return {}, faults
    return {split: order[first[:, None] + np.arange(horizon)] for split, first in firsts.items()}, []


def _parts(table: Table, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The pieces of a block that lie within one experiment."""
    for low, high in table.experiments:
        low, high = max(low, start), min(high, stop)
        if low < high:
            yield low, high


def tensors_of(
    table: Table, rows: np.ndarray, horizon: int | None, scaling: Scaling, initial: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Return samples as tensors: (samples, horizon, columns), or (samples, columns) without a horizon.

    Parameters: `rows`, those of each sample; `initial`, keys of the first step of the windows of other keys.
    """
    kind = torch.get_default_dtype()
    tensors = {}
    for key, values in table.values.items():
        scaled = scaling.from_units(key, values[rows])
        tensors[key] = torch.from_numpy(scaled if horizon is not None else scaled[:, 0]).to(kind)
    return tensors | {key: tensors[whole][:, :1].clone() for key, whole in initial.items()}
