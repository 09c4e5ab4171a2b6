"""Keywords of `lab.fit` and its like: which are the data function's, which the builder's, and which are options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import check
from nmlab.fields.field import did_you_mean
from nmlab.fitting.keywords import Keywords, tell_apart
from nmlab.form import refuse_locked
from nmlab.notebook.session import Session
from nmlab.options import TrainerOptions

_PARTS = {"data_kwargs": "data function", "problem_kwargs": "builder"}


def sort_out(session: Session, kwargs: Mapping[str, Any], caller: str = "lab.fit") -> dict[str, Any]:
    """Tell keywords of the data function, those of the builder and options apart, over the values as they stand.

    Parameters
    ----------
    session : Session
        Whose forms hold the values.
    kwargs : Mapping[str, Any]
        The keywords.
    caller : str, default "lab.fit"
        What was given them, for messages.

    Returns
    -------
    dict[str, Any]
        Parts of a request: all of 'data_kwargs' and 'problem_kwargs', and 'options'.

    Raises
    ------
    FieldError
        With all faults at once.
    """
    session.read_signature()
    data = session.data.keywords
    problem = Keywords() if session.builder is None else session.builder.keywords
    functions = {"data_kwargs": data, "problem_kwargs": problem}
    own, known = data.names | problem.names, set(TrainerOptions.model_fields)
    loose = dict(kwargs)
    given = {part: dict(loose.pop(part, None) or {}) if part not in own else {} for part in functions}
    options = loose.pop("options", None) if "options" not in own else None
    faults = {name: _clash(name, functions) for name in loose if name in own & known}
    anything = data.extra or problem.extra
    faults |= {
        name: f"{did_you_mean(name, own | known)} It is neither a parameter of the data function "
        f"({_listed(data.names)}){_of_builder(session, problem)} nor a trainer option ({_listed(known)})".lstrip()
        for name in loose
        if name not in own | known and not anything
    }
    chosen = {name: value for name, value in loose.items() if name in known and name not in own}
    others = {name: value for name, value in loose.items() if name not in chosen and name not in faults}
    tied = () if session.ties is None else session.ties.tied
    for_data, for_problem, more = tell_apart(others, data, problem, tied)
    if given["problem_kwargs"] and session.builder is None:
        more["problem_kwargs"] = "the Problem is an object, which is built already"
    if faults | more:
        raise FieldError(faults | more, subject=f"{caller}() cannot take these keywords")
    base = options if options is not None else session.trainer_options
    if options is None and isinstance(weights := chosen.get("weights"), Mapping):  # beside those that the form holds
        chosen["weights"] = {**base.weights, **weights}
    asked = {name: getattr(base, name) for name in base.model_fields_set} | chosen
    refused: dict[str, str] = {}
    values: dict[str, Any] = {}
    for part, found in zip(functions, (for_data, for_problem), strict=True):
        keywords = functions[part]
        refused |= _locked({**found, **given[part]}, session.locked(keywords.names), keywords.fields)
        values[part] = {**keywords.values, **found, **given[part]}
    lock = session.locked(known)
    refused |= _locked({name: each for name, each in asked.items() if name in lock}, lock, TrainerOptions.fields())
    changes = asked.get("changes")
    for change in changes if lock and isinstance(changes, list | tuple) else ():
        if isinstance(change, Mapping):  # else that is said below
            refused |= _locked({n: each for n, each in change.items() if n in lock}, lock, TrainerOptions.fields())
    if refused:
        raise FieldError(refused)
    try:
        return {**values, "options": base.replace(**{**chosen, **lock})}
    except FieldError as error:  # so that all faults are said at once
        wrong = dict(error.faults)
        for part, keywords in functions.items():
            try:
                check(keywords.fields, values[part], extra=keywords.extra)
            except FieldError as others_too:
                wrong = others_too.faults | wrong
        raise FieldError(wrong, subject=f"{caller}() cannot take these values") from None


def _clash(name: str, functions: Mapping[str, Keywords]) -> str:
    parts = [part for part, keywords in functions.items() if name in keywords.names]
    whose = " and ".join(f"the {_PARTS[part]}'s" for part in parts)
    remedies = [*(f"{part}={{'{name}': …}}" for part in parts), f"options=TrainerOptions({name}=…)"]
    return f"{'both ' * (len(parts) == 1)}{whose} and an option; say {' or '.join(remedies)}"


def _locked(given: Mapping[str, Any], lock: Mapping[str, Any], fields: Any) -> dict[str, str]:
    try:
        refuse_locked(given, lock, fields)
    except FieldError as error:
        return error.faults
    return {}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "it has none"


def _of_builder(session: Session, problem: Keywords) -> str:
    return "" if session.builder is None else f", nor one of the builder ({_listed(problem.names)})"
