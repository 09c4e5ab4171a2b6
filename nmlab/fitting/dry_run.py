"""A trial on a few samples before the first step, so that what does not fit is said in the user's words.

The fast loss, if it has not been before, is compared with the Problem's own on the same occasion.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from typing import Any

import torch
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem

from nmlab.data.loader import first_batch, trial_batches
from nmlab.data.splits import Batch, Splits
from nmlab.errors import DataError
from nmlab.problem.fast_loss import FastProblem
from nmlab.problem.lazy import lazy_modules
from nmlab.problem.state import preserving_state
from nmlab.problem.terms import named_terms
from nmlab.problem.weights import forget_values
from nmlab.runtime.pyplot import own_pyplot
from nmlab.runtime.reporting import own_reporting


def dry_run(
    problem: Problem, splits: Splits, source: str, converted: bool = False, without: Container[str] = ()
) -> None:
    """Run `problem` forward on a few samples of train and dev; nothing of it is changed.

    Parameters: `source`, the data function's name and place, for the message; `converted`, whether the fit will convert
    the samples to the Problem's own precision (as with '64-true'); `without`, names of splits to leave out. Raises
    `DataError` with, for each split that fails, the node or term, what it lacks, and the shapes and types of what it
    got.
    """
    faults = _multiplier_faults(problem, splits)
    for name, dataset in splits.items():
        if name in without or name == "test":
            continue
        if fault := split_fault(problem, name, dataset, splits.batch_size, converted):
            faults.append(f"{name}: {fault}")
    if faults:
        raise DataError(faults, subject=f"The Problem cannot take what {source} returned")


def split_fault(
    problem: Problem, split: str, dataset: Any, batch_size: int, converted: bool = False, compared: bool = True
) -> str | None:
    """Return what is wrong with a forward pass on the first samples of a split, or None; nothing is changed.

    Two samples are tried, and where these fail the first real batch. Parameters: `converted`, as for `dry_run`;
    `compared`, whether the fast loss is compared on the train split.
    """
    gradients = split == "train" or bool(problem.grad_inference)
    fault: str | None = None
    trials = trial_batches(dataset, batch_size)
    while True:
        with own_pyplot(), own_reporting(), preserving_state(problem), torch.set_grad_enabled(gradients):
            problem.eval()
            try:
                if (batch := next(trials, None)) is None:
                    return fault
                batch = _moved(problem, batch, converted)
            except Exception as error:
                return f"its samples cannot be made into a batch: {type(error).__name__}: {error}"
            fault = _fault(problem, batch)
            if fault is not None:
                fault += "" if gradients else _hint(problem, batch)
        if fault is None:
            if split == "train" and compared:
                _compare(problem, batch)
            return None


def initialize(problem: Problem, splits: Splits, source: str, seed: int, converted: bool = False) -> None:
    """Initialize lazy modules from the first real batch of the training data, under a seed; nothing else is changed.

    Parameters: `source`, `converted` as for `dry_run`. Raises `DataError` where the batch does not get through the
    Problem, or not to all of these modules, which are then as they were.
    """
    subject = f"The Problem cannot be initialized with what {source} returned"
    for keeps in (False, True):  # first whether it works
        with preserving_state(problem, seed, initializing=keeps), torch.enable_grad():
            problem.eval()  # other modules, such as a BatchNorm, must not gather anything
            fault = _fault(problem, _moved(problem, first_batch(splits.train, splits.batch_size), converted))
            if fault is None and (missed := list(lazy_modules(problem))):
                fault = f"the batch does not reach {', '.join(missed)}, whose size it should give"
        if fault is not None:
            raise DataError([f"train: {fault}"], subject=subject)
    forget_values(problem)


def _moved(problem: Problem, batch: Batch, converted: bool) -> Batch:
    """Return a batch on the Problem's device, floats in its precision where they will be converted."""
    like = next(problem.parameters(), torch.empty(0, device="cpu"))
    for key, value in batch.items():
        if isinstance(value, torch.Tensor):
            floats = converted and value.is_floating_point()
            batch[key] = value.to(like.device, like.dtype if floats else value.dtype)
    return batch


