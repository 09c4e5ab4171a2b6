"""The class of the gallery's problems, and the result of checking a fit against a reference solution."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from matplotlib.figure import Figure
from neuromancer.problem import Problem

from nmlab.data.splits import Splits
from nmlab.errors import FieldError
from nmlab.fields.field import unknown_name
from nmlab.options import TrainerOptions
from nmlab.problem.state import preserving_state

Kind = Literal[
    "learning to optimise",
    "learning to control",
    "learning to model",
    "parameter estimation",
    "sparse identification",
    "physics-informed",
    "domain example",
]
KINDS: tuple[str, ...] = get_args(Kind)
"""All kinds, in the recommended order of learning."""

Answer = Mapping[str, Any]
"""A reference solution: arrays or tensors by name."""


def functions_by_name(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Return a dictionary from function names to functions.

    Parameters
    ----------
    *functions : callable
        Functions with different names.

    Returns
    -------
    dict of str to callable
        The functions by `__name__`, in the given order.
    """
    return {function.__name__: function for function in functions}


@dataclass(frozen=True)
class Check:
    """Errors of a trained Problem relative to a reference solution.

    A check is true if every error is within its tolerance. An error of NaN is never within its tolerance.

    Parameters
    ----------
    errors : mapping of str to float
        Error by name of the metric.
    tolerance : mapping of str to float
        Largest allowed error by name of the metric.
    """

    errors: Mapping[str, float]
    tolerance: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether every error is within its tolerance."""
        return all(self.errors[metric] <= largest for metric, largest in self.tolerance.items())

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        width = max(map(len, self.tolerance))
        lines = ["passed" if self.passed else "not passed"]
        for metric, largest in self.tolerance.items():
            error = self.errors[metric]
            verdict = "within" if error <= largest else "beyond"
            lines.append(f"  {metric:{width}}  {error:.4g}, {verdict} {largest:g}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class Example:
    """A problem of the gallery. `nmlab.Lab.from_gallery(name)` opens it in a Lab.

    Parameters
    ----------
    name : str
        Name of the module that defines the problem.
    title : str
        Title for people.
    kind : str
        Kind of learning that the problem shows, one of `KINDS`.
    summary : str
        Description in two sentences.
    source : str
        Citation of the problem and of the reference solution.
    problem : callable
        Function without required arguments that builds the `Problem`.
    data : mapping of str to callable
        Alternative `data_setup_function`s by name. The first is the default.
    options : TrainerOptions
        Options with which a fit on the default data passes the check.
    seconds : float
        Approximate duration of that fit on one CPU core, in seconds.
    view : callable
        Function `view(problem, splits)` that draws the current solution and returns the figure.
    reference : callable
        Function without arguments that computes the reference solution, by a solver or a formula.
    error : callable
        Function `error(problem, answer)` that returns the errors of a Problem relative to a reference solution, by name
        of the metric.
    tolerance : mapping of str to float
        Largest allowed error by name of the metric.
    why : str
        Reason for the choice of metrics and tolerances.
    """

    name: str
    title: str
    kind: Kind
    summary: str
    source: str
    problem: Callable[[], Problem] = field(kw_only=True)
    data: Mapping[str, Callable[..., Any]] = field(kw_only=True)
    options: TrainerOptions = field(kw_only=True)
    seconds: float = field(kw_only=True)
    view: Callable[[Problem, Splits], Figure] = field(kw_only=True)
    reference: Callable[[], Answer] = field(kw_only=True)
    error: Callable[[Problem, Answer], Mapping[str, float]] = field(kw_only=True)
    tolerance: Mapping[str, float] = field(kw_only=True)
    why: str = field(kw_only=True)

    @functools.cached_property
    def answer(self) -> Answer:
        """The reference solution, computed on first access."""
        return self.reference()

    def data_function(self, name: str | None = None) -> Callable[..., Any]:
        """Return one of the data functions.

        Parameters
        ----------
        name : str, optional
            Name of the data function. By default the first one is returned.

        Returns
        -------
        callable
            The `data_setup_function`.

        Raises
        ------
        FieldError
            If there is no data function with this name.
        """
        if name is not None and name not in self.data:
            raise FieldError(
                {name: unknown_name(name, list(self.data))}, subject=f"{self.name!r} has no such data function"
            )
        return self.data[name or next(iter(self.data))]

    def check(self, problem: Problem, reference: Answer | None = None) -> Check:
        """Compare a trained Problem with the reference solution.

        The Problem and the states of the random number generators are not modified.

        Parameters
        ----------
        problem : Problem
            Trained Problem, for example `lab.run.problem`.
        reference : mapping, optional
            Reference solution to compare with. By default `answer`.

        Returns
        -------
        Check
            Errors and tolerances by metric.
        """
        with preserving_state(problem), torch.enable_grad():
            problem.eval()
            answer = self.answer if reference is None else reference
            all_errors = self.error(problem, answer)
        errors = {metric: float(all_errors[metric]) for metric in self.tolerance}
        return Check(errors, self.tolerance)

    def __repr__(self) -> str:
        metrics = ", ".join(f"{metric} ≤ {largest:g}" for metric, largest in self.tolerance.items())
        lines = [
            f"{self.title} ({self.kind})",
            f"  {self.summary}",
            f"  data: {', '.join(self.data)}",
            f"  check: {metrics}. {self.why}",
            f"  source: {self.source}",
            f"  nmlab.Lab.from_gallery({self.name!r})",
        ]
        return "\n".join(lines)
