"""Fits of one process that go on in turns, some epochs each.

A machine may be twice as fast a few seconds later. What is to be compared must lie closer together than two fits do,
and beginning and ending are left out this way too.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from neuromancer.problem import Problem

from tests.benchmark.timing import Taken, Timings, in_a_line, now, rotated

TURN = 0.25
"""Seconds of a turn, where an epoch is not longer."""

Pace = Callable[[Problem], Problem]
"""Makes a Problem's fit wait for its turn."""


class Enough(BaseException):
    """Ends a fit that has had its last turn."""


class Lane:
    """A fit in a thread of its own, which stands where an epoch begins until it may go on.

    Parameters: `fit`, called with a `Pace` for its Problem; it is to dev-score every epoch.
    """

    def __init__(self, fit: Callable[[Pace], object]) -> None:
        self._fit = fit
        self._left = 0
        self._over = False
        self._error: Exception | None = None
        self._may_go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin the fit, and return when it stands at its first epoch."""
        self._thread.start()
        self._stands.acquire()
        self._raise_what_ended_it()

    def go_on(self, epochs: int) -> Taken:
        """Let it train so many epochs and return what they took together."""
        self._left = epochs
        start = now()
        self._may_go.release()
        self._stands.acquire()
        taken = now() - start
        self._raise_what_ended_it()
        return taken

    def end(self) -> None:
        """End the fit, if it was begun."""
        self._over = True
        self._may_go.release()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._fit(self._paced)
        except Enough:
            return
        except Exception as error:
            self._error = error
        else:
            self._error = RuntimeError("the fit came to an end before the measuring did")
        self._stands.release()

    def _raise_what_ended_it(self) -> None:
        if self._error is not None:
            raise self._error

    def _paced(self, problem: Problem) -> Problem:
        step, trained = problem.step, False

        def paced(batch: dict[str, Any]) -> Any:
            nonlocal trained
            if problem.training and not trained:  # the first batch, or the first after a dev pass
                self._wait()
            trained = problem.training
            return step(batch)

        problem.step = paced
        return problem

    def _wait(self) -> None:
        if self._left == 0:
            self._stands.release()
            self._may_go.acquire()
            if self._over:
                raise Enough
        self._left -= 1


def in_turns(
    fits: Mapping[str, Callable[[Pace], object]], rounds: int, seconds: float, may_fail: Iterable[str] = ()
) -> Timings:
    """Time an epoch of each in `rounds` of about `seconds`, all taking turns throughout.

    A first turn warms up and says how many epochs are a turn. One of `may_fail` that raises is left out, with what it
    raised noted.
    """
    timings = Timings()
    lanes = {name: Lane(fit) for name, fit in fits.items()}
    try:
        for name, lane in list(lanes.items()):
            try:
                lane.start()
                lane.go_on(1)
                timings.epochs[name] = max(1, round(TURN / lane.go_on(1).wall))
            except Exception as error:
                if name not in may_fail:
                    raise
                timings.failed[name] = in_a_line(error)
                del lanes[name]
        timings.taken = {name: [] for name in lanes}
        for _ in range(rounds):
            for name, taken in _round(lanes, timings.epochs, seconds).items():
                timings.taken[name].append(taken)
    finally:
        for lane in lanes.values():
            lane.end()
    return timings


def _round(lanes: Mapping[str, Lane], epochs: Mapping[str, int], seconds: float) -> dict[str, Taken]:
    """Let all take as many turns as lie nearest to `seconds`, at least one, and return what an epoch took."""
    names = list(lanes)
    together = dict.fromkeys(names, Taken(0.0, 0.0))
    turns, taken = 0, 0.0
    while not turns or taken * (1 + 0.5 / turns) < seconds:
        for name in rotated(names, turns):
            together[name] += lanes[name].go_on(epochs[name])
        turns, taken = turns + 1, sum(one.wall for one in together.values())
    return {name: together[name] / (turns * epochs[name]) for name in names}
