"""The state of a run as text, and how often the bench is drawn."""

from __future__ import annotations

import time
from html import escape

from nmlab.runs import Run
from nmlab.runtime.control import Control
from nmlab.runtime.text import duration_text, typeset_number

SHARE = 0.03
"""The share of time that drawing may take in a long run."""

BYTES_A_SECOND = 60_000
"""What drawing may send; where it is more, it draws less often."""

SHORT = 30.0
"""Seconds up to which a run is short, and drawn every two seconds at least."""

LONG = 2.0
"""Seconds after which a phase of a run tells how long it has been going on."""


class Pace:
    """Says when to draw again: soon after fast and small drawings, later after slow or large ones.

    A drawing that took 45 ms is followed by the next after 1.5 s, which is 3 % of the time; in the first 30 s of a run,
    no later than after 2 s.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin again, as with a new run: the next drawing is due at once."""
        self._next = 0.0
        self._began = time.perf_counter()

    def due(self) -> bool:
        """Whether it is time to draw."""
        return time.perf_counter() >= self._next

    def drew(self, seconds: float, size: int = 0, hurry: bool = True) -> None:
        """Record the duration and the size of a drawing.

        Parameters
        ----------
        seconds : float
            Duration of the drawing.
        size : int, default 0
            Number of bytes to send.
        hurry : bool, default True
            Whether to draw at least every two seconds in a short run, even if drawing is slow.
        """
        now = time.perf_counter()
        wait = max(seconds / SHARE, 0.2)
        if hurry and now - self._began < SHORT:
            wait = min(wait, 2.0)
        self._next = now + max(wait, size / BYTES_A_SECOND)


def state_of(run: Run, control: Control, done: bool) -> str:
    """Return how a run stands: its status, or 'stopping', 'pausing' or 'paused' while it goes."""
    if done:
        return run.status
    if control.stopping:
        return "stopping"
    if control.paused:
        return "paused"
    return "pausing" if control.pausing else "running"


def state_words(run: Run, control: Control, done: bool) -> str:
    """Return how a run stands in a few words, such as 'running: making the data'."""
    state = state_of(run, control, done)
    if state in ("stopping", "pausing"):
        return f"{state} after {_AFTER.get(control.phase, 'this batch')}"
    if (
        state == "running"
        and control.phase != "training"
        and not (control.phase == "dev pass" and _quick(run, control))
    ):
        return f"running: {control.phase}"
    return state


def _quick(run: Run, control: Control) -> bool:
    """Tell whether epochs are so short that naming their parts would only flicker."""
    seconds = run.seconds if run.epochs else control.progress.clock() - control.progress.started
    return seconds / max(run.epochs, 1) < 2.0


_AFTER = {
    "building the Problem": "the Problem is built",
    "making the data": "the data are made",
    "trying out the data": "the data were tried out",
}
_MARKS = {
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "stopping": "…",
    "pausing": "…",
    "paused": "❙❙",
    "running": "▶",
}
_COLOURS = {"failed": "#c0392b", "running": "#0072B2", "finished": "#0072B2"}


def progress_html(run: Run, control: Control, done: bool) -> str:
    """Return one run's state as HTML: a bar, epoch, pace, time left; afterwards how it ended."""
    progress = control.progress
    state = state_of(run, control, done)
    called = run.id if run.name in run.id else f"{run.id} “{run.name}”"
    stands = state_words(run, control, done)
    words = [f"{_MARKS.get(state, '•')} <b>{escape(called)}</b> {escape(stands)}"]
    # Words that change are messages, by which a server tells the kernel of a fit that nobody watches from an idle one.
    # While it plainly trains, the time left changes.
    changes = stands == "running" and progress.seconds_left is not None
    if not (done or changes or state == "paused") and control.phase_seconds >= LONG:
        words.append(duration_text(control.phase_seconds))
    if progress.max_epochs and progress.started:
        words.append(f"{run.epochs} of {progress.max_epochs} epochs")
    if not done:
        if pace := progress.samples_per_second:
            words.append(f"{pace:,.0f} samples/s")
        if (left := progress.seconds_left) is not None:
            words.append(f"{duration_text(left)} left")
        if progress.loss == progress.loss:  # not NaN
            words.append(f"train loss {typeset_number(progress.loss, 4)}")
    else:
        words.append(duration_text(run.seconds))
    if run.best_value is not None:
        words.append(f"best {escape(run.monitor)} {typeset_number(run.best_value, 4)} in epoch {run.best_epoch}")
    if done and still_falling(run):
        words.append("still falling")
    if done and "test_loss" in run.test_metrics:
        words.append(f"test loss {typeset_number(run.test_metrics['test_loss'], 4)}")
    share = 100 * (1.0 if state == "finished" else progress.fraction)
    bar = (
        f"<div role='progressbar' aria-label='progress of the run' aria-valuenow='{share:.0f}' aria-valuemin='0' "
        "aria-valuemax='100' style='height:6px;background:rgba(128,128,128,.25);border-radius:3px;margin:4px 0 6px'>"
        f"<div style='height:6px;width:{share:.1f}%;background:{_COLOURS.get(state, '#7a7f87')};border-radius:3px'>"
        "</div></div>"
    )
    remark = f"<div>{escape(text)}</div>" if (text := run.remark) else ""
    if (unwritten := run.unwritten) is not None:
        remark = f"<div role='status'>⚠ {escape(unwritten[:1].upper() + unwritten[1:])}.</div>{remark}"
    return f"<div style='line-height:1.4'>{' · '.join(words)}{bar}{remark}</div>"


def still_falling(run: Run) -> bool:
    """Whether a run ended where its best epochs were, so that more of them may be worth their while."""
    best, epochs = run.best_epoch, run.epochs
    return (
        best is not None and run.status in ("finished", "stopped") and epochs >= 5 and best >= epochs - epochs // 10 - 1
    )


def error_html(title: str, text: str) -> str:
    """Return an error as HTML: a headline and its text or traceback; everything escaped."""
    return f"<div role='alert' class='nm-error'><b>{escape(title)}</b><pre tabindex='0'>{escape(text)}</pre></div>"
