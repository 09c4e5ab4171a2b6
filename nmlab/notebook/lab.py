"""The Lab: what a user says in code, over the session; the bench shows the same."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from neuromancer.problem import Problem

from nmlab.analysis.cross import DataRecipe
from nmlab.analysis.cross_result import Cross
from nmlab.data.splits import Splits
from nmlab.errors import FieldError, Interrupted, RunError
from nmlab.gallery import Example, get
from nmlab.launch.fit import Fit
from nmlab.launch.task import Task
from nmlab.notebook import labs, tensorboard_view
from nmlab.notebook.actions import Actions
from nmlab.notebook.bench import Bench
from nmlab.notebook.cell_view import CellView
from nmlab.notebook.session import Session
from nmlab.options import TrainerOptions
from nmlab.plots import paper_figure
from nmlab.provenance.script import script
from nmlab.runs import Comparison, Run, Runs
from nmlab.runs.archive import export_runs
from nmlab.runs.store import slug
from nmlab.runtime import one_fit
from nmlab.tensorboard import ready_for_plain_magic
from nmlab.tuning import FoundLR

T = TypeVar("T")


class Code(str):
    """Python code that shows itself as it is, not as a quoted string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Lab:
    """A bench for one Problem: choose, fit, watch, stop, swap the data, run again.

    As a cell's last line it shows a form made from the data function's signature and the trainer's options, the
    buttons, the fit's progress and curves, and the table of runs. The same is done from code, without a form on screen
    too.

    Every run starts from the weights that the Problem had when the Lab was made, unless `swap(..., keep_weights=True)`
    or `start_from(run)` says otherwise. After a run the Problem holds that run's best weights. Made again over the same
    Problem while a run goes, the new Lab takes the run over and the old panel says so.

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
    view : a picture of the solution, `view(problem, splits) -> Figure`; redrawn between steps while its tab is seen and
        once at the end, and kept with the run. It leaves no trace on the fit, and what it raises ends nothing
    lock : values that are shown and cannot be changed, by name, as in `{'lr': 1e-3}`; refused from code too
    hide : names that the form does not show
    guess : whether the bench asks for a guess of the dev loss before each run, typed or drawn; it is kept with the run
        and stands beside its curve

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
        view: Callable[[Problem, Splits], Figure] | None = None,
        lock: Mapping[str, Any] | None = None,
        hide: Iterable[str] = (),
        guess: bool = False,
    ) -> None:
        self.name = name or "lab"
        self.example: Example | None = None
        """The gallery's problem that this Lab was opened with, or None."""
        self._session = Session(
            problem,
            data_setup_function,
            options=options,
            data_kwargs=data_kwargs,
            choices=choices,
            runs_dir=runs_dir,
            name=self.name,
            view=view,
            lock=lock,
            hide=hide,
            guess=guess,
            called=self._variable,
        )
        self._bench: Bench | None = None
        if get_ipython() is not None:
            ready_for_plain_magic()
        old: Lab
        for old in labs.known():
            if old._session.problem is problem and old._session.running:
                self._session.take_over(old._session)
                if old._bench is not None:
                    old._bench.retire()
        labs.use(self)

    @classmethod
    def from_gallery(cls, example: str, /, data: str | None = None, **keywords: Any) -> Lab:
        """Open a problem of the gallery (`nmlab.gallery.list()` shows them) with its data, options and view.

        Its other data are swapped in by name, and a fit is checked against its reference answer:

            lab = nmlab.Lab.from_gallery("rosenbrock")
            lab.swap(lab.example.data["small_rings"])
            lab.example.check(lab.fit().problem)

        Parameters
        ----------
        example : the problem's name
        data : name of one of its data functions; default the first
        **keywords : as for the Lab. `options` stand over the problem's own, which hold for the rest

        Raises `FieldError` where there is no such problem or data function, or a keyword is wrong.
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
    def problem(self) -> Problem | Callable[[], Problem]:
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
    def choices(self) -> Mapping[str, Any] | None:
        """Values that its keywords take by name, as they were given."""
        return self._session.choices

    @property
    def run(self) -> Run | None:
        """The newest run of this Lab in this kernel, or None before the first."""
        return self._session.fit.run if self._session.fit is not None else None

    @property
    def splits(self) -> Splits | None:
        """The data of the newest run, once they are made; one set is held at a time."""
        return self._session.fit.splits if self._session.fit is not None else None

    def fit(self, **kwargs: Any) -> Run:
        """Fit with the bench's settings and these changes, show the run under this cell, and return it.

        Blocks until the fit has ended. ■ (an interrupt) stops it: the run is closed as stopped with its best weights
        in place, stays in `lab.run`, and `KeyboardInterrupt` is raised again.

        Parameters
        ----------
        **kwargs : keywords of the data function and options, told apart by where each name is known; a name known in
            both is given as `data_kwargs={…}` or `options=TrainerOptions(…)`

        Raises what `nmlab.fit` raises, and `FieldError` for a value that is locked.
        """
        labs.use(self)
        data_kwargs, options = self._session.sort_out(kwargs)
        cell = CellView() if get_ipython() is not None else None
        fit = self._session.start(data_kwargs, options, blocking=True)
        watcher: threading.Thread | None = None
        try:
            if self._bench is not None:
                self._bench.refresh()
            if cell is not None:
                watcher = self._follow(fit, cell)
            return fit.wait()
        except KeyboardInterrupt:
            if fit.control.stopping:
                raise
            raise fit.interrupted() from None  # it came before the waiting
        finally:
            if fit.done:  # else a second interrupt would not wait
                self._await_screen()
                while watcher is not None and watcher.is_alive():
                    time.sleep(0.02)

    def find_lr(self, *, min_lr: float = 1e-6, max_lr: float = 1.0, num_training: int = 100, **kwargs: Any) -> FoundLR:
        """Look for a learning rate for the next run, by a few steps that leave nothing behind; blocks meanwhile.

        ■ (an interrupt) stops it, puts all back as it was, and is raised again.

        Parameters
        ----------
        min_lr, max_lr, num_training : the first rate, the last, and how many steps there are, as for `nmlab.find_lr`
        **kwargs : as for `fit`

        Returns what shows itself as a picture and has a `.suggestion`. Raises what `nmlab.find_lr` raises.
        """
        asked = self._session.sort_out(kwargs, "lab.find_lr")
        settings: dict[str, Any] = {"min_lr": min_lr, "max_lr": max_lr, "num_training": num_training}
        return self._wait_for(self._session.find_lr(*asked, blocking=True, **settings))

    def find_batch_size(
        self, *, mode: Literal["power", "binsearch"] = "power", max_trials: int = 6, **kwargs: Any
    ) -> int:
        """Return the largest batch size that fits into memory, by a few steps that leave nothing behind; blocks.

        ■ (an interrupt) stops it as `find_lr`.

        Parameters
        ----------
        mode, max_trials : how it searches, and how many sizes it tries, as for `nmlab.find_batch_size`; the option
            that is called `mode` too is given by options=TrainerOptions(mode=…)
        **kwargs : as for `fit`

        Raises what `nmlab.find_batch_size` raises.
        """
        asked = self._session.sort_out(kwargs, "lab.find_batch_size")
        return self._wait_for(self._session.find_batch_size(*asked, mode=mode, max_trials=max_trials))

    def guess(self, loss: float | str | Mapping[Any, float] | Iterable[tuple[float, float]]) -> None:
        """Guess the dev loss of the next run; the guess is kept with it as `run.guess` and stands beside its curve.

        Parameters: `loss`, a final loss, losses by epoch as in `{0: 2.0, 20: 0.3}`, or text such as '0: 2, 20: 0.3'.

        Raises `FieldError` where it cannot be read.
        """
        labs.use(self)
        self._session.take_guess(loss)
        self._show_controls()

    def _wait_for(self, search: Task[T]) -> T:
        """Wait for a search, or what else is done as one, in the cell that began it."""
        labs.use(self)
        try:
            if self._bench is not None:
                self._bench.searches(search)
            return search.wait()
        except KeyboardInterrupt:
            if search.control.stopping:
                raise
            raise search.interrupted() from None  # it came before the waiting
        finally:
            if self._bench is not None:
                self._bench.refresh()

    def _follow(self, fit: Fit, cell: CellView) -> threading.Thread:
        """Draw a run in the output of the cell that waits for it, in a thread, so that an interrupt hits no drawing."""
        # with the cell's context, by which Jupyter knows whose output it is
        context = contextvars.copy_context()

        def watch() -> None:
            done = built = False
            while not done:
                done = fit.done
                try:
                    if not built and fit.problem is not None:  # by which its fellows are known
                        cell.earlier, built = self._session.earlier(fit.run), True
                    cell.show(fit, done)
                except Exception:
                    logging.getLogger(__name__).exception("Run %s could not be drawn", fit.run.id)
                if not done:
                    time.sleep(0.2)
            if self._bench is not None:
                self._bench.save(cell.key, cell.bundle)

        thread = threading.Thread(target=context.run, args=(watch,), name="nmlab cell", daemon=True)
        thread.start()
        return thread

    def _await_screen(self) -> None:
        """Wait until the end of the run is on screen."""
        while self._bench is not None and not self._bench.settled():
            self._bench.painter.wake()
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask this Lab's running fit, or search, to stop at its next batch.

        Without effect where nothing runs. Another Lab's fit goes on, and a line says whose it is and what stops it.
        """
        running = one_fit.current()
        if running is not None and running.owner is self._session:
            running.stop()
        elif running is not None:
            print(f"Lab {self.name!r} is not running. {running.busy()}")
        self._show_controls()

    def pause(self) -> None:
        """Ask the running fit to wait at its next batch; harmless where none runs."""
        self._steer("pause")

    def resume(self) -> None:
        """Let a paused fit go on; harmless where none waits."""
        self._steer("resume")

    def step(self) -> None:
        """Let the running fit go on to the end of its epoch and wait there; harmless where none runs."""
        self._steer("step")

    def _steer(self, what: str) -> None:
        if self._session.running and self._session.fit is not None:
            getattr(self._session.fit.control, what)()
        self._show_controls()

    def _show_controls(self) -> None:
        if self._bench is not None:
            self._bench.refresh()

    def wait(self) -> Run | None:
        """Block until the run that was begun by the button has ended; return it, or raise what ended it.

        ■ (an interrupt) ends the waiting, not the run.
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
        labs.use(self)
        self._session.swap(data_setup_function, keep_weights, data_kwargs, choices)
        if self._bench is not None:
            self._bench.show_forms()

    def start_from(self, run: Run | str | None) -> None:
        """Let the next runs start from the best weights of `run`, or of the run with this id; None: fresh ones again.

        Raises `RunError` where there is no such run or it kept no weights.
        """
        labs.use(self)
        self._session.start_from(self._session.store.get(run) if isinstance(run, str) else run)
        self._show_controls()

    @property
    def presets(self) -> list[str]:
        """The names under which settings are kept beside the runs."""
        return self._session.presets.names()

    def save_preset(self, name: str) -> None:
        """Keep the values that the form holds now under `name`, for other kernels too."""
        self._session.save_preset(name)
        if self._bench is not None:
            self._bench.show_presets()

    def load_preset(self, name: str) -> None:
        """Put the values kept under `name` into the form.

        Raises `RunError` where there is no such preset, and `FieldError` naming what its record could not keep.
        """
        labs.use(self)
        lost = self._session.load_preset(name)
        if self._bench is not None:
            self._bench.show_forms()
        if lost:
            faults = dict.fromkeys(lost, "its record could not keep this value; give it again")
            raise FieldError(faults, subject=f"The preset {name!r} is in the form, but for these")

    # --- runs ---

    @property
    def runs(self) -> Runs:
        """This Lab's runs over this Problem, oldest first, from earlier sessions too; `.all()` for the whole folder."""
        return self._session.runs

    def _chosen(self, run: Run | str | None) -> Run:
        if isinstance(run, str):
            return self._session.store.get(run)
        newest = run or self.run or next(reversed(self.runs), None)
        if newest is None:
            raise RunError("There is no run yet.")
        return newest

    def compare(self, a: Run | str, b: Run | str) -> Comparison:
        """Return what is different between two runs (or ids): settings, the data function's source, results."""
        return Comparison(self._chosen(a), self._chosen(b))

    def cross(self, runs: Iterable[Run | str] | None = None, split: str = "dev", metric: str = "loss") -> Cross:
        """Score every run's best weights on the data of every one of these runs; blocks.

        It shows itself as a heat map and a table, and `.frame` is a DataFrame: a row a run, a column a data set. Data
        are made again from function, keywords and seed, one set at a time, and `lab.splits` are let go of first. What
        cannot be scored says why. The Problem's weights stay as they are. ■ (an interrupt) ends it.

        Parameters
        ----------
        runs : runs or ids, also other Labs' over a Problem of the same keys, terms and shapes; default: this Lab's runs
            with an epoch and more
        split : 'train', 'dev' or 'test'
        metric : 'loss', a term as weighted in the loss, or a constraint's '…_violation' or '…_violation_max'

        Raises `FieldError` for an unknown split or metric, `RunError` where there is no run to score, `BusyError` where
        a fit runs.
        """
        if runs is None:
            chosen = [run for run in self.runs if run.epochs and run.status not in ("running", "damaged")]
        else:
            chosen = [self._chosen(run) for run in ([runs] if isinstance(runs, (Run, str)) else runs)]
        if not chosen:
            raise RunError("There is no run to score yet.")
        sessions = [self._session, *(lab._session for lab in reversed(labs.known()))]

        def known(run: Run) -> DataRecipe | None:
            return next((found for session in sessions if (found := session.known(run)) is not None), None)

        return self._wait_for(self._session.cross(chosen, known, split, metric))

    def code(self, run: Run | str | None = None) -> str:
        """Return the plain Python that does `run`, or the newest run, without the bench and to the same digits.

        What has no source, such as a Problem given as an object, is a marked line to fill in.
        """
        return Code(script(self._chosen(run)))

    def figure(self, *runs: Run | str, metric: str | None = None, **options: Any) -> Figure:
        """Return a figure for a paper: one metric of these runs (default: the newest) by epoch.

        Parameters: `metric`, a column of `run.metrics`, by default that by which the first run's best epoch is chosen;
        further options as for `nmlab.plots.paper_figure`. Save it by `.savefig("losses.pdf")`.
        """
        chosen = [self._chosen(run) for run in runs or (None,)]
        return paper_figure(chosen, metric or chosen[0].monitor, **options)

    def export(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write all runs of this Lab with their code and figures into a zip, which `nmlab.load` reads; return its path.

        Parameters: `path`, by default '<name of the Lab>-runs.zip' in the working directory.
        """
        runs = [run for run in self.runs if run.damage is None]
        if not runs:
            raise RunError("There is no run to export yet.")
        extra: dict[str, str | bytes] = {}
        for run in runs:
            try:
                extra[f"code/{run.id}.py"] = script(run, folder=f"../runs/{run.id}")
                if run.epochs:
                    extra[f"figures/{run.id}.pdf"] = _pdf(paper_figure([run], run.monitor))
            except Exception as error:  # what is odd about one run keeps none from being taken along
                extra[f"code/{run.id}.txt"] = f"Code and figure could not be made: {type(error).__name__}: {error}\n"
        return export_runs(runs, Path(path or f"{slug(self.name)}-runs.zip"), extra)

    def tensorboard(self, *runs: Run | str) -> None:
        """Show TensorBoard under this cell, over these runs (or ids), or over all in this Lab's folder.

        It runs as long as this kernel, follows a fit as it goes, and is reached behind JupyterHub or Binder too. What
        keeps it from coming up is shown with its log and curves that nmlab draws itself. Without a notebook its address
        is printed. Raises `RunError` where there is no such run.
        """
        tensorboard_view.show(self._session.store.folder, [self._chosen(run) for run in runs])

    # --- on screen ---

    def _ipython_display_(self) -> None:
        labs.use(self)
        if self._bench is None:
            self._bench = Bench(self._session)
            Actions(self._session, self._bench, self.export)
            self._bench.panel.on_msg(lambda *_: labs.use(self))
        panel: Any = self._bench.panel
        data, metadata = panel._repr_mimebundle_()  # by the metadata Colab finds what shows it
        # the text stays in the saved notebook above the runs, so it names none
        display({**data, "text/plain": self._called}, metadata=metadata, raw=True)
        self._bench.saved_output.show()
        self._bench.painter.wake()

    def __repr__(self) -> str:
        run = f"; newest run {self.run.id}: {self.run.status}" if self.run is not None else "; no run yet"
        return self._called + run

    def _variable(self) -> str:
        shell = get_ipython()
        return "" if shell is None else labs.variable_of(self, shell.user_ns)

    @property
    def _called(self) -> str:
        return f"Lab {self.name!r} on {getattr(self._session.data_setup_function, '__name__', 'data')}"


def _pdf(figure: Figure) -> bytes:
    from io import BytesIO

    file = BytesIO()
    figure.savefig(file, format="pdf")
    return file.getvalue()
