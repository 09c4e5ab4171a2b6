"""The output of a panel in a saved notebook: the last picture and the table of runs, visible without a kernel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from IPython.display import display, update_display

from nmlab.plots import Picture, alt_text, draw_losses, panel, picture_html
from nmlab.runs import Run, Runs

RUNS = 50
"""Maximum number of runs in the table, the newest ones."""


class SavedOutput:
    """A display next to the panel that the page hides as long as the panel works.

    Parameters
    ----------
    key : str
        Key of the panel.
    save : callable
        Called with the key and the MIME bundle of the display after each update, for a page that was reloaded and
        does not know the display.
    """

    def __init__(self, key: str, save: Callable[[str, dict[str, Any]], None]) -> None:
        self._key = key
        self._save = save
        self._picture = Picture(640, 280)
        self._bundle: dict[str, Any] = {}
        self._shown = False
        self._updating = threading.Lock()  # the end of a run and a rename may coincide

    def show(self) -> None:
        """Add it to the output of the running cell; `update` updates all of these outputs."""
        bundle = self._bundle or self._made("", "No run yet.")
        display(bundle, raw=True, display_id=self._key)
        self._shown = True

    def update(self, run: Run, earlier: Sequence[Run], runs: Runs) -> None:
        """Show the picture of `run`, with `earlier` runs behind it, and the table of `runs`."""
        with self._updating:
            self._update(run, earlier, runs)

    def _update(self, run: Run, earlier: Sequence[Run], runs: Runs) -> None:
        image = ""
        if run.epochs:
            png = self._picture.png(lambda figure: draw_losses(panel(figure), run, earlier), scale=1.5)
            image = picture_html(png, self._picture.width, alt_text(run))
        self._bundle = self._made(
            f"<p><b>{escape(run.id)}</b> {escape(run.status)}</p>{image}{runs[-RUNS:]._repr_html_()}", repr(run)
        )
        if self._shown:
            update_display(self._bundle, raw=True, display_id=self._key)
            self._save(self._key, self._bundle)

    def _made(self, html: str, text: str) -> dict[str, Any]:
        return kept_bundle(self._key, html, text)


def kept_bundle(key: str, html: str, text: str) -> dict[str, Any]:
    """Return a MIME bundle for an output that the page can find by its key."""
    return {"text/html": f"<div class='nmlab-kept-{key}'>{html}</div>", "text/plain": text}
