"""A `FitRequest` carried out in the process and thread that it is in, into its run's folder.

The stages: build the Problem, make the data, a dry run, train under Lightning, score the test split. However it ends,
the Problem holds its best weights and the run says how it went.
"""

from __future__ import annotations

import logging
import math
import secrets
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from neuromancer.problem import Problem

from nmlab.data.coverage import coverage_of
from nmlab.data.splits import Splits
from nmlab.errors import FieldError, NonFiniteLossError, RunError
from nmlab.fitting.identified import Identified
from nmlab.fitting.prepare import build_problem, check_data, initialize_lazy, splits_of
from nmlab.fitting.request import UNFIT, FitRequest, option_faults
from nmlab.fitting.resume import changes, extensions
from nmlab.fitting.shares import check_shares
from nmlab.identity.functions import held
from nmlab.options.environment import environment_remarks
from nmlab.problem.formulas import swapped_in
from nmlab.problem.lazy import has_lazy
from nmlab.problem.metric_names import raw_terms
from nmlab.problem.start import Start, start_of, weights_fingerprint
from nmlab.problem.term_weights import KeptWeights, use_weights, weights_of
from nmlab.problem.terms import named_terms, terms_of
from nmlab.problem.weights import PREFIX, copy_weights, fingerprint, load_weights, read_weights
from nmlab.provenance.settings import users_traceback
from nmlab.runs import Run, RunWriter
from nmlab.runs.writer import checkpoint_path
from nmlab.runtime.capture import captured_output
from nmlab.runtime.control import Control, StopRequested
from nmlab.runtime.rng import RandomStreams
from nmlab.training.checkpoints import epochs_done, save_weights
from nmlab.training.events import EventWriter, begin_events
from nmlab.training.ranks import Ranks
from nmlab.training.train import NO_DEV, Training, train
from nmlab.training.user_hooks import HookedModule
from nmlab.training.view import View

SWAPPED = (
    "{}: NeuroMANCER computes {}. Write the parts in another order, or compute them in a Node, until "
    "nmlab.look(problem) shows what you mean."
)

_logger = logging.getLogger("nmlab")

THREAD = (
    "This fit had a thread of its own, as one that a button starts. lab.fit() calls your functions in the thread of "
    "its cell."
)

GIVEN_UP = (
    "A function of this run did not end after the stop. It may go on in its thread until the kernel is restarted; "
    "nothing comes of it any more."
)


@dataclass(frozen=True)
class Handed:
    """A run that was opened in one process for a fit in another.

    Parameters: `folder`, of the run; `remarks`, which its log says first; `changed` and `extended`, as for `Training`.
    """

    folder: Path
    remarks: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extended: tuple[tuple[int, int, int], ...] = ()


