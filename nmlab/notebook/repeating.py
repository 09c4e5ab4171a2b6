"""The same settings on further seeds: which seeds, in which group, one run after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from neuromancer.problem import Problem

from nmlab.errors import BusyError, FieldError
from nmlab.fitting.request import FitRequest
from nmlab.identity.problem import identity_of_problem
from nmlab.launch.base import Fit
from nmlab.notebook.session import Session
from nmlab.problem.start import start_of
from nmlab.runs import Run, same_but_seed
from nmlab.runs.names import unique
from nmlab.runs.repeats import group_key
from nmlab.runtime.rng import fresh_seed
from nmlab.runtime.worker import WorkerThread

MOST = 1000
"""Maximum number of runs at once."""


class Repeats:
    """What distinguishes the runs that repeat a request on further seeds.

    A run of the Lab with the same settings, and the group that it is in, are of the same group.

    Parameters
    ----------
    session : Session
        The session that carries them out.
    count : int
        Number of runs.
    asked
        As for `Session.start`.

    Raises
    ------
    FieldError
        Where the count is no positive integer, the seed is locked, or a value is wrong.
    """

    def __init__(
        self,
        session: Session,
        count: int,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        faults: dict[str, str] = {}
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
            faults["n"] = f"{count!r}; give an integer from 1 to {MOST}"
        if "seed" in (lock := session.locked(["seed"])):
            faults["seed"] = f"locked by this Lab at {lock['seed']!r}, so that every run has it"
        if faults:
            raise FieldError(faults, subject="The runs cannot be repeated")
        request = session.request(asked).checked()
        alike = _alike(request, session)
        self.group = next(filter(None, (group_key(run.settings) for run in alike)), None) or unique()
        used = {run.settings.get("seed") for run in session.runs if group_key(run.settings) == self.group}
        self.seeds: list[int] = []
        for seed in _seeds(request.options.seed):
            if len(self.seeds) == count:
                break
            if seed not in used:
                self.seeds.append(seed)
                used.add(seed)
        self.asked = {
            "data_kwargs": request.data_kwargs,
            "problem_kwargs": request.problem_kwargs,
            "options": request.options.replace(seed=None),
        }

    def parts(self, seed: int) -> dict[str, Any]:
        """Return the parts of the request that the run of a seed has of its own."""
        return {"seed": seed, "repeat": {"group": self.group}}


def start_in_turn(session: Session, repeats: Repeats, begun: Callable[[int], object]) -> None:
    """Begin the first run now, and each other one when the one before has ended, until one is stopped.

    Parameters
    ----------
    session : Session
        The session that carries them out.
    repeats : Repeats
        What they are.
    begun : callable
        Called with the number of each run, from 1, once it has begun.
    """

    def begin(number: int, seed: int) -> Fit:
        fit = session.start(repeats.asked, echo=False, **repeats.parts(seed))
        begun(number)
        return fit

    fit = begin(1, repeats.seeds[0])

    def go_on(fit: Fit) -> None:
        for number, seed in enumerate(repeats.seeds[1:], start=2):
            while not fit.done:
                time.sleep(0.02)
            # what another Lab took over, or was begun instead, ends the series too
            if fit.run.status == "stopped" or session.fit is not fit or fit.control.owner is not session:
                return
            with suppress(BusyError):
                fit = begin(number, seed)

    WorkerThread(lambda: go_on(fit), name="nmlab repeats").start()  # with torch's modes of its caller


def _seeds(first: int | None) -> Iterator[int]:
    while True:
        yield fresh_seed() if first is None else first
        first = None if first is None else (first + 1) % 2**32


def _alike(request: FitRequest, session: Session) -> list[Run]:
    """Return the runs of a session with the settings of a request, newest first."""
    settings = request.describe()
    problem = request.problem
    if isinstance(problem, Problem):
        settings["identity"] = {**settings["identity"], "problem": identity_of_problem(problem).to_json()}
    found = []
    for run in reversed(session.runs):
        if run.damage is not None or not run.identities:
            continue
        known = dict(run.settings)
        if isinstance(problem, Problem):
            now: str | None = start_of(problem).fingerprint if not session.start_weights.choice else None
            told = known.get("start_fingerprint")
            if None not in (now, told) and now != told:
                continue
        if same_but_seed({**settings, "fingerprint": known.get("fingerprint")}, known):
            found.append(run)
    return found
