"""Types and helper functions shared by the data functions of the gallery."""

from collections.abc import Callable
from typing import Annotated

import torch
from neuromancer.dataset import DictDataset
from pydantic import Field

SampleCount = Annotated[int, Field(ge=1, le=10000)]
"""Number of samples in each of train, dev and test."""

FewSamples = Annotated[int, Field(ge=1, le=300)]
"""Number of different training samples of a data function that repeats a few of them."""

BatchSize = Annotated[int, Field(ge=1, le=10000)]
"""Number of samples in a training step."""

DataSetup = tuple[DictDataset, DictDataset, DictDataset, int]
"""Return type of a `data_setup_function`: the train, dev and test datasets, and the batch size."""


def train_dev_test(make_split: Callable[[str], DictDataset], batch_size: int) -> DataSetup:
    """Create the train, dev and test datasets, in this order.

    Parameters
    ----------
    make_split : callable
        Function that takes the name of a split ("train", "dev" or "test") and returns its dataset.
    batch_size : int
        Number of samples in a training step.

    Returns
    -------
    train, dev, test : DictDataset
        The three datasets.
    batch_size : int
        The given batch size.
    """
    train = make_split("train")
    dev = make_split("dev")
    test = make_split("test")
    return train, dev, test, batch_size


def repeat_first_samples(dataset: DictDataset, count: int) -> DictDataset:
    """Replace all samples of a dataset by repetitions of its first `count` samples.

    The dataset keeps its length, so an epoch has the same number of training steps with fewer different samples.

    Parameters
    ----------
    dataset : DictDataset
        Dataset to take the samples from. It is not modified.
    count : int
        Number of different samples to keep.

    Returns
    -------
    DictDataset
        New dataset with the same name, keys and length.
    """
    indices = torch.arange(len(dataset)) % count
    repeated = {}
    for key, values in dataset.datadict.items():
        repeated[key] = values.detach()[indices].requires_grad_(values.requires_grad)
    return DictDataset(repeated, name=dataset.name)
