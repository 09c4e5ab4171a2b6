"""From a `data_setup_function` to batches: call it, check what it returns, slice it.

The function's four returns become `Splits`. What cannot be trained on is said before the first step, all faults at
once. A plain `DictDataset` is sliced, which is some fifty times faster than collating it sample by sample and gives the
same batches; every other dataset goes through torch's DataLoader with its own collate.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from neuromancer.dataset import DictDataset
from torch.utils.data import DataLoader, Dataset, Sampler

from nmlab.errors import DataError
from nmlab.randomness import RandomStreams

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


_BLOCK = 8192  # samples that are sliced, and where shuffled copied, together: one by one is felt on small problems


class Loader:
    """Batches of one split, each with `name`, `epoch` and `index`; what Lightning iterates over.

    Parameters: `dataset`; `batch_size`; `epoch`, called for the epoch's number; `order`, called with the epoch for
    the samples' order, or None for the dataset's own; `streams`, the random numbers that a dataset draws from;
    `num_workers`, processes that load a dataset which cannot be sliced.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        epoch: Callable[[], int],
        order: Callable[[int], torch.Tensor] | None = None,
        streams: RandomStreams | None = None,
        num_workers: int = 0,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self._epoch = epoch
        self._order = order
        self._streams = streams or RandomStreams(0)
        self._num_workers = num_workers
        self._copies = False
        self._probe: list[torch.Tensor] | None = None
        self._passes: weakref.WeakSet[Generator[Batch, None, None]] = weakref.WeakSet()

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        tensors = _own_tensors(self.dataset)
        batches = self._collated() if tensors is None else self._sliced(tensors)
        self._passes.add(batches)
        return batches

    def close(self) -> None:
        """Let go of the data, also of passes that were not finished."""
        for batches in list(self._passes):
            batches.close()
        self.dataset, self._probe = None, None

    def _sliced(self, tensors: dict[str, torch.Tensor]) -> Generator[Batch, None, None]:
        epoch, size = self._epoch(), self.batch_size
        order = self._order(epoch) if self._order else None
        block = max(1, _BLOCK // size) * size
        for start in range(0, len(self.dataset), block):
            stop = min(start + block, len(self.dataset))
            index = torch.arange(start, stop, device="cpu") if order is None else order[start:stop]
            parts = {
                key: _split(_rows(value.detach(), start, stop, index, order is not None), size)
                for key, value in tensors.items()
            }
            for number, samples in enumerate(_split(index, size)):
                self._look_at_probe()
                copied = order is None and (self._copies or self._probe is None)
                batch: Batch = {}
                for key, of_block in parts.items():
                    part = of_block[number].clone() if copied else of_block[number]
                    batch[key] = part.requires_grad_() if tensors[key].requires_grad else part
                if self._probe is None:
                    self._probe = list(batch.values())
                batch.setdefault("index", samples)
                batch["name"] = self.dataset.name
                batch["epoch"] = epoch
                yield batch

    def _look_at_probe(self) -> None:
        """Fall back to copies where a node wrote into the first batch, which was one, so that nothing was harmed."""
        if self._probe:
            self._copies = any(part._version > 0 for part in self._probe)
            self._probe = []

    def _collated(self) -> Generator[Batch, None, None]:
        epoch = self._epoch()
        loader: DataLoader[Any] = DataLoader(
            _Numbered(self.dataset),
            batch_size=self.batch_size,
            sampler=_Order(len(self.dataset), self._order(epoch) if self._order else None),
            collate_fn=_Collate(self.dataset.collate_fn),
            num_workers=self._num_workers,
            # a generator of its own, so that making an iterator draws nothing from the global one
            generator=torch.Generator().manual_seed(self._streams.seed + epoch),
        )
        batches = iter(loader)
        while True:
            with self._streams:
                batch = next(batches, None)
            if batch is None:
                return
            batch["epoch"] = epoch
            yield batch


def _rows(value: torch.Tensor, start: int, stop: int, index: torch.Tensor, shuffled: bool) -> torch.Tensor:
    if not shuffled:
        return value[start:stop]
    return value.index_select(0, index) if value.device.type == "cpu" else value[index]  # which takes any index


def _split(rows: torch.Tensor, size: int) -> tuple[torch.Tensor, ...]:
    return (rows,) if len(rows) <= size else rows.split(size)


def _own_tensors(dataset: Any) -> dict[str, torch.Tensor] | None:
    """Return the tensors of a DictDataset that may be sliced, or None where only its own methods know its batches."""
    kind = type(dataset)
    plain = (
        isinstance(dataset, DictDataset)
        and kind.__getitem__ is DictDataset.__getitem__
        and kind.collate_fn is DictDataset.collate_fn
        and not {"collate_fn", "__getitem__"} & vars(dataset).keys()
        and not hasattr(dataset, "__getitems__")
        and all(isinstance(value, torch.Tensor) for value in dataset.datadict.values())
    )
    return dict(dataset.datadict) if plain else None


class _Numbered(Dataset[tuple[int, Any]]):
    """A dataset whose items come with their number."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitems__(self, indices: list[int]) -> list[tuple[int, Any]]:
        fetch = getattr(self._dataset, "__getitems__", None)
        items = [self._dataset[index] for index in indices] if fetch is None else fetch(indices)
        return list(zip(indices, items, strict=True))


class _Collate:
    """The dataset's own collate, and the samples' numbers under `index` where it gives none."""

    def __init__(self, collate: Callable[[list[Any]], Batch]) -> None:
        self._collate = collate

    def __call__(self, numbered: list[tuple[int, Any]]) -> Batch:
        batch = self._collate([item for _, item in numbered])
        batch.setdefault("index", torch.tensor([index for index, _ in numbered]))
        return batch


class _Order(Sampler[int]):
    def __init__(self, length: int, order: torch.Tensor | None) -> None:
        self._order = range(length) if order is None else order.tolist()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)


def permutation(length: int, seed: int, epoch: int) -> torch.Tensor:
    """Return the order of `length` samples in `epoch`; a function of seed and epoch alone."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    # on the CPU, whatever device the user has made the default
    return torch.randperm(length, generator=torch.Generator().manual_seed(mixed), device="cpu")


class SplitsDataModule(LightningDataModule):
    """Hands Lightning the batches of `Splits`.

    Parameters: `splits`; `streams`, the fit's random numbers, whose seed also orders shuffled samples; `shuffle`,
    whether the training samples come in a new order every epoch; `num_workers` as in torch's DataLoader.
    """

    def __init__(self, splits: Splits, streams: RandomStreams, shuffle: bool = False, num_workers: int = 0) -> None:
        super().__init__()
        self.splits: Splits | None = splits
        self._loaders: list[Loader] = []
        self.batch_size = splits.batch_size
        self._streams = streams
        self._shuffle = shuffle
        self._num_workers = num_workers

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else 0

    def loader(self, split: str) -> Loader:
        """Return the batches of the split called 'train', 'dev' or 'test'."""
        dataset = getattr(self.splits, split)
        seed, length = self._streams.seed, len(dataset)
        shuffled = split == "train" and self._shuffle
        order = (lambda epoch: permutation(length, seed, epoch)) if shuffled else None
        loader = Loader(dataset, self.batch_size, self._epoch, order, self._streams, self._num_workers)
        self._loaders.append(loader)
        return loader

    def close(self) -> None:
        """Let go of the data: Lightning's trainer stands in cycles, and would hold them until the next collection."""
        for loader in self._loaders:
            loader.close()
        self.splits = None

    def train_dataloader(self) -> Loader:
        return self.loader("train")

    def val_dataloader(self) -> Any:
        return self.loader("dev") if self.splits is not None and self.splits.dev is not None else []

    def test_dataloader(self) -> Loader:
        return self.loader("test")


def first_batch(dataset: Any, samples: int = 2) -> Batch:
    """Return a batch of the first few samples of `dataset`, copied, so that nothing done to it reaches the data."""
    batch = next(iter(Loader(dataset, min(samples, len(dataset)), lambda: 0)))
    return {key: _copied(value) for key, value in batch.items()}


def _copied(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad)
