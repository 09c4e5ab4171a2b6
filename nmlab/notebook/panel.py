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
_SCRIPTS = ("dom.js", "form.js", "stage.js", "runs.js", "panel.js")


def _synced(trait: Any) -> Any:
    return trait.tag(sync=True)


class Panel(anywidget.AnyWidget):
    """The bench on screen; any number of views share it."""

    _esm = "\n".join((_FRONT / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    _css = (_FRONT / "panel.css").read_text(encoding="utf-8")

    # what Python says
    key = _synced(traitlets.Unicode())
    """The model's id, by which the panel, what a saved notebook keeps of it and the page's widgets know each other."""
    form = _synced(traitlets.Dict())
    entries = _synced(traitlets.Dict())
    presets = _synced(traitlets.List())
    controls = _synced(traitlets.Dict())
    progress = _synced(traitlets.Unicode())
    heard = _synced(traitlets.Unicode())
    """What a screen reader says of the run; changes with its state only."""
    message = _synced(traitlets.Dict())
    tabs = _synced(traitlets.List())
    page = _synced(traitlets.Dict())
    picture = _synced(traitlets.Bytes())
    runs = _synced(traitlets.List())
    retired = _synced(traitlets.Unicode())

    # what a user chose on screen
    tab = _synced(traitlets.Unicode("losses"))
    scales = _synced(traitlets.Dict())
    ticked = _synced(traitlets.List())
    table = _synced(traitlets.Dict())
    screen = _synced(traitlets.Dict())
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
