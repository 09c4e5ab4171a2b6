"""A fit in a process of its own, as it is seen from the process that asked for it."""

from __future__ import annotations

import pickle
import sys
import threading
import time
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from neuromancer.problem import Problem

from nmlab.errors import NmlabError, NonFiniteLossError, RunError
from nmlab.fitting.execution import Execution
from nmlab.fitting.prepare import build_problem
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit, RemoteFit
from nmlab.launch.folder import FolderControl, FolderView, has_ended, this_process
from nmlab.launch.modules import own_modules
from nmlab.launch.packing import packed
from nmlab.launch.server import Server, server
from nmlab.launch.surroundings import Place, Surroundings
from nmlab.problem.lazy import has_lazy
from nmlab.problem.start import start_of
from nmlab.problem.weights import fingerprint, forget_values, load_weights, read_weights
from nmlab.runs import Run
from nmlab.runs.live import Live
from nmlab.runtime import one_fit
from nmlab.runtime.control import StopRequested
from nmlab.runtime.rng import RandomStreams
from nmlab.runtime.worker import WorkerThread, stays_behind
from nmlab.training.view import View

OUTLIVES = 600.0
"""Seconds that a fit goes on after its kernel has ended, where no Lab takes its run over."""

EVERY = 0.05
"""Seconds between two looks at what the fit says."""

COLD, WARM = "starting the first process, which loads PyTorch and NeuroMANCER", "starting its process"
"""Phases before the fit's own."""

COPIES = (
    "This run has copies of {} in its process: what they collect, print or change there does not reach those of this "
    "kernel."
)

SHARED = (
    "devices={}: so many processes share each batch, and the threads of one. The log marks what others than the first "
    "print."
)

HELD_BY_OTHER = (
    "The Problem was not given the weights of run {}, because another fit trains it: run.restore(problem) loads them."
)


class InProcess(Exception):  # noqa: N818 - the cause of an error, which shows where it was raised
    """The traceback of an error that was raised in the process of a fit."""


