"""From a `data_setup_function` to `Splits`: call it, and check its four returns.

What cannot be trained on is said before the first step, all faults at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from neuromancer.dataset import DictDataset

from nmlab.errors import DataError

Batch = dict[str, Any]


@dataclass
class Splits:
    """What a `data_setup_function` returned: three datasets and the batch size.

    `dev` is None where there is no dev split, `test` where there is no test split.
    """

    train: Any
    dev: Any
    test: Any
    batch_size: int

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield the splits that are there, by name."""
        for name in ("train", "dev", "test"):
            if (dataset := getattr(self, name)) is not None:
                yield name, dataset


def place_of(function: Callable[..., Any]) -> str:
    """Return a function's name with the file and line where it stands, for messages."""
    name = getattr(function, "__name__", type(function).__name__)
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def make_splits(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> Splits:
    """Call a `data_setup_function` and return its splits.

    Raises `DataError` with all that is wrong in the four returns; what the function itself raises goes through.
    """
    try:
        returned = function(**kwargs)
    except SystemExit as leave:
        raise DataError(
            [f"it called sys.exit({'' if leave.code is None else repr(leave.code)}); raise an exception instead"],
            subject=f"{place_of(function)} made no data",
        ) from leave
    splits, faults = _read(returned)
    if splits is None or faults:
        raise DataError(faults, subject=f"{place_of(function)} returned data that cannot be trained on")
    return splits


def _read(returned: Any) -> tuple[Splits | None, list[str]]:
    if not isinstance(returned, (tuple, list)) or len(returned) != 4:
        what = f"{len(returned)} values" if isinstance(returned, (tuple, list)) else f"a {type(returned).__name__}"
        return None, [f"it returned {what}; return train_data, dev_data, test_data, batch_size"]
    train, dev, test, batch_size = returned
    faults: list[str] = []
    if isinstance(batch_size, np.integer):
        batch_size = int(batch_size)
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        faults.append(f"batch_size is {batch_size!r}; return an integer of at least 1 as the fourth value")
    if train is None:
        faults.append("train_data is None; return a dataset")
    if isinstance(test, dict) and test:  # NeuroMANCER's examples often return a plain dict here
        tensors = {key: t for key, value in test.items() if (t := _as_tensor(value)) is not None and t.ndim}
        lengths = {key: len(value) for key, value in tensors.items()}
        if len(set(lengths.values())) == 1:
            test = DictDataset(tensors, name="test")
        else:
            test = None
            faults.append(f"test_data is a dict whose tensors are not of one length: {lengths or 'there are none'}")
    splits = Splits(train, dev, test, batch_size)
    for name, dataset in splits.items():
        faults += [f"{name}_data {fault}" for fault in _faults(name, dataset)]
    return splits, faults


def _faults(name: str, dataset: Any) -> Iterator[str]:
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        yield f"is a {type(dataset).__name__}; return a dataset such as DictDataset({{...}}, name='{name}')"
        return
    if isinstance(dataset, (dict, list, tuple, torch.Tensor)):
        yield f"is a {type(dataset).__name__}; return DictDataset(..., name='{name}')"
        return
    called = getattr(dataset, "name", name)
    if called != name:
        yield f"is named {called!r}; NeuroMANCER names its losses by it: name='{name}'"
    if not callable(getattr(dataset, "collate_fn", None)):
        yield f"has no collate_fn ({type(dataset).__name__}); NeuroMANCER's datasets bring one"
    if len(dataset) == 0:
        yield "is empty"
    for where, value in _tensors_of(dataset):
        if value.is_complex():
            yield f"holds complex numbers ({value.dtype}) in {where}; NeuroMANCER's nodes take real ones"
        elif value.is_floating_point() and (count := _not_finite(value)):
            yield f"is not finite in {where}: {count} value{' is' if count == 1 else 's are'} nan or inf"


def _not_finite(value: torch.Tensor) -> int:
    """Count NaN and infinities, in parts: what a look at the whole takes is as large as the data."""
    rows = value.detach().reshape(1) if value.ndim == 0 else value.detach()
    few = max(1, _LOOKED_AT * len(rows) // max(1, rows.numel()))
    return sum(int((~torch.isfinite(part)).sum()) for part in rows.split(few))


_LOOKED_AT = 1_000_000  # numbers at a time


def _tensors_of(dataset: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what NeuroMANCER's datasets hold, each tensor with words for where it is."""
    held = [("its data", getattr(dataset, "full_data", None))]  # a StaticDataset's or SequenceDataset's
    for place in ("datadict", "node_attr", "edge_attr", "graph_attr"):  # a DictDataset's, or a GraphDataset's
        if isinstance(values := getattr(dataset, place, None), Mapping):
            held += [
                (repr(key), v) for key, value in values.items() for v in (value if type(value) is list else [value])
            ]
    for where, value in held:
        if (tensor := _as_tensor(value)) is not None:
            yield where, tensor


def _as_tensor(value: Any) -> torch.Tensor | None:
    """Return a tensor, or an array of numbers as one; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.as_tensor(value)
    return value if isinstance(value, torch.Tensor) else None
