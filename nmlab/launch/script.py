"""Fits in a script that torchrun or srun starts several times: the first process leads, the others follow.

Every process calls `nmlab.fit`. The first builds the Problem, makes the data and writes the one record; the others get
what they need from it, pass their part of each batch, and hold the best weights in the end as it does.
"""

from __future__ import annotations

import os
from pathlib import Path

from nmlab.errors import RunError
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import RemoteFit
from nmlab.launch.thread import ThreadFit
from nmlab.problem.start import start_of
from nmlab.problem.weights import copy_weights, load_weights
from nmlab.runs import Run
from nmlab.training.following import follow
from nmlab.training.ranks import RankLost, Ranks
from nmlab.training.started import Started
from nmlab.training.view import View


def join(started: Started, request: FitRequest) -> Ranks:
    """Return the connection to the other processes of the script, once all are there."""
    options, there = request.options, started.environment
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = there.main_address, str(there.main_port)
    device = None
    if options.resolved_accelerator() == "cuda":
        device = options.resolved_devices()[started.local] if "devices" in options.model_fields_set else started.local
    return Ranks(started.part, device)


class LeadingFit(ThreadFit):
    """A fit in a script's first process.

    Parameters
    ----------
    request : FitRequest
        What to fit, as `FitRequest.checked` returns it.
    ranks : Ranks
        The script's processes.
    """

    def __init__(self, request: FitRequest, ranks: Ranks) -> None:
        super().__init__(request, ranks=ranks)
        self._ranks = ranks

    def _perform(self) -> Run:
        try:
            run = super()._perform()
            assert self.problem is not None
            if run.status == "stopped":
                raise RunError(f"run {run.id} was stopped")
            self._ranks.broadcast((str(run.folder), copy_weights(self.problem)))
        except BaseException as error:
            self._ranks.fail(error)
            self._ranks.leave()
            raise
        return run


class FollowingFit(RemoteFit):
    """A fit in each of a script's other processes.

    Parameters
    ----------
    request : FitRequest
        What this process was asked to fit, as `FitRequest.checked` returns it; what is trained is the first one's.
    ranks : Ranks
        The script's processes.
    """

    def __init__(self, request: FitRequest, ranks: Ranks) -> None:
        super().__init__(request)
        self._ranks = ranks
        self._run: Run | None = None

    @property
    def run(self) -> Run:
        """The record that the first process writes; there once the fit has ended."""
        if self._run is None:
            raise RunError("The first process of this script writes the run, and has not ended it.")
        return self._run

    @property
    def view(self) -> View | None:
        """None: the first process draws it."""
        return None

    def _say_in_log(self, remark: str) -> None:
        """Leave the log to the first process."""

    def _interrupted_message(self) -> str:
        return "■ stopped this process of the script."

    def _perform(self) -> Run:
        ranks = self._ranks
        try:
            joint = ranks.broadcast()
            follow(joint, ranks)
            folder, weights = ranks.broadcast()
        except RankLost:
            raise ranks.failure() from None
        except BaseException as error:
            ranks.fail(error)
            ranks.leave()
            raise
        run = self._run = Run(Path(folder))
        problem = self._problem = joint.problem if self._problem is None else self._problem
        start = start_of(problem)
        start.begin_fit()
        try:
            load_weights(problem, weights, source=f"run {run.id}")
        finally:
            start.end_fit(problem, run.id)
        run.problem = problem
        return run
