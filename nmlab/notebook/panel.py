"""The bench's widget: it shows what its traits hold and sends on what a user does; it knows no Lab.

One widget with a front end of its own (`front/`), not a tree of ipywidgets: their buttons let JupyterLab's
command-mode keys through, cut labels short and have no tables, and each of a hundred would be saved with a notebook.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import traitlets

from nmlab.notebook.widget import Widget, front, synced

LIFE = 3.0
"""Seconds after which a run that goes on shows that the kernel lives, where nothing else changed."""


class Panel(Widget):
    """The bench on screen; any number of views share it."""

    _esm = front("panel.js")
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
    """What is said below the buttons as HTML, or, `at` 'runs', as text where the action on runs was asked for.

    'columns', where the columns of a file are to be chosen: see `column_use.column_table`.
    """
    takes = synced(traitlets.Dict())
    """What files the page sends: their endings, and their bytes at most."""
    guess = synced(traitlets.Dict())
    """A guess that is asked for before a run: whether it is open, the axes to draw it on, and what is kept as text."""
    tabs = synced(traitlets.List())
    page = synced(traitlets.Dict())
    tiles = synced(traitlets.List())
    """The run that is seen in a few numbers; see `overview.py`."""
    picture = synced(traitlets.Bytes())
    tried = synced(traitlets.Dict())
    """What the tab "Try it" shows; see `try_it.py`."""
    runs = synced(traitlets.List())
    board = synced(traitlets.Dict())
    """TensorBoard below the table, where it was asked for; see `tensorboard_view.py`."""
    saved = synced(traitlets.Dict())
    """What a saved notebook keeps beside the panel, by key: bundles of MIME types."""
    retired = synced(traitlets.Unicode())

    # what a user chose on screen
    tab = synced(traitlets.Unicode("overview"))
    scales = synced(traitlets.Dict())
    ticked = synced(traitlets.List())
    table = synced(traitlets.Dict())
    screen = synced(traitlets.Dict())
    """Width in CSS pixels, pixels of the screen for each, and whether the page is dark."""

    def __init__(self) -> None:
        self._changing = threading.RLock()  # the painter and the main thread both have something to say
        self._sent = 0.0
        super().__init__(
            controls={
                "enabled": [],
                "turn": 0,
                "busy": False,
                "run": "",
                "state": "",
                "paused": False,
                "hint": "",
                "starts": [],
                "start": "",
            },
            scales={"log": True, "zoom": "", "smooth": 0},
            screen={"width": 0, "ratio": 1.5, "dark": False},
        )
        self.key = self.model_id

    def show_life(self) -> None:
        """Let a page that does not know the kernel's state know that it is there, where nothing else does."""
        with self._changing:
            if time.monotonic() - self._sent > LIFE:
                self._sent = time.monotonic()
                self.send({"alive": True})

    def stream(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        """Send a message that no trait keeps."""
        with self._changing:
            self._sent = time.monotonic()
            self.send(message, buffers)

    def change(self, **traits: Any) -> None:
        """Set those traits that differ, in one message."""
        with self._changing:
            changed = {name: value for name, value in traits.items() if getattr(self, name) != value}
            if changed:
                self._sent = time.monotonic()
                with self.hold_sync():
                    for name, value in changed.items():
                        setattr(self, name, value)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take in what a user chose on screen."""
        with self._changing:
            super().set_state(sync_data)
