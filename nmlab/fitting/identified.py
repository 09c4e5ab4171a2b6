"""What a run's Problem and data are, written into its record as soon as it is known, and what a fit itself changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from neuromancer.problem import Problem

from nmlab.fitting.request import FitRequest
from nmlab.identity.differences import Identity, differences, in_words
from nmlab.identity.functions import CHANGED, known_functions
from nmlab.identity.problem import identity_of_problem
from nmlab.runs import RunWriter

TRAINED = "changed during the run"
"""Reason why something is not compared: the fit changed it, so it is a state and no setting."""

RESUMED = "Run {} goes on with something else than it was begun with: {}. Its record says so."


class Identified:
    """Keeps the identities in the record of a run.

    Parameters
    ----------
    request : FitRequest
        What is carried out.
    writer : RunWriter
        Writer of the run, whose settings hold what the request says.
    """

    def __init__(self, request: FitRequest, writer: RunWriter) -> None:
        known_functions.remember(request.data_setup_function, request.data_choices)
        self._request, self._writer = request, writer
        self._recorded = writer.run.identities
        """Those of a resumed run as it was begun."""
        self._unknown = request.resumed is not None and not self._recorded
        """Whether a run goes on whose record does not tell them."""
        self._now: dict[str, Identity] = {}

    def has_problem(self, problem: Problem) -> None:
        """Record the Problem, once it is built and holds its start weights; warn if a resumed run had another one."""
        self._now = self._request.identities() | {"problem": identity_of_problem(problem)}
        if self._request.resumed is not None and not self._unknown:
            # what was built tells more than what it was built by
            less = {"builder", "problem_kwargs"} if "problem" in self._recorded else set()
            parts = self._recorded.keys() & self._now.keys() - less
            differing = {
                name: pair
                for part in sorted(parts)
                for name, pair in differences(self._recorded[part], self._now[part]).items()
            }
            if differing:
                words = in_words(differing)
                warnings.warn(RESUMED.format(self._writer.run.id, words), stacklevel=2)
                before = self._writer.run.settings.get("resumed_with") or []
                self._writer.describe(resumed_with=[*before, words])
            left_out = {part: self._recorded[part].not_compared for part in parts}
            self._now |= {
                part: Identity(self._now[part].facts, {**self._now[part].not_compared, **left_out[part]})
                for part in parts
            }
        self._write()

    def has_data(self) -> None:
        """Leave out what the data function itself changed, once it was called."""
        self._leave_out(self._request.identities(), ("data", "data_kwargs"), CHANGED)

    def is_trained(self, problem: Problem) -> None:
        """Leave out what the training changed besides weights."""
        if "problem" in self._now:
            after = self._request.identities() | {"problem": identity_of_problem(problem)}
            parts = [part for part in ("problem", "problem_kwargs") if part in self._now]
            self._leave_out(after, parts, TRAINED)

    def _leave_out(self, after: dict[str, Identity], parts: Iterable[str], reason: str) -> None:
        settled = {part: self._now[part].without_changes(after[part], reason) for part in parts}
        if any(settled[part] != self._now[part] for part in settled):
            self._now |= settled
            self._write()

    def _write(self) -> None:
        if not self._unknown:
            self._writer.describe(identity={part: identity.to_json() for part, identity in self._now.items()})
