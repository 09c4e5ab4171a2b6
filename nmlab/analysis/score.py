"""A Problem's metrics on data, outside any fit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from neuromancer.dataset import DictDataset
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem

from nmlab.data.loader import Loader
from nmlab.data.splits import Splits, make_splits
from nmlab.errors import BusyError, DataError, FieldError
from nmlab.fitting.dry_run import dry_run
from nmlab.problem.fast_loss import FastProblem
from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.state import preserving_state
from nmlab.problem.terms import terms_of
from nmlab.runtime import one_fit
from nmlab.runtime.control import StopRequested

BATCH = 1024
"""Samples at a time of a data set that comes without a batch size."""

REFUSED = "The Problem cannot take these data"


def score(
    problem: Problem, dataset_or_splits: Any, split: str | None = None, batch_size: int | None = None
) -> dict[str, float]:
    """Return the metrics of `problem` on data, with the weights that it holds; nothing is changed by it.

    They are called as a run's, without a split's name before them: 'loss', each term as weighted in the loss, each
    constraint's '…_violation' and '…_violation_max'; weighted by samples. The Problem is in eval mode meanwhile, and a
    split called 'train' is passed with gradients, as in a fit. Weights, modes, gradients and random states are as
    before afterwards.

    Parameters
    ----------
    problem : a NeuroMANCER `Problem`
    dataset_or_splits : a data set, under whatever name, or a dict of tensors; or `lab.splits`, or all that a
        `data_setup_function` returned
    split : which of the splits, default 'dev'; of a single data set what to call it, default its own name
    batch_size : samples at a time; default the splits' own, 1024 for a single data set

    Raises
    ------
    FieldError : there is no such split
    DataError : the Problem cannot take the data; with node or term, what it lacks, and the shapes of what it got
    BusyError : a fit runs in this process; its own view and callbacks may score all the same
    """
    running = one_fit.current()
    if running is not None and threading.current_thread() is threading.main_thread():
        raise BusyError(f"nmlab.score() is not possible during a fit, which changes the weights. {running.busy()}")
    dataset, called, own_size = _chosen(dataset_or_splits, split)
    with preserving_state(problem):
        return metrics_of(problem, dataset, called, batch_size or own_size)


def _chosen(data: Any, split: str | None) -> tuple[Any, str, int]:
    """The data set to score, what it is called, and its batch size."""
    if isinstance(data, (tuple, list)):
        try:
            data = make_splits(lambda: data, {})
        except DataError as error:
            raise DataError(error.faults, subject="These data cannot be scored") from None
    if isinstance(data, Splits):
        return split_of(data, split or "dev"), split or "dev", data.batch_size
    if isinstance(data, dict):  # as NeuroMANCER's examples often have for test
        data = DictDataset({key: torch.as_tensor(value) for key, value in data.items()}, name="test")
    name = getattr(data, "name", None)
    return data, split or (name if isinstance(name, str) else "data"), BATCH


def split_of(splits: Splits, split: str) -> Any:
    """Return one of the splits by its name; raises `FieldError` naming those there are."""
    there = dict(splits.items())
    if split not in there:
        raise FieldError({"split": f"there is no split {split!r}; the splits are: {', '.join(there)}"})
    return there[split]


def metrics_of(
    problem: Problem, dataset: Any, split: str, batch_size: int, check: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Return the metrics of `problem` on a data set; to be called within `preserving_state`, since modes change.

    Parameters: `split`, what the data set is called, whatever its own name; `check`, called before each batch. Raises
    `DataError` where the Problem cannot take the data.
    """
    totals, straight = MetricAccumulator(terms_of(problem)), FastProblem(problem)
    problem.eval()
    straight.look()
    device = next(problem.parameters(), torch.empty(0, device="cpu")).device
    loader = Loader(dataset, batch_size, lambda: 0)
    try:
        # a pass for training has gradients, another one where the Problem asks for them
        with torch.set_grad_enabled(split == "train" or bool(problem.grad_inference)):
            for batch in loader:
                check()
                moved = {key: v.to(device) if isinstance(v, torch.Tensor) else v for key, v in batch.items()}
                totals.add(straight({**moved, "name": split}), split, len(batch["index"]))
    except StopRequested:
        raise
    except Exception as error:
        raise DataError(_faults(problem, dataset, split, error), subject=REFUSED) from error
    finally:
        loader.close()
    if not totals.samples:
        raise DataError([f"{split}: it is empty"], subject=REFUSED)
    return totals.means()


def _faults(problem: Problem, dataset: Any, split: str, error: Exception) -> list[str]:
    """Say what is wrong in the words of a trial pass, where that fails too."""
    role = "train" if split == "train" else "test"
    if not isinstance(problem.loss, AugmentedLagrangeLoss):  # a trial would look at its training samples
        try:
            dry_run(problem, Splits(**{"train": None, "dev": None, "test": None, role: dataset}, batch_size=1), split)
        except DataError as told:
            return [f"{split}: {fault.removeprefix(f'{role}: ')}" for fault in told.faults]
        except Exception:
            pass  # whatever is odd about the data, the first error says it
    return [f"{split}: {type(error).__name__}: {error}"]
