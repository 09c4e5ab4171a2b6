"""What train covers: shapes, types and ranges of its keys, in a form that a run's record keeps.

With it a run knows later, without its data, what its Problem takes, what it has seen, and in which units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from neuromancer.dataset import DictDataset

from nmlab.data.files.cut import Scaling

SAMPLES = 1000
"""Number of samples, evenly spaced, that tell the range of a data set which is no `DictDataset`."""

COLUMNS = 200
"""Largest number of columns whose ranges are kept one by one."""


@dataclass(frozen=True)
class KeyCoverage:
    """What train has under one of its keys, as the Problem gets it.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample, whose last axis has the columns.
    dtype : str
        Type of the numbers, such as 'float32'.
    low, high : tuple of float
        Smallest and largest value of each column, or of all of them if there are many.
    requires_grad : bool
        Whether the Problem differentiates with respect to it.
    offset, scale : tuple of float
        The values in the data's own units are `scale` times these plus `offset`, by column; () if they are the same.
    columns : tuple of str
        Names of its columns in the file that the data are from; () if they are from none.
    first_of : str or None
        Key whose windows it holds the first step of.
    """

    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    requires_grad: bool = False
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    columns: tuple[str, ...] = ()
    first_of: str | None = None

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.shape[-1] if self.shape else 1

    def to_units(self, values: np.ndarray) -> np.ndarray:
        """Return values of the Problem in the units of the data."""
        return values * np.asarray(self.scale) + np.asarray(self.offset) if self.scale else values

    def from_units(self, values: np.ndarray) -> np.ndarray:
        """Return values in the units of the data as the Problem gets them."""
        return (values - np.asarray(self.offset)) / np.asarray(self.scale) if self.scale else values

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the defaults as JSON."""
        return {name: value for name, value in asdict(self).items() if value or name in ("shape", "low", "high")}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> KeyCoverage:
        """Return what `to_json` gave; raises TypeError for anything else."""
        known: dict[str, Any] = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        for name, value in known.items():
            known[name] = tuple(value) if isinstance(value, list) else value
        return cls(**known)


def coverage_of(train: Any) -> dict[str, KeyCoverage]:
    """Return what a training set covers, by key; {} for data without tensors, or whose samples make no common batch.

    Parameters
    ----------
    train : torch.utils.data.Dataset
        The training set. Of one that is no `DictDataset` a thousand samples, evenly spaced, are looked at.

    Returns
    -------
    dict of str to KeyCoverage
        The keys that hold tensors.
    """
    if type(train) is DictDataset:
        tensors = dict(train.datadict)
    else:
        picked = np.unique(np.linspace(0, len(train) - 1, min(len(train), SAMPLES)).astype(int)).tolist()
        try:
            tensors = dict(train.collate_fn([train[index] for index in picked]))
        except Exception:  # samples of different lengths, say, which only go into batches of one
            return {}
    scaling, columns, initial = (getattr(train, name, None) for name in ("scaling", "columns", "initial"))
    found = {}
    for key, tensor in tensors.items():
        if isinstance(tensor, torch.Tensor) and tensor.ndim and tensor.numel() and not tensor.is_complex():
            own: dict[str, Any] = {"columns": tuple((columns or {}).get(key, ())), "first_of": (initial or {}).get(key)}
            if isinstance(scaling, Scaling) and key in scaling.scale:
                offset, scale = np.asarray(scaling.offset[key]), np.asarray(scaling.scale[key])
                if offset.any() or (scale != 1).any():
                    own |= {"offset": tuple(offset.tolist()), "scale": tuple(scale.tolist())}
            found[key] = KeyCoverage(
                tuple(tensor.shape[1:]),
                str(tensor.dtype).removeprefix("torch."),
                *_range(tensor.detach()),
                tensor.requires_grad,
                **own,
            )
    return found


def _range(tensor: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    width = tensor.shape[-1] if tensor.ndim > 1 else 1
    rows = tensor.reshape(-1, width) if width <= COLUMNS else tensor.reshape(-1, 1)
    rows = rows.to(torch.uint8) if rows.dtype == torch.bool else rows
    low, high = (end.cpu().tolist() for end in torch.aminmax(rows, dim=0))
    return tuple(map(float, low)), tuple(map(float, high))
