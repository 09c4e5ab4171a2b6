"""`from_loaders()`: a data function from DataLoaders that there are already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from annotated_types import Ge
from torch.utils.data import DataLoader

from nmlab.data.given import LoadedDataset

DataFunction = Callable[..., tuple[Any, Any, Any, int]]


def from_loaders(train: Any, dev: Any = None, test: Any = None, *, finite: bool = True) -> DataFunction:
    """Return a `data_setup_function` whose batches are those of DataLoaders.

    Size, order, sampler, collate function, workers, generator and `drop_last` of each DataLoader are used. The form of
    the data function has the batch size of the training data. The option `shuffle` takes the place of the order of the
    training data.

    Parameters
    ----------
    train : torch.utils.data.DataLoader or iterable of dict
        Batches of the training data.
    dev, test : torch.utils.data.DataLoader or iterable of dict, optional
        Batches of the dev and the test data. test may be what `nmlab.fit` takes too, such as a dict of tensors.
    finite : bool, default True
        Whether values that are not finite are a fault of the data.

    Returns
    -------
    callable
        ``data_setup_function(batch_size=…)``.

    Examples
    --------
    >>> import nmlab
    >>> import torch
    >>> from neuromancer.dataset import DictDataset
    >>> from torch.utils.data import DataLoader
    >>> def loader(name):
    ...     data = DictDataset({"p": torch.rand(6, 1)}, name=name)
    ...     return DataLoader(data, batch_size=4, shuffle=True, collate_fn=data.collate_fn)
    >>> data_setup_function = nmlab.from_loaders(loader("train"), loader("dev"))
    >>> train, dev, test, batch_size = data_setup_function()
    >>> len(train), batch_size
    (6, 4)
    """
    known: dict[int, Any] = {}

    def loaded(given: Any, always: bool) -> Any:
        if given is None or not (always or isinstance(given, DataLoader)):
            return given
        return known.setdefault(id(given), LoadedDataset(given, finite))

    splits = loaded(train, True), loaded(dev, True), loaded(test, False)

    def loaders(batch_size: Annotated[int, Ge(1)] = splits[0].batch_size) -> tuple[Any, Any, Any, int]:
        return *splits, batch_size

    return loaders
