"""One forward pass of a few samples before the first step, so that what does not fit is said in the user's words."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem
from neuromancer.system import MovingHorizon

from nmlab.data import Batch, Splits, first_batch
from nmlab.errors import DataError
from nmlab.randomness import RandomStreams
from nmlab.terms import terms_of

Home = tuple[torch.device, torch.dtype]


def homes_of(problem: Problem) -> dict[str, Home]:
    """Return device and number type of all parameters and buffers of `problem`, by name."""
    named = [*problem.named_parameters(), *problem.named_buffers()]
    return {name: (value.device, value.dtype) for name, value in named}


@contextmanager
def untouched(problem: Problem, seed: int = 0, homes: Mapping[str, Home] | None = None) -> Iterator[None]:
    """Leave `problem` and the random states as they were before the block, whatever it does to them.

    Within the block parameters and buffers are copies, so weights, gradients, buffers, train/eval modes and all that
    modules keep as attributes come back to the last bit, with the parameters that an optimizer knows.

    Parameters: `seed`, of the random numbers within the block; `homes`, devices and number types that parameters and
    buffers have there, by name; default where they are.
    """
    homes = homes if homes is not None else homes_of(problem)
    attributes = [(vars(module), _contents(vars(module))) for module in problem.modules()]
    histories = [m.history for m in problem.modules() if isinstance(m, MovingHorizon)]
    lists = [(history, {key: list(seen) for key, seen in history.items()}) for history in histories]
    parameters = [(p, p.data, p.grad, p.requires_grad) for p in problem.parameters()]
    try:
        for name, parameter in problem.named_parameters():
            data, grad = parameter.data, parameter.grad
            parameter.grad = None
            parameter.data = _copied(data, homes.get(name))
            parameter.grad = None if grad is None else _copied(grad, homes.get(name))
        copies: dict[torch.Tensor, torch.Tensor] = {}
        for name, buffer in list(problem.named_buffers(remove_duplicate=False)):
            owner, _, own_name = name.rpartition(".")
            copies[buffer] = copies.get(buffer, _copied(buffer, homes.get(name)))
            problem.get_submodule(owner)._buffers[own_name] = copies[buffer]
        with RandomStreams(seed):
            yield
    finally:
        for parameter, data, grad, wanted in parameters:
            parameter.grad = None
            parameter.data = data
            parameter.grad = grad
            parameter.requires_grad_(wanted)
        for held, contents in attributes:
            for values, before in ((held, contents[0]), *contents[1]):
                values.update(before)
                for name in values.keys() - before.keys():
                    del values[name]
        for history, seen in lists:  # which keeps what it has seen
            history.update(seen)


_TORCHS_DICTS = tuple(name for name, value in vars(torch.nn.Module()).items() if isinstance(value, dict))


def _contents(attributes: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Return a module's attributes, and what lies in its parameters, buffers, parts and hooks."""
    return dict(attributes), [(attributes[name], dict(attributes[name])) for name in _TORCHS_DICTS]


def _copied(value: torch.Tensor, home: Home | None) -> torch.Tensor:
    device, dtype = home or (value.device, value.dtype)
    return value.detach().to(device, dtype, copy=True)


def try_out(
    problem: Problem, splits: Splits, source: str, converted: bool = False, without: Container[str] = ()
) -> None:
    """Run `problem` forward on at most two samples of every split; nothing of it is changed.

    Parameters: `source`, the data function's name and place, for the message; `converted`, whether the fit will convert
    the samples to the Problem's own precision (as with '64-true'); `without`, names of splits to leave out. Raises
    `DataError` with, for each split that fails, the node or term, what it lacks, and the shapes and types of what it
    got.
    """
    faults = _multiplier_faults(problem, splits)
    for name, dataset in splits.items():
        if name in without:
            continue
        gradients = name == "train" or bool(problem.grad_inference)
        with untouched(problem), torch.set_grad_enabled(gradients):
            problem.eval()
            try:
                batch = first_batch(dataset)
            except Exception as error:
                faults.append(f"{name}: its samples cannot be made into a batch: {type(error).__name__}: {error}")
                continue
            like = next(problem.parameters(), torch.empty(0, device="cpu"))
            for key, value in batch.items():
                if isinstance(value, torch.Tensor):
                    floats = converted and value.is_floating_point()
                    batch[key] = value.to(like.device, like.dtype if floats else value.dtype)
            if fault := _fault(problem, batch):
                faults.append(f"{name}: {fault}{'' if gradients else _hint(problem, batch)}")
    if faults:
        raise DataError(faults, subject=f"The Problem cannot take what {source} returned")


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
        return _where(problem, dict(batch), error)
    loss = output[f"{batch['name']}_loss"]
    if not isinstance(loss, torch.Tensor):
        return "the Problem has neither an objective nor a constraint: its loss is not a tensor"
    if loss.numel() != 1:
        return f"the loss has shape {tuple(loss.shape)}; every objective must give a single number (a mean, say)"
    return None


def _where(problem: Problem, values: dict[str, Any], error: Exception) -> str:
    """Walk through nodes and terms to the one that raised."""
    for node in problem.nodes:
        try:
            out = node(values)
        except Exception as at_node:
            return _told(f"node {node.name!r}", node.input_keys, values, at_node)
        values = {**values, **({node.name: out} if isinstance(out, torch.Tensor) else out)}
    terms = [*problem.loss.objectives, *problem.loss.constraints]
    for term, named in zip(terms, terms_of(problem), strict=True):
        try:
            term(dict(values))
        except Exception as at_term:
            return _told(f"term {named.name!r}", term.input_keys, values, at_term)
    return f"the loss raised {type(error).__name__}: {error}"


def _told(who: str, keys: Any, values: dict[str, Any], error: Exception) -> str:
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
