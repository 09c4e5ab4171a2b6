"""The form's model: fields with what is entered in each, for any screen to draw and for code to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import REQUIRED, Field, convert, expected, fault_of, is_default
from nmlab.fields.field import unknown_name
from nmlab.form.entry import Entry
from nmlab.form.showing import show
from nmlab.provenance.settings import describe_values, rebuild_values
from nmlab.runtime.text import short_repr

Values = dict[str, Any]


class Form:
    """Fields and what is entered in them.

    A screen draws `describe()`, sends each edit to `enter`, and shows `state()`; all three are JSON.

    Parameters
    ----------
    fields : what may be entered
    values : shown first, by name, in place of the fields' own defaults, and what `reset` goes back to; the caller has
        checked them
    title : a heading
    first : names that are not folded away; default: all
    lock : values that can be seen and not changed, by name
    hide : names that are not shown; their values stay as given. Names that are no fields are left out

    Raises
    ------
    FieldError
        Where `lock` names no field, a locked value does not fit, or a hidden field has no value; all at once.
    """

    def __init__(
        self,
        fields: Iterable[Field],
        values: Mapping[str, Any],
        *,
        title: str,
        first: Iterable[str] | None = None,
        lock: Mapping[str, Any] | None = None,
        hide: Iterable[str] = (),
    ) -> None:
        known = {field.name: field for field in fields}
        locked, hidden = dict(lock or {}), list(hide)
        start = {name: locked.get(name, values.get(name, field.default)) for name, field in known.items()}
        _refuse_unfit(known, values, start, locked, hidden)
        self.title = title
        self._first = None if first is None else set(first)
        self._entries = {
            name: Entry(field, start[name], locked=name in locked, hidden=name in hidden)
            for name, field in known.items()
        }

    # --- for a screen ---

    def describe(self) -> dict[str, Any]:
        """Return the form without its values, as JSON: 'title', and 'fields' with these keys.

        'kind' is 'text', 'slider' (text, and beside it a slider that stops at each text of 'stops'), 'choice' (one of
        'options'), 'boolean' or 'code' (a value that can only be seen). 'expects' says what may be entered, 'first'
        that the field is not folded away; the others are what their names say. `set` may add an option.
        """
        shown = self._shown_entries()
        return {
            "title": self.title,
            "fields": [
                entry.describe() | {"first": self._first is None or name in self._first}
                for name, entry in shown.items()
            ],
        }

    def state(self) -> dict[str, Any]:
        """Return what is shown, as JSON: 'shown', 'faults' and 'changed' (from the first value), each by name."""
        entries = self._shown_entries()
        return {
            "shown": {name: entry.shown for name, entry in entries.items()},
            "faults": {name: entry.fault for name, entry in entries.items() if entry.fault},
            "changed": {name: entry.changed for name, entry in entries.items()},
        }

    def _shown_entries(self) -> dict[str, Entry]:
        return {name: entry for name, entry in self._entries.items() if not entry.hidden}

    def enter(self, name: str, shown: Any) -> None:
        """Take what a user entered: text, a label, True or False; it may be wrong, which `faults` tell.

        A name that is no field (any more) is left out, as an edit may arrive after its field is gone. Raises
        FieldError where the field is locked or takes no value on screen.
        """
        entry = self._entries.get(name)
        if entry is None or entry.hidden:
            return
        if entry.locked:
            raise FieldError({name: _locked(entry.field, shown, entry.value)})
        if entry.field.kind == "any":
            raise FieldError({name: "given in code, as no widget can make such a value"})
        entry.enter(shown)

    def reset(self, name: str | None = None) -> None:
        """Go back to what the form began with, for one field or for all (None); locked and hidden values stay."""
        for entry in self._entries.values() if name is None else self._open(name):
            if not entry.fixed:
                entry.reset()

    def reset_all(self) -> Callable[[], None]:
        """Go back to what the form began with; returns what takes this back."""
        before = {name: (entry.shown, entry.value) for name, entry in self._entries.items() if entry.changed}

        def back() -> None:
            for name, (shown, value) in before.items():
                for entry in self._open(name):
                    entry.set(value)
                    if entry.shown != shown:  # it was wrong, or not written as nmlab writes it
                        entry.enter(shown)

        self.reset()
        return back

    def clear(self) -> None:
        """Go to all fields' own defaults; a field without one becomes empty.

        Locked and hidden values stay, and those that only code can give go back to what the form began with.
        """
        for entry in self._entries.values():
            if not entry.fixed:
                entry.clear()

    def _open(self, name: str) -> list[Entry]:
        entry = self._entries.get(name)
        return [entry] if entry is not None and not entry.fixed else []

    # --- for code ---

    @property
    def values(self) -> Values:
        """What is entered, by name, without fields that hold nothing."""
        return {name: entry.value for name, entry in self._entries.items() if entry.value is not REQUIRED}

    @property
    def given(self) -> Values:
        """What the form began with, where this was not the field's own default."""
        return {name: entry.given for name, entry in self._entries.items() if entry.given is not REQUIRED}

    @property
    def changed(self) -> Values:
        """The values that are not what the form began with."""
        return {name: entry.value for name, entry in self._entries.items() if entry.changed and not entry.fault}

    @property
    def chosen(self) -> Values:
        """The values that are not their field's own defaults, or not what the form began with."""
        return {name: entry.value for name, entry in self._entries.items() if entry.chosen}

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong, by name; {} where all is well."""
        return {name: entry.fault for name, entry in self._entries.items() if entry.fault}

    def set(self, values: Mapping[str, Any]) -> None:
        """Show these values; names that are no fields, locked or hidden are left out."""
        for name, value in values.items():
            for entry in self._open(name):
                entry.set(value)

    def to_json(self) -> Values:
        """Return the chosen values as JSON, such as for a preset; those with a fault are left out."""
        entries = [entry for entry in self._entries.values() if entry.chosen and not entry.fault]
        fitting = {entry.field.name: _converted(entry) for entry in entries}
        return describe_values([entry.field for entry in entries], fitting)

    def from_json(self, stored: Mapping[str, Any]) -> list[str]:
        """Show what `to_json` wrote, and own defaults elsewhere; return the names of values that could not be set.

        Such values are of fields that are gone, do not fit any more, or only code can make; what the fields hold
        stays. Locked and hidden values stay as well.
        """
        here = self.to_json()
        values, lost = rebuild_values([entry.field for entry in self._entries.values()], stored)
        for name, entry in self._entries.items():
            if name not in stored and not entry.fixed:
                entry.clear()
        other = [name for name in stored if name not in self._entries or stored[name] != here.get(name)]
        self.set({name: values[name] for name in other if name in values})
        fixed = [name for name, entry in self._entries.items() if entry.fixed]
        return [name for name in other if name not in fixed and (name in lost or name not in self._entries)]


def refuse_locked(given: Mapping[str, Any], lock: Mapping[str, Any], fields: Iterable[Field]) -> None:
    """Raise FieldError with all names that are given another value than the locked one; the same value is well."""
    known = {field.name: field for field in fields}
    faults = {
        name: _locked(known[name], value, lock[name])
        for name, value in given.items()
        if name in lock and name in known and not is_default(replace(known[name], default=lock[name]), value)
    }
    if faults:
        raise FieldError(faults)


def _locked(field: Field, given: Any, value: Any) -> str:
    shown = show(field, value)
    text = shown if isinstance(shown, str) and shown else short_repr(value)
    return f"{short_repr(given)} is refused: locked by this Lab at {text}"


def _refuse_unfit(
    known: Mapping[str, Field],
    values: Mapping[str, Any],
    start: Mapping[str, Any],
    locked: Mapping[str, Any],
    hidden: Iterable[str],
) -> None:
    """Raise FieldError where a lock or a hidden field cannot be; a locked value that `values` hold too is checked."""
    faults = {name: unknown_name(name, list(known)) for name in locked if name not in known}
    for name, value in locked.items():
        if name in known and values.get(name, REQUIRED) is not value and (fault := fault_of(known[name], value)):
            faults[name] = fault
    for name in hidden:
        if name in known and start[name] is REQUIRED:
            faults[name] = f"hidden, but it has no value; give {expected(known[name])}"
    if faults:
        raise FieldError(faults, "These fields cannot be locked or hidden so")


def _converted(entry: Entry) -> Any:
    try:
        return convert(entry.field, entry.value)
    except FieldError:  # made in code
        return entry.value