def trial_fault(problem: Problem, dataset: Any, samples: int, converted: bool) -> str | None:
    """Return what is wrong with a forward pass on the first samples in the present mode, or None.

    Parameters: `converted`, as for `dry_run`. A loss that is not finite counts too where there is a single sample.
    """
    batch = _moved(problem, first_batch(dataset, samples), converted)
    if (fault := _fault(problem, batch)) is not None or samples > 1:
        return fault
    finite = bool(problem(dict(batch))[f"{batch['name']}_loss"].isfinite())
    return None if finite else "its loss is not finite on one sample"


def _compare(problem: Problem, batch: Batch) -> None:
    """Have the fast loss compared with the Problem's own before the first step, in the mode of a training."""
    for training in (True, False):  # in training a BatchNorm may not take so few samples
        with suppress(Exception), preserving_state(problem):
            if not training:
                problem.eval()
            elif not problem.training:
                problem.train()
            FastProblem(problem).compare(batch)
            return


def _hint(problem: Problem, batch: Batch) -> str:
    """Return what would help where a pass fails only for want of gradients."""
    with torch.enable_grad():
        wanting = _fault(problem, batch) is None
    return "; it needs gradients: make the Problem with grad_inference=True" if wanting else ""


def _multiplier_faults(problem: Problem, splits: Splits) -> list[str]:
    """NeuroMANCER's AugmentedLagrangeLoss keeps a multiplier a training sample and takes them in one batch only."""
    if not isinstance(problem.loss, AugmentedLagrangeLoss):
        return []
    samples, batch_size, expected = len(splits.train), splits.batch_size, int(problem.loss.nsamples)
    faults = []
    if batch_size < samples:
        faults.append(
            f"train: AugmentedLagrangeLoss takes the whole training set as one batch, and batch_size={batch_size} is "
            f"less than its {samples} samples"
        )
    if expected != samples:
        faults.append(f"train: AugmentedLagrangeLoss was made for {expected} training samples, and there are {samples}")
    return faults


def _fault(problem: Problem, batch: Batch) -> str | None:
    """Return what is wrong with a forward pass on `batch`, or None."""
    if "name" not in batch:
        return "its batches have no 'name'; let collate_fn add it, as NeuroMANCER's do"
    try:
        output = problem(dict(batch))
    except Exception as error:
        return where_it_failed(problem, dict(batch), error)
    loss = output[f"{batch['name']}_loss"]
    if not isinstance(loss, torch.Tensor):
        return "the Problem has neither an objective nor a constraint: its loss is not a tensor"
    if loss.numel() != 1:
        return f"the loss has shape {tuple(loss.shape)}; every objective must give a single number (a mean, say)"
    return None


def where_it_failed(problem: Problem, values: dict[str, Any], error: Exception) -> str:
    """Walk through nodes and terms to the one that raised `error`, and return what it lacked or got."""
    for node in problem.nodes:
        try:
            out = node(values)
        except Exception as at_node:
            return _text_of(f"node {node.name!r}", node.input_keys, values, at_node)
        values = {**values, **({node.name: out} if isinstance(out, torch.Tensor) else out)}
    for named, term in named_terms(problem):
        try:
            term(dict(values))
        except Exception as at_term:
            return _text_of(f"term {named.name!r}", term.input_keys, values, at_term)
    return f"the loss raised {type(error).__name__}: {error}"


def _text_of(who: str, keys: Any, values: dict[str, Any], error: Exception) -> str:
    missing = str(error.args[0]) if isinstance(error, KeyError) and error.args else None
    got = {key: values[key] for key in dict.fromkeys(keys) if key in values}
    shapes = ", ".join(
        f"{key} {tuple(v.shape)} {str(v.dtype).removeprefix('torch.')}"
        for key, v in got.items()
        if isinstance(v, torch.Tensor)
    )
    if missing is not None and missing not in values:
        there = ", ".join(sorted(key for key in values if key not in ("name", "epoch", "index")))
        return f"{who} needs {missing}, which the data do not have; they have {there}"
    return f"{who} raised {type(error).__name__}: {error}; it got {shapes or 'no tensors'}"
