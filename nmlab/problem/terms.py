"""Names of a Problem's objectives and constraints, which are the names of its metrics.

NeuroMANCER's output keys often contain object ids, and unnamed terms are called after their operator and function. Here
each term gets a readable name that is unique in the Problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from neuromancer.constraint import Constraint
from neuromancer.problem import Problem

from nmlab.problem.metric_names import RAW, VIOLATIONS

_OPERATORS = frozenset({"+", "-", "∗", "/", "//", "@", "pow", "neg", "slice", "abs", "mod", "T", "mT"})
"""Names that NeuroMANCER gives to unnamed expressions."""

_GENERATED = re.compile(r"<(?:bound|built-in|class|function|method|slot|[\w.]+ object)\b[^>]*>|0x[0-9a-f]+|\d{9,}")
"""Parts of names that are generated from an object: its repr, address or id."""


@dataclass(frozen=True)
class Term:
    """Name of an objective or constraint, and the keys of its values in NeuroMANCER's output."""

    name: str
    key: str
    """Key of the weighted term."""
    violation_key: str | None = None
    """Key of a constraint's violation, with one value per sample and dimension; None for an objective."""


def steady(name: str) -> str:
    """Return a name with ids and addresses, which differ between processes, replaced by '#'."""
    return _GENERATED.sub("#", name)


def terms_of(problem: Problem) -> list[Term]:
    """Return the terms of a Problem, objectives first, with unique names.

    A term that the user did not name is called `objective_1`, `constraint_2` by its position. A name that another
    metric has (`loss`, or `a_violation` beside a constraint `a`) gets the suffix `_term`.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.

    Returns
    -------
    list of Term
        The terms.
    """
    terms: list[Term] = []
    taken = {"loss"}
    for kind, group in (("objective", problem.loss.objectives), ("constraint", problem.loss.constraints)):
        for number, term in enumerate(group, start=1):
            name = f"{kind}_{number}" if _unnamed(term) else str(term.name)
            while taken & set(columns(name, kind == "constraint")):
                name += "_term"
            taken |= set(columns(name, kind == "constraint"))
            violation = term.output_keys[2] if kind == "constraint" and len(term.output_keys) > 2 else None
            terms.append(Term(name, term.output_keys[0], violation))
    return terms


def named_terms(problem: Problem) -> list[tuple[Term, Any]]:
    """Return the terms as `terms_of` names them, each with NeuroMANCER's objective or constraint."""
    return list(zip(terms_of(problem), [*problem.loss.objectives, *problem.loss.constraints], strict=True))


def _unnamed(term: object) -> bool:
    """Return whether NeuroMANCER generated a term's name from ids, addresses or operators."""
    name = str(getattr(term, "name", ""))
    if isinstance(term, Constraint):  # its own name for 'left < right' is 'left lt right'
        sides = term.left.display_name, term.right.display_name
        if name == f"{sides[0]} {term.comparator} {sides[1]}" and _OPERATORS & set(sides):
            return True
    return _GENERATED.search(name) is not None


def columns(name: str, constraint: bool) -> Iterable[str]:
    """Return the names of a term's metrics, without the prefix of the split."""
    return (name, f"{name}{RAW}", *(f"{name}{end}" for end in VIOLATIONS if constraint))
