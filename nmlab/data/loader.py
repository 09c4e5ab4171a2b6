"""Batches of a split: sliced where a dataset's tensors may be, collated by the dataset itself elsewhere.

A plain `DictDataset` is sliced, which is some fifty times faster than collating it sample by sample and gives the same
batches; every other dataset goes through torch's DataLoader with its own collate.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from neuromancer.dataset import DictDataset
from torch.utils.data import DataLoader, Dataset, Sampler

from nmlab.data.splits import Batch, Splits
from nmlab.runtime.rng import RandomStreams

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
