"""`fit()`: a Problem, data and options become a `Run`; `make_fit()`: a request becomes a fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from neuromancer.problem import Problem

from nmlab.fitting.prepare import refuse_unfit
from nmlab.fitting.request import Builder, DataFunction, FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.process import ProcessFit
from nmlab.launch.script import FollowingFit, LeadingFit, join
from nmlab.launch.thread import ThreadFit
from nmlab.options import TrainerOptions
from nmlab.runs import Run
from nmlab.training.started import started_together

_KINDS: dict[str, type[Fit]] = {"thread": ThreadFit, "process": ProcessFit}
"""Where a fit is carried out, by the option `launch`."""


def make_fit(request: FitRequest) -> Fit:
    """Return the fit that carries out a request, which begins with its `start`.

    Parameters
    ----------
    request : FitRequest
        What to fit, and in its options where.

    Raises
    ------
    FieldError
        Where the request is wrong, with all faults at once.
    RunError
        Where the weights to start from do not fit the Problem.
    """
    checked, started = request.checked(), started_together()
    refuse_unfit(checked)
    if started is None:
        return _KINDS[checked.options.launch](checked)
    ranks = join(started, checked)
    return LeadingFit(checked, ranks) if ranks.leads else FollowingFit(checked, ranks)


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
    problem_kwargs: Mapping[str, Any] | None = None,
    **more_kwargs: Any,
) -> Run:
    """Train `problem` on the data that `data_setup_function` makes, and return the record of it.

    Blocks until the fit has ended. Afterwards the Problem holds the best weights by the monitored metric. An interrupt
    (Ctrl-C, ■) stops the fit at the next batch, closes the run as stopped with its best weights restored, and raises
    `KeyboardInterrupt` again.

    Parameters
    ----------
    problem : Problem or callable
        A NeuroMANCER `Problem`, trained from the weights that it holds, or a function that builds one.
    data_setup_function : callable
        Called with the data's keywords; returns train, dev and test datasets and the batch size. dev may be None, then
        the train loss is monitored; test may be None or a plain dict of tensors.
    options : TrainerOptions, optional
        What a user may set of a fit; default ``TrainerOptions()``.
    data_kwargs : Mapping[str, Any], optional
        Keywords of the data function; every name is the data function's.
    choices : Mapping[str, Any], optional
        Values that a keyword of either function takes by name, as in ``{"sys": {"CSTR": cstr, "TwoTank": two_tank}}``.
    runs_dir : path-like, default "nmlab_runs"
        The folder in which the run gets a folder of its own.
    name : str, optional
        The run's name; default the data function's.
    resume : Run or str, optional
        A run, or its id, to continue from its last checkpoint to where it would have ended. Its seed is used again, and
        its options and keywords where none are given; `max_epochs` may be larger. Optimizer and scheduler continue from
        their last states.
    problem_kwargs : Mapping[str, Any], optional
        Keywords of the function that builds the Problem; every name is that function's.
    **more_kwargs : Any
        Further keywords of the data function and of the builder, told apart by name. One that both have is one keyword
        of both where annotation, bounds and default agree. The name of an option is refused here, so that a misplaced
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
        data_kwargs or {},
        choices=choices,
        runs_dir=runs_dir,
        name=name,
        resume=resume,
        problem_kwargs=problem_kwargs or {},
    )
    return make_fit(request.with_loose(more_kwargs)).run_to_end()
