"""`Fit`: one fit, from its request to its record, wherever it is carried out."""

from __future__ import annotations

from abc import abstractmethod

import torch
from neuromancer.problem import Problem

from nmlab.data.splits import Splits
from nmlab.fitting.request import FitRequest
from nmlab.launch.task import Task
from nmlab.runs import Run
from nmlab.runtime.control import Control
from nmlab.training.user_hooks import HookedModule
from nmlab.training.view import View


class Fit(Task[Run]):
    """One fit, from its request to its record; `nmlab.launch.fit.make_fit` makes the kind that a request asks for.

    Parameters
    ----------
    request : FitRequest
        What to fit, as `FitRequest.checked` returns it.
    control : Control, optional
        Connection to what carries it out; default one within this process.
    """

    def __init__(self, request: FitRequest, control: Control | None = None) -> None:
        super().__init__(f"run {request.run_name!r}", control)
        self.request = request
        """What is fitted, with defaults filled in and a seed."""
        self.said_first = ""
        """All that `say_first` was given."""
        self.logged: dict[str, torch.Tensor] = {}
        """What the user's hooks logged, where they did in another process, once the fit has ended."""

    @property
    @abstractmethod
    def run(self) -> Run:
        """The run's record; there from `start` on."""

    @property
    @abstractmethod
    def problem(self) -> Problem | None:
        """The Problem, once it is known in this process."""

    @property
    @abstractmethod
    def splits(self) -> Splits | None:
        """What the data function returned, where it returned it in this process."""

    @property
    @abstractmethod
    def view(self) -> View | None:
        """The user's own picture."""

    @property
    @abstractmethod
    def module(self) -> HookedModule | None:
        """What Lightning trains in this process, from the training on, where there are user hooks."""

    def say_first(self, remark: str | None) -> None:
        """Let the run's log, and what shows its output, begin with a remark; None for none."""
        if remark:
            self.said_first = " ".join(filter(None, [self.said_first, remark]))
            self._say_in_log(remark)

    @abstractmethod
    def _say_in_log(self, remark: str) -> None:
        """Let the run's log begin with a remark."""

    def _interrupted_message(self) -> str:
        run, owner = self.run, self.control.owner
        kept = "current" if run.best_epoch is None else "best"
        after = f"after {run.epochs} epoch{'' if run.epochs == 1 else 's'}" if run.epochs else "before its first epoch"
        variable = owner.called() if owner is not None else ""
        where = f"{variable}.run holds it" if variable else f"its folder is {run.folder}"
        return f"■ stopped run {run.id} {after}. The Problem holds its {kept} weights; {where}."


class RemoteFit(Fit):
    """A fit that another process carries out: data and module stay there.

    Parameters
    ----------
    request : FitRequest
        What to fit, as `FitRequest.checked` returns it.
    control : Control, optional
        Connection to what carries it out; default one within this process.
    """

    def __init__(self, request: FitRequest, control: Control | None = None) -> None:
        super().__init__(request, control)
        self._problem = request.problem if isinstance(request.problem, Problem) else None

    @property
    def problem(self) -> Problem | None:
        """The Problem; of a builder once the fit has ended."""
        return self._problem

    @property
    def splits(self) -> Splits | None:
        """None: the data are in the fit's process."""
        return None

    @property
    def module(self) -> HookedModule | None:
        """None: what Lightning trains is in the fit's process."""
        return None
