"""The Lab: what a user says in code, over the session; the bench shows the same."""

from __future__ import annotations

import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from neuromancer.problem import Problem

from nmlab.analysis.cross import DataRecipe
from nmlab.analysis.cross_result import Cross
from nmlab.analysis.predict import Prediction, predict
from nmlab.data.files import FileData
from nmlab.data.splits import Splits
from nmlab.errors import FieldError, Interrupted, RunError
from nmlab.fitting.request import FitRequest
from nmlab.gallery import Example, get
from nmlab.launch.base import Fit
from nmlab.launch.task import Task
from nmlab.notebook import labs, tensorboard_view
from nmlab.notebook.actions import Actions
from nmlab.notebook.bench import Bench
from nmlab.notebook.cell_view import CellView
from nmlab.notebook.exporting import export_with_code
from nmlab.notebook.keywords import sort_out
from nmlab.notebook.repeating import Repeats
from nmlab.notebook.session import UNNAMED, Session
from nmlab.options import TrainerOptions
from nmlab.plots import paper_figure
from nmlab.provenance.script import script
from nmlab.runs import Comparison, Run, Runs
from nmlab.runtime import one_fit
from nmlab.tuning import FoundLR

if TYPE_CHECKING:
    from nmlab.compat.trainer import Trainer
    from nmlab.sweeps import Sweep

T = TypeVar("T")


