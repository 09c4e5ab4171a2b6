"""A Problem's weights: copied, compared, read from a file and put back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from neuromancer.constraint import Variable
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem

from nmlab.errors import RunError
from nmlab.problem.terms import steady

PREFIX = "problem."
"""What Lightning puts before each name, since the Problem is the attribute `problem` of the module it trains."""


def copy_weights(problem: Problem) -> dict[str, torch.Tensor]:
    """Return a copy of all parameters and buffers of `problem`, by name, on their devices."""
    return {name: value.clone() for name, value in problem.state_dict().items()}


def load_weights(problem: Problem, weights: dict[str, torch.Tensor], source: str = "the weights") -> None:
    """Put `weights` into `problem`, in place.

    Parameters: `weights` by name as `copy_weights` returns them; `source`, where they come from, for the message.
    Raises `RunError` with every name and shape that does not fit; `problem` is then as it was.
    """
    own = problem.state_dict()
    free = _MULTIPLIERS if _resizable(problem, weights) else ()
    faults = [f"{name}: not in this Problem" for name in weights.keys() - own.keys()]
    faults += [f"{name}: missing in {source}" for name in own.keys() - weights.keys()]
    faults += [
        f"{name}: {source} has shape {tuple(weights[name].shape)}, this Problem {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys() - set(free)
        if weights[name].shape != own[name].shape
    ]
    if faults:
        shown = sorted(faults)[:8] + ([f"and {len(faults) - 8} more"] if len(faults) > 8 else [])
        raise RunError(f"The weights of {source} do not fit this Problem:\n  " + "\n  ".join(shown))
    fit_multipliers(problem, weights)
    problem.load_state_dict(weights)


_MULTIPLIERS = ("loss.lm", "loss.penalty_best")
"""Buffers of an AugmentedLagrangeLoss that it sizes at its first batch only."""


def _resizable(problem: Problem, weights: dict[str, torch.Tensor]) -> bool:
    """Tell whether saved multipliers may have another shape: either side has not seen a batch yet."""
    known = isinstance(problem.loss, AugmentedLagrangeLoss) and weights.keys() >= set(_MULTIPLIERS)
    return known and 0 in (problem.loss.lm.numel(), weights["loss.lm"].numel())


def fit_multipliers(problem: Problem, weights: dict[str, torch.Tensor]) -> None:
    """Give an AugmentedLagrangeLoss multipliers of the saved shape, whether it has seen a batch or not."""
    if _resizable(problem, weights):
        for name in _MULTIPLIERS:
            own = problem.get_buffer(name)
            setattr(problem.loss, name.removeprefix("loss."), torch.zeros_like(weights[name], device=own.device))
        problem.loss.init = weights["loss.lm"].numel() == 0


def plain_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a checkpoint's weights by the names they have in the Problem itself."""
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the Problem's weights out of a checkpoint file; nothing in it is executed."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return plain_names(content["state_dict"])
    except Exception as error:  # torch has several kinds for a file that is none of its own
        raise RunError(f"The checkpoint {path} cannot be read: {type(error).__name__}: {error}") from error


def fingerprint(problem: Problem) -> str:
    """Return a short text that two Problems share exactly where keys, terms and shapes are the same."""
    shape = {
        "nodes": [
            [sorted(map(steady, keys)) for keys in (node.input_keys, node.output_keys)] for node in problem.nodes
        ],
        "terms": [steady(term.name) for term in (*problem.loss.objectives, *problem.loss.constraints)],
        "weights": [list(value.shape) for value in problem.parameters()],
    }
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:12]


def forget_values(problem: Problem) -> None:
    """Let go of the values of the last forward pass that Variables keep, with their graphs.

    Afterwards `copy.deepcopy(problem)` works, and a cloudpickle of it holds no more than the Problem.
    """
    for module in problem.modules():
        if isinstance(module, Variable) and module._func is not None:
            module._value = None
    for buffer in problem.buffers():
        if buffer.requires_grad:  # an AugmentedLagrangeLoss keeps its best penalty with the graph behind it
            buffer.detach_()