class Execution:
    """The work of one fit.

    Parameters
    ----------
    request : FitRequest
        What to do, as `FitRequest.checked` returns it.
    control : Control
        Asked at every batch whether to stop, pause or go on.
    ranks : Ranks, optional
        The processes that share the training, of which this one leads. Default: this one alone.
    """

    def __init__(self, request: FitRequest, control: Control, ranks: Ranks | None = None) -> None:
        self.request = request
        self.control = control
        self._ranks = ranks
        self.view = None if request.view is None else View(request.view, control)
        """The user's own picture, or None."""
        self.problem: Problem | None = request.problem if isinstance(request.problem, Problem) else None
        self.module: HookedModule | None = None
        """What Lightning trains, from the training on, where there are user hooks; else None."""
        self.splits: Splits | None = None
        """What the data function returned, once it has."""
        self.remarks: list[str] = []
        """What the run's log says first."""
        self.last_remark = ""
        """What the record is to say beside all else, once the run is closed."""
        self._writer: RunWriter | None = None
        self._events: EventWriter | None = None
        self._changed: tuple[str, ...] = ()
        self._extended: tuple[tuple[int, int, int], ...] = ()
        self._identified: Identified | None = None
        self._start: Start | None = None
        self._own_weights: KeptWeights | None = None
        """The weights that the Problem's terms have without this fit's options, while others may be in their place."""

    @property
    def opened(self) -> bool:
        """Whether the run's folder is there."""
        return self._writer is not None

    @property
    def run(self) -> Run:
        """The run's record; there once the folder is opened."""
        return self._opened.run

    @property
    def _opened(self) -> RunWriter:
        if self._writer is None:
            raise RunError("This fit was not started.")
        return self._writer

    def open(self) -> None:
        """Make the run's folder with its settings, or open that of a run to resume.

        Raises
        ------
        RunError
            Where it cannot be written.
        """
        request, settings = self.request, self.request.describe()
        if isinstance(request.problem, Problem) and has_lazy(request.problem):
            settings["lazy"] = True  # what it starts from, only the data will tell
        resumed = request.resumed
        if resumed is None:
            self._writer = request.store.create(request.run_name, settings, self._write_start)
        else:
            self._changed = tuple(changes(resumed, settings))
            extended = extensions(resumed, request.options)
            self._extended = tuple((done, before, now) for done, before, now in extended)
            self._writer = request.store.reopen(resumed)
            kept = ("options", "data_kwargs", "problem_kwargs", "sources", "data_function", "batch_size")
            more: dict[str, Any] = {"extended": extended} if extended else {}
            if self._changed:
                old = {key: resumed.settings.get(key) for key in kept}
                more["changed"] = [
                    *(resumed.settings.get("changed") or []),
                    {"epoch": epochs_done(resumed), "what": list(self._changed), "before": old},
                ]
            leg = {key: resumed.settings.get(key) for key in ("options", "data_kwargs", "problem_kwargs", "threads")}
            more["legs"] = [*(resumed.settings.get("legs") or []), {**leg, "epochs": epochs_done(resumed)}]
            self._writer.describe(**{key: settings[key] for key in (*kept, "threads")}, **more)

    def hand_over(self) -> None:
        """Let go of the run, which goes on: another process carries this fit out, by `take_over` of `handed`."""
        self._opened.hand_over()

    @property
    def handed(self) -> Handed:
        """The opened run, for another process."""
        return Handed(self.run.folder, tuple(self.remarks), self._changed, self._extended)

    def take_over(self, handed: Handed) -> None:
        """Write the run that another process has opened and let go of."""
        self._writer = RunWriter(handed.folder, None)
        self.remarks += handed.remarks
        self._changed, self._extended = handed.changed, handed.extended

    def _write_start(self, folder: Path) -> None:
        """Write the weights that the run starts from, where they are known already: it may be killed at any moment."""
        problem = self.request.problem
        if self.request.options.checkpoint and isinstance(problem, Problem) and not has_lazy(problem):
            weights = self.request.start_weights or copy_weights(problem)
            save_weights(weights, checkpoint_path(folder, "start"), PREFIX)

    def perform(self) -> Run:
        """Do the work and return the run; raises what ended it, other than a stop."""
        state = "finished"
        try:
            with captured_output(self._opened.log, self.request.echo):
                try:
                    try:
                        self._work()
                    except StopRequested:
                        state = "stopped"
                    self._keep_elsewhere()
                finally:
                    try:
                        self._draw_last()
                    finally:
                        self._settle()
        except KeyboardInterrupt:  # in a function of the user
            state = "stopped"
            if not self.control.stopping or self.control.blocking:
                self.close(state)
                raise
        except BaseException as error:
            if isinstance(error, NonFiniteLossError):
                error.run = self.run
            error.add_note(f"The run's folder is {self.run.folder}")
            if "thread" in str(error).lower() and threading.current_thread() is not threading.main_thread():
                error.add_note(THREAD)
            self.close("failed", error)
            raise
        self.close(state)
        return self.run

    def _take_weights(self, problem: Problem) -> None:
        """Give the Problem's terms the weights of the options, once it is built."""
        options = self.request.options
        if faults := option_faults(problem, options):
            raise FieldError(faults, subject=UNFIT)
        self._own_weights = KeptWeights(problem)
        changed = {name for change in options.changes for name in change.get("weights", {})}
        use_weights(problem, options.weights, {*changed, *raw_terms([options.monitor or ""])})

    def _settle(self) -> None:
        """Record what the training changed besides weights, and give the Problem's terms their own weights back."""
        try:
            if self._identified is not None and self.problem is not None:
                use_weights(self.problem, self.request.options.weights)
                with suppress(OSError):  # a full disk must not hide how the training ended
                    self._identified.is_trained(self.problem)
        finally:
            self._put_weights_back()

    def _put_weights_back(self) -> None:
        if self._own_weights is not None:
            self._own_weights.put_back()

    def _keep_elsewhere(self) -> None:
        """Where the best weights cannot be written into the run's folder, write them where temporary files are.

        Raises `RunError` where that fails too; the Problem holds the weights in any case.
        """
        writer, run = self._opened, self.run
        best = writer.checkpoint("best")
        writer.flush()
        if (told := run.unwritten) is None:
            return
        if not writer.waits(best) or self.problem is None:
            warnings.warn(f"Run {run.id}: {told}. Its metrics are in run.metrics of this kernel alone.", stacklevel=2)
            return
        other = Path(tempfile.gettempdir()) / f"nmlab-{run.id}-{secrets.token_hex(4)}-best.ckpt"
        try:
            save_weights(copy_weights(self.problem), other, PREFIX)
        except OSError as error:
            raise RunError(
                f"The best weights of run {run.id} could be saved nowhere: {told}; nor could {other} be written "
                f"({error.strerror or error}). The Problem holds them: torch.save(problem.state_dict(), …) where there "
                "is room."
            ) from error
        run.elsewhere["best"] = other
        remark = f"The best weights are in {other}: {told}."
        writer.update(remark=" ".join(text for text in (run.remark, remark) if text))
        warnings.warn(f"Run {run.id}: {remark}", stacklevel=2)

    def give_up(self) -> Run:
        """Close the run as stopped while its thread is in a function of the user that does not end."""
        self._opened.log(GIVEN_UP)
        self._opened.update(remark=GIVEN_UP)
        if self.problem is not None and self.run.checkpoint_path is not None:
            load_weights(self.problem, read_weights(self.run.checkpoint_path), source=f"run {self.run.id}")
        self._put_weights_back()
        self.close("stopped")
        return self.run

    def close(self, state: str, error: BaseException | None = None) -> None:
        """Close the run as 'finished', 'stopped' or 'failed'.

        Parameters
        ----------
        state : str
            How it ended.
        error : BaseException, optional
            What ended it.
        """
        told = None
        if error is not None:
            told = {"type": type(error).__name__, "message": str(error), "traceback": users_traceback(error)}
            with suppress(OSError):  # a full disk must not keep the run open
                self._opened.log("".join(traceback.format_exception(error)))
        self.run.problem = self.problem
        self.run.make_data = self._make_data_again()
        if self._start is not None and self.problem is not None:
            self._start.end_fit(self.problem, self.run.id)
            self._start = None
        self.control.phase = state
        if self.last_remark:
            self._opened.update(remark=" ".join(filter(None, [self.run.remark, self.last_remark])))
        if self._events is not None:
            self._events.close(state == "failed", self.run.test_metrics.get("test_loss", math.nan))
        self._opened.close(state, told)

    def _make_data_again(self) -> Callable[[], Splits]:
        """Return what makes the same data once more, as long as their function lives."""
        request, run = self.request, self.run.id
        function, kwargs, size, seed = (
            held(request.data_setup_function),
            request.data_kwargs,
            request.batch_size,
            request.seed,
        )

        def again() -> Splits:
            makes = function()
            if makes is None:
                raise RunError(f"The data function of run {run} is not there any more: give data=…")
            return splits_of(makes, kwargs, size, RandomStreams(seed or 0))

        return again

    def _work(self) -> None:
        request, writer = self.request, self._opened
        assert request.seed is not None
        for remark in (*environment_remarks(request.options.trainer_kwargs), *self.remarks):
            _logger.warning(remark)
        streams = RandomStreams(request.seed) if request.loop is None else request.loop.make_streams(request.seed)
        if begins_at := streams.describe():
            writer.describe(random_state=begins_at)
        if self.problem is None:
            self._enter("building the Problem")
            self.problem = build_problem(request.problem, streams, request.problem_kwargs)
        problem, resumed = self.problem, request.resumed
        self._start = start_of(problem)
        self._start.begin_fit()
        self._take_weights(problem)
        if not (lazy := has_lazy(problem)):
            self._take_start(problem)

        self._enter("making the data")
        splits = splits_of(request.data_setup_function, request.data_kwargs, request.batch_size, streams)
        self.splits = splits
        if splits.remarks:
            writer.describe(data_remarks=list(splits.remarks))
            writer.log("\n- ".join(["The data:", *splits.remarks]))
        if lazy:
            self._enter("initializing the Problem")
            initialize_lazy(problem, splits, request, request.seed)
            self._take_start(problem)
        assert self._identified is not None
        self._identified.has_data()
        if request.options.tensorboard:
            done = epochs_done(self.run) if resumed is not None else 0
            self._events = begin_events(writer, problem, request.options, done)
        if self.view is not None:
            if self._events is not None:
                self.view.on_picture = self._events.add_view
            self.view.look_at(problem, splits)
        self._enter("trying out the data")
        check_data(problem, splits, request.data_setup_function, request.options, request.user_hooks)
        with RandomStreams(request.seed):  # a data set may draw numbers when it is read
            writer.describe(coverage={key: each.to_json() for key, each in coverage_of(splits.train).items()})
        for term, written in named_terms(problem):
            for swapped in swapped_in(written):
                warnings.warn(SWAPPED.format(term.name, swapped), stacklevel=2)
        if self._ranks is not None:
            self._enter("comparing a batch with its parts")
            for remark in check_shares(problem, splits, request.options, request.user_hooks, self._ranks.part.ranks):
                warnings.warn(remark, stacklevel=2)
            writer.describe(ranks=self._ranks.part.ranks, threads=torch.get_num_threads())
        self._enter("preparing the training")
        streams.reseed()
        if splits.dev is None and request.options.monitor is None:
            warnings.warn(NO_DEV, stacklevel=2)
        training = Training(
            request.options,
            streams,
            writer,
            self.control,
            self._events,
            resume=resumed is not None,
            changed=self._changed,
            extended=self._extended,
            loop=request.loop,
            ranks=self._ranks,
        )
        if request.user_hooks is None:
            train(problem, splits, training)
        else:
            make_module = partial(HookedModule, user_hooks=request.user_hooks)
            train(problem, splits, training, make_module, self._keep_module)

    def _take_start(self, problem: Problem) -> None:
        """Load the weights that the training starts from, and record them."""
        request, resumed = self.request, self.request.resumed
        if request.start_weights:
            load_weights(problem, dict(request.start_weights), source="the Lab's start")
        if resumed is not None and resumed.start_checkpoint_path is not None:
            load_weights(problem, read_weights(resumed.start_checkpoint_path), source=f"run {self.run.id}")
        request.keep_start(problem)
        self._opened.describe(
            fingerprint=fingerprint(problem),
            terms=[term.name for term in terms_of(problem)],
            term_weights=weights_of(problem),
            start_fingerprint=weights_fingerprint(problem),
        )
        self._identified = Identified(request, self._opened)
        self._identified.has_problem(problem)
        start = self._opened.checkpoint("start")
        if self.request.options.checkpoint and not start.exists():
            self._opened.keep(start, partial(save_weights, copy_weights(problem), start, PREFIX))

    def _keep_module(self, module: HookedModule) -> None:
        self.module = module

    def _draw_last(self) -> None:
        self.control.training_over()
        if self.view is not None:
            self.control.phase = "drawing the view"
            self.view.finish(self._opened)

    def _enter(self, phase: str) -> None:
        self.control.check()
        self.control.phase = phase
