"""The user's callbacks: as they were given before each run, and what they copy or store made possible."""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback
from neuromancer.problem import Problem
from torch import nn
from torch.nn.utils import prune

from nmlab.problem.weights import forget_values

_as_given: weakref.WeakKeyDictionary[Any, tuple[dict[str, Any], dict[str, Any]]] = weakref.WeakKeyDictionary()


def put_back(stateful: torch.optim.Optimizer | Callback) -> None:
    """Give an optimizer or callback the state that it had when it was first used here, so that its runs are alike.

    Of a callback of Lightning's, or derived from one, the attributes are put back too: not all that such a callback
    gathers in a run is in its state.
    """
    if stateful not in _as_given:
        _as_given[stateful] = _attributes(stateful), _copied(stateful, stateful.state_dict())
        return
    attributes, state = _as_given[stateful]
    if attributes:
        vars(stateful).clear()
        vars(stateful).update({name: _plain_copy(value) for name, value in attributes.items()})
    if state:
        stateful.load_state_dict(copy.deepcopy(state))


def _attributes(stateful: torch.optim.Optimizer | Callback) -> dict[str, Any]:
    from_lightning = any(
        kind.__module__.startswith("lightning.pytorch.callbacks.") and kind is not Callback
        for kind in type(stateful).__mro__
    )
    return {name: _plain_copy(value) for name, value in vars(stateful).items()} if from_lightning else {}


def _plain_copy(value: Any) -> Any:
    """Return a copy of plain data; any other object, such as one that a user's callback refers to, as it is."""
    return copy.deepcopy(value) if _foreign(value) is None else value


def _copied(stateful: Any, state: dict[str, Any]) -> dict[str, Any]:
    try:
        return copy.deepcopy(dict(state))
    except Exception as error:  # whatever a user's object raises
        warnings.warn(
            f"The state of {type(stateful).__name__} cannot be copied ({type(error).__name__}: {error}): another run "
            "with this object begins with what the run before left in it.",
            stacklevel=2,
        )
        return {}


def storable(states: dict[str, Any], told: set[str]) -> dict[str, Any]:
    """Return the states of callbacks that a checkpoint can hold, and tell once of each other one.

    Parameters: `states`, by the callbacks' keys, as in Lightning's checkpoints; `told`, keys of which it was told,
    to which is added.
    """
    kept = {}
    for key, state in states.items():
        if (found := _foreign(state)) is None:
            kept[key] = state
        elif key not in told:
            told.add(key)
            warnings.warn(
                f"The state of the callback {key.partition('{')[0]} holds a {found}, which a checkpoint cannot keep: "
                "if this run is resumed, the callback begins anew.",
                stacklevel=2,
            )
    return kept


def _foreign(value: Any) -> str | None:
    """Return the type of the first object in a state that is not loaded without executing code; None for none."""
    if value is None or type(value) in (bool, int, float, complex, str, bytes, torch.Tensor, nn.Parameter):
        return None
    if type(value) in (torch.device, torch.dtype, torch.Size):
        return None
    parts: Iterable[Any] | None = None
    if type(value).__name__ in ("dict", "OrderedDict", "Counter", "defaultdict") and isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
        if getattr(value, "default_factory", None) not in (None, int, float, list, dict):
            return "defaultdict"
    elif type(value) in (list, tuple, set):
        parts = value
    if parts is None:
        return type(value).__name__
    return next((found for part in parts if (found := _foreign(part)) is not None), None)


def copy_modules(modules: dict[str, nn.Module | None], memo: dict[int, Any]) -> dict[str, nn.Module | None]:
    """Return deep copies of modules, or copies of modules, parameters and buffers alone where those are impossible.

    A callback that averages weights needs a copy to hold them, which is not called.
    """
    for module in modules.values():
        if isinstance(module, Problem):
            forget_values(module)
    try:
        return copy.deepcopy(modules, dict(memo))
    except Exception as error:  # whatever a user's node raises
        warnings.warn(
            f"The Problem cannot be copied as a whole ({type(error).__name__}: {error}): a callback that asks for a "
            "copy gets one of its modules, parameters and buffers, which shares everything else with it.",
            stacklevel=2,
        )
    seen: dict[int, Any] = {}
    return {name: None if module is None else _structure(module, seen) for name, module in modules.items()}


def _structure(module: nn.Module, seen: dict[int, Any]) -> nn.Module:
    if id(module) not in seen:
        copied = seen[id(module)] = type(module).__new__(type(module))
        vars(copied).update(vars(module))
        for name in ("_parameters", "_buffers"):
            vars(copied)[name] = {key: _tensor(value, seen) for key, value in vars(module)[name].items()}
        parts = vars(module)["_modules"].items()
        vars(copied)["_modules"] = {key: None if part is None else _structure(part, seen) for key, part in parts}
    return seen[id(module)]  # type: ignore[no-any-return]


def _tensor(value: torch.Tensor | None, seen: dict[int, Any]) -> torch.Tensor | None:
    if value is not None and id(value) not in seen:
        copied = value.detach().clone()
        seen[id(value)] = nn.Parameter(copied, value.requires_grad) if isinstance(value, nn.Parameter) else copied
    return None if value is None else seen[id(value)]


def without_masks(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights with those of pruned layers as they are used, in place of masks and what these were applied to."""
    if not any(name.endswith("_mask") for name in weights):
        return weights
    pruned = {name.removesuffix("_mask") for name in weights if name.endswith("_mask")}
    pruned = {name for name in pruned if f"{name}_orig" in weights}
    used = {name: weights[f"{name}_orig"] * weights[f"{name}_mask"] for name in pruned}
    parts = {f"{name}_{part}" for name in pruned for part in ("orig", "mask")}
    return {**{name: value for name, value in weights.items() if name not in parts}, **used}


def remove_masks(problem: Problem) -> None:
    """Make pruning permanent, as ModelPruning does at the end of a training, and not where one was stopped."""
    for module in problem.modules():
        pruned = [name.removesuffix("_orig") for name, _ in module.named_parameters(recurse=False)]
        for name in pruned:
            if hasattr(module, f"{name}_mask") and hasattr(module, f"{name}_orig"):
                prune.remove(module, name)
