"""The weights of a Problem: copying, comparing, reading from a file and loading."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from neuromancer.constraint import Variable
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem
from torch.nn.parameter import is_lazy

from nmlab.errors import RunError
from nmlab.problem.terms import steady

PREFIX = "problem."
"""Prefix of all names in Lightning's checkpoints, as the Problem is the attribute `problem` of the trained module."""


def copy_weights(problem: Problem) -> dict[str, torch.Tensor]:
    """Return copies of all parameters and buffers of a Problem, by name, on their devices."""
    return {name: value.clone() for name, value in problem.state_dict().items()}


def equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Return whether weights are equal to the last bit."""
    return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.layout == other.layout == torch.strided:
        return torch.equal(one, other)
    parts = [value.to_sparse_coo().coalesce() for value in (one, other)]
    return torch.equal(parts[0].indices(), parts[1].indices()) and torch.equal(parts[0].values(), parts[1].values())


def load_weights(problem: Problem, weights: dict[str, torch.Tensor], source: str = "the weights") -> None:
    """Load weights into a Problem, in place.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    weights : dict of str to torch.Tensor
        Weights by name, as `copy_weights` returns them.
    source : str, default 'the weights'
        Where they come from, for the error message.

    Raises
    ------
    RunError
        If names or shapes do not fit; the error reports all of them, and the Problem is unchanged.
    """
    if faults := misfits(problem, weights, source):
        raise RunError("\n  ".join([f"The weights of {source} do not fit this Problem:", *faults]))
    fit_multipliers(problem, weights)
    problem.load_state_dict(weights)


def misfits(problem: Problem, weights: dict[str, torch.Tensor], source: str) -> list[str]:
    """Return which names and shapes of weights do not fit a Problem, the first few in words; [] if all do."""
    own = problem.state_dict()
    free = _MULTIPLIERS if _resizable(problem, weights) else ()
    faults = [f"{name}: not in this Problem" for name in weights.keys() - own.keys()]
    faults += [f"{name}: missing in {source}" for name in own.keys() - weights.keys()]
    faults += [
        f"{name}: {source} has shape {tuple(weights[name].shape)}, this Problem {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys() - set(free)
        if not is_lazy(own[name]) and weights[name].shape != own[name].shape
    ]
    return sorted(faults)[:8] + ([f"and {len(faults) - 8} more"] if len(faults) > 8 else [])


_MULTIPLIERS = ("loss.lm", "loss.penalty_best")
"""Buffers of an AugmentedLagrangeLoss whose size is set at its first batch."""


def _resizable(problem: Problem, weights: dict[str, torch.Tensor]) -> bool:
    """Return whether saved multipliers may have another shape, as one of the two has not had a batch yet."""
    known = isinstance(problem.loss, AugmentedLagrangeLoss) and weights.keys() >= set(_MULTIPLIERS)
    return known and 0 in (problem.loss.lm.numel(), weights["loss.lm"].numel())


def fit_multipliers(problem: Problem, weights: dict[str, torch.Tensor]) -> None:
    """Resize the multipliers of an AugmentedLagrangeLoss to the saved shape."""
    if _resizable(problem, weights):
        for name in _MULTIPLIERS:
            own = problem.get_buffer(name)
            setattr(problem.loss, name.removeprefix("loss."), torch.zeros_like(weights[name], device=own.device))
        problem.loss.init = weights["loss.lm"].numel() == 0


def plain_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint with their names in the Problem."""
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of the Problem from a checkpoint file; nothing in it is executed."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return plain_names(content["state_dict"])
    except Exception as error:  # torch raises various errors for other files
        raise RunError(f"The checkpoint {path} cannot be read: {type(error).__name__}: {error}") from error


def fingerprint(problem: Problem) -> str:
    """Return a hash that is equal for two Problems with the same keys, terms and shapes."""
    shape = {
        "nodes": [
            [sorted(map(steady, keys)) for keys in (node.input_keys, node.output_keys)] for node in problem.nodes
        ],
        "terms": [steady(term.name) for term in (*problem.loss.objectives, *problem.loss.constraints)],
        "weights": [None if is_lazy(value) else list(value.shape) for value in problem.parameters()],
    }
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:12]


def forget_values(problem: Problem) -> None:
    """Release the values of the last forward pass that Variables keep, with their graphs.

    Afterwards `copy.deepcopy(problem)` works, and a pickled Problem does not contain these values.
    """
    for module in problem.modules():
        if isinstance(module, Variable) and module._func is not None:
            module._value = None
    for buffer in problem.buffers():
        if buffer.requires_grad:  # an AugmentedLagrangeLoss keeps its best penalty with the graph behind it
            buffer.detach_()
