"""A search for a learning rate on the panel: its progress and its result."""

from __future__ import annotations

import traceback
from html import escape
from typing import Any

from nmlab.errors import NmlabError
from nmlab.launch.task import Task
from nmlab.notebook.status_line import error_html
from nmlab.plots import picture_html
from nmlab.runtime.text import number_text
from nmlab.tuning import FoundLR


class LRSearchView:
    """Follows a search, if there is one."""

    def __init__(self) -> None:
        self._search: Task[Any] | None = None

    def begun(self, search: Task[Any]) -> None:
        """Follow a search. If a cell waits for it, the cell shows the result."""
        self._search = search

    @property
    def going(self) -> bool:
        """Whether a search is going on, or its end was not shown yet."""
        return self._search is not None

    @property
    def enabled(self) -> list[str]:
        """The buttons that act on the search."""
        search = self._search
        heard = search is not None and not (search.control.blocking or search.done or search.control.stopping)
        return ["stop"] if heard else []

    @property
    def hint(self) -> str:
        """The progress of the search."""
        if self._search is None:
            return ""
        control = self._search.control
        if control.blocking:
            return control.busy()
        if control.stopping:
            return "stopping the search"
        steps = control.progress
        return f"{control.phase}: step {steps.batch} of {steps.batches}" if steps.batch else control.phase

    def stop(self) -> None:
        """Stop the search, if there is one."""
        if self._search is not None:
            self._search.control.stop()

    def ended(self) -> dict[str, Any] | None:
        """Return a message with the result once a search has ended; None before, and if a cell shows it."""
        search = self._search
        if search is None or not search.done:
            return None
        self._search = None
        if search.control.blocking:
            return None
        try:
            return message_of(search.wait())
        except NmlabError as error:
            return {"html": error_html("No learning rate was found", str(error))}
        except BaseException as error:  # the data function's own, sys.exit too
            return {"html": error_html(f"{type(error).__name__}: {error}", traceback.format_exc())}


def message_of(found: FoundLR) -> dict[str, Any]:
    """Return the result of a search as a message for the panel: text, a picture, and the suggested rate."""
    if found.suggestion is None:
        words, rate = "The loss never decreased, so no learning rate can be suggested.", ""
    else:
        rate = number_text(found.suggestion, 2)  # for the field lr, too
        words = f"The loss fell most steeply at a learning rate of {rate}."
    picture = picture_html(found._repr_png_(), 600, f"Loss by learning rate. {words}") if found.lrs else ""
    return {"html": f"<div class='nm-told'><div role='status'>{escape(words)}</div>{picture}</div>", "lr": rate}
