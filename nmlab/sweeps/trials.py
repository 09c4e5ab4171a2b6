"""The trials of a sweep carried out: one after the other in the caller's thread, or several at once in processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from nmlab.errors import BusyError, FieldError, RunError
from nmlab.launch.base import Fit
from nmlab.problem.weights import copy_weights, read_weights
from nmlab.runs import Run
from nmlab.runs.shown import shorten, value_text
from nmlab.runtime.text import number_text
from nmlab.sweeps.plan import Plan, Trial
from nmlab.sweeps.result import Sweep
from nmlab.sweeps.sampler import Draw, TrialSampler

POLL = 0.02
"""Seconds between two looks at trials in processes."""

PRUNED = "Pruned after {} epoch{}: its {} {} was no match for the other trials' then."


@dataclass
class Going:
    """A trial that goes on: `number`; `draw`; `said`, what is told of it; `fit`, once it is made."""

    number: int
    draw: Draw
    said: str
    fit: Fit | None = None
    pruned: str = ""
    """Why it was ended early, or ''."""
    seen: int = 0
    """How many epochs the pruner knows."""


@dataclass
class Doing:
    """What a sweep's trials are made by.

    Parameters: `sweep`, which takes the runs in; `plan`; `search`; `fit_of`, makes a trial's fit; `begun`, is given it
    once it goes on; `say`, is given a line a trial; `goes_on`, is asked after each trial, with the best value.
    """

    sweep: Sweep
    plan: Plan
    search: TrialSampler
    fit_of: Callable[[Trial, int], Fit]
    begun: Callable[[Fit], object]
    say: Callable[[str], object]
    goes_on: Callable[[float | None], bool]


@dataclass
class Trials:
    """Fits trials, and keeps the best one's weights; parameters: `doing`."""

    doing: Doing
    best_value: float | None = None
    best_weights: dict[str, torch.Tensor] | None = None
    best: Run | None = None
    _error: Exception | None = None
    _going: list[Going] = field(default_factory=list)

    @property
    def at_rest(self) -> bool:
        """Whether no trial goes on, as one does after a second interrupt."""
        return all(each.fit is None or each.fit.done for each in self._going)

    def one_by_one(self) -> None:
        """Carry out all trials in the caller's thread."""
        before: Fit | None = None
        for number in range(1, self.doing.search.total + 1):
            going = self._asked(number)
            self._going = [going]

            def carry_out(going: Going = going, before: Fit | None = before) -> Run:
                fit = self._made(going)
                fit.control.after_epoch = partial(self._judge, going)
                return fit.run_to_end(before, partial(self._begun, fit))

            try:
                goes_on = self._ended(going, carry_out)
            except KeyboardInterrupt:
                if going.fit is not None and going.fit.done:
                    self._take(going.fit.run)
                raise
            before = going.fit or before
            if not (goes_on and self.doing.goes_on(self.best_value)):
                return

    def at_once(self, count: int) -> None:
        """Carry out all trials, so many at once, each in a process of its own."""
        number, goes_on = 0, True
        try:
            while self._going or (goes_on and number < self.doing.search.total):
                while goes_on and number < self.doing.search.total and len(self._going) < count:
                    number += 1
                    going = self._asked(number)
                    self._going.append(going)
                    try:
                        fit = self._made(going).start()
                    except Exception as error:
                        goes_on = self._ended(going, partial(_raise, error))
                        self._going.remove(going)
                    else:
                        self._begun(fit)
                for going in [*self._going]:
                    assert going.fit is not None
                    if going.fit.done:
                        goes_on = self._ended(going, going.fit.wait) and self.doing.goes_on(self.best_value) and goes_on
                        self._going.remove(going)
                        if not goes_on:
                            self._stop_all()
                    else:
                        self._judge(going)
                time.sleep(POLL)
        except BaseException:
            self._stop_all()
            while not self.at_rest:
                time.sleep(POLL)
            raise

    def _stop_all(self) -> None:
        for going in self._going:
            if going.fit is not None and not going.fit.done:
                going.fit.control.stop()

    def _asked(self, number: int) -> Going:
        said = f"{self.doing.sweep.name}: trial {number} of {self.doing.search.total}"
        return Going(number, self.doing.search.ask(), said)

    def _made(self, going: Going) -> Fit:
        trial = self.doing.plan.trial(going.draw.params)
        going.said += f" ({', '.join(f'{name} {text(value)}' for name, value in trial.parameters.items())})"
        going.fit = self.doing.fit_of(trial, going.number)
        return going.fit

    def _begun(self, fit: Fit) -> None:
        self.doing.sweep.add(fit.run)
        self.doing.begun(fit)

    def _judge(self, going: Going) -> None:
        """Tell the pruner of the epochs that have ended, and stop a trial that is hopeless."""
        if going.fit is None or going.pruned or not self.doing.search.prunes:
            return
        run, metric = going.fit.run, self.doing.sweep.metric
        epochs, values = run.curve(metric)
        for epoch, value in [*zip(epochs, values, strict=True)][going.seen :]:
            going.seen += 1
            if self.doing.search.is_hopeless(going.draw, int(epoch), value):
                going.pruned = PRUNED.format(int(epoch) + 1, "s" * (epoch > 0), metric, number_text(value))
                going.fit.control.stop()
                return

    def _ended(self, going: Going, carry_out: Callable[[], Run]) -> bool:
        """Take in what came of a trial; return whether the sweep may go on, which it does unless that was stopped."""
        doing, said = self.doing, ""
        value: float | None = None
        stopped = False
        try:
            run = carry_out()
        except (BusyError, RunError):  # not the trial's doing
            raise
        except Exception as error:
            if isinstance(error, FieldError) and "monitor" in error.faults:
                raise  # the same for every trial
            if going.fit is not None and _has_run(going.fit) and going.fit.run is not self.best:
                going.fit.run.problem = None
            self._error = error
            said = f"failed, {shorten(f'{type(error).__name__}: {error}', 200)}"
        else:
            value = doing.sweep.value(run)
            better = self._take(run)
            said = f"{doing.sweep.metric} {number_text(value) or 'unknown'}{', the best so far' * better}"
            if run.status == "stopped" and going.pruned:
                doing.sweep.store.say_pruned(run, going.pruned)
                said += "; pruned"
            elif run.status == "stopped":
                stopped, said = True, f"{said}; stopped, and the sweep with it"
        if not stopped:
            doing.search.tell(going.draw, value, pruned="; pruned" in said)
        doing.say(f"{going.said}: {said}")
        return not stopped

    def _take(self, run: Run) -> bool:
        """Keep a run's weights where it is the best so far; return whether it is."""
        sweep = self.doing.sweep
        if run is self.best:
            return True
        value = sweep.value(run)
        if value is None:
            metric, known = sweep.metric, [*run.columns[1:], *run.test_metrics]
            if metric not in known and run.status == "finished":
                fault = f"{metric!r} is no metric of run {run.id}; there are: {', '.join(known)}"
                raise FieldError({"metric.name": fault}, subject="This sweep cannot go on")
        better = value is not None and (
            self.best_value is None or (value > self.best_value if sweep.mode == "max" else value < self.best_value)
        )
        if better and (run.problem is not None or run.checkpoint_path is not None):
            if self.best is not None:
                self.best.problem = None
            self.best, self.best_value = run, value
            # of several trials at once, each puts its weights into the Problem
            read = run.checkpoint_path if len(self._going) > 1 else None
            self.best_weights = copy_weights(run.problem) if read is None and run.problem is not None else None
            if self.best_weights is None and run.checkpoint_path is not None:
                self.best_weights = read_weights(run.checkpoint_path)
        else:
            run.problem = None  # a Problem given holds another trial's weights in the end, one built is let go of
        return better

    def raise_if_all_failed(self) -> None:
        """Raise what ended the last trial, where none came to its end."""
        if self.best is None and self._error is not None:
            name = self.doing.sweep.name
            self._error.add_note(f"No trial of the sweep {name!r} came to its end; this ended the last one.")
            raise self._error


def _has_run(fit: Fit) -> bool:
    try:
        return fit.run is not None
    except RunError:  # its folder was not made
        return False


def _raise(error: Exception) -> Any:
    raise error


def text(value: Any) -> str:
    """Return a parameter's value as text."""
    return number_text(value) if isinstance(value, float) else value_text(value)
