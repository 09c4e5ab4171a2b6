"""A fit in another process, watched and steered through its run's folder: control, progress and view on this side."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import psutil

from nmlab.runs import Run
from nmlab.runs.live import Live
from nmlab.runtime.control import Control
from nmlab.runtime.progress import Progress
from nmlab.training.view import View

PROGRESS = tuple(each.name for each in fields(Progress) if not each.name.startswith(("_", "drawn")))
"""What a fit says of its progress, beside its clock."""


def this_process() -> dict[str, Any]:
    """Return what tells this process from all others, as JSON."""
    return {"host": platform.node(), "pid": os.getpid(), "since": psutil.Process().create_time()}


def has_ended(process: Mapping[str, Any]) -> bool:
    """Return whether a process that `this_process` described has ended; False where it is another machine's."""
    if process.get("host") != platform.node():
        return False
    try:
        there = psutil.Process(int(process.get("pid", -1)))
        return bool(there.create_time() != process.get("since") or there.status() == psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, TypeError):
        return True


class FolderProgress(Progress):
    """Progress that another process reports."""

    _clock, _read, _runs = 0.0, 0.0, False

    def take(self, said: Mapping[str, Any]) -> None:
        """Take in what the fit says."""
        for name in PROGRESS:
            setattr(self, name, said["progress"][name])
        self._clock, self._read, self._runs = said["clock"], time.perf_counter(), not said["paused"]

    def clock(self) -> float:
        """Return the time of the fit in seconds, which stops while it is paused."""
        return self._clock + (time.perf_counter() - self._read if self._runs else 0.0)


class FolderControl(Control):
    """Connection to a fit in another process.

    Requests go into the run's folder, where the fit looks every 50 ms; `take` brings what the fit says of itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress: FolderProgress = FolderProgress()
        self._live: Live | None = None
        self._asked: dict[str, Any] = {}
        self._process: dict[str, Any] = {}
        self._number = 0

    def bind(self, run: Run) -> None:
        """Begin to steer a new training of this run, with all that was asked before."""
        live = Live(run.folder)
        with self._news:
            live.begin(**self._asked, attached=this_process())
            self._live = live

    def attach(self, run: Run) -> None:
        """Steer a training of this run that another process has begun."""
        self._live = Live(run.folder)
        self._live.asked.changed()
        asked = self._live.asked.content
        self._number = max([0, *(asked[what][0] for what in ("mode", "wanted", "view") if what in asked)])
        self._live.ask(attached=this_process())
        self.look()

    def _tell(self, **asked: Any) -> None:
        with self._news:
            self._asked |= asked
            if self._live is not None:
                self._live.ask(**asked)

    def stop(self) -> None:
        """Request a stop at the next batch boundary; after 5 s without one the process is killed."""
        try:
            self._tell(stop=True)
        except OSError:  # a full disk: the process understands a signal as well
            if not self._process or has_ended(self._process) or self._process["host"] != platform.node():
                raise
            os.kill(self._process["pid"], signal.SIGTERM)
        super().stop()

    def _ask(self, pausing: bool = False, stepping: bool = False) -> None:
        super()._ask(pausing, stepping)
        self._number += 1
        self._tell(mode=[self._number, "pause" if pausing else "step" if stepping else "resume"])

    def want(self, **options: Any) -> bool:
        """Change options from the next epoch on; return whether there is one: False once the training has ended."""
        if super().want(**options):
            self._number += 1
            self._tell(wanted=[self._number, self.wanted])
        return not self._over

    def want_view(self, scale: float) -> None:
        """Ask for a picture of the view."""
        self._number += 1
        self._tell(view=[self._number, scale])

    def between_steps(self, call: Callable[[], object]) -> None:
        """Drop the call: nothing of this process can be called in the fit's."""

    # --- what the fit says ---

    def look(self) -> dict[str, Any] | None:
        """Take in what the fit says, and return it if it is news."""
        if self._live is None or not self._live.said.changed():
            return None
        self.take(said := self._live.said.content)
        return said

    def take(self, said: Mapping[str, Any]) -> None:
        """Take in what the fit says of itself."""
        self.progress.take(said)
        self._phase, self._process = (said["phase"], said["phase_began"]), said["process"]
        with self._news:
            self._stopping = self._stopping or said["stopping"]
            self._paused, self._over, self._heeded = said["paused"], said["over"], said["heeded"]
            if said["mode"] >= self._asked.get("mode", [0])[0]:  # else what was asked last is still to arrive there
                self._pausing, self._stepping = said["pausing"], said["stepping"]

    def picture(self) -> bytes | None:
        """Return the newest picture of the view as PNG; None if there is none."""
        return None if self._live is None else self._live.picture()


class FolderView(View):
    """The user's own picture, drawn in the fit's process."""

    def __init__(self, function: Callable[..., Any], control: FolderControl) -> None:
        super().__init__(function, control)
        self._asks = control

    def request(self) -> None:
        """Ask for a picture at the fit's next boundary."""
        self._asks.want_view(self.scale)

    def take(self, said: Mapping[str, Any], png: bytes | None) -> None:
        """Take in what the fit says of its picture, and the picture where there is one."""
        self.png = self.png if png is None else png
        self.width, self.count, self.epoch = said["width"], said["count"], said["epoch"]
        self.seconds, self.error, self.tries = said["seconds"], said["error"], said["tries"]


def say_how_it_stands(control: Control, view: View | None, mode: int) -> dict[str, Any]:
    """Return what a fit says of itself, for `FolderControl.take` and `FolderView.take`; called in the fit's process."""
    progress = control.progress
    said = {
        "process": this_process(),
        "mode": mode,
        "stopping": control.stopping,
        "pausing": control.pausing,
        "stepping": control.stepping,
        "paused": control.paused,
        "heeded": control.heeded,
        "over": control.over,
        "phase": control.phase,
        "phase_began": progress.clock() - control.phase_seconds,
        "clock": progress.clock(),
        "progress": {name: getattr(progress, name) for name in PROGRESS},
        "view": None,
    }
    if view is not None:
        shown = ("width", "count", "epoch", "seconds", "error", "tries")
        said["view"] = {name: getattr(view, name) for name in shown}
    return said
