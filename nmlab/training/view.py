"""The user's view of a fit: `f(problem, splits) -> Figure`, drawn between steps and stored with the run.

The function affects neither the fit nor pyplot nor the random states. If it raises, its traceback is shown and the fit
continues.
"""

from __future__ import annotations

import contextvars
import copy
import sys
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from neuromancer.problem import Problem
from PIL import Image

from nmlab.data.splits import Splits, place_of
from nmlab.errors import FieldError
from nmlab.problem.state import homes_of, preserving_state
from nmlab.provenance.settings import users_traceback
from nmlab.runs import RunWriter
from nmlab.runtime.control import Control
from nmlab.runtime.files import atomic_write
from nmlab.runtime.interrupts import users_code
from nmlab.runtime.pyplot import own_pyplot, own_rc
from nmlab.runtime.quiet import quiet_drawing
from nmlab.runtime.reporting import own_reporting

WIDTH, HEIGHT = 900, 1200
"""CSS pixels that a picture has at most; an inch has 100."""

COLOURS = 1 << 14
"""Colours up to which 256 of them do a picture justice: lines, text and colour maps, not photographs."""


class View:
    """Draws the view of one fit.

    Parameters
    ----------
    function : callable
        Called with the Problem, in eval mode and on its original device, and the splits; returns a Figure or Axes.
        Its random numbers are the same at each call.
    control : Control
        Control of the fit.

    Raises
    ------
    FieldError
        If `function` is not callable.
    """

    def __init__(self, function: Callable[[Problem, Splits], Any], control: Control) -> None:
        if fault := view_fault(function):
            raise FieldError({"view": fault})
        self.scale = 1.5
        """Pixels of the picture to one CSS pixel."""
        self.png: bytes | None = None
        """The newest picture."""
        self.width = 0
        """CSS pixels that it is wide."""
        self.count = 0
        """How many pictures were drawn."""
        self.tries = 0
        """How many times the function was called."""
        self.epoch: int | None = None
        """Epoch that was being trained when the newest was drawn; at the end the best."""
        self.seconds = 0.0
        """How long the last drawing took."""
        self.on_picture: Callable[[bytes, int | None, bool], object] = lambda png, epoch, last: None
        """Called in the fit's thread with each picture, its epoch, and whether it is the last."""
        self.error = ""
        """Traceback of the last drawing, from the user's own code on; '' where it went well."""
        self._function = function
        self._control = control
        self._asked = False
        self._seen: tuple[Problem, Splits] | None = None

    def request(self) -> None:
        """Ask for a picture at the fit's next boundary; what was asked for before and is not drawn yet is the same."""
        if not self._asked:
            self._asked = True
            self._control.between_steps(self._answer)

    # --- the fit's side ---

    def look_at(self, problem: Problem, splits: Splits) -> None:
        """Draw these from now on."""
        self._seen = problem, splits
        self._homes = homes_of(problem)

    def finish(self, writer: RunWriter) -> None:
        """Draw a last time, with the weights that the Problem holds now, into the run's folder; let go of the data."""
        if self._seen is not None:
            run = writer.run
            self._draw(run.best_epoch, writer)
            self._seen = None

    def _answer(self) -> None:
        self._asked = False
        if self._seen is not None:
            self._draw(self._control.progress.epoch)
            if not self._control.paused:
                self._control.progress.drawn.append(self.seconds)

    def _draw(self, epoch: int | None, keep: RunWriter | None = None) -> None:
        began, error = time.perf_counter(), ""
        try:
            # in a context of its own, as for numpy's error states
            png, width, pdf = contextvars.copy_context().run(self._picture, keep is not None)
            for name, content in (("view.png", png), ("view.pdf", pdf)) if keep is not None else ():
                with atomic_write(keep.figure(name)) as aside:  # type: ignore[union-attr]
                    aside.write_bytes(content)
        except KeyboardInterrupt:
            self._control.stop()
            error = self.error
        except BaseException as raised:  # sys.exit too
            error = users_traceback(raised)
            if error != self.error:  # said once, not with every picture
                print(f"The view {place_of(self._function)} failed:\n{error}", file=sys.stderr, end="")
        else:
            self.png, self.width, self.epoch, self.count = png, width, epoch, self.count + 1
            self.on_picture(png, epoch, keep is not None)
        self.error = error
        self.seconds = time.perf_counter() - began
        self.tries += 1

    def _picture(self, to_print: bool) -> tuple[bytes, int, bytes]:
        """Return a PNG, its width in CSS pixels, and a PDF where it is to be printed."""
        assert self._seen is not None
        problem, splits = self._seen
        with own_pyplot(), own_reporting(), preserving_state(problem, homes=self._homes), torch.enable_grad():
            problem.eval()
            with users_code():
                returned = self._function(problem, copy.copy(splits))
            figure = _figure_of(returned)
            inches = figure.get_size_inches()
            dpi = self.scale * min(100.0, WIDTH / inches[0], HEIGHT / inches[1])
            drawn, printed = BytesIO(), BytesIO()
            with quiet_drawing(), own_rc({"pdf.fonttype": 42}):  # the kind of fonts that journals take
                figure.savefig(drawn, format="png", dpi=dpi, backend="agg", pil_kwargs={"compress_level": 1})
                if to_print:
                    figure.savefig(printed, format="pdf")
        image = Image.open(drawn)
        return _small(image), round(image.width / self.scale), printed.getvalue()


def view_fault(function: object) -> str | None:
    """Say what is wrong with what is given as a view; None where it can be called."""
    what = type(function).__name__
    return (
        None if callable(function) else f"a {what}; give a function of the Problem and the splits that returns a Figure"
    )


def _figure_of(returned: Any) -> Figure:
    if isinstance(returned, (Axes, FigureBase)):
        figure: Any = returned.get_figure(root=True)
        return figure  # type: ignore[no-any-return]
    what = f"a {type(returned).__name__}" if returned is not None else "None"
    raise TypeError(f"the view returned {what}; return a matplotlib Figure, such as plt.gcf()")


def _small(image: Image.Image) -> bytes:
    """Return a PNG of an image, with a palette where that is as good to look at."""
    if image.getcolors(COLOURS) is not None:
        if image.getextrema()[-1] == (255, 255):  # opaque: a slower method then leaves nothing to be seen, white white
            image = image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
        else:
            image = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()
