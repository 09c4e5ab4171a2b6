"""What a saved notebook keeps of a panel: the last picture and the table of runs, seen again without a kernel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from IPython.display import display, update_display

from nmlab.plots import Picture, alt_text, draw_losses, panel, picture_html
from nmlab.runs import Run, Runs

RUNS = 50
"""How many of the newest runs the table keeps."""


class SavedOutput:
    """A display beside the panel that the living panel hides.

    Parameters: `key`, the panel's; `save`, called with the key and what it shows now, for a page that was loaded anew
    and does not know the display any more.
    """

    def __init__(self, key: str, save: Callable[[str, dict[str, Any]], None]) -> None:
        self._key = key
        self._save = save
        self._picture = Picture(640, 280)
        self._bundle: dict[str, Any] = {}
        self._shown = False
        self._updating = threading.Lock()  # a run's end and a rename may come at once

    def show(self) -> None:
        """Put it into the output of the cell that runs; all of them are kept alike."""
        bundle = self._bundle or self._made("", "No run yet.")
        display(bundle, raw=True, display_id=self._key)
        self._shown = True

    def update(self, run: Run, earlier: Sequence[Run], runs: Runs) -> None:
        """Keep the picture of `run`, with `earlier` ones behind it, and the table of `runs`."""
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
    """Return what a cell's output shows, so that the page finds it again by its key."""
    return {"text/html": f"<div class='nmlab-kept-{key}'>{html}</div>", "text/plain": text}
