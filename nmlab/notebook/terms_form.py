"""The form of the weights of a Problem's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromancer.problem import Problem

from nmlab.fields import Field
from nmlab.form import Form
from nmlab.options.changes import weight_field
from nmlab.problem.formulas import expression_of
from nmlab.problem.term_weights import own_weights
from nmlab.problem.terms import named_terms
from nmlab.runtime.text import number_text


def term_fields(problem: Problem, built: bool) -> list[Field]:
    """Return a field for the weight of each term, with the term's formula as help.

    Parameters: `built`, whether a builder makes the Problem anew for each run: its weights are then known only as they
    were last, and a field that is left empty stands for the Problem's own.
    """
    weights, fields = own_weights(problem), []
    for term, written in named_terms(problem):
        if term.name in weights:
            own, formula = weights[term.name], expression_of(written)
            told = f"{formula}; empty for the Problem's own, last {number_text(own)}" if built else formula
            fields.append(weight_field(term.name, None if built else own, told))
    return fields


def terms_form(fields: list[Field], weights: Mapping[str, float], locked: bool) -> Form:
    """Return the form with these weights in it; `locked`, whether none can be changed."""
    names = {field.name for field in fields}
    values = {name: weight for name, weight in weights.items() if name in names}
    lock = {field.name: values.get(field.name, field.default) for field in fields} if locked else None
    return Form(fields, values, title="Terms", first=(), lock=lock, folded="weights of terms")


def chosen_weights(form: Form | None, given: Mapping[str, float]) -> dict[str, Any]:
    """Return the weights that are not the Problem's own; `given`, those of code, where there is no form of them."""
    if form is None:
        return dict(given)
    beyond = {name: weight for name, weight in given.items() if name not in form.values}
    return beyond | {name: weight for name, weight in form.chosen.items() if weight is not None}
