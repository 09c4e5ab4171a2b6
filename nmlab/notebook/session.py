"""What a Lab holds, apart from any screen: a Problem, the data function, the chosen values, start weights, the fit.

Form, code and magics all choose values here and begin fits here, so that they mean the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from neuromancer.problem import Problem

from nmlab.analysis.cross import CrossScoring, DataRecipe
from nmlab.analysis.guess import Points, read_guess
from nmlab.errors import BusyError, FieldError, RunError
from nmlab.fields import Field, has_signature
from nmlab.fields.field import unknown_name
from nmlab.fitting.prepare import build_problem, splits_of
from nmlab.fitting.request import DataFunction, FitRequest, option_faults
from nmlab.form import Form, Ties, refuse_locked
from nmlab.identity.functions import is_same, known_functions
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.launch.process import take_up
from nmlab.launch.task import Task
from nmlab.notebook.longer import change_running, lr_now, options_for_more, weights_now
from nmlab.notebook.recipes import Recipes
from nmlab.notebook.redefined import Redefined, redefined
from nmlab.notebook.section import Section, sections_of
from nmlab.notebook.start_weights import StartWeights
from nmlab.notebook.terms_form import chosen_weights, term_fields, terms_form
from nmlab.options import TrainerOptions
from nmlab.problem.graph import keys_from_data
from nmlab.problem.lazy import has_lazy
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import fingerprint
from nmlab.provenance.settings import describe_values
from nmlab.runs import Run, Runs
from nmlab.runs.live import any_live
from nmlab.runs.presets import Presets
from nmlab.runtime.rng import RandomStreams
from nmlab.training.view import view_fault
from nmlab.tuning import BatchSizeSearch, LRSearch

AnyTask = TypeVar("AnyTask", bound=Task[Any])

FIRST_OPTIONS = ("max_epochs", "lr", "optimizer", "patience", "seed")
"""The trainer options that matter first; the rest is folded away."""

IN_CODE_ONLY = ("devices", "num_nodes", "strategy", "trainer_kwargs", "callbacks", "loggers", "changes")
"""Options that hold objects, which no form can make, or that take one value only today."""

OF_TERMS = "weights"
"""The option that has a form of its own, with a field for each term of the Problem."""

UNNAMED = "lab"
"""The name of a Lab that was given none."""

REBUILT = 8
"""How many Problems are kept that a builder made again for runs of other keywords."""

EARLIER = 8
"""How many earlier runs are drawn behind a run."""


class Session:
    """The state behind a Lab.

    Parameters
    ----------
    request : FitRequest
        What the first run is made of as long as nothing is chosen; its `lab` is the Lab's name.
    called : callable
        Returns the variable that holds the Lab in a notebook; "" where none does.
    lock, hide, guess
        As for `Lab`.
    """

    def __init__(
        self,
        request: FitRequest,
        *,
        called: Callable[[], str] = str,
        lock: Mapping[str, Any] | None = None,
        hide: Iterable[str] = (),
        guess: bool = False,
    ) -> None:
        self._request = request.replace(lab=request.lab or UNNAMED)
        self.problem = problem = request.problem
        self.called = called
        self.options = request.options
        self.view = request.view
        self.store = request.store
        self.store.check_there()
        self.presets = Presets(self.store.folder)
        self.fit: Fit | None = None
        """The newest fit in this process, running or ended."""
        self._lock, self._hide = dict(lock or {}), frozenset(hide)
        self.start_weights = StartWeights(problem)
        """What the next runs start from."""
        self.asks_guess = guess
        """Whether the screen asks for a guess of the loss before a run."""
        self.guess: Points | None = None
        """The guess for the next run; [] where it was skipped, None where there is none yet."""
        self._shape: tuple[str | None, frozenset[str]] = None, frozenset()
        self.swap_offer: Redefined | None = None
        """The data function as it was defined anew, which `swap` would take, as of the last `notice`."""
        self._news: list[str] = []
        self.forms_changed = False
        """Whether `notice` made a form anew, which a screen has not shown yet."""
        self._recipes = Recipes()
        self._rebuilt: dict[str, Problem] = {}
        self._check([*request.fields, *request.problem_fields])
        if request.problem_kwargs and request.builder is None:
            request.checked()  # which says that they are for a builder
        self._untied: set[str] = set()
        builder = request.builder if request.builder is not None and has_signature(request.builder) else None
        self.builder, data = sections_of(
            ("Problem", builder, request.problem_kwargs, request.choices_of_builder),
            ("Data", request.data_setup_function, request.data_kwargs, request.data_choices),
            lock=self._lock,
            hide=self._hide,
        )
        assert data is not None
        self._take_data(data)
        lock = self.locked(TrainerOptions.model_fields)
        given = {name: getattr(self.options, name) for name in lock if name in self.options.model_fields_set}
        refuse_locked(given, lock, TrainerOptions.fields())
        self.options = self.options.replace(**lock)
        self.terms_form: Form | None = None
        """The weights of the Problem's terms, once it is known."""
        self._term_fields: list[Field] = []
        self.read_terms()
        self.forms_changed = False
        self.options_form = Form(
            [field for field in TrainerOptions.fields() if field.name not in (*IN_CODE_ONLY, OF_TERMS)],
            {name: getattr(self.options, name) for name in self.options.model_fields_set},
            title="Trainer",
            first=FIRST_OPTIONS,
            lock={name: getattr(self.options, name) for name in lock if name != OF_TERMS},
            hide=self._hide & set(TrainerOptions.model_fields),
        )

    def _check(self, fields: Iterable[Field]) -> None:
        """Refuse a view that cannot be called, and names to lock or hide that nobody knows."""
        known = [field.name for field in fields] + [n for n in TrainerOptions.model_fields if n not in IN_CODE_ONLY]
        faults = {name: unknown_name(name, known) for name in (*self._lock, *sorted(self._hide)) if name not in known}
        if self.view is not None and (fault := view_fault(self.view)):
            faults["view"] = fault
        if isinstance(self.problem, Problem):
            faults |= option_faults(self.problem, self.options)
        if faults:
            raise FieldError(faults, subject="This Lab cannot be made")

    def locked(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the locked values among these names."""
        return {name: self._lock[name] for name in names if name in self._lock}

    # --- the data and the builder's parameters ---

    def _take_data(self, section: Section) -> None:
        self.data = section
        known_functions.remember(section.function, section.choices)
        self._tie()

    def _tie(self) -> None:
        """Make one field of each parameter that both functions have, where it may be one."""
        self.ties: Ties | None = None
        if (builder := self.builder) is not None:
            first, second = (form.title.partition(": ")[2] for form in (self.data.form, builder.form))
            self.ties = Ties(self.data.form, builder.form, (first, second), self._untied.__contains__)

    def tie(self, name: str, tied: bool) -> None:
        """Make one field of a parameter that data function and builder have, or two; of another, nothing."""
        if self.ties is not None:
            (self._untied.discard if tied else self._untied.add)(name)
            (self.ties.tie if tied else self.ties.untie)(name)

    @property
    def data_setup_function(self) -> DataFunction:
        """The function that makes the data of the next run."""
        return self.data.function

    @property
    def choices(self) -> Mapping[str, Any] | None:
        """Values that its keywords take by name."""
        return self.data.choices

    @property
    def name(self) -> str:
        """The Lab's name."""
        return str(self._request.lab)

    @property
    def data_kwargs(self) -> dict[str, Any]:
        """The data function's values as they stand, without those that hold nothing."""
        return self.data.kwargs

    @property
    def problem_kwargs(self) -> dict[str, Any]:
        """The builder's values as they stand; {} where the Problem is an object."""
        return {} if self.builder is None else self.builder.kwargs

    @property
    def trainer_options(self) -> TrainerOptions:
        """The options as they stand; raises FieldError where the form holds a fault."""
        weights = chosen_weights(self.terms_form, self.options.weights)
        chosen = {OF_TERMS: weights} if weights or self.options.weights else {}
        return self.options.replace(**self.options_form.values, **chosen)

    @property
    def forms(self) -> dict[str, Form]:
        """The forms by the names that a screen has for them."""
        builder = self.builder
        shown = {"problem": builder.form} if builder is not None and (builder.fields or builder.extra) else {}
        terms = {} if self.terms_form is None or OF_TERMS in self._hide else {"terms": self.terms_form}
        return {"data": self.data.form, **shown, "options": self.options_form, **terms}

    def read_terms(self) -> None:
        """Take in the terms of the Problem with their own weights, once it is known, or where these changed."""
        if (problem := self.newest_problem) is None:
            return
        fields = term_fields(problem, built=not isinstance(self.problem, Problem))
        if fields != self._term_fields:
            chosen = chosen_weights(self.terms_form, self.options.weights)
            self._term_fields = fields
            self.terms_form = terms_form(fields, chosen, locked=OF_TERMS in self._lock)
            self.forms_changed = True

    @property
    def faults(self) -> int:
        """How many values are to be put right before a run."""
        return sum(len(form.faults) for form in self.forms.values())

    def swap(
        self,
        data_setup_function: DataFunction,
        keep_weights: bool = False,
        data_kwargs: Mapping[str, Any] | None = None,
        choices: Mapping[str, Any] | None = None,
    ) -> None:
        """Take other data; values given or chosen are kept where the new function has the name and takes the value.

        Those that code gave stay what the form goes back to.
        """
        if keep_weights and self.newest_problem is None:
            raise RunError("There are no weights to keep: no run has built the Problem yet.")
        self._take_data(self.data.with_function(data_setup_function, data_kwargs or {}, choices))
        self.start_weights.swapped(keep_weights)
        self.keep_if_asked()

    def read_signature(self) -> None:
        """Read the signatures of both functions again: a definition may have changed, or an Enum that it names."""
        data, builder = (None if each is None else each.with_signature() for each in (self.data, self.builder))
        for section in filter(None, (data, builder)):
            name = getattr(section.function, "__name__", "the function")
            self._news.append(
                f"The signature of `{name}` changed: the form has its parameters and defaults as they are now."
            )
        if data is not None or builder is not None:
            self.builder = builder or self.builder
            self._take_data(data or self.data)
            self.forms_changed = True

    def notice(self) -> list[str]:
        """Return what to say of definitions that changed: of the form, and of those that this Lab does not hold."""
        self.read_signature()
        self.read_terms()
        said, self._news, self.swap_offer = self._news, [], None
        if (new := redefined(self.data_setup_function)) is not None:
            if new.is_itself:
                self.swap_offer = new
                said.append(f"`{new.name}` was defined anew; {self.called() or 'lab'}.swap({new.name}) takes it.")
            else:
                said.append(f"`{new.name}` was defined anew; make the data function again and swap it in to use it.")
        for part, what in ((self.problem, "builder"), (self.view, "view")):
            if callable(part) and not isinstance(part, Problem) and (new := redefined(part)) is not None:
                said.append(f"The {what} `{new.name}` was defined anew; make the Lab again to use it.")
        return said

    # --- start weights ---

    def keep_if_asked(self) -> None:
        """Keep the weights to go on from, as soon as no run changes them any more."""
        self.start_weights.keep_if_asked(self.newest_problem, self.running)

    @property
    def newest_problem(self) -> Problem | None:
        """The Problem that holds the newest weights; None where a builder has not built one yet."""
        if isinstance(self.problem, Problem):
            return self.problem
        return self.fit.problem if self.fit is not None else None

    def keys_read(self) -> list[str]:
        """Return the keys that the Problem reads from the data; [] where they are not known.

        A builder that has not built a Problem yet is called for one that is thrown away.
        """
        problem = self.newest_problem
        if problem is None:
            assert not isinstance(self.problem, Problem)
            try:
                problem = build_problem(self.problem, RandomStreams(0), self.problem_kwargs)
            except Exception:  # its error belongs to the run that calls it
                return []
        return keys_from_data(problem)

    # --- runs ---

    @property
    def runs(self) -> Runs:
        """Runs of this Lab, oldest first; of a Lab without a name, those whose Problem may be this one, also edited."""
        runs = self.store.runs(lab=self.name)
        shape, terms = self._known_shape()
        if self.name != UNNAMED or shape is None:
            return runs

        def mine(run: Run) -> bool:
            settings = run.settings
            # a Problem whose builder failed or has not finished has neither
            alike = settings.get("fingerprint") in (None, shape) or not terms.isdisjoint(settings.get("terms") or ())
            return alike or run.settings_damage is not None

        return runs.where(mine)

    def _known_shape(self) -> tuple[str | None, frozenset[str]]:
        """Return fingerprint and terms of the Problem; while a builder is at work, of the one that it built before."""
        if (known := self.newest_problem) is not None and not has_lazy(known):
            self._shape = fingerprint(known), frozenset(term.name for term in terms_of(known))
        return self._shape

    def earlier(self, run: Run) -> list[Run]:
        """Return the newest runs beside `run` that have curves, to be drawn faint behind it."""
        others = [other for other in self.runs if other.id != run.id]
        return [other for other in others if other.damage is None and other.epochs][-EARLIER:]

    @property
    def guess_due(self) -> bool:
        """Whether a guess, or leave to go without, is asked for before the next run."""
        return self.asks_guess and self.guess is None

    def take_guess(self, given: Any) -> None:
        """Take a guess for the next run; `FieldError` where it cannot be read."""
        self.guess = read_guess(given, self.trainer_options.max_epochs)

    @property
    def running(self) -> bool:
        """Whether this session's fit goes on."""
        return self.fit is not None and not self.fit.done

    @property
    def in_process(self) -> bool:
        """Whether the next run is to have a process of its own, as it is chosen now; on several devices it has."""
        chosen = self.options_form.values
        if chosen.get("launch", self.options.launch) == "process":
            return True
        if chosen.get("devices", self.options.devices) == 1:
            return False
        try:
            return len(self.trainer_options.resolved_devices()) > 1
        except FieldError:  # which the run will tell
            return False

    def _check_free(self) -> None:
        """Raise `BusyError` if a run of this session goes on in a process; of others the kernel's own lock knows."""
        if self.fit is not None and not self.fit.done:
            raise BusyError(f"A Lab has one run at a time. {self.fit.control.busy()}")

    def start(
        self,
        asked: Mapping[str, Any] | None = None,
        *,
        echo: bool = True,
        step: bool = False,
        blocking: bool = False,
        **parts: Any,
    ) -> Fit:
        """Begin a fit and return it; the last one's data are let go of first.

        Parameters: `asked`, keywords and options as parts of the request, by default those that are chosen; `echo`,
        whether what the run prints also goes where it would without nmlab; `step`, whether to pause after the first
        epoch; `blocking`, whether a cell waits for its end, and carries it out by `Fit.wait`; `parts`, further ones of
        the request, such as a seed.
        """
        self._known_shape()
        self.store.check_there()
        news = self.notice()
        self._check_free()
        fit = make_fit(self.request(asked).replace(echo=echo, **parts))
        for remark in (*news, self.start_weights.news()):
            fit.say_first(remark)
        if step:
            fit.control.step()
        self._go(fit, blocking)
        if self.guess:
            self.store.keep_guess(fit.run, self.guess)
        self.guess = None
        return fit

    def _go(self, fit: Fit, blocking: bool) -> Fit:
        fit.control.owner, fit.control.blocking = self, blocking
        self.fit = fit.start(instead_of=self.fit)
        self.store.check_there()
        self._recipes.note(fit.run, fit.request)
        return fit

    def follows(self, fit: Fit) -> None:
        """Take a fit that something else began, such as a sweep, for the newest of this session."""
        fit.control.owner = self
        if self.fit is not None and self.fit.done:
            self.fit.let_go()
        self.fit = fit
        self._recipes.note(fit.run, fit.request)

    def longer(
        self,
        run: Run,
        epochs: int,
        given: Mapping[str, Any] | None = None,
        *,
        echo: bool = True,
        blocking: bool = False,
    ) -> Fit:
        """Begin to train a run that has ended for more epochs, in its thread, and return the fit.

        Parameters: `epochs`, how many more; `given`, options that are to be other than before; the rest as for `start`.
        Raises `RunError` and `FieldError` where it cannot go on, or not without being told more.
        """
        options = options_for_more(run, epochs, given or {}, self.options)
        recipe = self.known(run)
        if recipe.lost:
            missing = ", ".join(recipe.lost)
            raise RunError(f"Run {run.id} cannot be trained longer: this kernel does not have its {missing}.")
        problem_kwargs, _ = self._problem_kwargs_of(run)
        request = self._request.replace(
            data_setup_function=recipe.function,
            options=options,
            data_kwargs=dict(recipe.kwargs),
            choices=self.choices,
            problem_kwargs=problem_kwargs,
            runs_dir=self.store.folder,
            resume=run,
            echo=echo,
        )
        self._check_free()
        return self._go(make_fit(request), blocking)

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Change `max_epochs`, `patience`, `lr` or `weights` of the running fit from its next epoch on."""
        if self.fit is None or self.fit.done:
            raise RunError("No run of this Lab is going on. lab.longer(run, epochs=…) goes on with one that has ended.")
        refuse_locked(wanted, self.locked(TrainerOptions.model_fields), TrainerOptions.fields())
        change_running(self.fit, wanted)

    def unlike_running(self) -> dict[str, Any]:
        """Return what `change` would take of the forms: rate and weights that the running fit does not have."""
        if self.fit is None or self.fit.done or self.fit.control.over or self.faults:
            return {}
        there, rate = weights_now(self.fit), self.options_form.values.get("lr", self.options.lr)
        terms = {} if self.terms_form is None else self.terms_form.values
        other = {n: value for n, value in terms.items() if value is not None and there.get(n, value) != value}
        lr = {"lr": rate} if rate != lr_now(self.fit) else {}
        return {**lr, **({OF_TERMS: other} if other else {})}

    def find_lr(
        self, asked: Mapping[str, Any] | None = None, *, echo: bool = True, blocking: bool = False, **settings: Any
    ) -> LRSearch:
        """Begin a search for a learning rate in its thread and return it.

        Parameters: `asked`, `echo` and `blocking` as for `start`; `settings`, further ones of `LRSearch`.
        """
        return self._begin(LRSearch(self.request(asked).replace(echo=echo), **settings), blocking)

    def find_batch_size(self, asked: Mapping[str, Any] | None = None, **settings: Any) -> BatchSizeSearch:
        """Begin a search for a batch size, for which a cell waits, in its thread and return it; else as `find_lr`."""
        return self._begin(BatchSizeSearch(self.request(asked), **settings), blocking=True)

    def _begin(self, task: AnyTask, blocking: bool) -> AnyTask:
        task.control.owner, task.control.blocking = self, blocking
        return task.start(instead_of=self.fit)

    def cross(self, runs: Iterable[Run], known: Callable[[Run], DataRecipe], split: str, metric: str) -> CrossScoring:
        """Begin to score runs on each other's data, in a thread, and return what does it; see `CrossScoring`.

        A cell waits for it.
        """
        return self._begin(CrossScoring(self.problem_for, list(runs), known, split, metric), blocking=True)

    def problem_for(self, run: Run) -> Problem:
        """Return a Problem into which a run's weights may be loaded: the Lab's, or one that its builder makes anew.

        A builder is called with the keywords of the run. The Problem of the newest fit is taken where it was built by
        the same ones. Raises `RunError` where no record could keep a keyword's value.
        """
        if isinstance(self.problem, Problem):
            return self.problem
        if self.fit is not None and self.fit.run.id == run.id and self.fit.problem is not None:
            return self.fit.problem
        values, lost = self._problem_kwargs_of(run)
        if lost:
            raise RunError(f"no record could keep the value of {', '.join(lost)}, by which its Problem was built")
        named = self._called_by(values)
        if (
            self.fit is not None
            and self.fit.problem is not None
            and named == self._called_by(self.fit.request.problem_kwargs)
        ):
            return self.fit.problem
        if named not in self._rebuilt:
            streams = RandomStreams(int(run.settings.get("seed") or 0))
            self._rebuilt = {
                **dict([*self._rebuilt.items()][-REBUILT:]),
                named: build_problem(self.problem, streams, values),
            }
        return self._rebuilt[named]

    def _called_by(self, values: Mapping[str, Any]) -> str:
        """Return what tells one Problem of the builder from another: what it is now, and its keywords."""
        request = self._request.replace(problem_kwargs=values)
        told = request.identities()
        described = describe_values(request.problem_fields, values)
        return json.dumps([told["builder"].digest, told["problem_kwargs"].digest, described], sort_keys=True)

    def _problem_kwargs_of(self, run: Run) -> tuple[dict[str, Any], list[str]]:
        """Return the values with which a run's Problem was built, and the names of those that are lost."""
        if self.builder is None:
            return {}, []
        return self._recipes.of_builder(run, self.builder)

    def known(self, run: Run) -> DataRecipe:
        """Return how a run's data were made, also of an earlier kernel's; `RunError` where the function is not here."""
        return self._recipe(run)[0]

    def usable(self, run: Run) -> Run:
        """Return a run with its Problem and what makes its data, as far as this kernel has them."""
        if self.fit is not None and self.fit.run.id == run.id:
            return self.fit.run
        with suppress(RunError):
            held = self.problem_for(run)
            if not has_lazy(held) and run.settings.get("fingerprint") == fingerprint(held):
                run.problem = held
        with suppress(RunError):
            recipe, seed = self.known(run), run.settings.get("seed")
            if not recipe.lost:
                size, streams = run.settings.get("batch_size"), RandomStreams(int(seed or 0))
                run.make_data = partial(splits_of, recipe.function, recipe.kwargs, size, streams)
        return run

    def _recipe(self, run: Run) -> tuple[DataRecipe, Mapping[str, Any] | None]:
        return self._recipes.of(run, (self.data_setup_function, self.choices), self.data_kwargs)

    def request(self, asked: Mapping[str, Any] | None = None) -> FitRequest:
        """Return what a run that begins now would be made of; default the values that the forms hold."""
        self.keep_if_asked()
        self.start_weights.refresh()
        if asked is None:
            asked = {
                "data_kwargs": self.data_kwargs,
                "problem_kwargs": self.problem_kwargs,
                "options": self.trainer_options,
            }
        return self._request.replace(
            data_setup_function=self.data_setup_function,
            choices=self.choices,
            problem_choices=None if self.builder is None else self.builder.choices,
            runs_dir=self.store.folder,
            start_weights=self.start_weights.weights,
            starts_from=self.start_weights.name,
            **asked,
        )

    def take_up(self, held: Container[str]) -> None:
        """Go on with a run of this Lab in a process whose kernel has ended, the newest of them.

        Parameters: `held`, unique ids of the runs that other Labs of this kernel go on with.
        """
        builder = None if isinstance(self.problem, Problem) else getattr(self.problem, "__name__", None)
        for run in reversed(self.runs) if any_live(self.store.folder) else ():
            source = {} if run.damage is not None else run.settings.get("problem_source") or {}
            if run.damage is not None or run.uid in held or (self.name == UNNAMED and source.get("name") != builder):
                continue
            options, _ = TrainerOptions.from_json(run.settings.get("options") or {})
            values, _ = self._problem_kwargs_of(run)
            request = self._request.replace(options=options, runs_dir=self.store.folder, problem_kwargs=values)
            if (fit := take_up(run, request)) is not None:
                fit.control.owner = self
                self.fit = fit
                return

    def take_over(self, other: Session) -> None:
        """Go on with the fit and the start weights of a session over the same Problem."""
        self.fit, self.start_weights = other.fit, other.start_weights
        if self.fit is not None:
            self.fit.control.owner = self
        self._recipes.take_over(other._recipes)

    def let_go(self, but: Fit | None) -> None:
        """Let go of the data of the newest fit, unless it is running or is `but`, which another session has."""
        if self.fit is not None and self.fit.done and self.fit is not but:
            self.fit.let_go()

    def take_settings(self, run: Run) -> list[str]:
        """Choose the values that `run` was made with, its data function too; return the names that are lost.

        Raises `RunError` where this kernel does not have the data function that made the run.
        """
        (function, values, gone), choices = self._recipe(run)
        if not is_same(function, self.data_setup_function):
            self._take_data(Section("Data", function, {}, choices, self._lock, self._hide))
        gone = [*gone]
        if self.ties is not None:
            self.ties.untie_where_different(
                *(run.settings.get(part) or {} for part in ("data_kwargs", "problem_kwargs"))
            )
        self.data.choose(values)
        if self.builder is not None:
            built_by, lost = self._problem_kwargs_of(run)
            self.builder.choose(built_by)
            gone += [*lost, *(name for name in built_by if name not in self.builder.kwargs)]
        stored_options = run.settings.get("options") or {}
        options, lost_options = TrainerOptions.from_json(stored_options)
        here_options = self.options.to_json()
        self.options_form.clear()
        shown = {name: getattr(options, name) for name in options.model_fields_set if name not in self._lock}
        self.options_form.set({name: value for name, value in shown.items() if name not in lost_options})
        if self.terms_form is not None:
            self.terms_form.clear()
            self.terms_form.set(options.weights)
        return [*gone, *(name for name in lost_options if here_options.get(name) != stored_options[name])]

    # --- presets ---

    def save_preset(self, name: str) -> None:
        """Keep the values that are chosen now under a name."""
        sections = {"data": self.data, **({"problem": self.builder} if self.builder is not None else {})}
        values = {part: section.to_json() for part, section in sections.items()}
        terms = {} if self.terms_form is None else {"terms": self.terms_form.to_json()}
        self.presets.save(name, {**values, "options": self.options_form.to_json(), **terms})

    def load_preset(self, name: str) -> list[str]:
        """Choose the values kept under a name, and defaults elsewhere; return the names that are lost."""
        stored = self.presets.load(name)
        data, problem, options = (stored.get(part) or {} for part in ("data", "problem", "options"))
        if self.ties is not None:
            self.ties.untie_where_different(data, problem)
        lost = self.options_form.from_json(options) + self.data.from_json(data)
        if self.terms_form is not None:
            lost += self.terms_form.from_json(stored.get("terms") or {})
        return lost + (self.builder.from_json(problem) if self.builder is not None else [*problem])
