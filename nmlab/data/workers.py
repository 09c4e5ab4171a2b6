"""Whether worker processes can load a dataset: those that are not forked have to import what it is made of."""

from __future__ import annotations

import inspect
import io
import multiprocessing
import pickle
import sys
from typing import Any

import numpy as np
import torch

from nmlab.data.loader import is_sliced
from nmlab.data.splits import Splits

_REMEDY = (
    "put it into a module of its own and import it from there, or set num_workers=0, or call "
    "torch.multiprocessing.set_start_method('fork', force=True) first"
)


def workers_faults(splits: Splits, num_workers: int) -> dict[str, str]:
    """Return why worker processes could not load the datasets, by split; {} if they can, or if there are none.

    Parameters
    ----------
    splits : Splits
        The datasets.
    num_workers : int
        Number of worker processes.
    """
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if not num_workers or method == "fork":
        return {}
    asked = f"num_workers={num_workers} and the start method {method!r}"
    return {
        name: f"{name}_data cannot be loaded with {asked}: {reason}; {_REMEDY}"
        for name, dataset in splits.items()
        if not is_sliced(dataset) and (reason := _reason(dataset))
    }


def _reason(dataset: Any) -> str | None:
    pickler = _Pickler()
    try:
        pickler.dump((dataset, dataset.collate_fn))
    except Exception as error:  # pickling calls the user's code
        return f"it cannot be sent to a worker process ({type(error).__name__}: {error})"
    if not pickler.typed:
        return None
    return f"{' and '.join(pickler.typed)} from this notebook cannot be imported by a worker process"


class _Pickler(pickle.Pickler):
    """Pickles into nothing, and notes the classes and functions that only this process has."""

    def __init__(self) -> None:
        super().__init__(_Nothing(), protocol=pickle.HIGHEST_PROTOCOL)
        self.typed: list[str] = []
        self._interactive = getattr(sys.modules["__main__"], "__file__", None) is None

    def persistent_id(self, value: Any) -> str | None:
        """Return an id for what need not be pickled to know, which is large."""
        if isinstance(value, torch.Tensor | np.ndarray):
            return "data"
        if not self._interactive or not (inspect.isclass(value) or inspect.isfunction(value)):
            return None
        if value.__module__ == "__main__" and value.__qualname__ not in self.typed:
            self.typed.append(value.__qualname__)
        return None


class _Nothing(io.RawIOBase):
    def write(self, content: Any) -> int:
        """Return the length of the content."""
        return len(content)
