"""The weights of a Problem's objectives and constraints: read, checked, and set for the time of a training."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import torch
from neuromancer.constraint import Constraint, Loss, Objective
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem

from nmlab.fields.field import did_you_mean
from nmlab.problem.terms import named_terms

_MULTIPLY_FIRST = (Objective.forward, Constraint.forward, Loss.forward)
"""What computes `weight * value`, in this order, so that a `Weight` multiplies."""


class Weight(float):
    """The weight of a term as NeuroMANCER multiplies with it, which also gives the value without it.

    The product of a tensor has that tensor as its attribute `unweighted`. A weight of 0 switches the term off: the
    product is 0 whatever the value, which no gradient reaches, as 0 times NaN or infinity would be NaN.

    Parameters
    ----------
    given : float, int or torch.Tensor
        The weight; a tensor multiplies as it is.
    """

    given: Any

    def __new__(cls, given: Any) -> Self:
        """Return the weight."""
        weight = super().__new__(cls, given)
        weight.given = given
        return weight

    def __mul__(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return float(self) * value
        product: Any = torch.zeros_like(value) if self == 0.0 else self.given * value
        if not torch.compiler.is_compiling():
            product.unweighted = value
        return product


def unweighted(product: Any) -> Any:
    """Return the value of which a `Weight` made a product; NaN where that is not known."""
    value = getattr(product, "unweighted", None)
    return torch.full_like(torch.as_tensor(product), torch.nan, dtype=torch.float32) if value is None else value


def given_weight(term: Any) -> Any:
    """Return the weight of a term as it was given, where it is a `Weight` in its place; None if it has none."""
    weight = getattr(term, "weight", None)
    return weight.given if isinstance(weight, Weight) else weight


def weights_of(problem: Problem) -> dict[str, float]:
    """Return the weights that can be set, by the names of the terms.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.

    Returns
    -------
    dict of str to float
        Those that are single numbers, objectives first.
    """
    return {name: float(term.weight) for name, term in _named(problem) if _fixed(term) is None}


def weight_faults(
    problem: Problem, weights: Mapping[str, float], place: str = "weights", beside: Mapping[str, float] | None = None
) -> dict[str, str]:
    """Return what keeps weights from being set, by `<place>.<term>`; {} if nothing does.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    weights : mapping of str to float
        The weights, by the names of the terms.
    place : str, default 'weights'
        Where they were given.
    beside : mapping of str to float, optional
        Weights that other terms have then; by default their own.
    """
    terms, faults = dict(_named(problem)), {}
    for name, weight in weights.items():
        if name not in terms:
            guess = f"{close} " if (close := did_you_mean(name, terms)) else ""
            faults[f"{place}.{name}"] = f"not a term of this Problem; {guess}its terms are: {', '.join(terms)}"
        elif (fault := _fixed(terms[name]) or _without_effect(problem, terms[name], weight)) is not None:
            faults[f"{place}.{name}"] = fault
    then = {**{name: given_weight(term) for name, term in terms.items()}, **(beside or {}), **weights}
    if weights and not faults and not any(map(_is_on, then.values())):
        faults[place] = "all terms have the weight 0, so that there is nothing to train for; give one of them another"
    return faults


def use_weights(problem: Problem, weights: Mapping[str, float], measured: Collection[str] = ()) -> None:
    """Set weights of terms; all others stay as they are, but for a `Weight` in place of one that is not 1.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    weights : mapping of str to float
        The weights, by the names of the terms, for which there are no `weight_faults`.
    measured : collection of str, default ()
        Terms that get a `Weight` also where it is 1.
    """
    for name, term in _named(problem):
        if _fixed(term) is None:
            given = float(weights[name]) if name in weights else given_weight(term)
            term.weight = Weight(given) if name in measured or float(given) != 1.0 else given


def use_weights_of(problem: Problem, recorded: Mapping[str, float]) -> None:
    """Set those of a run's recorded weights that the terms of a Problem can have; see `use_weights`."""
    use_weights(problem, {name: weight for name, weight in recorded.items() if name in weights_of(problem)})


@contextmanager
def weighted(problem: Problem, weights: Mapping[str, float]) -> Iterator[None]:
    """Set those of these weights that the terms of a Problem can have for a block; see `use_weights`."""
    kept = KeptWeights(problem)
    use_weights_of(problem, weights)
    try:
        yield
    finally:
        kept.put_back()


def measured_terms(problem: Problem) -> list[str]:
    """Return the names of the terms with a `Weight`, of which the value without it is known beside the other one."""
    return [name for name, term in _named(problem) if isinstance(term.weight, Weight)]


class KeptWeights:
    """The weights that the terms of a Problem have now, to be put back; `own_weights` knows of them until then.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._held = [(term, term.weight) for _, term in _named(problem) if _fixed(term) is None]
        self.numbers: dict[str, float] = _kept[problem].numbers if problem in _kept else weights_of(problem)
        """The weights by the names of the terms."""
        self._problem = weakref.ref(problem)
        _kept.setdefault(problem, self)

    def put_back(self) -> None:
        """Give the terms these weights."""
        for term, weight in self._held:
            term.weight = weight
        problem = self._problem()
        if problem is not None and _kept.get(problem) is self:
            del _kept[problem]


_kept: weakref.WeakKeyDictionary[Problem, KeptWeights] = weakref.WeakKeyDictionary()


def own_weights(problem: Problem) -> dict[str, float]:
    """Return the same as `weights_of`, also while a fit has put others in their place."""
    return dict(_kept[problem].numbers) if problem in _kept else weights_of(problem)


def _named(problem: Problem) -> list[tuple[str, Any]]:
    return [(term.name, written) for term, written in named_terms(problem)]


def _fixed(term: Any) -> str | None:
    """Return why the weight of a term cannot be set; None if it can."""
    if "weight" not in vars(term):
        held = hasattr(term, "weight")
        return f"its weight is a {_kind(term)}, which is a part of the model" if held else "it has no weight"
    weight = vars(term)["weight"]
    if isinstance(weight, torch.Tensor) and (weight.numel() != 1 or weight.requires_grad):
        return "its weight is a tensor that is trained" if weight.requires_grad else "its weight is not a single number"
    if isinstance(weight, bool) or not isinstance(weight, (int, float, torch.Tensor)):
        return f"its weight is a {type(weight).__name__}, not a number"
    return None


def _kind(term: Any) -> str:
    return "parameter" if "weight" in dict(term.named_parameters(recurse=False)) else "buffer"


def _without_effect(problem: Problem, term: Any, weight: float) -> str | None:
    if isinstance(problem.loss, AugmentedLagrangeLoss) and isinstance(term, Constraint):
        return "without effect: an AugmentedLagrangeLoss weighs constraints by its multipliers; set the objectives'"
    if weight == 0 and type(term).forward not in _MULTIPLY_FIRST:
        return f"0 cannot switch it off, as {type(term).__name__} multiplies in a forward of its own; leave it out"
    return None


def _is_on(weight: Any) -> bool:
    return not isinstance(weight, (int, float)) or weight != 0
