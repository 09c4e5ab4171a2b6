"""`fit()`: a Problem, data and options become a `Run`.

A `Fit` checks what it is asked for, makes the run's folder, and works through its stages in a thread: build the
Problem, make the data, try them out, train under Lightning, score the test split. However it ends, the Problem holds
its best weights and the run says how it went.
"""

from __future__ import annotations

import math
import os
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from neuromancer.problem import Problem

from nmlab.data.splits import Splits, place_of
from nmlab.errors import FieldError, Interrupted, NonFiniteLossError, RunError
from nmlab.fields import check, fields_of, takes_any_keyword
from nmlab.fitting.prepare import build_problem, check_data, splits_of
from nmlab.fitting.resume import as_before
from nmlab.options import TrainerOptions
from nmlab.problem.formulas import swapped_in
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import fingerprint, load_weights, read_weights
from nmlab.provenance.settings import (
    describe_function,
    describe_sources,
    describe_values,
    own_parts,
    users_traceback,
    versions,
)
from nmlab.runs import Run, RunStore, RunWriter
from nmlab.runtime import one_fit
from nmlab.runtime.capture import captured_output
from nmlab.runtime.control import Control, StopRequested
from nmlab.runtime.rng import RandomStreams, fresh_seed
from nmlab.runtime.worker import WorkerThread
from nmlab.training.checkpoints import epochs_done
from nmlab.training.events import EventWriter, begin_events
from nmlab.training.module import ProblemModule
from nmlab.training.train import NO_DEV, train
from nmlab.training.user_hooks import HookedModule, UserHooks
from nmlab.training.view import View

SWAPPED = (
    "{}: NeuroMANCER computes {}. Write the parts in another order, or compute them in a Node, until "
    "nmlab.look(problem) shows what you mean."
)

DataFunction = Callable[..., Any]
Builder = Callable[[], Problem]


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
    """Train `problem` on what `data_setup_function` returns, and return the record of it; blocks until it has ended.

    Afterwards the Problem holds the best weights by the monitored metric. An interrupt (Ctrl-C, ■) stops the fit at
    the next batch, closes the run as stopped with its best weights in place, and raises `KeyboardInterrupt` again.

    Parameters
    ----------
    problem : a NeuroMANCER `Problem`, trained from the weights it holds, or a function without arguments that builds
        one
    data_setup_function : called with the data's keywords; returns train, dev and test datasets and the batch size.
        dev may be None (then the train loss is monitored), test may be None or a plain dict of tensors
    options : what a user may set of a fit; default `TrainerOptions()`
    data_kwargs, **more_data_kwargs : keywords of the data function. An option's name is refused among the loose ones,
        so that a misplaced `max_epochs=20` is not lost; in `data_kwargs` every name is the data function's
    choices : values that a keyword takes by name, as in `{'sys': {'CSTR': cstr, 'TwoTank': two_tank}}`
    runs_dir : the folder in which the run gets a folder of its own
    name : the run's name; default the data function's
    resume : a run to go on with (or its id), from its last checkpoint to where it would have ended undisturbed. Its
        own seed holds, and its own options and data keywords where none are given; `max_epochs` may be more. Optimizer
        and scheduler go on as they were

    Returns
    -------
    Run : settings, metrics by epoch, test metrics, checkpoints; `run.problem` is the trained Problem

    Raises
    ------
    FieldError : a keyword or an option is wrong; all faults at once, before anything is made
    DataError : the returned data cannot be trained on
    BusyError : another fit runs in this process
    NonFiniteLossError : the loss became NaN or infinite; its `.run` is the failed run
    RunError : the runs folder cannot be written, or there is nothing to resume
    Whatever the user's own functions raise goes through, with the run's folder noted.
    """
    return Fit(
        problem,
        data_setup_function,
        options,
        all_data_kwargs(data_kwargs, more_data_kwargs),
        choices=choices,
        runs_dir=runs_dir,
        name=name,
        resume=resume,
    ).run_to_end()


