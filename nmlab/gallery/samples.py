"""What the problems' data functions have in common: parameters with their bounds and words, and three splits."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from neuromancer.dataset import DictDataset
from pydantic import Field

Samples = Annotated[int, Field(ge=1, le=10000, description="Samples in each of train, dev and test.")]
BatchSize = Annotated[int, Field(ge=1, le=10000, description="Samples in one training step.")]
Few = Annotated[int, Field(ge=1, le=300, description="Samples to train on, over and over.")]
Made = tuple[Any, Any, Any, int]
"""What a `data_setup_function` returns: train, dev and test data, and the batch size."""


def three(make: Callable[[str], Any], batch_size: int) -> Made:
    """Return train, dev and test as `make(name)` makes them, and the batch size."""
    return make("train"), make("dev"), make("test"), batch_size


def over_and_over(dataset: DictDataset, few: int) -> DictDataset:
    """Return the first few samples of a dataset, repeated to its length: fewer data for as many training steps."""
    kept = torch.arange(len(dataset)) % few
    some = {key: values.detach()[kept].requires_grad_(values.requires_grad) for key, values in dataset.datadict.items()}
    return DictDataset(some, name=dataset.name)
