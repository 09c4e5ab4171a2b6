"""A run on screen while it goes and after: progress in words, curves, and what went wrong."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from nmlab.control import Control
from nmlab.fitting import Fit
from nmlab.plots import LossPicture
from nmlab.runs import Run

SHARE = 0.03
"""The share of time that drawing may take in a long run."""


class Pace:
    """Says when to draw again: soon after fast drawings, later after slow ones, always within two seconds.

    A drawing that took 45 ms is followed by the next after 1.5 s, which is 3 % of the time.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time to draw."""
        return time.perf_counter() >= self._next

    def drew(self, seconds: float) -> None:
        """Note that a drawing took so long."""
        self._next = time.perf_counter() + min(max(seconds / SHARE, 0.2), 2.0)


def progress_html(run: Run, control: Control, done: bool) -> str:
    """Return one run's state as HTML: a bar, epoch, pace, time left; afterwards how it ended."""
    progress = control.progress
    state = run.status if done else ("stopping" if control.stopping else "running")
    mark = {"finished": "✓", "stopped": "■", "failed": "✗", "stopping": "…", "running": "▶"}.get(state, "•")
    words = [f"{mark} <b>{escape(run.id)}</b> {_state_words(state, control, done)}"]
    if progress.max_epochs and progress.started:
        words.append(f"{run.epochs} of {progress.max_epochs} epochs")
    if not done:
        if pace := progress.samples_per_second:
            words.append(f"{pace:,.0f} samples/s")
        if (left := progress.seconds_left) is not None:
            words.append(f"{_duration(left)} left")
        if progress.loss == progress.loss:  # not NaN
            words.append(f"train loss {progress.loss:.4g}")
    else:
        words.append(_duration(run.seconds))
    if run.best_value is not None:
        words.append(f"best {escape(run.monitor)} {run.best_value:.4g} in epoch {run.best_epoch}")
    if done and "test_loss" in run.test_metrics:
        words.append(f"test loss {run.test_metrics['test_loss']:.4g}")
    share = 100 * (1.0 if state == "finished" else progress.fraction)
    colour = {"failed": "#c0392b", "stopped": "#7a7f87", "stopping": "#7a7f87"}.get(state, "#0072B2")
    bar = (
        f"<div role='progressbar' aria-valuenow='{share:.0f}' aria-valuemin='0' aria-valuemax='100' "
        "style='height:6px;background:rgba(128,128,128,.25);border-radius:3px;margin:4px 0 6px'>"
        f"<div style='height:6px;width:{share:.1f}%;background:{colour};border-radius:3px'></div></div>"
    )
    note = f"<div style='opacity:.75'>{escape(text)}</div>" if (text := run.note) else ""
    return f"<div style='line-height:1.4'>{' · '.join(words)}{bar}{note}</div>"


def _state_words(state: str, control: Control, done: bool) -> str:
    if done or (state == "running" and control.phase == "training"):
        return state
    if state == "stopping":
        return f"stopping after {_STOPPING.get(control.phase, 'this batch')}"
    return f"running: {escape(control.phase)}"


_STOPPING = {
    "building the Problem": "the Problem is built",
    "making the data": "the data are made",
    "trying out the data": "the data were tried out",
}


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def error_html(title: str, text: str) -> str:
    """Return an error as HTML: a headline and, folded out, its traceback; everything escaped."""
    return (
        "<div role='alert' style='border-left:3px solid #c0392b;padding:2px 10px;margin:6px 0'>"
        f"<b style='color:#c0392b'>{escape(title)}</b>"
        f"<pre style='white-space:pre-wrap;font-size:12px;max-height:320px;overflow:auto'>{escape(text)}</pre></div>"
    )


