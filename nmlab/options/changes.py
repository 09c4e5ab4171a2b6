"""What of the options changes while a fit trains: weights of terms and the learning rate, by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import Field, check, convert
from nmlab.fields.field import Rule

WEIGHTS = "weights"

_WEIGHT = Field("weight", "number", minimum=0, rules=(Rule("that is finite", math.isfinite),))
_PARTS = (
    Field("epoch", "integer", minimum=0),
    Field("lr", "number", default=None, exclusive_minimum=0, optional=True),
    Field(WEIGHTS, "any", default=None, optional=True),
)


def checked_weights(given: Any, place: str = WEIGHTS) -> dict[str, float]:
    """Return weights of terms as floats; raises `FieldError` with all faults, by `<place>.<term>`."""
    if not isinstance(given, Mapping):
        raise FieldError({place: f"{given!r} is not a dict; give one such as {{'x_max': 50.0}}"})
    weights, faults = {}, {}
    for name, value in given.items():
        try:
            if not isinstance(name, str):
                raise FieldError({place: f"{name!r} is not the name of a term, which is a string"})
            weights[name] = float(convert(_WEIGHT, value))
        except FieldError as error:
            faults[f"{place}.{name}"] = "; ".join(error.faults.values())
    if faults:
        raise FieldError(faults)
    return weights


def checked_changes(given: Any) -> list[dict[str, Any]]:
    """Return changes as dicts of 'epoch', and 'lr', 'weights' or both, ordered by epoch; raises `FieldError`."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise FieldError({"changes": f"{given!r} is not a list; give one such as [{{'epoch': 10, 'lr': 1e-4}}]"})
    changes: list[dict[str, Any]] = []
    faults: dict[str, str] = {}
    for number, each in enumerate(given):
        place = f"changes[{number}]"
        if not isinstance(each, Mapping):
            faults[place] = f"{each!r} is not a dict; give one such as {{'epoch': 10, 'lr': 1e-4}}"
            continue
        given_weights = each.get(WEIGHTS)
        try:
            weights = None if given_weights is None else checked_weights(given_weights, f"{place}.{WEIGHTS}")
        except FieldError as error:
            faults |= error.faults
        try:
            change = {name: value for name, value in check(_PARTS, each).items() if value is not None}
        except FieldError as error:
            faults |= {f"{place}.{name}": fault for name, fault in error.faults.items()}
            continue
        if change.keys() == {"epoch"}:
            faults[place] = f"{dict(each)!r} changes nothing; give 'lr', 'weights' or both beside the epoch"
        elif not faults:
            changes.append(change | ({} if weights is None else {WEIGHTS: weights}))
    if faults:
        raise FieldError(faults)
    return sorted(changes, key=lambda change: int(change["epoch"]))


def before(changes: Sequence[Mapping[str, Any]], epoch: int) -> list[Mapping[str, Any]]:
    """Return the changes that were made before an epoch."""
    return [change for change in changes if change["epoch"] < epoch]


def weights_after(weights: Mapping[str, float], changes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return weights after changes of them."""
    found = dict(weights)
    for change in changes:
        found |= change.get(WEIGHTS) or {}
    return found


def lr_after(lr: float, changes: Sequence[Mapping[str, Any]]) -> float:
    """Return the base learning rate after changes of it."""
    rates = [change["lr"] for change in changes if change.get("lr") is not None]
    return float(rates[-1]) if rates else lr


def weight_field(name: str, weight: float | None, explanation: str) -> Field:
    """Return the field of a term's weight; None for one that is not known, and used where nothing is entered."""
    return replace(_WEIGHT, name=name, default=weight, optional=weight is None, help=explanation)