class Code(str):
    """Python code that shows itself as it is, not as a quoted string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Lab:
    """A bench for one Problem: choose, fit, watch, stop, swap the data, run again.

    As a cell's last line it shows a form made from the data function's signature and the trainer's options, the
    buttons, the fit's progress and curves, and the table of runs. Everything can be done from code too, also without a
    form on screen.

    Every run starts from the weights that the Problem object had when a Lab or a fit first saw it, also where the Lab
    is made again after a run, unless ``swap(..., keep_weights=True)`` or ``start_from(run)`` says otherwise. If
    something else than a fit changed them since, as `load_state_dict` or `run.restore(problem)` does, the changed
    weights are the new start, and the Lab says so. After a run the Problem holds that run's best weights.
    If a Lab is made again over the same Problem during a run, the new Lab takes the run over and the old panel says so.
    A run in a process of its own (``launch='process'``) goes on when the kernel is restarted, and a Lab of the same
    name takes it over: shows it, and can stop it.

    Parameters
    ----------
    problem : Problem or callable
        A NeuroMANCER `Problem`, or a function that builds one, called anew for every run; its parameters become a part
        of the form.
    data_setup_function : callable
        Returns train, dev and test datasets and the batch size; its parameters become a part of the form. One that the
        builder has too is one field of both where annotation, bounds, default and initial value agree.
    options : TrainerOptions, optional
        Initial values of the trainer's part of the form; default ``TrainerOptions()``.
    data_kwargs : Mapping[str, Any], optional
        Initial values of the data's part; the function's defaults elsewhere. Values that no widget can make (arrays,
        system objects) are given here.
    choices : Mapping[str, Any], optional
        Values to choose by name, for parameters of either function, as in
        ``{"sys": {"CSTR": cstr, "TwoTank": two_tank}}``.
    runs_dir : path-like, default "nmlab_runs"
        The folder of the runs.
    name : str, default "lab"
        The Lab's name, by which its runs are told from other Labs'. Of a Lab without a name, runs of a Problem that has
        neither the same shapes nor a term in common are another Lab's.
    view : callable, optional
        ``view(problem, splits) -> Figure``, a picture of the solution. It is redrawn between steps while its tab is
        visible and once at the end, and saved with the run. It does not affect the fit, and exceptions in it do not end
        the fit.
    lock : Mapping[str, Any], optional
        Values that are shown and cannot be changed, by name, as in ``{"lr": 1e-3}``; refused from code too.
    hide : Iterable[str], default ()
        Names that the form does not show.
    guess : bool, default False
        Whether the bench asks for a guess of the dev loss before each run, typed or drawn. It is saved with the run and
        shown beside its curve.
    problem_kwargs : Mapping[str, Any], optional
        Initial values of the builder's parameters; its defaults elsewhere.

    Raises
    ------
    FieldError
        Where an argument is wrong; with all faults at once.

    Examples
    --------
    >>> import nmlab
    >>> lab = nmlab.Lab.from_gallery("rosenbrock", data_kwargs={"nsim": 50})
    >>> run = lab.fit(max_epochs=2, seed=0)
    >>> lab.run.status, len(lab.runs)
    ('finished', 1)
    """

    def __init__(
        self,
        problem: Problem | Callable[..., Problem],
        data_setup_function: Callable[..., Any],
        *,
        options: TrainerOptions | None = None,
        data_kwargs: Mapping[str, Any] | None = None,
        choices: Mapping[str, Any] | None = None,
        runs_dir: str | os.PathLike[str] = "nmlab_runs",
        name: str | None = None,
        view: Callable[[Problem, Splits], Figure] | None = None,
        lock: Mapping[str, Any] | None = None,
        hide: Iterable[str] = (),
        guess: bool = False,
        problem_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name or UNNAMED
        self.example: Example | None = None
        """The gallery's problem that this Lab was opened with, or None."""
        request = FitRequest(
            problem,
            data_setup_function,
            options or TrainerOptions(),
            data_kwargs or {},
            choices,
            runs_dir,
            lab=self.name,
            view=view,
            problem_kwargs=problem_kwargs or {},
        )
        self._held_by = ""
        this = weakref.ref(self)  # a Lab that is not used any more goes at once, and with it its data

        def called() -> str:
            lab = this()
            return "" if lab is None else lab._variable()

        self._session = Session(request, called=called, lock=lock, hide=hide, guess=guess)
        self._bench: Bench | None = None
        old: Lab
        for old in labs.known():
            if old._session.problem is problem and old._session.running:
                self._session.take_over(old._session)
                if old._bench is not None:
                    old._bench.retire()
        if not self._session.running:
            fits = [lab._session.fit for lab in labs.known()]
            self._session.take_up({fit.run.uid for fit in fits if fit is not None and not fit.done})
        self._use()

    @classmethod
    def from_trainer(cls, trainer: Trainer, **keywords: Any) -> Lab:
        """Open a Lab over the Problem, data and options of a `Trainer`, whose runs its bench shows.

        Its own runs are trained by nmlab's loop, with the options that come nearest to the Trainer's.

        Parameters
        ----------
        trainer : Trainer
            The trainer.
        **keywords : Any
            As for `Lab`.

        Returns
        -------
        Lab
            The Lab.

        Examples
        --------
        >>> import nmlab
        >>> from torch.utils.data import DataLoader
        >>> example = nmlab.gallery.get("rosenbrock")
        >>> train, dev, _, size = example.data_function()(nsim=50)
        >>> loaders = [DataLoader(data, size, collate_fn=data.collate_fn) for data in (train, dev)]
        >>> trainer = nmlab.Trainer(example.problem(), *loaders, epochs=1)
        >>> best = trainer.train()  # doctest: +ELLIPSIS
        epoch: 0  train_loss: ...
        >>> lab = nmlab.Lab.from_trainer(trainer)
        >>> [run.name for run in lab.runs]
        ['trainer']
        """
        given = {"options": trainer.fit_options, "runs_dir": trainer.runs_dir, "name": trainer.run_name}
        return cls(trainer.model, trainer.data_setup_function, **{**given, **keywords})

    @classmethod
    def from_gallery(cls, example: str, /, data: str | None = None, **keywords: Any) -> Lab:
        """Open a problem of the gallery with its data, options and view.

        ``nmlab.gallery.list()`` shows the problems. Their other data are swapped in by name, and a fit is checked
        against their reference solution.

        Parameters
        ----------
        example : str
            The problem's name.
        data : str, optional
            Name of one of its data functions; default the first.
        **keywords : Any
            As for `Lab`. `options` override the problem's own options one by one.

        Returns
        -------
        Lab
            The Lab; its `example` is the gallery's problem.

        Raises
        ------
        FieldError
            There is no such problem or data function, or a keyword is wrong.

        Examples
        --------
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("rosenbrock")
        >>> lab.swap(lab.example.data["small_rings"])
        >>> lab.data_setup_function.__name__
        'small_rings'
        """
        opened = get(example)
        function = opened.data_function(data)
        given = keywords.pop("options", None) or TrainerOptions()
        options = opened.options.replace(**{name: getattr(given, name) for name in given.model_fields_set})
        lab = cls(
            opened.problem, function, **{"name": opened.name, "view": opened.view, "options": options, **keywords}
        )
        lab.example = opened
        return lab

    # --- fits ---

    @property
    def problem(self) -> Problem | Callable[..., Problem]:
        """The Problem, or the function that builds it, as it was given."""
        return self._session.problem

    @property
    def data_setup_function(self) -> Callable[..., Any]:
        """The function that makes the data of the next run."""
        return self._session.data_setup_function

    @property
    def data_kwargs(self) -> dict[str, Any]:
        """Its keywords for the next run, as the form holds them."""
        return self._session.data_kwargs

    @property
    def problem_kwargs(self) -> dict[str, Any]:
        """The builder's keywords for the next run, as the form holds them; {} where the Problem is an object."""
        return self._session.problem_kwargs

    @property
    def choices(self) -> Mapping[str, Any] | None:
        """Values that the data function's keywords take by name, as they were given."""
        return self._session.choices

    @property
    def run(self) -> Run | None:
        """The newest run of this Lab in this kernel, or None before the first."""
        return self._session.fit.run if self._session.fit is not None else None

    @property
    def splits(self) -> Splits | None:
        """The data of the newest run, once they are made; one set is held at a time.

        None for a run in a process of its own, which has its data there.
        """
        return self._session.fit.splits if self._session.fit is not None else None

    def fit(self, **kwargs: Any) -> Run:
        """Fit with the form's values and these changes, show the run below the cell, and return it.

        Blocks until the fit has ended. ■ (an interrupt) stops it: the run is closed as stopped with its best weights
        restored, stays in `lab.run`, and `KeyboardInterrupt` is raised again.

        Parameters
        ----------
        **kwargs : Any
            Keywords of the data function and of the builder, and options, told apart by name. Where several have a
            name, give ``data_kwargs={…}``, ``problem_kwargs={…}`` or ``options=TrainerOptions(…)``. `weights` are set
            beside those in the form.

        Returns
        -------
        Run
            The record of the fit.

        Raises
        ------
        FieldError
            A keyword is wrong, or its value is locked; with all faults at once. Otherwise as for `nmlab.fit`.
        """
        self._use()
        return self._follow(self._session.start(sort_out(self._session, kwargs), blocking=True))

    def repeat(self, n: int = 5, **kwargs: Any) -> Runs:
        """Fit the same settings on `n` further seeds, one after the other, as one group; blocks.

        The group is one line of `lab.runs`, with mean and spread of the best values, and a band among curves. A run of
        this Lab that has the same settings already, and its group, are of the group too. ★ is withheld where groups
        overlap, and ``lab.compare(group, other)`` says how likely a difference is by chance. A Problem given as an
        object starts from the same weights each time; a builder gives others for each seed. ■ (an interrupt) stops the
        running fit and those to come.

        Parameters
        ----------
        n : int, default 5
            Number of runs.
        **kwargs : Any
            As for `fit`. A `seed` is the first of the seeds, and those after it are the next ones that the group does
            not have; without one, seeds are drawn.

        Returns
        -------
        Runs
            All runs of the group that have ended.

        Raises
        ------
        FieldError
            `n` is no positive integer, the seed is locked, or as for `fit`.

        Examples
        --------
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("rosenbrock", data_kwargs={"nsim": 50}, name="repeats")
        >>> group = lab.repeat(3, max_epochs=2, seed=0)
        >>> [run.settings["seed"] for run in group]
        [0, 1, 2]
        """
        self._use()
        repeats = Repeats(self._session, n, sort_out(self._session, kwargs, "lab.repeat"))
        for seed in repeats.seeds:
            own = repeats.parts(seed)
            self._follow(self._session.start(repeats.asked, blocking=True, **own))
        return self._session.runs.group(repeats.group)

    def sweep(
        self,
        sweep_config: Mapping[str, Any] | None = None,
        /,
        *,
        trials: int | None = 20,
        sampler: Any = None,
        pruner: Any = None,
        parallel: int = 1,
        name: str | None = None,
        quiet: bool = False,
        **kwargs: Any,
    ) -> Sweep:
        """Fit again and again with values that are drawn for some fields of the form, a run each; blocks.

        Every trial starts from the weights that the Lab's runs start from and uses the same seed. They are judged by
        the option `monitor`. Afterwards the Problem holds the best trial's weights. A trial that fails is a failed run,
        and the sweep continues. ■ (an interrupt) and `lab.stop()` end the running trial and the sweep;
        ``nmlab.Sweep.read(name)`` has the trials so far.

        Parameters
        ----------
        sweep_config : Mapping[str, Any], optional
            What to try, in wandb's or NeuroMANCER's format, as for `nmlab.sweep`; in place of the keywords.
        trials : int or None, default 20
            Maximum number of trials; a grid ends when all combinations were tried.
        sampler : {"tpe", "random", "grid"} or optuna.samplers.BaseSampler, optional
            What draws the values; default "tpe", or the configuration's method.
        pruner : {"median", "hyperband", "halving"} or optuna.pruners.BasePruner, optional
            What ends a trial early that is worse than others were after as many epochs; default none. Its run says so.
        parallel : int, default 1
            Trials at once, with ``launch="process"``.
        name : str, optional
            The sweep's name; default the data function's followed by "-sweep".
        quiet : bool, default False
            Whether to print nothing; otherwise a line per trial.
        **kwargs : Any
            Keywords of the data function and of the builder, and options, as for `fit`. A list of values, or what
            `nmlab.choice`, `nmlab.uniform` or `nmlab.log_uniform` return, is what is tried, also within a dict or in
            ``data_kwargs={…}``, ``problem_kwargs={…}`` and ``options={…}``; other values hold for all trials.

        Returns
        -------
        Sweep
            The trials, as a table and as runs.

        Raises
        ------
        FieldError
            A keyword is wrong; with all faults at once, before anything is made.

        Examples
        --------
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("rosenbrock", data_kwargs={"nsim": 20}, name="sweeps")
        >>> sweep = lab.sweep(lr=nmlab.log_uniform(1e-3, 1e-1), max_epochs=1, seed=0, trials=2, quiet=True)
        >>> len(sweep.runs), sweep.best.status
        (2, 'finished')
        """
        from nmlab.notebook.sweeping import fixed_and_tried  # only here, since these bring Optuna along
        from nmlab.sweeps.sampler import How
        from nmlab.sweeps.sweeping import Watch, sweep_over

        self._use()
        fixed, tried = (kwargs, {}) if sweep_config is not None else fixed_and_tried(self._session, kwargs)
        request = self._session.request(sort_out(self._session, fixed, "lab.sweep")).replace(name=name, echo=not quiet)
        config = {"method": "bayes", "parameters": tried} if sweep_config is None else sweep_config
        ties = self._session.ties
        how = How(sampler, pruner, parallel, tied=() if ties is None else tuple(ties.tied))

        def begun(fit: Fit) -> None:
            self._session.follows(fit)
            self._show_controls()

        self._session.store.check_there()
        try:
            return sweep_over(request, config, trials, how, Watch(begun=begun))
        finally:
            self._await_screen()
            if self._bench is not None:
                self._bench.refresh()

    def longer(self, run: Run | str | None = None, epochs: int = 50, **options: Any) -> Run:
        """Train a run that has ended for more epochs, from where it ended, and return it; blocks as `fit` does.

        The run's record goes on: the result is that of a run which had been so long from the start, unless a schedule
        of the learning rate spans the fit. That is stretched from its present value over the epochs to come.

        Parameters
        ----------
        run : Run or str, optional
            The run, or its id; default the newest.
        epochs : int, default 50
            Number of epochs to add.
        **options : Any
            Options that change with it, such as a larger `patience` for a run that it ended, or an `lr_scheduler` in
            place of one that a function made.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        RunError
            The run cannot go on, or there is none.
        FieldError
            An option is wrong, or must be given.
        """
        labs.use(self)
        return self._follow(self._session.longer(self._chosen(run), epochs, options, blocking=True))

    def set(self, **options: Any) -> None:
        """Change `max_epochs`, `patience`, `lr` or `weights` of the run that is going on, from its next epoch on.

        The run's record has the change with its epoch among its options, as `TrainerOptions(changes=[…])` gives it, and
        `lab.code(run)` and `run.changes` too, so that it can be done again. ``lr`` is the rate from which a scheduler
        goes on; all parameter groups' rates change by the same factor. Where weights change, losses before and after
        mean something else: the best epoch so far is scored anew, patience and ReduceLROnPlateau compare from there
        on, and the run is compared only with those in which the same changed.

        Parameters
        ----------
        **options : Any
            The new values; of `weights` those that change.

        Raises
        ------
        RunError
            No run of this Lab is going on.
        FieldError
            A value is wrong, or something else is to be changed.

        Examples
        --------
        >>> import nmlab
        >>> lab = nmlab.Lab.from_gallery("rosenbrock", data_kwargs={"nsim": 50}, name="changes")
        >>> changes = [{"epoch": 1, "lr": 1e-4}]  # as lab.set(lr=1e-4) does while epoch 0 is trained
        >>> run = lab.fit(max_epochs=2, seed=0, lr=1e-3, changes=changes)
        >>> run.changes
        [{'epoch': 1, 'lr': 0.0001}]
        """
        self._session.change(options)
        self._show_controls()

    def _follow(self, fit: Fit) -> Run:
        """Show a fit below the cell until it has ended, and return its run."""
        cell = CellView() if get_ipython() is not None else None
        watcher: threading.Thread | None = None
        try:
            if self._bench is not None:
                self._bench.refresh()
            if cell is not None:
                watcher = cell.follow(fit, self._session.earlier)
            return fit.wait()
        except BaseException as error:
            if fit.done:
                raise
            interrupted = fit.interrupted()  # it came before the waiting
            raise (interrupted if isinstance(error, KeyboardInterrupt) else error) from None
        finally:
            self._await_screen()
            while watcher is not None and watcher.is_alive():
                time.sleep(0.02)
            if cell is not None and self._bench is not None:
                self._bench.save(cell.key, cell.bundle)

    def find_lr(self, *, min_lr: float = 1e-6, max_lr: float = 1.0, num_training: int = 100, **kwargs: Any) -> FoundLR:
        """Find a learning rate for the next run by a few training steps that leave nothing behind; blocks.

        ■ (an interrupt) stops it, restores everything, and is raised again.

        Parameters
        ----------
        min_lr, max_lr : float, default 1e-6, 1.0
            The first and the last rate.
        num_training : int, default 100
            Number of steps, at least 15.
        **kwargs : Any
            As for `fit`.

        Returns
        -------
        FoundLR
            Shows itself as a picture; has a `suggestion`.
        """
        asked = sort_out(self._session, kwargs, "lab.find_lr")
        settings: dict[str, Any] = {"min_lr": min_lr, "max_lr": max_lr, "num_training": num_training}
        return self._wait_for(self._session.find_lr(asked, blocking=True, **settings))

    def find_batch_size(
        self, *, mode: Literal["power", "binsearch"] = "power", max_trials: int = 6, **kwargs: Any
    ) -> int:
        """Find the largest batch size that fits into memory by a few steps that leave nothing behind; blocks.

        ■ (an interrupt) stops it, restores everything, and is raised again.

        Parameters
        ----------
        mode : {"power", "binsearch"}, default "power"
            As for `nmlab.find_batch_size`. The option that is called `mode` too is given by
            ``options=TrainerOptions(mode=…)``.
        max_trials : int, default 6
            Number of sizes to try.
        **kwargs : Any
            As for `fit`.

        Returns
        -------
        int
            The batch size.
        """
        asked = sort_out(self._session, kwargs, "lab.find_batch_size")
        return self._wait_for(self._session.find_batch_size(asked, mode=mode, max_trials=max_trials))

    def guess(self, loss: float | str | Mapping[Any, float] | Iterable[tuple[float, float]]) -> None:
        """Guess the dev loss of the next run; the guess is saved as `run.guess` and shown beside its curve.

        Parameters
        ----------
        loss : float, str, Mapping or Iterable of pairs
            A final loss, losses by epoch as in ``{0: 2.0, 20: 0.3}``, or text such as "0: 2, 20: 0.3".

        Raises
        ------
        FieldError
            It cannot be read.
        """
        self._use()
        self._session.take_guess(loss)
        self._show_controls()

    def _wait_for(self, search: Task[T]) -> T:
        """Wait for a search, or what else is done as one, in the cell that began it."""
        self._use()
        try:
            if self._bench is not None:
                self._bench.searches(search)
            return search.wait()
        except KeyboardInterrupt:
            if search.done:
                raise
            raise search.interrupted() from None  # it came before the waiting
        finally:
            if self._bench is not None:
                self._bench.refresh()

    def _await_screen(self) -> None:
        """Wait until the end of the run is on screen."""
        while self._bench is not None and not self._bench.settled():
            self._bench.painter.wake()
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask this Lab's running fit or search to stop at its next batch; no effect if nothing runs.

        A fit of another Lab continues; a line is printed that says whose it is and what stops it.
        """
        running = one_fit.current()
        if self._session.running and self._session.fit is not None:
            self._session.fit.control.stop()
        elif running is not None and running.owner is self._session:
            running.stop()
        elif running is not None:
            print(f"Lab {self.name!r} is not running. {running.busy()}")
        self._show_controls()

    def pause(self) -> None:
        """Ask the running fit to pause at its next batch; no effect if none runs."""
        self._steer("pause")

    def resume(self) -> None:
        """Resume a paused fit; no effect if none is paused."""
        self._steer("resume")

    def step(self) -> None:
        """Let the running fit finish its epoch and pause there; no effect if none runs."""
        self._steer("step")

    def _steer(self, what: str) -> None:
        if self._session.running and self._session.fit is not None:
            getattr(self._session.fit.control, what)()
        self._show_controls()

    def _show_controls(self) -> None:
        if self._bench is not None:
            self._bench.refresh()

    def wait(self) -> Run | None:
        """Block until the run that a button started has ended.

        ■ (an interrupt) ends the waiting, not the run.

        Returns
        -------
        Run or None
            The run; None if there is none. What ended a failed run is raised.
        """
        fit = self._session.fit
        if fit is None:
            return None
        try:
            while not fit.done:
                time.sleep(0.05)
            self._await_screen()
        except KeyboardInterrupt:
            stop = f"{self._variable() or 'lab'}.stop()"
            raise Interrupted(f"■ ended the waiting; run {fit.run.id} goes on. To stop it, call {stop}.") from None
        if fit.error is not None:
            raise fit.error
        return fit.run

    # --- data and weights of the next runs ---

    def swap(
        self,
        data_setup_function: Callable[..., Any],
        keep_weights: bool = False,
        *,
        data_kwargs: Mapping[str, Any] | None = None,
        choices: Mapping[str, Any] | None = None,
    ) -> None:
        """Use other data for the next runs; the form is made anew.

        Values that were given or changed are kept where the new function has a parameter of that name and accepts the
        value.

        Parameters
        ----------
        data_setup_function : callable
            Makes the data from now on.
        keep_weights : bool, default False
            False: the next runs start from the Lab's own start weights. True: from the weights that the Problem holds
            now, or at the end of the running fit.
        data_kwargs, choices : Mapping[str, Any], optional
            As for `Lab`.

        Raises
        ------
        FieldError
            An argument is wrong.
        RunError
            There are no weights to keep.
        """
        self._use()
        self._session.swap(data_setup_function, keep_weights, data_kwargs, choices)
        if isinstance(data_setup_function, FileData):
            there = {*data_setup_function.keys}
            if lacking := [key for key in self._session.keys_read() if key not in there]:
                warnings.warn(
                    f"The Problem also reads {', '.join(lacking)}, which {data_setup_function.__name__} does not give; "
                    f"it gives {', '.join(sorted(there))}. Say which columns these are by from_file(…, columns={{…}}).",
                    stacklevel=2,
                )
        if self._bench is not None:
            self._bench.show_forms()

    def start_from(self, run: Run | str | None) -> None:
        """Let the next runs start from the best weights of a run.

        Parameters
        ----------
        run : Run or str or None
            A run or its id; None for the Lab's own start weights.

        Raises
        ------
        RunError
            There is no such run, or it kept no weights.
        """
        self._use()
        self._session.start_weights.take(self._session.store.get(run) if isinstance(run, str) else run)
        self._show_controls()

    @property
    def presets(self) -> list[str]:
        """The names under which settings are kept beside the runs."""
        return self._session.presets.names()

    def save_preset(self, name: str) -> None:
        """Save the values that the form holds now, for other kernels too.

        Parameters
        ----------
        name : str
            The preset's name; an existing preset of this name is replaced.
        """
        self._session.save_preset(name)
        if self._bench is not None:
            self._bench.show_presets()

    def load_preset(self, name: str) -> None:
        """Put the values of a preset into the form.

        Parameters
        ----------
        name : str
            The preset's name.

        Raises
        ------
        RunError
            There is no such preset.
        FieldError
            Names the values that its file could not hold; the others are in the form.
        """
        self._use()
        lost = self._session.load_preset(name)
        if self._bench is not None:
            self._bench.show_forms()
        if lost:
            faults = dict.fromkeys(lost, "its record could not keep this value; give it again")
            raise FieldError(faults, subject=f"The preset {name!r} is in the form, but for these")

    # --- runs ---

    @property
    def runs(self) -> Runs:
        """Runs of this Lab, oldest first, also of earlier kernels; `.all()` for the whole folder.

        Those of a Problem or data function that was edited since are among them. The column `changed` says what
        differs, and a ★ is given only among runs whose losses can be compared.
        """
        return self._session.runs

    def _chosen(self, run: Run | str | None) -> Run:
        if isinstance(run, str):
            return self._session.store.get(run)
        newest = run or self.run or next(reversed(self.runs), None)
        if newest is None:
            raise RunError("There is no run yet.")
        return newest

    def compare(self, a: Run | str | Sequence[Run], b: Run | str | Sequence[Run]) -> Comparison:
        """Compare two runs, or two groups of runs on several seeds: settings, the data function's source, results.

        Of two groups it says how likely a difference of their best values is by chance (Welch's t-test).

        Parameters
        ----------
        a, b : Run, str or sequence of Run
            Runs or their ids, or groups such as `repeat` returns.

        Returns
        -------
        Comparison
            Shows itself as a table of what differs.
        """
        chosen = [self._chosen(each) if isinstance(each, (Run, str)) else each for each in (a, b)]
        return Comparison(*chosen)

    def cross(self, runs: Iterable[Run | str] | None = None, split: str = "dev", metric: str = "loss") -> Cross:
        """Score the best weights of every run on the data of every run; blocks.

        Where the Problem is built by a function, each run is scored by a Problem that this builds of the run's
        keywords. The data are made again from function, keywords and seed, one set at a time, and `lab.splits` are
        released first. What cannot be scored says why. The Problem's weights do not change. ■ (an interrupt) ends it.

        Parameters
        ----------
        runs : Iterable[Run or str], optional
            Runs or ids, also of other Labs over the same Problem; default this Lab's runs with at least one epoch.
        split : {"dev", "train", "test"}, default "dev"
            The split to score on.
        metric : str, default "loss"
            The loss, a term as weighted in the loss, or a constraint's "…_violation" or "…_violation_max".

        Returns
        -------
        Cross
            Shows itself as a heat map and a table; `frame` is a DataFrame with a row per run and a column per data set.

        Raises
        ------
        FieldError
            The split or the metric is unknown.
        RunError
            There is no run to score.
        BusyError
            A fit runs.
        """
        if runs is None:
            chosen = [run for run in self.runs if run.epochs and run.status not in ("running", "damaged")]
        else:
            chosen = [self._chosen(run) for run in ([runs] if isinstance(runs, (Run, str)) else runs)]
        if not chosen:
            raise RunError("There is no run to score yet.")
        sessions = [self._session, *(lab._session for lab in reversed(labs.known()))]

        def known(run: Run) -> DataRecipe:
            errors: list[RunError] = []
            for session in sessions:
                try:
                    recipe: DataRecipe = session.known(run)
                    return recipe
                except RunError as error:
                    errors.append(error)
            raise errors[0]

        return self._wait_for(self._session.cross(chosen, known, split, metric))

    def predict(self, data: Any, run: Run | str | None = None, units: Mapping[str, str] | None = None) -> Prediction:
        """Return what a trained Problem gives for new inputs, with each constraint's violation.

        Parameters
        ----------
        data : mapping, DataFrame, array, path-like, FileData or DictDataset
            The inputs, as for `Run.predict`.
        run : Run or str, optional
            A run or its id, also one of an earlier kernel; default the newest. Its best weights are used, and the
            Problem keeps those that it holds.
        units : Mapping[str, str], optional
            Outputs that are in the units of an input, as for `Run.predict`.

        Returns
        -------
        Prediction
            Its `outputs`, `violations` and `inputs` are dicts of arrays, its `frame` is a table.

        Raises
        ------
        DataError, FieldError
            As for `Run.predict`.
        RunError
            There is no such run, or its weights do not fit the Problem.
        BusyError
            A fit is running.
        """
        chosen = self._chosen(run)
        return predict(chosen, data, units, chosen.problem or self._session.problem_for(chosen))

    def code(self, run: Run | str | None = None) -> str:
        """Return plain Python that does a run without the bench, with the same numbers to the last digit.

        What has no source, such as a Problem given as an object, is a marked line to fill in. A run that was resumed
        for more epochs is resumed there too; of one that was resumed with other settings the first lines say that the
        numbers differ.

        Parameters
        ----------
        run : Run or str, optional
            A run or its id; default the newest run.

        Returns
        -------
        str
            The code.
        """
        return Code(script(self._chosen(run)))

    def figure(self, *runs: Run | str, metric: str | None = None, **options: Any) -> Figure:
        """Return a figure for a paper: one metric of some runs by epoch.

        Parameters
        ----------
        *runs : Run or str
            Runs or their ids; default the newest run.
        metric : str, optional
            A column of `run.metrics`; default the metric by which the first run's best epoch is chosen.
        **options : Any
            As for `nmlab.plots.paper_figure`.

        Returns
        -------
        matplotlib.figure.Figure
            Save it by ``.savefig("losses.pdf")``.
        """
        chosen = [self._chosen(run) for run in runs or (None,)]
        return paper_figure(chosen, metric or chosen[0].monitor, **options)

    def export(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write all runs of this Lab with their code and figures into a zip file, which `nmlab.load` reads.

        Parameters
        ----------
        path : path-like, optional
            The file; default "<name of the Lab>-runs.zip" in the working directory, with a number where such a file
            was exported by another Lab.

        Returns
        -------
        pathlib.Path
            The file.
        """
        return export_with_code(self.runs, self.name, self._session.store.folder, path)

    def tensorboard(self, *runs: Run | str) -> None:
        """Show TensorBoard below the cell.

        It runs as long as this kernel, follows a running fit, and is reached behind JupyterHub and Binder too. If it
        cannot be started, its log and curves drawn by nmlab are shown instead. Without a notebook its address is
        printed.

        Parameters
        ----------
        *runs : Run or str
            Runs or their ids; default all runs in this Lab's folder.

        Raises
        ------
        RunError
            There is no such run.
        """
        tensorboard_view.show(self._session.store.folder, [self._chosen(run) for run in runs])

    # --- on screen ---

    def _ipython_display_(self) -> None:
        self._use()
        if self._bench is None:
            self._bench = Bench(self._session)
            Actions(self._session, self._bench, self.export)
            self._bench.panel.on_msg(lambda *_: self._use())
        panel: Any = self._bench.panel
        data, metadata = panel._repr_mimebundle_()  # by the metadata Colab finds what shows it
        # the text stays in the saved notebook above the runs, so it names none
        display({**data, "text/plain": self._called}, metadata=metadata, raw=True)
        self._bench.saved_output.show()
        self._bench.painter.wake()

    def __repr__(self) -> str:
        run = f"; newest run {self.run.id}: {self.run.status}" if self.run is not None else "; no run yet"
        return self._called + run

    def _use(self) -> None:
        """Note that this Lab is the one used last; earlier Labs that its variable held let go of their data."""
        labs.use(self)
        self._held_by = self._variable() or self._held_by
        old: Lab
        for old in labs.known():
            if old is not self and old._held_by == self._held_by != "" and not old._variable():
                old._session.let_go(but=self._session.fit)

    def _variable(self) -> str:
        shell = get_ipython()
        return "" if shell is None else labs.variable_of(self, shell.user_ns)

    @property
    def _called(self) -> str:
        return f"Lab {self.name!r} on {getattr(self._session.data_setup_function, '__name__', 'data')}"
