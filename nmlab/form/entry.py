"""One field of a form: what it shows, its value, and its fault, which is determined once per edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nmlab.fields import REQUIRED, Field, expected, fault_of, is_default
from nmlab.form.showing import Shown, face, free_label, options_of, read, show
from nmlab.form.stops import stops
from nmlab.runtime.text import exact_number


class Entry:
    """One field with its current input.

    Parameters
    ----------
    field : Field
        The field.
    value : Any
        Initial value, which `reset` restores; REQUIRED for none.
    locked : bool, default False
        Whether the user can see the value but not change it.
    hidden : bool, default False
        Whether the user cannot see the field.

    Attributes
    ----------
    shown : str or bool
        What a screen shows.
    value : Any
        The value that `shown` stands for.
    fault : str or None
        What is wrong with the value.
    changed : bool
        Whether the value differs from the initial one.
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
        """Whether the user cannot change the value."""
        return self.locked or self.hidden

    def set(self, value: Any) -> None:
        """Set a value; one that only code can make gets its own label."""
        shown = show(self.field, value)
        if shown is None:
            shown = free_label(f"{_code_name(value)} (given in code)", options_of(self.field))
            self._in_code = {shown: value}
        current = read(self.field, shown) if value is REQUIRED else value  # such as the choice that is selected
        defaults = [default for default in (self._home.default, self.field.default) if default is not REQUIRED]
        known = [(shown, current), *((show(self.field, default), default) for default in defaults)]
        self._known = [*known, *self._in_code.items()]
        self._update(shown)

    def enter(self, shown: Any) -> None:
        """Set what a user typed, chose or ticked."""
        self._update(shown)

    def reset(self) -> None:
        """Restore the initial value; a field that was empty at first becomes empty."""
        self.set(self._home.default)

    def clear(self) -> None:
        """Set the field's own default, whatever the initial value was; a value that only code can make stays."""
        self.set(self._home.default if face(self.field) == "code" else self.field.default)

    def _update(self, shown: Any) -> None:
        self.shown: Shown = shown
        # The text of a known value stands for that same object, so that conversion to text and back loses nothing.
        matching = [value for text, value in self._known if text == shown]
        self.value: Any = matching[0] if matching else read(self.field, shown)
        self.fault = self._fault()
        self.changed = not self.locked and not self._is_home()

    def _fault(self) -> str | None:
        if self.value is REQUIRED and face(self.field) == "code":
            name, *members = self.field.name.split(".")
            given = "".join(f"{{'{member}': " for member in members) + "…" + "}" * len(members)
            return f"no widget can make this value; give it in data_kwargs={{'{name}': {given}}} or choices"
        if self.value is REQUIRED:
            return f"missing; give {expected(self.field)}"
        # the function's own default and values given in code are not checked
        if self.value is self.field.default or self.value is self._home.default or self.shown in self._in_code:
            return None
        return fault_of(self.field, self.value)

    def _is_home(self) -> bool:
        if self._home.required:
            return self.shown == show(self.field, REQUIRED)
        return is_default(self._home, self.value)

    @property
    def given(self) -> Any:
        """The initial value if it is not the field's own default; otherwise REQUIRED."""
        home = self._home.default
        return REQUIRED if is_default(self.field, home) else home

    @property
    def chosen(self) -> bool:
        """Whether a user, or the code that gave the initial value, chose the value."""
        return self.value is not REQUIRED and (self.changed or not is_default(self.field, self.value))

    def describe(self) -> dict[str, Any]:
        """Return the description of the field for a screen; see `Form.describe`."""
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
