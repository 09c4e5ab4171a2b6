"""What watches over a fit in a process of its own: a process that waits for it and does what it can no longer do.

It kills a fit that does not heed a request to stop, ends one whose kernel has long ended, and closes the record of one
that was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from nmlab.data.parts import Part
from nmlab.launch.carrying_out import carry_out
from nmlab.launch.folder import has_ended
from nmlab.launch.seats import Seat, take_seat
from nmlab.runs import Run, RunWriter
from nmlab.runs.layout import GUARD
from nmlab.runs.live import Live
from nmlab.runs.lock import RunLock

PATIENCE = 5.0
"""Seconds after a request to stop from which on a fit that does not heed it is killed."""

EVERY = 0.05
"""Seconds between two looks."""

KILLED = "It did not come to a batch boundary within 5 s of the request to stop, so its process was killed."

ALONE = "Its kernel had ended {:g} s before, and no Lab had taken the run over."


def guard(connection: Connection) -> NoReturn:
    """Fork the process of a fit and watch over it until it has ended; the main function of a forked server."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _guard(connection)
        code = 0
    except EOFError:  # who asked has ended
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _guard(connection: Connection) -> None:
    head: dict[str, Any] = connection.recv()
    folder = Path(head["folder"])
    with tempfile.TemporaryDirectory(prefix="nmlab-") as meets:
        devices: list[int | None] = head["devices"]
        seats = [Seat(Part(rank, len(devices)), device, Path(meets) / "meets") for rank, device in enumerate(devices)]
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writes)
            os.read(reads, 1)
            os.close(reads)
            carry_out(connection, folder, seats[0] if len(seats) > 1 else None)
        connection.close()
        os.close(reads)
        followers = [_follower(seat, folder, writes) for seat in seats[1:]]
        lock = RunLock(folder / GUARD)  # before the fit takes the run over, so that the run never looks dead
        os.write(writes, b".")
        os.close(writes)
        try:
            status = _wait(child, followers, Live(folder), head["outlives"])
            _kill(child)  # what the fit itself has started, such as processes that load data
            for follower in followers:
                follower.end()
            _settle(folder, status)
            Live(folder).end()
        finally:
            lock.release()


class _Follower:
    """A process that follows in a fit."""

    def __init__(self, pid: int, seat: Seat) -> None:
        self.pid, self._seat, self._ended = pid, seat, False

    def look(self) -> None:
        """Tell the others if it has ended by itself."""
        if not self._ended:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._ended = bool(ended)
            if ended and status:
                self._seat.ended(_how(status))

    def end(self) -> None:
        """End it, and what it has started."""
        _kill(self.pid)
        if not self._ended:
            os.waitpid(self.pid, 0)
            self._ended = True


def _follower(seat: Seat, folder: Path, writes: int) -> _Follower:
    pid = os.fork()
    if pid == 0:
        os.close(writes)
        take_seat(seat, folder)
    return _Follower(pid, seat)


def _kill(leader: int) -> None:
    """Kill all processes of a group; that of a process which has had no time to make one is killed alone."""
    with suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _wait(child: int, followers: list[_Follower], live: Live, outlives: float | None) -> int:
    """Wait until a fit has ended, and return how, as `os.waitpid` does."""
    stopped = alone = None
    looked = 0.0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        for follower in followers:
            follower.look()
        now = time.monotonic()
        live.asked.changed()
        asked = live.asked.content
        if asked.get("stop"):
            stopped = stopped or now
            if now - stopped > PATIENCE and not _heeds(live):
                _kill(child)
        if outlives is not None and now - looked > min(1.0, outlives / 2):
            looked = now
            alone = (alone or now) if has_ended(asked.get("attached") or {}) else None
            if alone is not None and now - alone > outlives and not asked.get("stop"):
                live.ask(stop=True, why=ALONE.format(outlives))
        time.sleep(EVERY)


def _heeds(live: Live) -> bool:
    """Return whether a fit puts everything in order after a request to stop, and can still say so."""
    live.said.changed()
    written = live.said.written
    return bool(live.said.content.get("heeded")) and written is not None and time.time() - written < PATIENCE


def _settle(folder: Path, status: int) -> None:
    """Close the record of a fit that could not."""
    run = Run(folder)
    live = Live(folder)
    live.asked.changed()
    stopped = bool(live.asked.content.get("stop"))
    if run.settings_damage or run.status != "running" or status == 0:
        return
    writer = RunWriter(folder, None)
    after = f"after epoch {run.epochs - 1}" if run.epochs else "before its first epoch had ended"
    if stopped:
        writer.update(remark=" ".join(filter(None, [run.remark, KILLED])))
        writer.log(KILLED)
        writer.close("stopped")
    else:
        told = f"the process of this run {_how(status)} {after}"
        writer.log(f"{told}.")
        writer.close("failed", {"type": "RunError", "message": told, "traceback": told})


def _how(status: int) -> str:
    """Return how a process ended, as `os.waitpid` has it."""
    if not os.WIFSIGNALED(status):
        return f"ended with exit code {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    memory = ", as the system does where memory runs out," if number == signal.SIGKILL else ""
    return f"was ended by signal {number} ({signal.Signals(number).name}){memory}"
