"""The bench's widget: it shows what its traits hold and sends on what a user does; it knows no Lab.

One widget with a front end of its own (`front/`), not a tree of ipywidgets: their buttons let JupyterLab's
command-mode keys through, cut labels short and have no tables, and each of a hundred would be saved with a notebook.
"""

from __future__ import annotations

import threading
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

_FRONT = files("nmlab.notebook") / "front"


def front(*names: str) -> str:
    """Return files of `front/` joined into one text, in this order."""
    return "\n".join((_FRONT / name).read_text(encoding="utf-8") for name in names)


def synced(trait: Any) -> Any:
    """Return a trait that the page has too."""
    return trait.tag(sync=True)


class Panel(anywidget.AnyWidget):
    """The bench on screen; any number of views share it."""

    _esm = front("dom.js", "page.js", "form.js", "files.js", "guess.js", "stage.js", "runs.js", "board.js", "panel.js")
    _css = front("panel.css")

    # what Python says
    key = synced(traitlets.Unicode())
    """The model's id, by which the panel, what a saved notebook keeps of it and the page's widgets know each other."""
    form = synced(traitlets.Dict())
    entries = synced(traitlets.Dict())
    presets = synced(traitlets.List())
    controls = synced(traitlets.Dict())
    progress = synced(traitlets.Unicode())
    heard = synced(traitlets.Unicode())
    """What a screen reader says of the run; changes with its state only."""
    memory = synced(traitlets.Dict())
    """Memory in use and a warning, in words; empty where there is no limit."""
    message = synced(traitlets.Dict())
    takes = synced(traitlets.Dict())
    """What files the page sends: their endings, and their bytes at most."""
    guess = synced(traitlets.Dict())
    """A guess that is asked for before a run: whether it is open, the axes to draw it on, and what is kept as text."""
    tabs = synced(traitlets.List())
    page = synced(traitlets.Dict())
    picture = synced(traitlets.Bytes())
    runs = synced(traitlets.List())
    board = synced(traitlets.Dict())
    """TensorBoard below the table, where it was asked for; see `notebook/board.py`."""
    retired = synced(traitlets.Unicode())

    # what a user chose on screen
    tab = synced(traitlets.Unicode("losses"))
    scales = synced(traitlets.Dict())
    ticked = synced(traitlets.List())
    table = synced(traitlets.Dict())
    screen = synced(traitlets.Dict())
    """Width in CSS pixels, pixels of the screen for each, and whether the page is dark."""

    def __init__(self) -> None:
        self._changing = threading.RLock()  # the painter and the main thread both have something to say
        super().__init__(
            controls={"enabled": [], "turn": 0, "busy": False, "paused": False, "hint": "", "starts": [], "start": ""},
            scales={"log": True, "zoom": ""},
            screen={"width": 0, "ratio": 1.5, "dark": False},
        )
        self.key = self.model_id

    def change(self, **traits: Any) -> None:
        """Set those traits that differ, in one message."""
        with self._changing:
            changed = {name: value for name, value in traits.items() if getattr(self, name) != value}
            if changed:
                with self.hold_sync():
                    for name, value in changed.items():
                        setattr(self, name, value)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take in what a user chose on screen."""
        with self._changing:
            super().set_state(sync_data)
