"""Calls a `data_setup_function` and checks the four values that it returns.

Data that cannot be trained on are reported before the first step, with all faults at once. A test split that cannot be
scored is no obstacle to a training: why it is not scored is kept.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from neuromancer.dataset import DictDataset

from nmlab.errors import DataError
from nmlab.runtime.interrupts import users_code

Batch = dict[str, Any]


@dataclass
class Splits:
    """The three datasets and the batch size that a `data_setup_function` returned.

    Parameters
    ----------
    train : torch.utils.data.Dataset
        Training data.
    dev : torch.utils.data.Dataset or None
        Data for the choice of the best epoch; None if there is no dev split.
    test : Any
        Test data as they are scored, or whatever was returned in their place; None if there is no test split.
    batch_size : int
        Number of samples per batch.
    unscored : str, default ""
        Why the test split is not scored; "" if it is.
    remarks : tuple of str
        What the data function says of how it made the data: the attribute `remarks` of the training data, as the data
        functions of `from_file` give it; () if there is none.
    """

    train: Any
    dev: Any
    test: Any
    batch_size: int
    unscored: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:  # noqa: D102 - described above
        return tuple(map(str, getattr(self.train, "remarks", ())))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield name and dataset of each split that is trained on or scored."""
        for name in ("train", "dev", "test"):
            if (dataset := getattr(self, name)) is not None and not (name == "test" and self.unscored):
                yield name, dataset

    def leave_out_test(self, reason: str) -> None:
        """Do not score the test split, for this reason, and warn of it."""
        self.unscored = reason
        warnings.warn(f"The test split is not scored: {reason}.", stacklevel=2)


def place_of(function: Callable[..., Any]) -> str:
    """Return a function's name with its file and line, for messages."""
    name = getattr(function, "__name__", type(function).__name__)
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def make_splits(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> Splits:
    """Call a `data_setup_function` and return its splits.

    Parameters
    ----------
    function : callable
        The function. What it raises itself is not caught.
    kwargs : mapping
        Keywords of the call.

    Returns
    -------
    Splits
        The datasets and the batch size.

    Raises
    ------
    DataError
        If the returned values cannot be used; the error reports all faults.
    """
    try:
        with users_code():
            returned = function(**kwargs)
    except SystemExit as exit:
        raise DataError(
            [f"it called sys.exit({'' if exit.code is None else repr(exit.code)}); raise an exception instead"],
            subject=f"{place_of(function)} returned no data",
        ) from exit
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
    test, unscored = _test_data(test, train, dev)
    splits = Splits(train, dev, test, batch_size, unscored)
    for name in ("train", "dev"):
        if (dataset := getattr(splits, name)) is not None:
            faults += [f"{name}_data {fault}" for fault in _faults(name, dataset)]
    return splits, faults


def _test_data(test: Any, train: Any, dev: Any) -> tuple[Any, str]:
    """Return the test split as a dataset, and why it is not scored or ""."""
    if test is None:
        return None, ""
    for name, other in (("dev", dev), ("train", train)):
        if test is other:
            return test, f"test is the {name} set"
    if isinstance(test, dict) and test:  # NeuroMANCER's examples often return a plain dict here
        tensors = {key: t for key, value in test.items() if (t := _as_tensor(value)) is not None and t.ndim}
        lengths = {key: len(value) for key, value in tensors.items()}
        if len(set(lengths.values())) != 1:
            return test, f"test_data is a dict whose tensors differ in length: {lengths or 'there are none'}"
        test = DictDataset(tensors, name="test")
    try:
        return test, "; ".join(f"test_data {fault}" for fault in _faults("test", test))
    except Exception as error:  # whatever a user's object raises
        return test, f"test_data cannot be read: {type(error).__name__}: {error}"


def _faults(name: str, dataset: Any) -> Iterator[str]:
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        yield f"is a {type(dataset).__name__}; return a dataset such as DictDataset({{...}}, name='{name}')"
        return
    if isinstance(dataset, (dict, list, tuple, torch.Tensor)):
        yield f"is a {type(dataset).__name__}; return DictDataset(..., name='{name}')"
        return
    called = getattr(dataset, "name", name)
    if called != name and name != "test" and not hasattr(dataset, "batches"):  # whose losses are found by any name
        yield f"is named {called!r}; give name='{name}', by which NeuroMANCER names its losses"
    if not callable(getattr(dataset, "collate_fn", None)):
        yield f"has no collate_fn ({type(dataset).__name__}); NeuroMANCER's datasets have one"
    if len(dataset) == 0:
        yield "is empty"
    for where, value in _tensors_of(dataset) if getattr(dataset, "finite", True) else ():
        if value.is_complex():
            yield f"holds complex numbers ({value.dtype}) in {where}; NeuroMANCER's nodes need real numbers"
        elif value.is_floating_point() and (count := _not_finite(value)):
            yield f"is not finite in {where}: {count} value{' is' if count == 1 else 's are'} nan or inf"


def _not_finite(value: torch.Tensor) -> int:
    """Count NaN and infinities, in chunks: checking all at once needs as much memory as the data."""
    rows = value.detach().reshape(1) if value.ndim == 0 else value.detach()
    chunk = max(1, _CHUNK * len(rows) // max(1, rows.numel()))
    return sum(int((~torch.isfinite(part)).sum()) for part in rows.split(chunk))


_CHUNK = 1_000_000
"""How many numbers to check at once."""


def _tensors_of(dataset: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of NeuroMANCER's datasets, each with a text for where it is."""
    found = [("its data", getattr(dataset, "full_data", None))]  # a StaticDataset's or SequenceDataset's
    for attribute in ("datadict", "node_attr", "edge_attr", "graph_attr"):  # a DictDataset's, or a GraphDataset's
        if isinstance(values := getattr(dataset, attribute, None), Mapping):
            found += [
                (repr(key), v) for key, value in values.items() for v in (value if type(value) is list else [value])
            ]
    for where, value in found:
        if (tensor := _as_tensor(value)) is not None:
            yield where, tensor


def _as_tensor(value: Any) -> torch.Tensor | None:
    """Return a tensor unchanged and an array of numbers as a tensor; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.as_tensor(value)
    return value if isinstance(value, torch.Tensor) else None
