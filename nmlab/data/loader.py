"""Batches of a split, made by slicing tensors if possible and otherwise by the dataset's own collate function.

A plain `DictDataset` is sliced, which gives the same batches about fifty times faster than collating it sample by
sample. Every other dataset is loaded by torch's DataLoader with its own collate function.
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

from nmlab.data.given import GivenLoader, InputGuard, LoadedDataset
from nmlab.data.parts import Part
from nmlab.data.splits import Batch, Splits
from nmlab.runtime.rng import RandomStreams

_BLOCK = 8192  # samples that are sliced (and copied, if shuffled) at once: batch by batch is slow on small problems


class Loader:
    """Iterable over the batches of one split, each with `name`, `epoch` and `index`.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        The dataset, with NeuroMANCER's `collate_fn`.
    batch_size : int
        Number of samples per batch.
    epoch : callable
        Function that returns the current epoch.
    order : callable, optional
        Function that takes the epoch and returns the order of the samples. Default: the order of the dataset.
    streams : RandomStreams, optional
        Random numbers for the dataset.
    num_workers : int, default 0
        Number of subprocesses that load a dataset which cannot be sliced.
    drop_last : bool, default False
        Whether to leave out the last batch if it is smaller than the others.
    part : Part, optional
        The part of each batch to give. Default: all of it.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        epoch: Callable[[], int],
        order: Callable[[int], torch.Tensor] | None = None,
        streams: RandomStreams | None = None,
        num_workers: int = 0,
        drop_last: bool = False,
        part: Part | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self._epoch = epoch
        self._order = order
        self._streams = streams or RandomStreams(0)
        self._num_workers = num_workers
        self._drop_last = drop_last
        self._part = part
        self._guard = InputGuard()
        self._passes: weakref.WeakSet[Generator[Batch, None, None]] = weakref.WeakSet()

    def __len__(self) -> int:
        return -(-self._samples // self.batch_size)

    @property
    def _samples(self) -> int:
        """Number of samples that a pass has."""
        samples = len(self.dataset)
        return samples - samples % self.batch_size if self._drop_last else samples

    def __iter__(self) -> Iterator[Batch]:
        tensors = _own_tensors(self.dataset)
        batches = self._collated() if tensors is None else self._sliced(tensors)
        self._passes.add(batches)
        return batches

    def close(self) -> None:
        """Release the data, also of iterators that are not exhausted."""
        for batches in list(self._passes):
            batches.close()
        self.dataset, self._guard = None, InputGuard()

    def _sliced(self, tensors: dict[str, torch.Tensor]) -> Generator[Batch, None, None]:
        epoch, size, samples = self._epoch(), self.batch_size, self._samples
        order = self._order(epoch) if self._order else None
        block = max(1, _BLOCK // size) * size
        for start in range(0, samples, block):
            stop = min(start + block, samples)
            index = torch.arange(start, stop, device="cpu") if order is None else order[start:stop]
            parts = {
                # contiguous, as collated batches are: sums over other strides may differ in their last bit
                key: _split(_rows(value.detach(), start, stop, index, order is not None).contiguous(), size)
                for key, value in tensors.items()
            }
            for number, numbers in enumerate(_split(index, size)):
                self._guard.check()
                copied = order is None and self._guard.copies
                own = slice(None) if self._part is None else self._part.within(len(numbers))
                batch: Batch = {}
                for key, of_block in parts.items():
                    part = of_block[number][own].clone() if copied else of_block[number][own]
                    batch[key] = part.requires_grad_() if tensors[key].requires_grad else part
                self._guard.watch(batch)
                batch.setdefault("index", numbers[own])
                batch["name"] = self.dataset.name
                batch["epoch"] = epoch
                yield batch

    def _collated(self) -> Generator[Batch, None, None]:
        epoch = self._epoch()
        loader: DataLoader[Any] = DataLoader(
            _Numbered(self.dataset),
            batch_sampler=_Batches(
                self._order(epoch) if self._order else None, self._samples, self.batch_size, self._part
            ),
            collate_fn=_Collate(self.dataset.collate_fn),
            num_workers=self._num_workers,
            # a separate generator, so that creating an iterator draws no number from the global one
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
    return value.index_select(0, index) if value.device.type == "cpu" else value[index]  # which accepts any index


def _split(rows: torch.Tensor, size: int) -> tuple[torch.Tensor, ...]:
    return (rows,) if len(rows) <= size else rows.split(size)


def is_sliced(dataset: Any) -> bool:
    """Return whether batches are slices of the dataset's tensors, without DataLoader and worker processes."""
    return _own_tensors(dataset) is not None


def _own_tensors(dataset: Any) -> dict[str, torch.Tensor] | None:
    """Return the tensors of a DictDataset that may be sliced, or None if the dataset must make its own batches."""
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
    """A dataset whose items are pairs of index and sample."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitems__(self, indices: list[int]) -> list[tuple[int, Any]]:
        fetch = getattr(self._dataset, "__getitems__", None)
        items = [self._dataset[index] for index in indices] if fetch is None else fetch(indices)
        return list(zip(indices, items, strict=True))


class _Collate:
    """The dataset's own collate function, which adds the indices of the samples as `index` if it does not."""

    def __init__(self, collate: Callable[[list[Any]], Batch]) -> None:
        self._collate = collate

    def __call__(self, numbered: list[tuple[int, Any]]) -> Batch:
        batch = self._collate([item for _, item in numbered])
        batch.setdefault("index", torch.tensor([index for index, _ in numbered]))
        return batch


class _Batches(Sampler[list[int]]):
    """The samples of each batch, or of a part of it."""

    def __init__(self, order: torch.Tensor | None, samples: int, size: int, part: Part | None) -> None:
        self._order = range(samples) if order is None else order.tolist()
        self._samples, self._size, self._part = samples, size, part

    def __len__(self) -> int:
        return -(-self._samples // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, self._samples, self._size):
            batch = list(self._order[start : min(start + self._size, self._samples)])
            yield batch if self._part is None else batch[self._part.within(len(batch))]


def permutation(length: int, seed: int, epoch: int) -> torch.Tensor:
    """Return a random order of `length` samples, which depends only on seed and epoch."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    # on the CPU, whatever the default device is
    return torch.randperm(length, generator=torch.Generator().manual_seed(mixed), device="cpu")


class SplitsDataModule(LightningDataModule):
    """Lightning's data module for `Splits`.

    Parameters
    ----------
    splits : Splits
        The datasets and the batch size.
    streams : RandomStreams
        Random numbers of the fit, whose seed also determines the order of shuffled samples.
    shuffle : bool, default False
        Whether to shuffle the training samples in each epoch.
    num_workers : int, default 0
        Number of subprocesses that load data, as in torch's DataLoader.
    drop_last : bool, default False
        Whether to leave out the last batch of the train split if it is smaller than the others.
    part : Part, optional
        The part of each batch of train and dev that this process computes. Default: all of it.
    """

    def __init__(
        self,
        splits: Splits,
        streams: RandomStreams,
        shuffle: bool = False,
        num_workers: int = 0,
        drop_last: bool = False,
        part: Part | None = None,
    ) -> None:
        super().__init__()
        self.splits: Splits | None = splits
        self._loaders: list[Loader | GivenLoader] = []
        self.batch_size = splits.batch_size
        self._streams = streams
        self._shuffle = shuffle
        self._num_workers = num_workers
        self._drop_last = drop_last
        self._part = part

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else 0

    def loader(self, split: str, whole: bool = False) -> Loader | GivenLoader:
        """Return the batches of the split called 'train', 'dev' or 'test'; `whole`, all of each and not a part."""
        dataset = getattr(self.splits, split)
        shuffled = split == "train" and self._shuffle
        if isinstance(dataset, LoadedDataset) and not shuffled:
            given = dataset.with_batch_size(self.batch_size) if split == "train" else dataset
            self._loaders.append(made := GivenLoader(given, self._epoch, self._streams))
            return made
        seed, length = self._streams.seed, len(dataset)
        order = (lambda epoch: permutation(length, seed, epoch)) if shuffled else None
        loader = Loader(
            dataset,
            self.batch_size,
            self._epoch,
            order,
            self._streams,
            self._num_workers,
            self._drops_last(split),
            None if whole or split == "test" else self._part,
        )
        self._loaders.append(loader)
        return loader

    def _drops_last(self, split: str) -> bool:
        # a search for a batch size goes on to one batch of all samples
        return split == "train" and self._drop_last and len(getattr(self.splits, split)) > self.batch_size

    def samples(self, split: str, number: int) -> int:
        """Return how many samples the batch with this number has, in all processes together."""
        return min(self.batch_size, len(getattr(self.splits, split)) - number * self.batch_size)

    def close(self) -> None:
        """Release the data, which Lightning's reference cycles would keep until the next garbage collection."""
        for loader in self._loaders:
            loader.close()
        self.splits = None

    def train_dataloader(self) -> Loader | GivenLoader:
        """Return the batches of the train split."""
        return self.loader("train")

    def val_dataloader(self) -> Any:
        """Return the batches of the dev split; [] without one."""
        return self.loader("dev") if self.splits is not None and self.splits.dev is not None else []

    def test_dataloader(self) -> Loader | GivenLoader:
        """Return the batches of the test split."""
        return self.loader("test")


def trial_batches(dataset: Any, batch_size: int) -> Iterator[Batch]:
    """Yield a batch of two samples, and the first real one for what two samples do not fit, such as ``y[-20:]``."""
    yield first_batch(dataset)
    if batch_size > 2 and len(dataset) > 2:
        yield first_batch(dataset, batch_size)


def first_batch(dataset: Any, samples: int = 2) -> Batch:
    """Return a batch of the first few samples of a dataset, copied so that changes to it do not affect the data."""
    batch = next(iter(Loader(dataset, min(samples, len(dataset)), lambda: 0)))
    return {key: _copied(value) for key, value in batch.items()}


def _copied(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad)
