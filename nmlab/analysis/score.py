"""`score()`: the metrics of a Problem on data, outside a fit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from neuromancer.dataset import DictDataset
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem

from nmlab.analysis.trained import trained
from nmlab.data.loader import Loader
from nmlab.data.splits import Splits, make_splits
from nmlab.errors import BusyError, DataError, FieldError
from nmlab.fitting.dry_run import split_fault
from nmlab.problem.fast_loss import FastProblem
from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.state import preserving_state
from nmlab.problem.term_weights import measured_terms, use_weights
from nmlab.problem.terms import terms_of
from nmlab.runs import Run
from nmlab.runtime import one_fit
from nmlab.runtime.control import StopRequested

BATCH = 1024
"""Default batch size for a single data set."""

REFUSED = "The Problem cannot take these data"


def score(
    problem: Problem | Run, dataset_or_splits: Any, split: str | None = None, batch_size: int | None = None
) -> dict[str, float]:
    """Return the metrics of a Problem on data, computed with its current weights, or those of a run.

    The Problem is evaluated in eval mode. A split named 'train' is evaluated with gradients enabled, as in a fit.
    Weights, train and eval modes, gradients and random states are restored afterwards.

    Parameters
    ----------
    problem : Problem or Run
        The NeuroMANCER Problem to evaluate, as it is. Or a run, whose Problem is evaluated with the run's best weights
        and the weights that its terms had in the fit.
    dataset_or_splits : Dataset or dict of str to Tensor or Splits or tuple
        A single data set with any name, a dict of tensors, `lab.splits`, or everything that a `data_setup_function`
        returned.
    split : str, optional
        Which of the splits to use, 'dev' by default. For a single data set, the name under which it is passed to the
        Problem; by default its own name.
    batch_size : int, optional
        Number of samples per batch. By default the batch size of the splits, or 1024 for a single data set.

    Returns
    -------
    dict of str to float
        The metrics of a run, named without the prefix of the split: 'loss', each term as weighted in the loss, and
        '<name>_violation' and '<name>_violation_max' for each constraint; of a term whose weight is not 1 also
        '<name>_raw', its value without it. Means are weighted by samples.

    Raises
    ------
    FieldError
        If there is no such split.
    DataError
        If the Problem cannot be evaluated on the data. The message names the node or term, missing keys and shapes.
    BusyError
        If a fit is running in this process. The view and the callbacks of that fit may call `score` all the same.

    Examples
    --------
    >>> import nmlab
    >>> import torch
    >>> from neuromancer.constraint import variable
    >>> from neuromancer.loss import PenaltyLoss
    >>> from neuromancer.problem import Problem
    >>> from neuromancer.system import Node
    >>> model = Node(torch.nn.Identity(), ["p"], ["x"], name="model")
    >>> problem = Problem([model], PenaltyLoss([variable("x").minimize(name="size")], []))
    >>> nmlab.score(problem, {"p": torch.tensor([[1.0], [2.0]])})
    {'loss': 1.5, 'size': 1.5}
    """
    running = one_fit.current()
    if running is not None and running.thread != threading.get_ident():  # a view or callback of the fit may
        raise BusyError(f"nmlab.score() is not possible during a fit, which changes the weights. {running.busy()}")
    dataset, called, own_size = _chosen(dataset_or_splits, split)
    if isinstance(problem, Run):
        with trained(problem) as whole:
            return metrics_of(whole, dataset, called, batch_size or own_size)
    with preserving_state(problem):
        return metrics_of(problem, dataset, called, batch_size or own_size)


def _chosen(data: Any, split: str | None) -> tuple[Any, str, int]:
    """Return the data set to score, its name, and its batch size."""
    if isinstance(data, (tuple, list)):
        try:
            data = make_splits(lambda: data, {})
        except DataError as error:
            raise DataError(error.faults, subject="These data cannot be scored") from None
    if isinstance(data, Splits):
        return split_of(data, split or "dev"), split or "dev", data.batch_size
    if isinstance(data, dict):  # NeuroMANCER's examples often use a dict as test data
        data = DictDataset({key: torch.as_tensor(value) for key, value in data.items()}, name="test")
    name = getattr(data, "name", None)
    return data, split or (name if isinstance(name, str) else "data"), BATCH


def split_of(splits: Splits, split: str) -> Any:
    """Return a split by its name; raise `FieldError` if there is no such split."""
    there = dict(splits.items())
    if split == "test" and splits.unscored:
        raise FieldError({"split": f"the test split cannot be scored: {splits.unscored}"})
    if split not in there:
        raise FieldError({"split": f"there is no split {split!r}; the splits are: {', '.join(there)}"})
    return there[split]


def metrics_of(
    problem: Problem, dataset: Any, split: str, batch_size: int, check: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Return the metrics of a Problem on a data set.

    This changes train and eval modes and the weights of terms into `Weight`: call it within `preserving_state`.

    Parameters
    ----------
    problem : Problem
        The Problem to evaluate.
    dataset : Dataset
        The data set.
    split : str
        The name under which the data set is passed to the Problem, whatever its own name is.
    batch_size : int
        Number of samples per batch.
    check : callable, optional
        Called before each batch; it may raise to stop the evaluation.

    Returns
    -------
    dict of str to float
        Metrics as in `score`.

    Raises
    ------
    DataError
        If the Problem cannot be evaluated on the data, or there are no samples.
    """
    use_weights(problem, {})
    totals, fast = MetricAccumulator(terms_of(problem), measured_terms(problem)), FastProblem(problem)
    problem.eval()
    fast.look()
    device = next(problem.parameters(), torch.empty(0, device="cpu")).device
    loader = Loader(dataset, batch_size, lambda: 0)
    try:
        # gradients are enabled for training data, and where the Problem needs them (grad_inference)
        with torch.set_grad_enabled(split == "train" or bool(problem.grad_inference)):
            for batch in loader:
                check()
                moved = {key: v.to(device) if isinstance(v, torch.Tensor) else v for key, v in batch.items()}
                totals.add(fast({**moved, "name": split}), split, len(batch["index"]))
    except StopRequested:
        raise
    except Exception as error:
        raise DataError(_faults(problem, dataset, split, batch_size, error), subject=REFUSED) from error
    finally:
        loader.close()
    if not totals.samples:
        raise DataError([f"{split}: it is empty"], subject=REFUSED)
    return totals.means()


def _faults(problem: Problem, dataset: Any, split: str, batch_size: int, error: Exception) -> list[str]:
    """Return what is wrong, as a dry run reports it if that fails too."""
    role = "train" if split == "train" else "test"
    if not isinstance(problem.loss, AugmentedLagrangeLoss):  # which reads the training samples
        with suppress(Exception):  # the first error is reported instead
            if (fault := split_fault(problem, role, dataset, batch_size, compared=False)) is not None:
                return [f"{split}: {fault}"]
    return [f"{split}: {type(error).__name__}: {error}"]
