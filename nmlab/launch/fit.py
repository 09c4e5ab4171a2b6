"""`fit()`: a Problem, data and options become a `Run`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from typing import Any

from neuromancer.problem import Problem

from nmlab.data.splits import Splits
from nmlab.fitting.execution import Execution
from nmlab.fitting.request import Builder, DataFunction, FitRequest, all_data_kwargs
from nmlab.launch.task import Task
from nmlab.options import TrainerOptions
from nmlab.runs import Run
from nmlab.runtime import one_fit
from nmlab.runtime.worker import stays_behind
from nmlab.training.user_hooks import HookedModule
from nmlab.training.view import View


def fit(
    problem: Problem | Builder,
    data_setup_function: DataFunction,
    options: TrainerOptions | None = None,
    *,
    data_kwargs: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
    runs_dir: str | os.PathLike[str] = "nmlab_runs",
    name: str | None = None,
    resume: Run | str | None = None,
    **more_data_kwargs: Any,
) -> Run:
    """Train `problem` on the data that `data_setup_function` makes, and return the record of it.

    Blocks until the fit has ended. Afterwards the Problem holds the best weights by the monitored metric. An interrupt
    (Ctrl-C, ■) stops the fit at the next batch, closes the run as stopped with its best weights restored, and raises
    `KeyboardInterrupt` again.

    Parameters
    ----------
    problem : Problem or callable
        A NeuroMANCER `Problem`, trained from the weights that it holds, or a function without arguments that builds
        one.
    data_setup_function : callable
        Called with the data's keywords; returns train, dev and test datasets and the batch size. dev may be None, then
        the train loss is monitored; test may be None or a plain dict of tensors.
    options : TrainerOptions, optional
        What a user may set of a fit; default ``TrainerOptions()``.
    data_kwargs : Mapping[str, Any], optional
        Keywords of the data function; every name is the data function's.
    choices : Mapping[str, Any], optional
        Values that a keyword takes by name, as in ``{"sys": {"CSTR": cstr, "TwoTank": two_tank}}``.
    runs_dir : path-like, default "nmlab_runs"
        The folder in which the run gets a folder of its own.
    name : str, optional
        The run's name; default the data function's.
    resume : Run or str, optional
        A run, or its id, to continue from its last checkpoint to where it would have ended. Its seed is used again, and
        its options and data keywords where none are given; `max_epochs` may be larger. Optimizer and scheduler continue
        from their last states.
    **more_data_kwargs : Any
        Further keywords of the data function. The name of an option is refused here, so that a misplaced
        ``max_epochs=20`` is not lost.

    Returns
    -------
    Run
        Settings, metrics by epoch, test metrics and checkpoints. `run.problem` is the trained Problem.

    Raises
    ------
    FieldError
        A keyword or an option is wrong; with all faults at once, before anything is made.
    DataError
        The data cannot be trained on.
    BusyError
        Another fit runs in this process.
    NonFiniteLossError
        The loss became NaN or infinite; its `run` is the failed run.
    RunError
        The runs folder cannot be written, or there is nothing to resume.

    Notes
    -----
    Exceptions of the user's own functions are raised unchanged, with a note that names the run's folder.

    Examples
    --------
    >>> import nmlab
    >>> example = nmlab.gallery.get("rosenbrock")
    >>> options = nmlab.TrainerOptions(max_epochs=2, seed=0)
    >>> run = nmlab.fit(example.problem, example.data_function(), options, nsim=50)
    >>> run.status, run.epochs
    ('finished', 2)
    """
    request = FitRequest(
        problem,
        data_setup_function,
        options or TrainerOptions(),
        all_data_kwargs(data_kwargs, more_data_kwargs),
        choices=choices,
        runs_dir=runs_dir,
        name=name,
        resume=resume,
    )
    return Fit(request).run_to_end()


class Fit(Task[Run]):
    """One fit in a thread of this process, from its request to its record.

    Parameters
    ----------
    request : FitRequest
        What to fit; it is checked at once.

    Raises
    ------
    FieldError
        Where the request is wrong, with all faults at once.
    """

    def __init__(self, request: FitRequest) -> None:
        self.request = request.checked()
        """What is fitted, with defaults filled in and a seed."""
        super().__init__(f"run {self.request.run_name!r}")
        self._execution = Execution(self.request, self.control)
        self.said_first = ""
        """All that `say_first` was given."""

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

    def say_first(self, remark: str | None) -> None:
        """Let the run's log, and what shows its output, begin with a remark; None for none."""
        if remark:
            self.said_first = " ".join(filter(None, [self.said_first, remark]))
            self._execution.remarks.append(remark)

    def let_go(self) -> None:
        """Let go of the data, also of those that the frames of an error hold."""
        self._execution.splits = None
        if self.error is not None:
            traceback.clear_frames(self.error.__traceback__)

    def _begin(self) -> None:
        if not self.control.blocking and (behind := stays_behind()):
            self._execution.remarks.append(f"In the thread of this fit does not hold: {', '.join(behind)}.")
        self._execution.open()
        one_fit.rename(self.control, f"run {self.run.id}")

    def _abandon(self, error: BaseException) -> None:
        if self._execution.opened:
            self._execution.close("failed", error)

    def _given_up(self) -> Run:
        return self._execution.give_up()

    def _perform(self) -> Run:
        return self._execution.perform()

    def _interrupted_message(self) -> str:
        run, owner = self.run, self.control.owner
        kept = "current" if run.best_epoch is None else "best"
        after = f"after {run.epochs} epoch{'' if run.epochs == 1 else 's'}" if run.epochs else "before its first epoch"
        variable = owner.called() if owner is not None else ""
        where = f"{variable}.run holds it" if variable else f"its folder is {run.folder}"
        return f"■ stopped run {run.id} {after}. The Problem holds its {kept} weights; {where}."
