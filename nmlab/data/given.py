"""Batches as a DataLoader of the user's makes them: its size, order, sampler and collate function.

A plain `DictDataset` under one of torch's own samplers is sliced all the same: the order is drawn as the DataLoader
would draw it, number by number, and the batches are bit for bit the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from neuromancer.dataset import DictDataset
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from nmlab.data.splits import Batch
from nmlab.runtime.rng import RandomStreams

_SAMPLERS = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
"""Samplers whose order is known before the first batch, at no other numbers drawn."""


class LoadedDataset(Dataset[Any]):
    """A dataset together with the batches that are to be made of it.

    Parameters
    ----------
    batches : torch.utils.data.DataLoader or iterable of dict
        What is iterated over once an epoch.
    finite : bool, default True
        Whether values that are not finite are a fault of the data.
    """

    def __init__(self, batches: Any, finite: bool = True) -> None:
        self.batches = batches
        self.finite = finite
        dataset = getattr(batches, "dataset", None)
        by_sample = getattr(batches, "batch_sampler", None) is not None
        self.dataset = dataset if by_sample and hasattr(dataset, "__getitem__") else None
        """The samples; None where there are only batches."""

    @property
    def batch_size(self) -> int:
        """Number of samples per batch; all of them where each batch may have its own."""
        size = getattr(self.batches, "batch_size", None) or getattr(
            getattr(self.batches, "batch_sampler", None), "batch_size", None
        )
        return int(size or max(1, len(self)))

    @property
    def drop_last(self) -> bool:
        """Whether the last batch is left out if it is smaller."""
        return bool(getattr(self.batches, "drop_last", False))

    @property
    def name(self) -> Any:
        """The name of the batches, or of the dataset, which may differ."""
        collate = getattr(self.batches, "collate_fn", None)
        owner = getattr(collate, "__self__", self.dataset)
        if self.dataset is None:
            return next(iter(self.batches)).get("name")
        return getattr(owner, "name", None)

    def __len__(self) -> int:
        return len(self.dataset) if self.dataset is not None else _length(self.batches)

    def __getitem__(self, index: int) -> Any:
        if self.dataset is not None:
            return self.dataset[index]
        return next(batch for number, batch in enumerate(self.batches) if number == index)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or (dataset := vars(self).get("dataset")) is None:
            raise AttributeError(name)
        return getattr(dataset, name)

    def collate_fn(self, items: list[Any]) -> Batch:
        """Return a batch of these samples."""
        return dict(self.batches.collate_fn(items) if self.dataset is not None else items[0])

    def with_batch_size(self, size: int) -> LoadedDataset:
        """Return the same with batches of another size, in an order of the same kind."""
        given = self.batches
        if size == self.batch_size or self.dataset is None:
            return self
        made = DataLoader(
            self.dataset,
            batch_size=size,
            sampler=given.sampler,
            collate_fn=given.collate_fn,
            num_workers=given.num_workers,
            drop_last=self.drop_last and size <= len(self),
            worker_init_fn=given.worker_init_fn,
            generator=given.generator,
        )
        return LoadedDataset(made, self.finite)


def _length(batches: Any) -> int:
    return len(batches) if hasattr(batches, "__len__") else 1


class GivenLoader:
    """Iterable over the batches of a `LoadedDataset`, each with `epoch` and, where the samples are counted, `index`.

    Parameters
    ----------
    dataset : LoadedDataset
        The samples and how they are batched.
    epoch : callable
        Function that returns the current epoch.
    streams : RandomStreams
        Random numbers for order and samples.
    numbered : bool, default True
        Whether batches get an `index`.
    """

    def __init__(
        self, dataset: LoadedDataset, epoch: Callable[[], int], streams: RandomStreams, numbered: bool = True
    ) -> None:
        self.dataset: LoadedDataset | None = dataset
        self.batch_size = dataset.batch_size
        self._epoch = epoch
        self._streams = streams
        self._numbered = numbered
        self._guard = InputGuard()
        self.samples: int | None = None
        """Number of samples of the last batch; None where it is not known."""

    def __len__(self) -> int:
        return _length(self.dataset.batches) if self.dataset is not None else 0

    def __iter__(self) -> Iterator[Batch]:
        assert self.dataset is not None
        batches = self.dataset.batches
        return self._collated(batches) if (name := _sliced_name(batches)) is None else self._sliced(batches, name)

    def close(self) -> None:
        """Release the data."""
        self.dataset, self._guard = None, InputGuard()

    def _sliced(self, loader: Any, name: str) -> Generator[Batch, None, None]:
        epoch, tensors = self._epoch(), loader.dataset.datadict
        ordered = type(loader.sampler) is SequentialSampler
        with self._streams:
            torch.empty((), dtype=torch.int64).random_(generator=loader.generator)  # as an iterator of it draws
            order = _ranges(loader) if ordered else list(loader.batch_sampler)
        for indices in order:
            self._guard.check()
            if ordered:
                index = torch.arange(indices[0], indices[-1] + 1, device="cpu")
                parts = {
                    key: value.detach()[indices[0] : indices[-1] + 1].contiguous() for key, value in tensors.items()
                }
                batch: Batch = {key: part.clone() if self._guard.copies else part for key, part in parts.items()}
            else:
                index = torch.as_tensor(indices, device="cpu")
                batch = {key: value.detach()[index].contiguous() for key, value in tensors.items()}
            for key, value in tensors.items():
                batch[key].requires_grad_(value.requires_grad)
            self._guard.watch(batch)
            self.samples = len(index)
            batch |= {"name": name, "epoch": epoch}
            yield {"index": index, **batch} if self._numbered else batch

    def _collated(self, batches: Any) -> Generator[Batch, None, None]:
        epoch = self._epoch()
        sampler: Any = getattr(batches, "batch_sampler", None)
        size = self.batch_size if type(sampler) is BatchSampler else 0
        left = len(sampler.sampler) if size else 0
        done = 0
        with self._streams:
            made = iter(batches)
        while True:
            with self._streams:
                batch = next(made, None)
            if batch is None:
                return
            if size:
                stop = min(done + size, left)
                self.samples = stop - done
                if self._numbered:
                    batch.setdefault("index", torch.arange(done, stop, device="cpu"))
                done = stop
            batch["epoch"] = epoch
            yield batch


def _ranges(loader: Any) -> list[range]:
    """Return the samples of each batch of a DataLoader that takes them as they stand."""
    samples, size = len(loader.sampler), loader.batch_size
    stop = samples - samples % size if loader.drop_last else samples
    return [range(start, min(start + size, samples)) for start in range(0, stop, size)]


class InputGuard:
    """Finds out whether a node writes into its input, by a first batch that is a copy; then all are to be copies."""

    def __init__(self) -> None:
        self.copies = True
        self._probe: list[Any] | None = None

    def watch(self, batch: Batch) -> None:
        """Take in the first batch."""
        if self._probe is None:
            self._probe = [value for value in batch.values() if isinstance(value, torch.Tensor)]

    def check(self) -> None:
        """Look whether that was written into."""
        if self._probe:
            self.copies = any(part._version > 0 for part in self._probe)
            self._probe = []


def _sliced_name(batches: Any) -> str | None:
    """Return the name of the batches of a DataLoader whose dataset can be sliced in its place; None for any other."""
    if type(batches) is not DataLoader or type(batches.batch_sampler) is not BatchSampler:
        return None
    collate: Any = batches.collate_fn
    data: Any = batches.dataset
    known = (
        type(data) is DictDataset
        and not {"collate_fn", "__getitem__", "__getitems__"} & vars(data).keys()
        and getattr(collate, "__func__", None) is DictDataset.collate_fn
        and type(batches.sampler) in _SAMPLERS
        and batches.batch_sampler.sampler is batches.sampler
        and not batches.pin_memory
        and all(isinstance(value, torch.Tensor) for value in data.datadict.values())
    )
    return str(collate.__self__.name) if known else None
