"""Whether another way to evaluate a Problem gives its values and gradients, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from neuromancer.problem import Problem

from nmlab.problem.state import preserving_state
from nmlab.problem.terms import terms_of


def difference(problem: Problem, call: Callable[[Any], dict[str, Any]], batch: dict[str, Any]) -> str | None:
    """Name the first value or gradient that `call(batch)` does not share with `problem(batch)` to the last bit.

    None where they agree in all that `call` gives. What the Problem itself does not give twice alike (random numbers of
    a user's own generator, a device that adds up in any order) is not compared. Nothing is changed by it.
    """
    own = _evaluated(problem, problem, batch)
    try:
        fast = _evaluated(problem, call, batch)
    except Exception as error:
        return f"the loss ({type(error).__name__}: {error})"
    differing = [key for key, value in fast.items() if not _same(own.get(key), value)]
    if differing:
        again = _evaluated(problem, problem, batch)
        differing = [key for key in differing if _same(own.get(key), again.get(key))]
    return _in_words(problem, batch["name"], differing[0]) if differing else None


def _evaluated(problem: Problem, call: Callable[[Any], dict[str, Any]], batch: dict[str, Any]) -> dict[str, Any]:
    """Return the values that `call` gives, and the gradients of its loss under 'gradient NAME'; from equal states."""
    with preserving_state(problem), torch.enable_grad():
        copied = {key: _copied(value) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
        output = call(copied)
        numbers = {key: value for key, value in output.items() if isinstance(value, (torch.Tensor, int, float))}
        found: dict[str, Any] = {key: torch.as_tensor(value).detach().clone() for key, value in numbers.items()}
        loss = output[f"{batch['name']}_loss"]
        named = {name: value for name, value in problem.named_parameters() if value.requires_grad}
        if isinstance(loss, torch.Tensor) and loss.requires_grad and named:
            # not backward(), at which other processes of the same fit would wait for this one
            gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
            found |= {f"gradient {name}": value for name, value in zip(named, gradients, strict=True)}
        torch.clear_autocast_cache()  # of parameters as they were within the block
    return found


def _copied(value: torch.Tensor) -> torch.Tensor:
    return value.detach().clone().requires_grad_(value.requires_grad)


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(((one == other) | (one != one) & (other != other)).all())


def _in_words(problem: Problem, name: str, key: str) -> str:
    if key.startswith("gradient "):
        return f"the gradient of {key.removeprefix('gradient ')}"
    short = key.removeprefix(f"{name}_")
    terms = [*problem.loss.objectives, *problem.loss.constraints]
    for term, named in zip(terms, terms_of(problem), strict=True):
        if short in term.output_keys:
            return f"the term {named.name!r}"
    return short.replace("_", " ")
