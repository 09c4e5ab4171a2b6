"""The Lab: joins form, fit and live view. What it shows it reads from runs."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from IPython import get_ipython
from neuromancer.problem import Problem

from nmlab import control as controls
from nmlab.data import Splits, place_of
from nmlab.errors import FieldError, RunError
from nmlab.fields import Field, check, fields_of, is_default, takes_any_keyword
from nmlab.fitting import Fit
from nmlab.notebook.live import CellView
from nmlab.notebook.panel import Panel
from nmlab.options import TrainerOptions
from nmlab.runs import Run, Runs, RunStore
from nmlab.weights import copy_weights, fingerprint

LOOK_EVERY = 0.2
"""Seconds between two looks at a running fit."""

EARLIER = 8
"""How many earlier runs are drawn faint behind the newest."""

_labs: weakref.WeakSet[Lab] = weakref.WeakSet()


class Lab:
    """A bench for one Problem: choose, fit, watch, stop, swap the data, run again.

    As a cell's last line it shows a form made from the data function's signature and the trainer's options, Run and
    Stop, the fit's progress and curves, and the table of runs. The same is done from code by `fit`, `stop`, `wait`,
    `swap` and `runs`, without a form on screen too.

    Every run starts from the weights that the Problem had when the Lab was made, unless `swap(..., keep_weights=True)`
    says otherwise. After a run the Problem holds that run's best weights. Made again over the same Problem while a run
    goes, the new Lab takes the run over and the old panel says so.

    Parameters
    ----------
    problem : a NeuroMANCER `Problem`, or a function without arguments that builds one, called anew for every run
    data_setup_function : returns train, dev and test datasets and the batch size; its parameters become the form
    options : what the trainer's part of the form starts from; default `TrainerOptions()`
    data_kwargs : what the data's part starts from; the function's own defaults elsewhere. Values that no widget can
        make (arrays, system objects) are given here
    choices : values to choose by name, as in `{'sys': {'CSTR': cstr, 'TwoTank': two_tank}}`
    runs_dir : the folder of the runs
    name : the Lab's name, by which its runs are told from other Labs'

    Raises `FieldError` where an argument is wrong; all faults at once.
    """

    def __init__(
        self,
        problem: Problem | Callable[[], Problem],
        data_setup_function: Callable[..., Any],
        *,
        options: TrainerOptions | None = None,
        data_kwargs: Mapping[str, Any] | None = None,
        choices: Mapping[str, Any] | None = None,
        runs_dir: str | os.PathLike[str] = "nmlab_runs",
        name: str | None = None,
    ) -> None:
        self.problem = problem
        self.name = name or "lab"
        self.options = options or TrainerOptions()
        self._store = RunStore(runs_dir)
        self._fit: Fit | None = None
        self._watcher: threading.Thread | None = None
        self._blocking = False
        self._looking = threading.Lock()
        self._panel: Panel | None = None
        self._start_weights = copy_weights(problem) if isinstance(problem, Problem) else None
        self._kept_weights: dict[str, torch.Tensor] | None = None
        self._keep_pending = False
        self._take_data(data_setup_function, data_kwargs or {}, choices)
        self._attach()
        _labs.add(self)

    def _take_data(
        self, function: Callable[..., Any], data_kwargs: Mapping[str, Any], choices: Mapping[str, Any] | None
    ) -> None:
        fields = fields_of(function, choices)
        subject, extra = f"{place_of(function)} cannot be called with this", takes_any_keyword(function)
        values = check(fields, data_kwargs, subject=subject, extra=extra, complete=False)
        self.data_setup_function = function
        self._choices = choices
        self._data_fields = fields
        self._data_kwargs = values

    def _attach(self) -> None:
        """Take over a run that an older Lab over the same Problem has going, with that Lab's start weights."""
        for old in list(_labs):
            if old.problem is self.problem and old._fit is not None and not old._fit.done:
                self._fit = old._fit
                self._start_weights, self._kept_weights = old._start_weights, old._kept_weights
                if old._panel is not None:
                    old._panel.retire("This panel was replaced by one that was made later; its run goes on there.")
                self._watch(old._fit)

    # --- from code ---

    @property
    def run(self) -> Run | None:
        """The newest run of this Lab in this kernel, or None before the first."""
        return self._fit.run if self._fit is not None else None

    @property
    def runs(self) -> Runs:
        """This Lab's runs over this Problem, oldest first, from earlier sessions too; `.all()` for the whole folder."""
        known = self._trained_problem()
        return self._store.runs(lab=self.name, problem=None if known is None else fingerprint(known))

    @property
    def splits(self) -> Splits | None:
        """The data of the newest run, once they are made; one set is held at a time."""
        return self._fit.splits if self._fit is not None else None

    def fit(self, **kwargs: Any) -> Run:
        """Fit with the bench's settings and these changes, show the run under this cell, and return it.

        Blocks until the fit has ended. ■ (an interrupt) stops it: the run is closed as stopped with its best weights
        in place, stays in `lab.run`, and `KeyboardInterrupt` is raised again.

        Parameters
        ----------
        **kwargs : keywords of the data function and options, told apart by where each name is known; a name known in
            both is given as `data_kwargs={…}` or `options=TrainerOptions(…)`

        Raises what `nmlab.fit` raises.
        """
        data_kwargs, options = self._sort_out(kwargs)
        fit = self._start(data_kwargs, options)
        try:
            self._watch(fit, in_cell=get_ipython() is not None)
            return fit.wait()
        except KeyboardInterrupt:
            fit.control.stop()  # also where it came before the waiting
            raise
        finally:
            if fit.done:  # else a second interrupt would not wait
                self._await_view(fit)

    def stop(self) -> None:
        """Ask the running fit to stop at its next batch; harmless where none runs."""
        if (running := controls.current()) is not None:
            running.stop()
        if self._fit is not None:
            self._look(self._fit)

    def wait(self) -> Run | None:
        """Block until the run that was begun by the button has ended; return it, or raise what ended it.

        An interrupt ends the waiting, not the run.
        """
        fit = self._fit
        if fit is None:
            return None
        self._await_view(fit)
        if fit.error is not None:
            raise fit.error
        return fit.run

    def swap(
        self,
        data_setup_function: Callable[..., Any],
        keep_weights: bool = False,
        *,
        data_kwargs: Mapping[str, Any] | None = None,
        choices: Mapping[str, Any] | None = None,
    ) -> None:
        """Take other data for the next runs; the form is made anew.

        Values that were chosen, other than their function's defaults, are kept where the new function has the name
        and takes the value.

        Parameters
        ----------
        data_setup_function : the function that makes the data from now on
        keep_weights : False: the next runs start from the Lab's own start weights; True: from those that the Problem
            holds now, or at the end of the run that goes on
        data_kwargs, choices : as for the Lab

        Raises `FieldError` where an argument is wrong, and `RunError` where there are no weights to keep.
        """
        if keep_weights and self._trained_problem() is None:
            raise RunError("There are no weights to keep: no run has built the Problem yet.")
        fields = {field.name: field for field in fields_of(data_setup_function, choices)}
        kept: dict[str, Any] = {}
        for name, value in self._chosen_data_kwargs().items():
            if name in fields and name not in (data_kwargs or {}):
                try:
                    kept |= check([fields[name]], {name: value}, complete=False)
                except FieldError:
                    continue
        self._take_data(data_setup_function, {**kept, **(data_kwargs or {})}, choices)
        self._kept_weights = None
        self._keep_pending = keep_weights
        self._keep_if_asked()
        if self._panel is not None:
            self._panel.make_data_form(*self._form_of_data())

    def _keep_if_asked(self) -> None:
        """Remember the weights to go on from, as soon as no run changes them any more."""
        if self._keep_pending and (self._fit is None or self._fit.done):
            held = self._trained_problem()
            if held is not None:
                self._kept_weights = copy_weights(held)
            self._keep_pending = False

    def _trained_problem(self) -> Problem | None:
        """The Problem that holds the newest weights; None where a builder has not built one yet."""
        if isinstance(self.problem, Problem):
            return self.problem
        return self._fit.problem if self._fit is not None else None

    # --- one run ---

    def _current_data_kwargs(self) -> dict[str, Any]:
        return {**self._data_kwargs, **(self._panel.data_form.values if self._panel is not None else {})}

    def _form_of_data(self) -> tuple[str, tuple[Field, ...], dict[str, Any]]:
        name = getattr(self.data_setup_function, "__name__", "data_setup_function")
        return f"Data: {name}", self._data_fields, self._data_kwargs

    def _chosen_data_kwargs(self) -> dict[str, Any]:
        """The current values without those that are their function's own defaults."""
        current = self._current_data_kwargs()
        defaults = [f.name for f in self._data_fields if f.name in current and is_default(f, current[f.name])]
        return {name: value for name, value in current.items() if name not in defaults}

    def _current_options(self) -> TrainerOptions:
        return self.options if self._panel is None else self.options.replace(**self._panel.options_form.values)

    def _sort_out(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], TrainerOptions]:
        """Tell data keywords from options among loose ones, and return both over the bench's settings."""
        given = dict(kwargs)
        data = {field.name for field in self._data_fields}
        data_kwargs = dict(given.pop("data_kwargs", None) or {}) if "data_kwargs" not in data else {}
        options = given.pop("options", None) if "options" not in data else None
        known = set(TrainerOptions.model_fields)
        faults = {
            name: f"both the data function's and an option; say data_kwargs={{'{name}': …}} or "
            f"options=TrainerOptions({name}=…)"
            for name in given
            if name in data & known
        }
        extra = takes_any_keyword(self.data_setup_function)
        faults |= {
            name: "neither a parameter of the data function "
            f"({', '.join(sorted(data)) or 'it has none'}) nor a trainer option ({', '.join(sorted(known))})"
            for name in given
            if name not in data | known and not extra
        }
        if faults:
            raise FieldError(faults, subject="lab.fit() cannot take these keywords")
        chosen = {name: value for name, value in given.items() if name in known and name not in data}
        loose = {name: value for name, value in given.items() if name not in chosen}
        base = options if options is not None else self._current_options()
        return {**self._current_data_kwargs(), **loose, **data_kwargs}, base.replace(**chosen)

    def _start(self, data_kwargs: Mapping[str, Any], options: TrainerOptions) -> Fit:
        """Begin a fit in its thread; the last one's data are let go of first."""
        self._keep_if_asked()
        fit = Fit(
            self.problem,
            self.data_setup_function,
            options,
            data_kwargs,
            choices=self._choices,
            runs_dir=self._store.folder,
            lab=self.name,
            start_weights=self._kept_weights or self._start_weights,
        )
        self._fit = fit.start(instead_of=self._fit)
        return fit

    def _earlier(self, fit: Fit) -> list[Run]:
        """The runs that are drawn faint behind the one of `fit`."""
        others = [run for run in self.runs if run.id != fit.run.id]
        return [run for run in others if run.damage is None and run.epochs][-EARLIER:]

    def _run_pressed(self) -> None:
        """Begin a run with what the form holds; the kernel stays free."""
        self._watch(self._start(self._current_data_kwargs(), self._current_options()))

    def _watch(self, fit: Fit, in_cell: bool = False) -> None:
        """Keep the panel up to date until the run has ended, and `in_cell` the output of the cell that waits for it.

        A thread does it all, so that an interrupt never hits a drawing; it takes the cell's context along, by which
        Jupyter knows whose output it is.
        """
        context = contextvars.copy_context()

        def watch() -> None:
            try:
                cell = CellView(self._earlier(fit)) if in_cell else None
                self._blocking = in_cell
                self._begun(fit)
                while not fit.done:
                    self._look(fit, cell)
                    time.sleep(LOOK_EVERY)
                self._look(fit, cell)
            finally:
                self._ended(fit)

        self._watcher = threading.Thread(target=context.run, args=(watch,), name="nmlab view", daemon=True)
        self._watcher.start()

    def _await_view(self, fit: Fit) -> None:
        """Wait until the run has ended and its end is on screen."""
        while not fit.done or (self._watcher is not None and self._watcher.is_alive()):
            time.sleep(0.05)

    def _look(self, fit: Fit, cell: CellView | None = None) -> None:
        """Bring what shows the run up to date; a drawing that fails is logged and harms no run."""
        try:
            with self._looking:  # so that a look before the run's end is never drawn after one that saw it
                if cell is not None:
                    cell.show(fit, fit.done)
                if self._panel is not None and fit is self._fit:
                    self._panel.show(fit, fit.done)
        except Exception:
            logging.getLogger(__name__).exception("Run %s could not be drawn", fit.run.id)

    def _begun(self, fit: Fit) -> None:
        if self._panel is not None:
            others = self.runs.where(lambda run: run.id != fit.run.id)
            self._panel.busy(others, self._earlier(fit), self._blocking)

    def _ended(self, fit: Fit) -> None:
        self._blocking = False
        self._keep_if_asked()
        if self._panel is not None and fit is self._fit:
            self._panel.idle(self.runs)

    # --- on screen ---

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        if self._panel is None:
            panel = Panel(run=self._run_pressed, stop=self.stop)
            panel.make_data_form(*self._form_of_data())
            panel.make_options_form(self.options)
            panel.list_runs(self.runs)
            self._panel = panel
            if self._fit is not None:
                self._begun(self._fit)
                self._look(self._fit)
                if self._fit.done:  # asked for after the panel is known, so that an end just now is not missed
                    self._ended(self._fit)
        bundle = self._panel.root._repr_mimebundle_(**kwargs)
        data: dict[str, Any] = bundle[0] if isinstance(bundle, tuple) else bundle
        return {**data, "text/plain": repr(self)}

    def __repr__(self) -> str:
        run = f"; newest run {self.run.id}: {self.run.status}" if self.run is not None else "; no run yet"
        return f"Lab {self.name!r} on {getattr(self.data_setup_function, '__name__', 'data')}{run}"
