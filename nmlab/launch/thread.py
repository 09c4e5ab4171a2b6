"""A fit in this process: in a thread of its own, or in the one that waits for it."""

from __future__ import annotations

import traceback

from neuromancer.problem import Problem

from nmlab.data.splits import Splits
from nmlab.fitting.execution import Execution, Handed
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit
from nmlab.runs import Run
from nmlab.runtime import one_fit
from nmlab.runtime.worker import stays_behind
from nmlab.training.ranks import Ranks
from nmlab.training.user_hooks import HookedModule
from nmlab.training.view import View


class ThreadFit(Fit):
    """One fit in this process.

    Parameters
    ----------
    request : FitRequest
        What to fit, as `FitRequest.checked` returns it.
    handed : Handed, optional
        A run that another process has opened for this fit; default: it opens one.
    ranks : Ranks, optional
        The processes that share the training, of which this one leads. Default: this one alone.
    """

    def __init__(self, request: FitRequest, handed: Handed | None = None, ranks: Ranks | None = None) -> None:
        super().__init__(request)
        self._execution = Execution(request, self.control, ranks)
        self._handed = handed

    @property
    def run(self) -> Run:
        """The run's record; there from `start` on."""
        return self._execution.run

    @property
    def problem(self) -> Problem | None:
        """The Problem, once it is built."""
        return self._execution.problem

    @property
    def splits(self) -> Splits | None:
        """What the data function returned, once it has."""
        return self._execution.splits

    @property
    def view(self) -> View | None:
        """The user's own picture."""
        return self._execution.view

    @property
    def module(self) -> HookedModule | None:
        """What Lightning trains, from the training on, where there are user hooks."""
        return self._execution.module

    def let_go(self) -> None:
        """Let go of the data, also of those that the frames of an error hold."""
        self._execution.splits = None
        if self.error is not None:
            traceback.clear_frames(self.error.__traceback__)

    def close_with(self, remark: str) -> None:
        """Let the record say this once the run is closed."""
        self._execution.last_remark = remark

    def _say_in_log(self, remark: str) -> None:
        self._execution.remarks.append(remark)

    def _begin(self) -> None:
        if not self.control.blocking and (behind := stays_behind()):
            self._execution.remarks.append(f"In the thread of this fit does not hold: {', '.join(behind)}.")
        if self._handed is None:
            self._execution.open()
        else:
            self._execution.take_over(self._handed)
        one_fit.rename(self.control, f"run {self.run.id}")

    def _abandon(self, error: BaseException) -> None:
        if self._execution.opened:
            self._execution.close("failed", error)

    def _given_up(self) -> Run:
        return self._execution.give_up()

    def _perform(self) -> Run:
        return self._execution.perform()
