"""A fit carried out in a process of its own: what happens in that process."""

from __future__ import annotations

import faulthandler
import io
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from nmlab.errors import NonFiniteLossError
from nmlab.fitting.execution import Handed
from nmlab.launch.folder import say_how_it_stands
from nmlab.launch.modules import take_modules
from nmlab.launch.seats import Seat
from nmlab.launch.surroundings import Place
from nmlab.launch.thread import ThreadFit
from nmlab.problem.start import start_of
from nmlab.problem.weights import copy_weights, forget_values
from nmlab.runs.live import Live
from nmlab.runtime.control import StopRequested
from nmlab.runtime.interrupts import raise_here
from nmlab.runtime.pickling import dumps, portable

EVERY = 0.05
"""Seconds between two looks at what is asked."""

SAYS_EVERY = 0.2
"""Seconds between two times that the fit says how it stands."""

RAISES_AFTER = 2.0
"""Seconds after a request to stop from which on a function of the user that goes on is interrupted, every second."""

HELD = 10_000
"""Messages that wait at most for a kernel that does not read them."""


READS_WITHIN = 5.0
"""Seconds that a fit waits for one."""


class Outbox:
    """Sends messages without waiting for whoever reads them; they are dropped when nobody does any more.

    Parameters
    ----------
    connection : Connection
        Where they go.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_read = True
        self._waiting: queue.Queue[bytes | None] = queue.Queue(HELD)
        self._thread = threading.Thread(target=self._send, name="nmlab outbox", daemon=True)
        self._thread.start()

    def _send(self) -> None:
        there = True
        while (message := self._waiting.get()) is not None:
            with suppress(OSError):
                if there:
                    there = False
                    self._connection.send_bytes(message)
                    there = True

    def put(self, *message: Any) -> None:
        """Send a message; wait for whoever reads them if too many do, but not for one who is not reading at all."""
        try:
            self._waiting.put(pickle.dumps(message), timeout=READS_WITHIN if self._is_read else 0.0)
            self._is_read = True
        except queue.Full:
            self._is_read = False

    def close(self, *message: Any) -> None:
        """Send a last message and wait until everything is sent."""
        with suppress(queue.Full):
            self._waiting.put(dumps(message), timeout=60.0)
            self._waiting.put(None, timeout=60.0)
            self._thread.join(60.0)


class Echo(io.TextIOBase):
    """A stream whose text goes to the process that asked for the fit.

    Parameters
    ----------
    outbox : Outbox
        What sends it.
    name : {'stdout', 'stderr'}
        The stream of that process.
    """

    def __init__(self, outbox: Outbox, name: str) -> None:
        self._outbox, self._name = outbox, name

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Send text."""
        self._outbox.put("output", self._name, text)
        return len(text)


def carry_out(connection: Connection, folder: Path, seat: Seat | None) -> NoReturn:
    """Carry out the fit that is sent over a connection; the main function of the process.

    Parameters: `seat`, its place among the processes of a fit on several devices, which it leads.
    """
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGUSR1, raise_here)
        log = (folder / "log.txt").open("ab", buffering=0)  # as long as the process
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        faulthandler.enable(log)
        _carry_out(connection, folder, seat)
        code = 0
    except EOFError:  # who asked has ended before the fit began
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        with suppress(Exception):
            sys.__stderr__.flush()  # type: ignore[union-attr]
        os._exit(code)


def _carry_out(connection: Connection, folder: Path, seat: Seat | None) -> None:
    ranks = None
    try:
        place: Place = connection.recv()
        content = connection.recv_bytes()
        place.take()
        sent = pickle.loads(content)
        take_modules(sent["modules"])
        if seat is not None:
            ranks = seat.join()
            ranks.broadcast((place, sent["modules"], sent["surroundings"]))
    except EOFError:
        raise
    except BaseException as error:
        connection.send_bytes(dumps(("refused", portable(error), traceback.format_exc())))
        return
    connection.send_bytes(dumps(("ready",)))
    handed: Handed = connection.recv()
    outbox = Outbox(connection)
    sys.stdout, sys.stderr = Echo(outbox, "stdout"), Echo(outbox, "stderr")
    live = Live(folder)
    with sent["surroundings"].held():
        if seat is not None:
            seat.share_threads()
        fit = ThreadFit(sent["request"], handed, ranks)
        fit.control.blocking = True
        signal.signal(signal.SIGTERM, lambda *_: fit.control.stop())
        steering = Steering(fit, live)
        told: dict[str, Any] = {"error": None, "traceback": ""}
        fit.start()
        steering.start()
        try:
            fit.wait()
        except (KeyboardInterrupt, StopRequested):
            pass
        except BaseException as error:
            told["traceback"] = "".join(traceback.format_exception(error))
            if isinstance(error, NonFiniteLossError):
                error.run = None
            told["error"] = portable(error)
        told |= _outcome(fit)
        told["said"], told["png"] = steering.end()
    outbox.close("done", told)


