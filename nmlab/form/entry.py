"""One field of a form: what it shows, the value that this stands for, and its fault, judged once an edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nmlab.fields import REQUIRED, Field, expected, fault_of, is_default
from nmlab.form.showing import Shown, face, free_label, options_of, read, show
from nmlab.form.stops import stops
from nmlab.runtime.text import exact_number


class Entry:
    """One field with what is entered.

    `shown`, `value`, `fault` and `changed` (from what `reset` brings) are settled once, by `set` or `enter`.

    Parameters: `field`; `value`, the first one, to which `reset` goes back, or REQUIRED for nothing; `locked` and
    `hidden`, whether a user can only see it, or not even that.
    """

    def __init__(self, field: Field, value: Any, *, locked: bool = False, hidden: bool = False) -> None:
        self.field = field
        self.locked = locked
        self.hidden = hidden
        self._home = field if value is REQUIRED else replace(field, default=value)
        self._in_code: dict[str, Any] = {}
        self.set(value)

    @property
    def fixed(self) -> bool:
        """Whether the value stays, whatever happens on screen."""
        return self.locked or self.hidden

    def set(self, value: Any) -> None:
        """Show a value; one that only code can make gets a label of its own."""
        shown = show(self.field, value)
        if shown is None:
            shown = free_label(f"{_code_name(value)} (given in code)", options_of(self.field))
            self._in_code = {shown: value}
        given = read(self.field, shown) if value is REQUIRED else value  # such as the choice that stands on screen
        defaults = [each for each in (self._home.default, self.field.default) if each is not REQUIRED]
        known = [(shown, given), *((show(self.field, default), default) for default in defaults)]
        self._known = [*known, *self._in_code.items()]
        self._judge(shown)

    def enter(self, shown: Any) -> None:
        """Take what a user typed, chose or ticked."""
        self._judge(shown)

    def reset(self) -> None:
        """Go back to the first value; a field that began empty becomes empty."""
        self.set(self._home.default)

    def clear(self) -> None:
        """Go to the field's own default, whatever the first value was; a value that only code can make stays."""
        self.set(self._home.default if self.field.kind == "any" else self.field.default)

    def _judge(self, shown: Any) -> None:
        self.shown: Shown = shown
        # What a value was written as stands for that very value: nothing is lost by writing it and reading it again.
        matching = [value for text, value in self._known if text == shown]
        self.value: Any = matching[0] if matching else read(self.field, shown)
        self.fault = self._fault()
        self.changed = not self.locked and not self._is_home()

    def _fault(self) -> str | None:
        if self.value is REQUIRED and self.field.kind == "any":
            return f"no widget can make this value; give it in data_kwargs={{'{self.field.name}': …}} or choices"
        if self.value is REQUIRED:
            return f"missing; give {expected(self.field)}"
        # the function's own default and what code gave are as they are
        if self.value is self.field.default or self.value is self._home.default or self.shown in self._in_code:
            return None
        return fault_of(self.field, self.value)

    def _is_home(self) -> bool:
        if self._home.required:
            return self.shown == show(self.field, REQUIRED)
        return is_default(self._home, self.value)

    @property
    def given(self) -> Any:
        """The first value where it was not the field's own default; else REQUIRED."""
        home = self._home.default
        return REQUIRED if is_default(self.field, home) else home

    @property
    def chosen(self) -> bool:
        """Whether the entry holds a value that somebody chose: a user, or code that gave the first one."""
        return self.value is not REQUIRED and (self.changed or not is_default(self.field, self.value))

    def describe(self) -> dict[str, Any]:
        """Return what a screen needs to know of the field; see `Form.describe`."""
        field, texts = self.field, stops(self.field)
        kind = "slider" if texts else face(field)
        return {
            "name": field.name,
            "label": field.name,
            "kind": kind,
            "unit": field.unit,
            "help": field.help,
            "expects": expected(field) if kind in ("text", "slider") else "",
            "options": [*options_of(field), *self._in_code],
            "stops": texts,
            "numeric": field.kind in ("integer", "number"),
            "integer": field.kind == "integer",
            "optional": field.optional,
            "locked": self.locked,
            "placeholder": _PLACEHOLDERS.get(kind, "none" if field.optional else ""),
            "default_text": self._home_text(),
        }

    def _home_text(self) -> str:
        home = self._home.default
        shown = show(self.field, home)
        if isinstance(shown, bool):
            return "yes" if shown else "no"
        return "given in code" if shown is None else shown or ("none" if home is None else "empty")


_PLACEHOLDERS = {"code": "given in code"}


def _code_name(value: Any) -> str:
    if isinstance(value, str | int | float):
        return exact_number(value)
    return str(getattr(value, "__name__", type(value).__name__))