class RunPanel:
    """The bench's view of its newest run: widgets that any number of displays share."""

    def __init__(self) -> None:
        self._picture = LossPicture()
        self._pace = Pace()
        self._drawn: tuple[Any, ...] = ()
        self._progress = widgets.HTML()
        self._image = widgets.Image(format="png", layout=widgets.Layout(max_width=f"{self._picture.width}px"))
        self._image.layout.display = "none"
        self._log = widgets.ToggleButton(
            value=True, description="log scale", layout=widgets.Layout(width="100px", display="none")
        )
        self._error = widgets.HTML()
        self.root = widgets.VBox(
            [self._progress, self._image, self._log, self._error],
            layout=widgets.Layout(align_items="stretch"),
        )
        self._image.layout.align_self = "flex-start"
        self._shown: tuple[Fit, Sequence[Run]] | None = None
        self._drawing = threading.Lock()  # a button's handler and the thread that watches the run may draw at once
        self._log.observe(lambda _change: self._redraw(), names="value")

    def show(self, fit: Fit, earlier: Sequence[Run], last: bool = False) -> None:
        """Bring the view up to date; curves are drawn where they changed and it is time, or it is the `last` look."""
        self._shown = (fit, earlier)
        fresh = self._drawn[:1] != (fit.run.id,)  # the run before is not to be taken for this one
        if last or fresh or self._pace.due():
            self._draw(fit.run, earlier)
        html = progress_html(fit.run, fit.control, last)
        if html != self._progress.value:
            self._progress.value = html
        self._error.value = error_of(fit) if last else ""

    @property
    def error(self) -> str:
        """The error that is shown, as HTML; '' for none."""
        return str(self._error.value)

    def tell(self, html: str) -> None:
        """Show a message where errors stand."""
        self._error.value = html

    def _redraw(self) -> None:
        if self._shown is not None:
            self._draw(self._shown[0].run, self._shown[1])

    def _draw(self, run: Run, earlier: Sequence[Run]) -> None:
        with self._drawing:
            drawn = (run.id, run.epochs, self._log.value, len(earlier))
            if drawn == self._drawn:
                return
            started = time.perf_counter()
            self._drawn = drawn
            visible = "" if run.epochs or earlier else "none"
            if not visible:
                self._image.value = self._picture.png(run, earlier, self._log.value)
            self._image.layout.display = self._log.layout.display = visible
            self._pace.drew(time.perf_counter() - started)


def error_of(fit: Fit) -> str:
    """Return the error that ended a fit as HTML, from the user's own lines on; '' where none did."""
    run = fit.run
    if run.status != "failed" or run.error is None:
        return ""
    return error_html(run.error, run.traceback or "")


class CellView:
    """A run in the output of the cell that fits it; it stays there for ever, in a saved notebook too.

    One display that is updated in place: a picture and words, which need no kernel to be seen again. Parameters:
    `earlier`, the runs drawn faint behind it.
    """

    def __init__(self, earlier: Sequence[Run] = ()) -> None:
        self._earlier = earlier
        self._picture = LossPicture(560, 260)
        self._pace = Pace()
        self._handle: Any = None
        self._html = ""
        self._image = ""
        self._epochs = 0

    def show(self, fit: Fit, last: bool = False) -> None:
        """Bring the cell's output up to date, where it is time or the `last` look."""
        if not (last or self._pace.due()):
            return
        started = time.perf_counter()
        run = fit.run
        if run.epochs != self._epochs:
            png = base64.b64encode(self._picture.png(run, self._earlier)).decode()
            style = f"max-width:{self._picture.width}px;width:100%"
            self._image = f"<img alt='losses by epoch' style='{style}' src='data:image/png;base64,{png}'>"
            self._epochs = run.epochs
        html = progress_html(run, fit.control, last) + self._image
        if html != self._html:
            bundle = {"text/html": html, "text/plain": repr(run)}
            if self._handle is None:
                self._handle = display(bundle, raw=True, display_id=True)
            else:
                self._handle.update(bundle, raw=True)
            self._html = html
        self._pace.drew(time.perf_counter() - started)
