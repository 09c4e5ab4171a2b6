"""How the data of runs were made: by which function of this kernel, with which values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nmlab.analysis.cross import DataRecipe
from nmlab.fields import fields_of
from nmlab.fitting.request import DataFunction, FitRequest
from nmlab.identity.functions import held
from nmlab.notebook.section import Section
from nmlab.provenance.again import Known, function_of, values_of
from nmlab.provenance.settings import describe_values
from nmlab.runs import Run


class Recipes:
    """With what the runs of a session were made, and what this kernel has of those that it did not make."""

    def __init__(self) -> None:
        self._made: dict[
            str | None, tuple[Callable[[], DataFunction | None], Mapping[str, Any], Mapping[str, Any]]
        ] = {}
        # by unique id of the run: the data function, held weakly, its values, and those of the builder

    def note(self, run: Run, request: FitRequest) -> None:
        """Note what a run of this session is made of."""
        self._made[run.uid] = held(request.data_setup_function), request.data_kwargs, request.problem_kwargs

    def take_over(self, other: Recipes) -> None:
        """Take in what another session noted."""
        self._made |= other._made

    def forget(self) -> None:
        """Forget all runs, as a restart of the kernel does."""
        self._made.clear()

    def of(self, run: Run, current: Known, values: Mapping[str, Any]) -> tuple[DataRecipe, Mapping[str, Any] | None]:
        """Return how a run's data were made, also of an earlier kernel's, and the choices of the function.

        Parameters: `current`, the data function in use and its choices; `values`, those of its keywords. Raises
        `RunError` where this kernel does not have the function that made the run.
        """
        made_by, here = None, values
        if run.uid in self._made:
            made_by, here = self._made[run.uid][0](), self._made[run.uid][1]
        function, choices = function_of(run, current, made_by)
        found, lost = values_of(run, (function, choices), here)
        if "data_kwargs" not in run.identities:  # a run of an earlier version
            told, stored = describe_values(fields_of(*current), here), run.settings.get("data_kwargs") or {}
            # what code gives this Lab, and gave that run, is there all the same
            found |= {name: here[name] for name in lost if told.get(name, told) == stored[name]}
        return DataRecipe(function, found, [name for name in lost if name not in found]), choices

    def of_builder(self, run: Run, builder: Section) -> tuple[dict[str, Any], list[str]]:
        """Return the values with which a run's Problem was built, and the names of those that are lost.

        Parameters: `builder`, the builder in use, with its values.
        """
        here = self._made[run.uid][2] if run.uid in self._made else builder.kwargs
        return values_of(run, (builder.function, builder.choices), here, "problem_kwargs")
