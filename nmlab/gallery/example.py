"""What a problem of the gallery is: all that a Lab needs, and an answer to check a fit against."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from matplotlib.figure import Figure
from neuromancer.problem import Problem

from nmlab.data import Splits
from nmlab.errors import FieldError
from nmlab.fields.field import unknown_name
from nmlab.options import TrainerOptions
from nmlab.trial import untouched

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
"""In the order in which one learns them."""

Answer = Mapping[str, Any]
"""A reference answer: arrays or tensors by name."""


def by_name(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Return functions by their names, in their order."""
    return {function.__name__: function for function in functions}


@dataclass(frozen=True)
class Check:
    """How far a trained Problem is from the reference; true where every error is within its tolerance.

    Parameters: `errors`, `tolerance`, by metric; a metric that is not a number is never within.
    """

    errors: Mapping[str, float]
    tolerance: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether every error is within its tolerance."""
        return all(self.errors[metric] <= most for metric, most in self.tolerance.items())

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        wide = max(map(len, self.tolerance))
        lines = []
        for metric, most in self.tolerance.items():
            found = self.errors[metric]
            lines.append(f"  {metric:{wide}}  {found:.4g}, {'within' if found <= most else 'beyond'} {most:g}")
        return "\n".join(["passed" if self.passed else "not passed", *lines])


@dataclass(frozen=True, eq=False, repr=False)
class Example:
    """A ready problem. `nmlab.Lab.from_gallery(name)` opens it.

    Parameters
    ----------
    name : its file's name
    title, kind : what it is called, and the kind of learning that it shows
    summary : two sentences for a card
    source : where problem and reference come from, as one cites it
    problem : builds the `Problem`; without arguments
    data : `data_setup_function`s to swap between, by name (`by_name(f, g)`); the first is the default
    options : with these a fit on the default data passes the check
    seconds : what that fit takes on one core, about
    view : `view(problem, splits)` draws the solution as it stands
    reference : works the answer out anew, by a solver or a formula; `answer` keeps it
    error : `error(problem, answer)` measures a trained Problem against an answer, by metric
    tolerance : what each metric may be at most
    why : why these metrics and these tolerances
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
        """The reference answer, worked out when it is first asked for."""
        return self.reference()

    def data_function(self, name: str | None = None) -> Callable[..., Any]:
        """Return the data function of this name, the default one for None; raises `FieldError` where there is none."""
        if name is not None and name not in self.data:
            raise FieldError(
                {name: unknown_name(name, list(self.data))}, subject=f"There are no such data for {self.name!r}"
            )
        return self.data[name or next(iter(self.data))]

    def check(self, problem: Problem, reference: Answer | None = None) -> Check:
        """Measure a trained Problem against the reference; the Problem and random states stay as they are.

        Parameters: `problem`, as in `example.check(lab.run.problem)`; `reference`, by default `answer`.
        """
        with untouched(problem), torch.enable_grad():
            problem.eval()
            errors = self.error(problem, self.answer if reference is None else reference)
        return Check({metric: float(errors[metric]) for metric in self.tolerance}, self.tolerance)

    def __repr__(self) -> str:
        metrics = ", ".join(f"{metric} ≤ {most:g}" for metric, most in self.tolerance.items())
        return "\n".join(
            [
                f"{self.title} ({self.kind})",
                f"  {self.summary}",
                f"  data: {', '.join(self.data)}",
                f"  check: {metrics}. {self.why}",
                f"  source: {self.source}",
                f"  nmlab.Lab.from_gallery({self.name!r})",
            ]
        )
