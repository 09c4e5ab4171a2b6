"""A Lab's panel as a page would use it, without a browser: messages in, traits out."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from nmlab import Lab


class Screen:
    """What stands on a Lab's panel, and what a user can do there."""

    def __init__(self, lab: Lab) -> None:
        lab._ipython_display_()
        assert lab._bench is not None
        self.panel = lab._bench.panel
        self.curves: list[dict[str, Any]] = []
        """What was sent of curves, each with its `numbers`."""

        def note(content: Any, buffers: Any = None) -> None:
            if "curves" in content:
                self.curves.append({**content["curves"], "numbers": np.frombuffer(buffers[0], "<f4")})
            type(self.panel).send(self.panel, content, buffers)

        self.panel.send = note

    def send(self, what: str, turn: int | None = None, **message: Any) -> None:
        """Send what a click or an edit sends."""
        seen = self.panel.controls["turn"] if turn is None else turn
        self.panel._handle_custom_msg({"do": what, "turn": seen, **message}, [])

    def edit(self, form: str, **values: Any) -> None:
        for name, value in values.items():
            self.send("edit", form=form, name=name, value=value)

    def choose(self, **traits: Any) -> None:
        """Change what only the page decides, such as the tab or the ticked runs."""
        self.panel.set_state(traits)

    def can(self, *what: str) -> bool:
        """Whether these buttons, and no others, are on."""
        return sorted(self.panel.controls["enabled"]) == sorted(what)

    def shown(self, form: str) -> dict[str, Any]:
        return dict(self.panel.entries[form]["shown"])

    def faults(self, form: str) -> set[str]:
        return set(self.panel.entries[form]["faults"])

    @property
    def message(self) -> str:
        return str(self.panel.message.get("html", ""))

    @property
    def runs(self) -> list[str]:
        return [run["id"] for run in self.panel.runs]


IDLE: Iterable[str] = ("run", "step", "find lr")
GOING: Iterable[str] = ("pause", "step", "stop")
