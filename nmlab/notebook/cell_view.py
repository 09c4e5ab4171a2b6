"""A run shown in the output of the cell that fits it."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from IPython import get_ipython
from IPython.display import display
from ipywidgets import Output
from ipywidgets.widgets.widget import _instances

from nmlab.launch.base import Fit
from nmlab.notebook.saved_output import kept_bundle
from nmlab.notebook.status_line import Pace, progress_html
from nmlab.plots import Picture, alt_text, draw_losses, panel, picture_html
from nmlab.runs import Run


class CellView:
    """A run shown in the output of the cell that fits it, also in a saved notebook.

    One display that is updated in place with a picture and text, which need no kernel. It is created before anything
    that the run prints.
    """

    def __init__(self) -> None:
        self.earlier: Sequence[Run] = ()
        """The runs drawn faintly behind it."""
        self.key = f"cell-{uuid4().hex}"
        self.bundle = kept_bundle(self.key, "", "")
        """The MIME bundle that it shows."""
        self._handle: Any = display(self.bundle, raw=True, display_id=True)
        self._lost = _in_output_widget()  # which ignores updates of a display
        self._picture = Picture(560, 260)
        self._pace = Pace()
        self._html = ""
        self._image = ""
        self._epochs = 0

    def follow(self, fit: Fit, earlier: Callable[[Run], Sequence[Run]]) -> threading.Thread:
        """Show a run until it has ended, in a thread that is returned, so that an interrupt hits no drawing.

        Parameters
        ----------
        fit : Fit
            The fit, which was started.
        earlier : callable
            Returns the runs to draw behind a run.
        """
        # with the cell's context, by which Jupyter knows whose output it is
        context = contextvars.copy_context()

        def watch() -> None:
            with _on_clear(self._cleared):
                follow()

        def follow() -> None:
            done = built = False
            while not done:
                done = fit.done
                try:
                    if not built and fit.problem is not None:  # by which its fellows are known
                        self.earlier, built = earlier(fit.run), True
                    self.show(fit, done)
                except Exception:
                    logging.getLogger(__name__).exception("Run %s could not be drawn", fit.run.id)
                if not done:
                    time.sleep(0.2)

        thread = threading.Thread(target=context.run, args=(watch,), name="nmlab cell", daemon=True)
        thread.start()
        return thread

    def _cleared(self) -> None:
        self._lost = True

    def show(self, fit: Fit, last: bool = False) -> None:
        """Update the output of the cell, if an update is due or this is the `last` one."""
        if not (last or self._pace.due()):
            return
        started = time.perf_counter()
        run = fit.run
        if run.epochs != self._epochs:
            self._epochs = run.epochs
            png = self._picture.png(lambda figure: draw_losses(panel(figure), run, self.earlier), scale=1.5)
            self._image = picture_html(png, self._picture.width, alt_text(run))
        html = progress_html(run, fit.control, last) + self._image
        if last and self._lost:
            self._html, self.bundle = html, kept_bundle(self.key, html, repr(run))
            self._handle = display(self.bundle, raw=True, display_id=True)
        elif html != self._html:
            self._html, self.bundle = html, kept_bundle(self.key, html, repr(run))
            self._handle.update(self.bundle, raw=True)
        seconds = time.perf_counter() - started
        if not last:
            fit.control.progress.drawn_beside.append(seconds)
        self._pace.drew(seconds, len(self._image))


def _in_output_widget() -> bool:
    """Return whether what the cell shows now goes into an Output widget."""
    parent: dict[str, Any] = getattr(getattr(get_ipython(), "kernel", None), "get_parent", dict)()
    shown_by = (parent.get("header") or {}).get("msg_id")
    return bool(shown_by) and any(
        isinstance(widget, Output) and widget.msg_id == shown_by for widget in list(_instances.values())
    )


@contextmanager
def _on_clear(called: Callable[[], object]) -> Iterator[None]:
    """Call a function when an output is cleared, as by `clear_output` in a callback."""
    publisher = getattr(get_ipython(), "display_pub", None)
    clear = getattr(publisher, "clear_output", None)
    if publisher is None or clear is None:
        yield
        return

    def clear_and_call(*arguments: Any, **named: Any) -> Any:
        called()
        return clear(*arguments, **named)

    publisher.clear_output = clear_and_call
    try:
        yield
    finally:
        if publisher.clear_output is clear_and_call:
            del publisher.clear_output
