"""`FitRequest`: everything that one fit is made of, before anything is made.

Whoever begins a fit makes a request or varies one: `nmlab.fit`, a `Lab`, a sweep's trial, a search for a learning rate,
`LitTrainer`. It is checked in one place, described in one place, and carried out by `Execution`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from neuromancer.problem import Problem

from nmlab.data.splits import place_of
from nmlab.errors import FieldError, RunError
from nmlab.fields import Field, check, fields_of, has_signature, parameters_of, takes_any_keyword
from nmlab.fitting.keywords import Keywords, keywords_of_call
from nmlab.fitting.resume import as_before
from nmlab.identity.differences import Identity
from nmlab.identity.functions import identity_of_function, identity_of_values
from nmlab.options import TrainerOptions
from nmlab.options.changes import weights_after
from nmlab.problem.lazy import has_lazy
from nmlab.problem.start import start_of
from nmlab.problem.term_weights import weight_faults
from nmlab.problem.weights import copy_weights
from nmlab.provenance.settings import describe_function, describe_sources, describe_values, own_parts, versions
from nmlab.runs import Run, RunStore
from nmlab.runtime.rng import fresh_seed
from nmlab.training.loop import Loop
from nmlab.training.started import Started, started_together
from nmlab.training.user_hooks import UserHooks
from nmlab.training.view import view_fault

Builder = Callable[..., Problem]
DataFunction = Callable[..., Any]

_OPTIONS = {name: f"It is an option: options=TrainerOptions({name}=…)" for name in TrainerOptions.model_fields}

UNFIT = "These options do not fit the Problem"


@dataclass(frozen=True, eq=False)
class FitRequest:
    """What to fit, on what, how, and where the record goes.

    Parameters
    ----------
    problem : Problem or callable
        A NeuroMANCER `Problem`, or a function that builds one.
    data_setup_function : callable
        Returns train, dev and test datasets and the batch size.
    options : TrainerOptions, optional
        What a user may set of a fit; default ``TrainerOptions()``.
    data_kwargs : Mapping[str, Any], optional
        Keywords of the data function.
    choices : Mapping[str, Any], optional
        Values that a keyword of either function takes by name.
    runs_dir : path-like, default "nmlab_runs"
        The folder in which the run gets a folder of its own.
    name : str, optional
        The run's name; default the data function's.
    lab : str, optional
        Name of the Lab that the run belongs to.
    start_weights : MutableMapping[str, torch.Tensor], optional
        Weights to start from; default those that the Problem holds. An empty mapping takes in the first run's, where
        lazy modules have none before it.
    starts_from : str, optional
        Where the start weights come from, for the record: a run's id, or words such as "kept weights". Default: what is
        known of the weights that the Problem holds.
    resume : Run or str, optional
        A run to go on with, or its id.
    view : callable, optional
        ``view(problem, splits) -> Figure``, the user's own picture of the fit.
    echo : bool, default True
        Whether what the fit prints also goes where it would without nmlab, or to the run's log alone.
    batch_size : int, optional
        Samples a batch, in place of the data function's own.
    sweep : Mapping[str, Any], optional
        What the record says of the sweep that the run belongs to.
    repeat : Mapping[str, Any], optional
        What the record says of the group that the run belongs to, of runs that differ in their seeds alone.
    user_hooks : UserHooks, optional
        A training step, hooks and metrics of the user's own.
    loop : Loop, optional
        Another training loop than nmlab's own.
    seed : int, optional
        Seed of all random numbers; default the options', and where they have none, one that `checked` draws.
    problem_kwargs : Mapping[str, Any], optional
        Keywords of the function that builds the Problem.
    problem_choices : Mapping[str, Any], optional
        Values that its keywords take by name; default those of `choices` that it has.
    """

    problem: Problem | Builder
    data_setup_function: DataFunction
    options: TrainerOptions = field(default_factory=TrainerOptions)
    data_kwargs: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Any] | None = None
    runs_dir: str | os.PathLike[str] = "nmlab_runs"
    name: str | None = None
    lab: str | None = None
    start_weights: MutableMapping[str, torch.Tensor] | None = None
    starts_from: str | None = None
    resume: Run | str | None = None
    view: Callable[..., Any] | None = None
    echo: bool = True
    batch_size: int | None = None
    sweep: Mapping[str, Any] | None = None
    repeat: Mapping[str, Any] | None = None
    user_hooks: UserHooks | None = None
    loop: Loop | None = None
    seed: int | None = None
    problem_kwargs: Mapping[str, Any] = field(default_factory=dict)
    problem_choices: Mapping[str, Any] | None = None

    def replace(self, **changes: Any) -> FitRequest:
        """Return this request with other values; raises TypeError for a name that is no part of it."""
        return replace(self, **changes)

    def faults_of_functions(self) -> dict[str, str]:
        """Return what is wrong with the kinds of Problem and data function, by name."""
        faults: dict[str, str] = {}
        if not isinstance(self.problem, Problem) and not callable(self.problem):
            what = type(self.problem).__name__
            faults["problem"] = f"a {what}; give a Problem, or a function that builds one"
        if not callable(self.data_setup_function):
            what = type(self.data_setup_function).__name__
            faults["data_setup_function"] = f"a {what}; give a function that returns train, dev, test, batch_size"
        return faults

    def with_loose(self, loose: Mapping[str, Any], caller: str = "fit") -> FitRequest:
        """Return this request with further keywords of data function and builder, told apart by their names.

        Parameters
        ----------
        loose : Mapping[str, Any]
            Those given as keywords of a call.
        caller : str, default "fit"
            The function that was given them, for messages.

        Raises
        ------
        FieldError
            Where an option's name is among them, one is given in a dict too, or one cannot be told apart.
        """
        functions = self.data_setup_function, self.problem
        return self.replace(**keywords_of_call(functions, self.data_kwargs, self.problem_kwargs, loose, caller))

    @cached_property
    def store(self) -> RunStore:
        """The folder of runs."""
        return RunStore(self.runs_dir)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The data function's parameters."""
        return tuple(fields_of(self.data_setup_function, self.data_choices))

    @cached_property
    def problem_fields(self) -> tuple[Field, ...]:
        """The builder's parameters; none where the Problem is an object, or a function whose signature has none."""
        if self.builder is None or not has_signature(self.builder):
            return ()
        return tuple(fields_of(self.builder, self.choices_of_builder))

    @property
    def builder(self) -> Builder | None:
        """The function that builds the Problem; None where this is an object."""
        return None if isinstance(self.problem, Problem) else self.problem

    @property
    def data_choices(self) -> dict[str, Any] | None:
        """Values that the data function's keywords take by name: all but those of the builder alone."""
        if self.choices is None or self.builder is None:
            return None if self.choices is None else dict(self.choices)
        builders = parameters_of(self.builder) - parameters_of(self.data_setup_function)
        return {name: values for name, values in self.choices.items() if name not in builders}

    @property
    def choices_of_builder(self) -> dict[str, Any] | None:
        """Values that the builder's keywords take by name."""
        if self.problem_choices is not None or self.choices is None or self.builder is None:
            return None if self.problem_choices is None else dict(self.problem_choices)
        known = parameters_of(self.builder)
        return {name: values for name, values in self.choices.items() if name in known}

    @property
    def resumed(self) -> Run | None:
        """The run to go on with; raises `RunError` where there is none of that id."""
        return self.store.get(self.resume) if isinstance(self.resume, str) else self.resume

    @property
    def run_name(self) -> str:
        """The run's name."""
        return str(self.name or getattr(self.data_setup_function, "__name__", "run"))

    def keep_start(self, problem: Problem) -> None:
        """Take the weights that a Problem starts from into `start_weights`, where these are still to be known."""
        if self.start_weights is not None and not self.start_weights:
            self.start_weights.update(copy_weights(problem))

    def checked(self) -> FitRequest:
        """Return this request as it is carried out: values converted, defaults filled in, a seed drawn.

        Returns
        -------
        FitRequest
            With the options and keywords of the run that it resumes, if any, where none are given.

        Raises
        ------
        FieldError
            With all faults at once, before anything is made.
        RunError
            Where the run to resume cannot go on.
        """
        faults = self.faults_of_functions()
        if not faults and self.problem_kwargs and self.builder is None:
            names = ", ".join(self.problem_kwargs)
            faults["problem_kwargs"] = f"{names} given, but this Problem is built already; give the function instead"
        if self.view is not None and (fault := view_fault(self.view)):
            faults["view"] = fault
        if faults:
            raise FieldError(faults)
        resumed = self.resumed
        options, batch_size = self.options, self.batch_size
        data = Keywords(self.fields, takes_any_keyword(self.data_setup_function), self.data_kwargs)
        problem = Keywords(
            self.problem_fields, self.builder is not None and takes_any_keyword(self.builder), self.problem_kwargs
        )
        if resumed is not None:
            if self.user_hooks is None and (own := own_parts(resumed.settings)):
                raise RunError(
                    f"Run {resumed.id} cannot be resumed: it was trained with {', '.join(own)}, which its record "
                    "cannot give back. Go on by run.restore(problem) and another fit of its trainer."
                )
            rebuilt = not isinstance(self.problem, Problem) or has_lazy(self.problem)
            options, data, problem = as_before(resumed, options, data, problem, rebuilt=rebuilt)
            batch_size = batch_size or resumed.settings.get("batch_size")
        data_kwargs, problem_kwargs, faults, subject = self._kwargs_checked(data, problem)
        if isinstance(self.problem, Problem) and not has_lazy(self.problem):
            try:  # an optimizer that is not this Problem's, say
                options.build_optimizer(self.problem)
            except FieldError as error:
                if not faults:
                    raise
                faults |= error.faults
        if isinstance(self.problem, Problem) and (unfit := option_faults(self.problem, options)):
            subject = subject if faults else UNFIT
            faults |= unfit
        if faults:
            raise FieldError(faults, subject=subject)
        starts_from = self.starts_from
        if isinstance(self.problem, Problem):
            start = start_of(self.problem)
            if self.start_weights is None and resumed is None and starts_from is None:
                starts_from = start.origin
        options = options.with_environment()
        started = started_together()
        if started is not None:
            _check_started(options, started)
        elif options.num_nodes > 1:
            fault = f"{options.num_nodes}: on each machine start the script that fits, by torchrun or srun"
            raise FieldError({"num_nodes": fault}, "TrainerOptions")
        elif len(options.resolved_devices()) > 1 and options.launch == "thread":  # each has a process of its own
            options = options.replace(launch="process")
        seed = next((seed for seed in (options.seed, self.seed) if seed is not None), None)
        return self.replace(
            options=options,
            data_kwargs=data_kwargs,
            problem_kwargs=problem_kwargs,
            batch_size=batch_size,
            resume=resumed,
            starts_from=starts_from,
            seed=fresh_seed() if seed is None else seed,
        )

    def _kwargs_checked(
        self, data: Keywords, problem: Keywords
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, str], str]:
        """Return the keywords of both functions as they are called, all faults, and whose these are."""
        checked: list[dict[str, Any]] = []
        faults: dict[str, str] = {}
        subjects: list[str] = []
        for function, part, own, other, others in (
            (self.data_setup_function, "data_kwargs", data, problem, "the builder's: problem_kwargs"),
            (self.builder, "problem_kwargs", problem, data, "the data function's: data_kwargs"),
        ):
            elsewhere = {name: f"It is {others}={{{name!r}: …}}" for name in sorted(other.names)} | _OPTIONS
            try:
                values = check(own.fields, own.values, extra=own.extra, elsewhere=elsewhere)
            except FieldError as error:
                faults |= {f"{part}.{name}" if name in faults else name: text for name, text in error.faults.items()}
                subjects.append(place_of(function) if function is not None else "the Problem")
                values = {}
            checked.append(values)
        subject = f"{' and '.join(subjects or [place_of(self.data_setup_function)])} cannot be called"
        return checked[0], checked[1], faults, subject

    def identities(self) -> dict[str, Identity]:
        """Return what the data function, the builder and the keywords of both are now; see `nmlab.identity`."""
        found = {
            "data": identity_of_function(self.data_setup_function),
            "data_kwargs": identity_of_values(self.data_kwargs),
        }
        if self.builder is not None:
            found["builder"] = identity_of_function(self.builder, "builder")
            found["problem_kwargs"] = identity_of_values(self.problem_kwargs, "Problem keyword")
        return found

    def describe(self) -> dict[str, Any]:
        """Return the request as JSON, for the record; values that are not JSON as their names, sources or reprs."""
        return {
            "lab": self.lab,
            "problem_source": None if self.builder is None else describe_function(self.builder),
            "problem_kwargs": describe_values(self.problem_fields, self.problem_kwargs),
            "data_function": describe_function(self.data_setup_function),
            "data_kwargs": describe_values(self.fields, self.data_kwargs),
            "identity": {part: identity.to_json() for part, identity in self.identities().items()},
            "options": self.options.to_json(),
            "sources": describe_sources(
                (self.problem, self.problem_fields, self.problem_kwargs),
                (self.data_setup_function, self.fields, self.data_kwargs),
                self.options,
            ),
            "seed": self.seed,
            "threads": torch.get_num_threads(),
            "starts_from": self.starts_from,
            "batch_size": self.batch_size,
            "sweep": self.sweep,
            "repeat": self.repeat,
            "customs": None if self.user_hooks is None else self.user_hooks.to_json(),
            "loop": None if self.loop is None else self.loop.to_json(),
            "versions": versions(),
        }


def _check_started(options: TrainerOptions, started: Started) -> None:
    """Raise `FieldError` where options ask for other processes than torchrun or srun has started."""
    ranks, by, faults = started.part.ranks, started.by, {}
    if options.model_fields_set & {"devices", "num_nodes"}:
        each = len(options.resolved_devices())
        if each * options.num_nodes != ranks:
            asked = f"{each} on {options.num_nodes} machine{'s' * (options.num_nodes != 1)}"
            faults["devices"] = f"{asked}, but {by} has started {ranks} processes; give as many, or leave both out"
    if options.launch != "thread":
        faults["launch"] = f"{options.launch!r}: {by} has started the processes; give 'thread'"
    if faults:
        raise FieldError(faults, "TrainerOptions")


def option_faults(problem: Problem, options: TrainerOptions) -> dict[str, str]:
    """Return which of the weights that options give, now or later, a Problem cannot have, as faults by their places."""
    faults = weight_faults(problem, options.weights)
    for number, change in enumerate(options.changes):
        held = weights_after(options.weights, options.changes[:number])
        faults |= weight_faults(problem, change.get("weights", {}), f"changes[{number}].weights", beside=held)
    return {f"options.{name}": fault for name, fault in faults.items()}