def _outcome(fit: ThreadFit) -> dict[str, Any]:
    """Return what the fit made that its run's folder may not hold."""
    request, problem = fit.request, fit.problem
    found: dict[str, Any] = {"weights": None, "problem": None, "elsewhere": dict(fit.run.elsewhere)}
    found["logged"] = {} if fit.module is None else dict(fit.module.last_metrics)
    found["held"], found["gaps"] = dict(fit.run.held), list(fit.run.gaps)
    found["start_weights"] = dict(request.start_weights) if request.start_weights is not None else None
    if problem is not None:
        found["weights"] = copy_weights(problem)
        if request.problem is not problem:
            found["start"] = start_of(problem).weights
            forget_values(problem)
            with suppress(Exception):  # then it is built there, and these weights loaded
                found["problem"] = dumps(problem)
    return found


class Steering:
    """Passes on to a fit what its run's folder asks, and says there how it stands; in a thread.

    Parameters
    ----------
    fit : ThreadFit
        The fit, carried out in the main thread.
    live : Live
        The files.
    """

    def __init__(self, fit: ThreadFit, live: Live) -> None:
        self._fit, self._live = fit, live
        self._done = {"mode": 0, "wanted": 0, "view": 0}
        self._ended = threading.Event()
        self._stopped: float | None = None
        self._raised = 0.0
        self._said = ""
        self._said_at = 0.0
        self._saying = threading.Lock()
        self._pictures = 0
        self._thread = threading.Thread(target=self._steer, name="nmlab steering", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._fit.control.on_phase = self._say_phase
        self._thread.start()

    def end(self) -> tuple[dict[str, Any], bytes | None]:
        """End, and return what was said last and the last picture."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        view = self._fit.view
        return say_how_it_stands(self._fit.control, view, self._done["mode"]), None if view is None else view.png

    def _steer(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                if self._live.asked.changed():
                    self._pass_on(self._live.asked.content)
                self._insist()
                with self._saying:
                    self._say()
            except OSError:  # a full disk, say; the next look may go well
                pass
            except Exception:
                traceback.print_exc(file=sys.__stderr__)

    def _pass_on(self, asked: dict[str, Any]) -> None:
        control, view = self._fit.control, self._fit.view
        calls: dict[str, Callable[[Any], object]] = {
            "wanted": lambda options: control.want(**options),  # first: it holds from the epoch on that is resumed
            "mode": lambda what: {"pause": control.pause, "step": control.step, "resume": control.resume}[what](),
        }
        if view is not None:

            def draw(scale: float) -> None:
                view.scale = scale
                view.request()

            calls["view"] = draw
        for what, call in calls.items():
            number, value = asked.get(what, (0, None))
            if number > self._done[what]:
                call(value)
                self._done[what] = number
        if asked.get("stop") and self._stopped is None:
            self._stopped = time.monotonic()
            if why := asked.get("why"):
                self._fit.close_with(str(why))
            control.stop()

    def _insist(self) -> None:
        """Interrupt a function of the user that goes on after a request to stop, as ■ does."""
        now = time.monotonic()
        if self._stopped is None or now - self._stopped < RAISES_AFTER:
            return
        if now - self._raised >= 1.0:
            self._raised = now
            os.kill(os.getpid(), signal.SIGUSR1)

    def _say_phase(self) -> None:
        """Say at once what begins, as it may keep all threads from running; parts of epochs can wait."""
        if self._fit.control.phase not in ("training", "dev pass"):
            with suppress(OSError), self._saying:
                self._say(at_once=True)

    def _say(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if now - self._said_at < SAYS_EVERY and not at_once:
            return
        said = say_how_it_stands(self._fit.control, self._fit.view, self._done["mode"])
        beats = self._stopped is not None and now - self._said_at > 1.0
        if not beats and _steady(said) == self._said:
            return
        view, png = self._fit.view, None
        if view is not None and view.count != self._pictures:
            self._pictures, png = view.count, view.png
        self._live.say(said, png)
        self._said, self._said_at = _steady(said), now


def _steady(said: dict[str, Any]) -> str:
    """Return what is said, without what changes with time alone, to be compared."""
    return repr({name: value for name, value in said.items() if name not in ("clock", "phase_began")})
