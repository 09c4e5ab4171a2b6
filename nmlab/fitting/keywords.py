"""Keywords of a call: which are the data function's, which the builder's, and which are options."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from neuromancer.problem import Problem

from nmlab.errors import FieldError
from nmlab.fields import Field, disagreement, fields_of, has_signature, takes_any_keyword
from nmlab.options import TrainerOptions

Values = dict[str, Any]


@dataclass(frozen=True)
class Keywords:
    """What a data function or a builder is called with.

    Parameters: `fields`, its parameters; `extra`, whether it takes other keywords too; `values`, by name.
    """

    fields: tuple[Field, ...] = ()
    extra: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Names of the parameters."""
        return {each.name for each in self.fields}

    @classmethod
    def of(cls, function: Callable[..., Any] | None, choices: Mapping[str, Any] | None = None) -> Keywords:
        """Return what a function takes; nothing where there is none, or no signature that can be read."""
        if function is None or not has_signature(function):
            return cls()
        return cls(tuple(fields_of(function, choices)), takes_any_keyword(function))


def shared_fields(data: Keywords, problem: Keywords) -> dict[str, str | None]:
    """Return the parameters that both functions have, and in what they differ; None where they agree."""
    builders = {each.name: each for each in problem.fields}
    return {each.name: disagreement(each, builders[each.name]) for each in data.fields if each.name in builders}


def tell_apart(
    loose: Mapping[str, Any], data: Keywords, problem: Keywords, tied: Container[str]
) -> tuple[Values, Values, dict[str, str]]:
    """Tell loose keywords apart, none of which is an option.

    Parameters
    ----------
    loose : mapping of str to Any
        The keywords.
    data, problem : Keywords
        What data function and builder take.
    tied : container of str
        Parameters of both that are one.

    Returns
    -------
    for_data, for_problem : dict of str to Any
        Those of each; a name that neither knows is the data function's, whose check says so.
    faults : dict of str to str
        What cannot be told apart, by name.
    """
    for_data: Values = {}
    for_problem: Values = {}
    faults: dict[str, str] = {}
    shared = shared_fields(data, problem)
    for name, value in loose.items():
        either = f"say data_kwargs={{{name!r}: …}} or problem_kwargs={{{name!r}: …}}"
        if name in shared and name not in tied:
            why = f" ({shared[name]})" if shared[name] else ""
            faults[name] = f"a parameter of both the data function and the builder, and not one{why}; {either}"
        elif name not in data.names | problem.names and data.extra and problem.extra:
            faults[name] = f"data function and builder both take any keyword; {either}"
        else:
            to_problem = name in problem.names or (problem.extra and not data.extra and name not in data.names)
            if to_problem:
                for_problem[name] = value
            if name in data.names or not to_problem:
                for_data[name] = value
    return for_data, for_problem, faults


def keywords_of_call(
    functions: tuple[Any, Any],
    data_kwargs: Mapping[str, Any] | None,
    problem_kwargs: Mapping[str, Any] | None,
    loose: Mapping[str, Any],
    caller: str = "fit",
) -> dict[str, Any]:
    """Return the keywords of data function and builder as parts of a `FitRequest`: those in dicts and loose ones.

    Parameters
    ----------
    functions : tuple
        The data function, and the builder or the Problem.
    data_kwargs, problem_kwargs : mapping of str to Any, optional
        Those given in a dict, whose names are the data function's, or the builder's.
    loose : mapping of str to Any
        Those given as keywords of the call.
    caller : str, default 'fit'
        The function that was given them, for messages.

    Returns
    -------
    dict
        With 'data_kwargs' and 'problem_kwargs'.

    Raises
    ------
    FieldError
        Where an option's name is among the loose ones, one is in a dict too, or one cannot be told apart.
    """
    given: dict[str, Values] = {"data_kwargs": dict(data_kwargs or {}), "problem_kwargs": dict(problem_kwargs or {})}
    faults = {
        key: f"an option, not data: options=TrainerOptions({key}=…), or data_kwargs={{'{key}': …}} if data is meant"
        for key in loose
        if key in TrainerOptions.model_fields
    }
    others = {key: value for key, value in loose.items() if key not in faults}
    function, builder = functions
    found: tuple[Values, Values] = others, {}
    if others and callable(function) and callable(builder) and not isinstance(builder, Problem):
        data, problem = Keywords.of(function), Keywords.of(builder)
        tied = [name for name, differing in shared_fields(data, problem).items() if differing is None]
        for_data, for_problem, more = tell_apart(others, data, problem, tied)
        found, faults = (for_data, for_problem), faults | more
    for (part, held), each in zip(given.items(), found, strict=True):
        faults |= {key: f"given in {part} too" for key in each if key in held}
        held |= each
    if faults:
        raise FieldError(faults, subject=f"{caller}() cannot take these keywords")
    return given
