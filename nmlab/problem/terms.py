"""A Problem's objectives and constraints by name, as its metrics are called.

NeuroMANCER's output keys are often object ids, and terms that the user left unnamed are called after their operator
and function. Here every term gets the name that a person would use for it, once per Problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from neuromancer.constraint import Constraint
from neuromancer.problem import Problem

_OPERATORS = frozenset({"+", "-", "∗", "/", "//", "@", "pow", "neg", "slice", "abs", "mod", "T", "mT"})
"""What NeuroMANCER calls an expression that nobody named."""

_MADE_UP = re.compile(r"<(?:bound|built-in|class|function|method|slot|[\w.]+ object)\b[^>]*>|0x[0-9a-f]+|\d{9,}")
"""What appears only in a name that was made from an object: its repr, address or id."""


@dataclass(frozen=True)
class Term:
    """An objective or constraint: its name, and the keys of its values in NeuroMANCER's output."""

    name: str
    key: str
    """Key of the term as weighted in the loss."""
    violation_key: str | None = None
    """Key of a constraint's violation, one value a sample and dimension; None for an objective."""


def steady(name: str) -> str:
    """Return `name` with what differs from process to process (ids, addresses) replaced by '#'."""
    return _MADE_UP.sub("#", name)


def terms_of(problem: Problem) -> list[Term]:
    """Return the terms of `problem`, objectives first, each with a name of its own.

    A term without a name of the user's is called `objective_1`, `constraint_2` by its place; a name that would be
    another metric's (`loss`, or `a_violation` beside a constraint `a`) gets `_term`.
    """
    terms: list[Term] = []
    taken = {"loss"}
    for kind, group in (("objective", problem.loss.objectives), ("constraint", problem.loss.constraints)):
        for number, term in enumerate(group, start=1):
            wished = f"{kind}_{number}" if _unnamed(term) else str(term.name)
            name = wished
            while taken & set(columns(name, kind == "constraint")):
                name += "_term"
            taken |= set(columns(name, kind == "constraint"))
            violation = term.output_keys[2] if kind == "constraint" and len(term.output_keys) > 2 else None
            terms.append(Term(name, term.output_keys[0], violation))
    return terms


def _unnamed(term: object) -> bool:
    """Tell whether a term's name was made by NeuroMANCER out of ids, addresses or operators."""
    name = str(getattr(term, "name", ""))
    if isinstance(term, Constraint):  # its own name for 'left < right' is 'left lt right'
        sides = term.left.display_name, term.right.display_name
        if name == f"{sides[0]} {term.comparator} {sides[1]}" and _OPERATORS & set(sides):
            return True
    return _MADE_UP.search(name) is not None


def columns(name: str, constraint: bool) -> Iterable[str]:
    """Return the metrics of a term, without the split's name before them."""
    return (name, f"{name}_violation", f"{name}_violation_max") if constraint else (name,)
