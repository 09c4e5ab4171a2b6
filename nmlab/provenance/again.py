"""What made a run, found in this process: its data function and the values of its keywords, by what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from nmlab.errors import RunError
from nmlab.fields import fields_of
from nmlab.identity.differences import Identity, differences, in_words, reasons_text
from nmlab.identity.functions import (
    identity_of_function,
    identity_of_values,
    is_same,
    known_functions,
    same_function,
    unreadable,
)
from nmlab.provenance.settings import describe_function, rebuild_values
from nmlab.runs import Run

Known = tuple[Callable[..., Any], Mapping[str, Any] | None]
"""A data function, and the values that its keywords take by name."""


def function_of(run: Run, current: Known, made_by: Callable[..., Any] | None = None) -> Known:
    """Return the data function that made a run, or one that is the same.

    Parameters
    ----------
    run : Run
        The run.
    current : tuple
        The data function in use and its choices, which is returned if it is the same.
    made_by : callable, optional
        The very function that the run was begun with, if that is known. It may have parts that cannot be compared.

    Returns
    -------
    tuple
        The function and its choices.

    Raises
    ------
    RunError
        If this process does not have it; the message says in what the function of that name differs here.
    """
    recorded = run.identities.get("data")
    known = [current, *known_functions]
    if recorded is None:  # a run of an earlier version
        for function, choices in known:
            if _described(describe_function(function)) == _described(run.settings.get("data_function")):
                return function, choices
        raise RunError(_not_here(run, ""))
    if same_function(recorded, current[0]):
        return current
    if made_by is not None and not differences(recorded, identity_of_function(made_by)):
        return made_by, next((choices for function, choices in known if is_same(function, made_by)), None)
    found = known_functions.find(recorded, run.settings.get("data_function"))
    if found is None:
        raise RunError(_not_here(run, _difference(recorded, run.data_name, known)))
    return found


Part = Literal["data_kwargs", "problem_kwargs"]
"""Where a record has the keywords of the data function, and of the builder."""

_KINDS: dict[Part, str] = {"data_kwargs": "keyword", "problem_kwargs": "Problem keyword"}


def values_of(
    run: Run, made_with: Known, here: Mapping[str, Any], part: Part = "data_kwargs"
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a run's keywords, and the names of those that cannot be given back.

    Parameters
    ----------
    run : Run
        The run.
    made_with : tuple
        Its data function or builder, and choices.
    here : mapping of str to Any
        Values that are used now, among which there may be those of the run that no record can hold.
    part : {'data_kwargs', 'problem_kwargs'}, default 'data_kwargs'
        Whose keywords: the data function's or the builder's.

    Returns
    -------
    tuple of (dict, list of str)
        Values by name, and names.
    """
    values, lost = rebuild_values(fields_of(*made_with), run.settings.get(part) or {})
    recorded, kind = run.identities.get(part), _KINDS[part]
    if recorded is None:
        return values, lost
    lost += [name for name, value in values.items() if not _is(recorded, name, value, kind)]  # one that was changed
    found = {name: here[name] for name in lost if name in here and _is(recorded, name, here[name], kind)}
    kept = {name: value for name, value in values.items() if name not in lost}
    return kept | found, [name for name in lost if name not in found]


def _is(recorded: Identity, name: str, value: Any, kind: str) -> bool:
    """Return whether a keyword's value is, for all that can be told, the recorded one."""
    now = identity_of_values({name: value}, kind)
    subject = f"{kind} {name}"
    was = {path: text for path, text in recorded.facts.items() if path == subject or path.startswith(f"{subject}: ")}
    facts = {path: recorded.facts[path] for path in now.facts if path in recorded.facts}
    before = Identity(was | facts, recorded.not_compared)
    return not differences(before, now) and not unreadable(Identity(), now)


def _described(described: Any) -> tuple[Any, Any]:
    described = described if isinstance(described, dict) else {}
    return described.get("name"), described.get("source")


def _difference(recorded: Identity, name: str | None, known: Iterable[Known]) -> str:
    """Return how the newest function of that name differs, as the end of a sentence."""
    for function, _ in known:
        if getattr(function, "__name__", type(function).__name__) == name:
            now = identity_of_function(function)
            if differing := differences(recorded, now):
                return f" (the one that is here differs: {in_words(differing)})"
            return f" (it cannot be told whether it is the one that is here: {reasons_text(unreadable(recorded, now))})"
    return ""


def _not_here(run: Run, difference: str) -> str:
    return (
        f"Run {run.id} was made with the data function {run.data_name!r} as this kernel does not have it{difference}; "
        f"define it again and lab.swap({run.data_name}). The run's details show its source."
    )