class ProcessFit(RemoteFit):
    """One fit in a process of its own, from its request to its record.

    The process writes the run's folder; this object reads it. Other fits may run beside it.

    Parameters
    ----------
    request : FitRequest
        What to fit, as `FitRequest.checked` returns it.
    attached : Run, optional
        A run that goes on already, begun by a kernel that has ended; default: one is begun.
    """

    control: FolderControl

    def __init__(self, request: FitRequest, attached: Run | None = None) -> None:
        super().__init__(request, FolderControl())
        self._execution = Execution(request, self.control)
        self._attached = attached
        self._view = None if request.view is None else FolderView(request.view, self.control)
        self._handed = False
        self._place: Place | None = None
        self._content = b""

    @property
    def run(self) -> Run:
        """The run's record; there from `start` on."""
        return self._execution.run if self._attached is None else self._attached

    @property
    def view(self) -> View | None:
        """The user's own picture."""
        return self._view

    def _say_in_log(self, remark: str) -> None:
        self._execution.remarks.append(remark)

    # --- its process ---

    def _claim(self) -> None:
        """Reserve nothing: a fit in a process of its own leaves this one free."""

    def _release(self) -> None:
        """Free nothing."""

    def _stop_users_code(self, worker: WorkerThread[Run]) -> None:
        """Do nothing: the fit's own process and what watches over it end a function of the user."""

    def _begin(self) -> None:
        if self._attached is not None:
            self.control.attach(self.run)
        else:
            self._pack()
            self._execution.open()
            self.control.bind(self.run)
        self.control.name = f"run {self.run.id}"

    def _pack(self) -> None:
        """Make what is sent to the process; raises `FieldError` where something cannot be sent."""
        request, options = self.request, self.request.options
        if behind := stays_behind():
            self._execution.remarks.append(f"In the process of this fit does not hold: {', '.join(behind)}.")
        given = {"callbacks": options.callbacks, "loggers": options.loggers, "the hooks": request.user_hooks}
        if copied := [name for name, value in given.items() if value]:
            self._execution.remarks.append(COPIES.format(" and ".join(copied)))
        if len(self._devices()) > 1:
            self._execution.remarks.append(SHARED.format(options.devices))
        if self._problem is not None and one_fit.current() is None:
            forget_values(self._problem)
        self._place = Place.here()
        self._content = packed(request, surroundings=Surroundings.here(), modules=own_modules())

    def _abandon(self, error: BaseException) -> None:
        if self._execution.opened and not self._handed:
            self._execution.close("failed", error)

    def _perform(self) -> Run:
        try:
            told = self._talk() if self._attached is None else self._watch()
        except StopRequested:  # by a second interrupt; the process ends as soon as its guard lets it wait no longer
            told = self._watch() if self._handed else {}
        self._content = b""
        self._take_in(told)
        if (error := told.get("error")) is not None:
            if isinstance(error, NonFiniteLossError):
                error.run = self.run
            if told.get("traceback"):
                error.__cause__ = InProcess(f"\n{told['traceback']}")
            raise error
        return self.run

    def _talk(self) -> dict[str, Any]:
        """Have the fit carried out and return what its process tells in the end; {} where that tells nothing."""
        connection: Connection | None = None
        try:
            started = server()
            self.control.phase = WARM if started.is_warm else COLD
            connection = started.fork()
            threading.Thread(target=self._send, args=[connection], name="nmlab sending", daemon=True).start()
            return self._follow(connection, started)
        except BaseException as error:
            if not self._handed:
                stopped = isinstance(error, StopRequested)
                self._execution.close("stopped" if stopped else "failed", None if stopped else error)
            raise
        finally:
            if connection is not None:
                connection.close()

    def _send(self, connection: Connection) -> None:
        """Send what the fit is made of, which blocks until the process reads it."""
        outlives = None if self.request.options.keep_running else OUTLIVES
        with suppress(OSError):  # it ended, or was stopped before
            connection.send({"folder": str(self.run.folder), "outlives": outlives, "devices": self._devices()})
            connection.send(self._place)
            connection.send_bytes(self._content)

    def _devices(self) -> list[int | None]:
        """Return the GPU of each process, None for the CPU."""
        options = self.request.options
        gpus = options.resolved_accelerator() == "cuda"
        return [number if gpus else None for number in options.resolved_devices()]

    def _follow(self, connection: Connection, started: Server) -> dict[str, Any]:
        while True:
            self._look()
            if self.control.stopping and not self._handed:
                self._execution.close("stopped")
                return {}
            if not connection.poll(EVERY):
                continue
            try:
                kind, *content = pickle.loads(connection.recv_bytes())
            except (EOFError, OSError):
                return self._lost(started)
            if kind == "ready":
                started.is_warm = True
                self._handed = True
                self._execution.hand_over()
                with suppress(OSError):  # then the next look finds it gone
                    connection.send(self._execution.handed)
            elif kind == "output" and self.request.echo:
                getattr(sys, content[0]).write(content[1])
            elif kind == "refused":
                error, text = content
                error.__cause__ = InProcess(f"\n{text}")
                error.add_note("What the fit is made of could not be read in its process.")
                raise error
            elif kind == "done":
                return dict(content[0])

    def _lost(self, started: Server) -> dict[str, Any]:
        """Return how a fit ended whose process ended without a word."""
        if not self._handed:
            output = "" if started.alive else started.output()
            raise RunError(f"The process of run {self.run.id} ended before the fit began.{output}")
        return self._watch()

    def _watch(self) -> dict[str, Any]:
        """Wait until the record says how the run ended, and return that."""
        while (status := self.run.status) == "running":
            self._look()
            time.sleep(EVERY)
        if status in ("finished", "stopped"):
            return {}
        why = self.run.error if self._attached is not None else (self.run.error or "").removeprefix("RunError: ")
        return {"error": RunError(f"Run {self.run.id}: {why or 'its process ended without a word'}. See its log.")}

    def _look(self) -> None:
        """Take in what the fit says of itself."""
        if (said := self.control.look()) is not None:
            self._show_view(said)

    def _show_view(self, said: dict[str, Any], png: bytes | None = None) -> None:
        if self._view is not None and said["view"] is not None:
            news = png is None and said["view"]["count"] != self._view.count
            self._view.take(said["view"], self.control.picture() if news else png)

    # --- its result ---

    def _take_in(self, told: dict[str, Any]) -> None:
        """Have this process as it would be after a fit of its own: weights, what no disk took, the last picture."""
        run = self.run
        self.control.training_over()
        if "said" in told:
            self.control.take(told["said"])
            self._show_view(told["said"], told["png"])
            run.elsewhere |= told["elsewhere"]
            run.held |= told["held"]
            run.gaps += told["gaps"]
            self.logged = told["logged"]
        starts = self.request.start_weights
        if starts is not None and not starts and told.get("start_weights"):
            starts.update(told["start_weights"])
        if told.get("start") is not None:
            self._problem = self._built(told)
        problem, weights = self._problem, told.get("weights")
        if weights is None and run.checkpoint_path is not None:
            weights = read_weights(run.checkpoint_path)
        if problem is None or weights is None or not self._fits(problem):
            return
        start = start_of(problem)
        if start.is_fitted:
            warnings.warn(HELD_BY_OTHER.format(run.id), stacklevel=2)
            return
        start.begin_fit()
        try:
            load_weights(problem, weights, source=f"run {run.id}")
        finally:
            start.end_fit(problem, run.id)
        run.problem = problem

    def _built(self, told: dict[str, Any]) -> Problem:
        """Return the Problem that a builder made in the fit's process, with its start weights."""
        if told["problem"] is not None:
            problem: Problem = pickle.loads(told["problem"])
        else:
            assert not isinstance(self.request.problem, Problem)
            assert self.request.seed is not None
            streams = RandomStreams(self.request.seed)
            problem = build_problem(self.request.problem, streams, self.request.problem_kwargs)
        load_weights(problem, told["start"], source=f"the start of run {self.run.id}")
        return problem

    def _fits(self, problem: Problem) -> bool:
        """Return whether the run trained this Problem, or one of its shape."""
        return self._attached is None or (
            not has_lazy(problem) and self.run.settings.get("fingerprint") == fingerprint(problem)
        )


def take_up(run: Run, request: FitRequest) -> Fit | None:
    """Return the fit of a run that goes on in a process whose kernel has ended; None for any other run.

    Parameters
    ----------
    run : Run
        The run.
    request : FitRequest
        What it is made of, as far as this process knows.
    """
    live = Live(run.folder)
    if run.damage is not None or run.status != "running" or not live.asked.changed():
        return None
    watcher = live.asked.content.get("attached") or {}
    if not has_ended(watcher) and watcher != this_process():
        return None
    with suppress(NmlabError, OSError):
        return ProcessFit(request, attached=run).start()
    return None