def all_data_kwargs(
    data_kwargs: Mapping[str, Any] | None, loose: Mapping[str, Any], caller: str = "fit"
) -> dict[str, Any]:
    """Return the data function's keywords, those given in a dict and the loose ones together.

    Parameters: `caller`, the function that was given them. Raises `FieldError` where an option's name is among the
    loose ones, or a name is in both.
    """
    misplaced = {
        key: f"an option, not data: options=TrainerOptions({key}=…), or data_kwargs={{'{key}': …}} if data is meant"
        for key in loose
        if key in TrainerOptions.model_fields
    }
    misplaced |= {key: "given in data_kwargs too" for key in loose if key in (data_kwargs or {})}
    if misplaced:
        raise FieldError(misplaced, subject=f"{caller}() cannot take these keywords")
    return {**(data_kwargs or {}), **loose}


class Fit:
    """One fit, from what is asked for to its record; nothing happens before `start`.

    Parameters as for `fit`, and
    ----------
    lab : name of the Lab that the run belongs to, or None
    start_weights : weights to start from, by name; None for those the Problem holds
    starts_from : where those come from, for the record: a run's id or 'kept weights'; None for a fresh start
    view : `f(problem, splits) -> Figure`, a picture of the user's own; see `View`
    echo : whether what the fit prints also goes where it would have gone, or to the run's log alone
    batch_size : samples a batch, in place of the data function's; None for the data function's own
    sweep : what the record says of the sweep that the run belongs to; None for no sweep
    customs : a training step, hooks and metrics of the user's own; None for none

    Raises `FieldError` at once where keywords or options are wrong.
    """

    def __init__(
        self,
        problem: Problem | Builder,
        data_setup_function: DataFunction,
        options: TrainerOptions | None = None,
        data_kwargs: Mapping[str, Any] | None = None,
        *,
        choices: Mapping[str, Any] | None = None,
        runs_dir: str | os.PathLike[str] = "nmlab_runs",
        name: str | None = None,
        lab: str | None = None,
        start_weights: Mapping[str, torch.Tensor] | None = None,
        resume: Run | str | None = None,
        starts_from: str | None = None,
        view: Callable[..., Any] | None = None,
        echo: bool = True,
        batch_size: int | None = None,
        sweep: Mapping[str, Any] | None = None,
        user_hooks: UserHooks | None = None,
    ) -> None:
        if not isinstance(problem, Problem) and not callable(problem):
            what = type(problem).__name__
            raise FieldError({"problem": f"a {what}; give a Problem, or a function without arguments that builds one"})
        if not callable(data_setup_function):
            what = type(data_setup_function).__name__
            raise FieldError(
                {"data_setup_function": f"a {what}; give a function that returns train, dev, test, batch_size"}
            )
        self._source = problem
        self._function = data_setup_function
        self._fields = fields_of(data_setup_function, choices)
        self._store = RunStore(runs_dir)
        self._resumed = self._store.get(resume) if isinstance(resume, str) else resume
        kwargs = dict(data_kwargs or {})
        if self._resumed is not None:
            if user_hooks is None and (own := own_parts(self._resumed.settings)):
                raise RunError(
                    f"Run {self._resumed.id} cannot be resumed: it was trained with {', '.join(own)}, which its record "
                    "cannot give back. Go on by run.restore(problem) and another fit of the LitTrainer."
                )
            options, kwargs = as_before(self._resumed, self._fields, options, kwargs)
            batch_size = batch_size or self._resumed.settings.get("batch_size")
        self.options = options or TrainerOptions()
        self.data_kwargs = check(
            self._fields,
            kwargs,
            subject=f"{place_of(data_setup_function)} cannot be called",
            extra=takes_any_keyword(data_setup_function),
            elsewhere={
                name: f"It is an option: options=TrainerOptions({name}=…)" for name in TrainerOptions.model_fields
            },
        )
        if isinstance(problem, Problem):
            self.options.build_optimizer(problem)  # only to say at once what does not fit
        self.seed = fresh_seed() if self.options.seed is None else self.options.seed
        self._name = str(name or getattr(data_setup_function, "__name__", "run"))
        self._lab = lab
        self._start_weights = start_weights
        self._starts_from = starts_from
        self._echo = echo
        self._batch_size = batch_size
        self._sweep = sweep
        self._user_hooks = user_hooks
        self.control = Control(name=f"run {self._name!r}")
        self.view = None if view is None else View(view, self.control)
        """The user's own picture, or None."""
        self.problem: Problem | None = problem if isinstance(problem, Problem) else None
        self.module: HookedModule | None = None
        """What Lightning trains, from the training on, where there are customs; else None."""
        self.splits: Splits | None = None
        """What the data function returned, once it has."""
        self._writer: RunWriter | None = None
        self._events: EventWriter | None = None
        self._worker: WorkerThread[Run] | None = None

    # --- the caller's side ---

    @property
    def run(self) -> Run:
        """The run's record; there from `start` on."""
        return self._begun_writer.run

    @property
    def _begun_writer(self) -> RunWriter:
        if self._writer is None:
            raise RunError("This fit was not started.")
        return self._writer

    @property
    def done(self) -> bool:
        """Whether the fit has ended."""
        return self._worker is not None and self._worker.done

    @property
    def error(self) -> BaseException | None:
        """What ended the fit, or None."""
        return self._worker.error if self._worker is not None else None

    def start(self, instead_of: Fit | None = None) -> Fit:
        """Make the run's folder, begin in a thread, and return this fit.

        Parameters: `instead_of`, an earlier fit whose data are let go of before the new are made.
        Raises `BusyError` where another fit runs and `RunError` where the folder cannot be written.
        """
        try:
            one_fit.claim(self.control)
            if instead_of is not None:
                instead_of.let_go()
            if self._resumed is not None:
                self._writer = self._store.reopen(self._resumed)
                settings = self._settings()
                self._writer.describe(**{key: settings[key] for key in ("options", "data_kwargs", "sources")})
            else:
                self._writer = self._store.create(self._name, self._settings())
            one_fit.rename(self.control, f"run {self.run.id}")
            self._worker = WorkerThread(self._perform, name=f"nmlab {self.run.id}")
            self._worker.start()
        except BaseException as error:  # an interrupt too
            if self._worker is not None and self._worker.started:
                raise self.interrupted() from None
            if self._writer is not None:
                self._close("failed", error)
            one_fit.release(self.control)
            raise
        return self

    def run_to_end(self) -> Run:
        """Begin and block until the fit has ended; returns and raises as `wait`."""
        self.control.blocking = True
        return self.start().wait()

    def wait(self) -> Run:
        """Block until the fit has ended and return its run, or raise what ended it.

        An interrupt stops the fit, waits for it to close, and is raised again; a second one does not wait.
        """
        if self._worker is None:
            raise RunError("This fit was not started.")
        try:
            self._worker.wait()
        except KeyboardInterrupt:
            raise self.interrupted() from None
        return self._worker.result()

    def interrupted(self) -> Interrupted:
        """Stop the fit, wait for it to close, and return what to raise; a further interrupt does not wait."""
        assert self._worker is not None
        self.control.stop()
        self._worker.wait()
        owner = self.control.owner
        called = owner.called() if owner is not None else ""
        where = f"{called}.run holds it" if called else f"its folder is {self.run.folder}"
        run = self.run
        kept = "current" if run.best_epoch is None else "best"
        after = f"after {run.epochs} epoch{'' if run.epochs == 1 else 's'}" if run.epochs else "before its first epoch"
        return Interrupted(f"■ stopped run {run.id} {after}. The Problem holds its {kept} weights; {where}.")

    def let_go(self) -> None:
        """Let go of the data, also of those that the frames of an error hold."""
        self.splits = None
        if self.error is not None:
            traceback.clear_frames(self.error.__traceback__)

    # --- settings ---

    def _settings(self) -> dict[str, Any]:
        return {
            "lab": self._lab,
            "problem_source": None if isinstance(self._source, Problem) else describe_function(self._source),
            "data_function": describe_function(self._function),
            "data_kwargs": describe_values(self._fields, self.data_kwargs),
            "options": self.options.to_json(),
            "sources": describe_sources(self._source, self._function, self._fields, self.data_kwargs, self.options),
            "seed": self.seed,
            "threads": torch.get_num_threads(),
            "starts_from": self._starts_from,
            "batch_size": self._batch_size,
            "sweep": self._sweep,
            "customs": None if self._user_hooks is None else self._user_hooks.to_json(),
            "versions": versions(),
        }

    # --- the fit's own thread ---

    def _perform(self) -> Run:
        with one_fit.held(self.control):
            try:
                with captured_output(self._begun_writer.log, self._echo):
                    try:
                        self._work()
                    finally:
                        self._draw_last()
            except StopRequested:
                self._close("stopped")
            except BaseException as error:
                if isinstance(error, NonFiniteLossError):
                    error.run = self.run
                error.add_note(f"The run's folder is {self.run.folder}")
                self._close("failed", error)
                raise
            else:
                self._close("finished")
        return self.run

    def _close(self, state: str, error: BaseException | None = None) -> None:
        told = None
        if error is not None:
            told = {"type": type(error).__name__, "message": str(error), "traceback": users_traceback(error)}
            with suppress(OSError):  # a full disk must not keep the run open
                self._begun_writer.log("".join(traceback.format_exception(error)))
        self.run.problem = self.problem
        self.control.phase = state
        if self._events is not None:
            self._events.close(state == "failed", self.run.test_metrics.get("test_loss", math.nan))
        self._begun_writer.close(state, told)

    def _work(self) -> None:
        streams = RandomStreams(self.seed)
        if self.problem is None:
            self._say("building the Problem")
            self.problem = build_problem(self._source, streams)
        problem = self.problem
        if self._start_weights is not None:
            load_weights(problem, dict(self._start_weights), source="the Lab's start")
        if self._resumed is not None and self._resumed.start_checkpoint_path is not None:
            load_weights(problem, read_weights(self._resumed.start_checkpoint_path), source=f"run {self.run.id}")
        self._begun_writer.describe(fingerprint=fingerprint(problem), terms=[term.name for term in terms_of(problem)])

        self._say("making the data")
        self.splits = splits = splits_of(self._function, self.data_kwargs, self._batch_size, streams)
        resume = self._resumed is not None
        if self.options.tensorboard:
            done = epochs_done(self.run) if resume else 0
            self._events = begin_events(self._begun_writer, problem, self.options, done)
        if self.view is not None:
            if self._events is not None:
                self.view.on_picture = self._events.add_view
            self.view.look_at(problem, splits)
        self._say("trying out the data")
        check_data(problem, splits, self._function, self.options, self._user_hooks)
        for term, written in zip(terms_of(problem), (*problem.loss.objectives, *problem.loss.constraints), strict=True):
            for swapped in swapped_in(written):
                warnings.warn(SWAPPED.format(term.name, swapped), stacklevel=2)
        self._say("preparing the training")
        streams.reseed()
        if splits.dev is None and self.options.monitor is None:
            warnings.warn(NO_DEV, stacklevel=2)
        writer, make = self._begun_writer, ProblemModule if self._user_hooks is None else self._make_module
        train(problem, splits, self.options, streams, writer, self.control, resume, self._events, make)

    def _make_module(self, *arguments: Any) -> HookedModule:
        assert self._user_hooks is not None
        self.module = HookedModule(*arguments, user_hooks=self._user_hooks)
        return self.module

    def _draw_last(self) -> None:
        self.control.training_over()
        if self.view is not None:
            self.control.phase = "drawing the view"
            self.view.finish(self._begun_writer)

    def _say(self, phase: str) -> None:
        self.control.check()
        self.control.phase = phase
