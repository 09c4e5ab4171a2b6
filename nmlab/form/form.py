"""The model of a form: fields with their current input, for any screen to draw and for code to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from nmlab.errors import FieldError
from nmlab.fields import REQUIRED, Field, convert, expected, fault_of, is_default
from nmlab.fields.field import unknown_name
from nmlab.form.entry import Entry
from nmlab.form.members import gather, spread, spread_values
from nmlab.form.showing import show
from nmlab.provenance.settings import describe_values, rebuild_values
from nmlab.runtime.text import short_repr

Values = dict[str, Any]


class Form:
    """Fields and their current input.

    A screen draws `describe()`, sends each edit to `enter`, and shows `state()`; all three are JSON.

    Parameters
    ----------
    fields : iterable of Field
        The fields. One of kind 'object' is shown as a field for each member, called "field.member".
    values : mapping
        Initial values by name, in place of the fields' own defaults, which `reset` restores. They must be valid.
    title : str
        Title of the form.
    first : iterable of str, optional
        Names of the fields that are always visible; the others are collapsed. Default: all.
    lock : mapping, optional
        Values by name that are shown but cannot be changed.
    hide : iterable of str, default ()
        Names of fields that are not shown and keep their values. Unknown names are ignored.
    remarks : iterable of str, default ()
        What is to be said of the function whose fields these are, such as how its file was read.
    folded : str, default 'more options'
        What the collapsed fields are, after their number.

    Raises
    ------
    FieldError
        If `lock` has an unknown name, a locked value is not valid, or a hidden field has no value; the error reports
        all faults.

    Examples
    --------
    >>> from nmlab.fields import Field
    >>> from nmlab.form import Form
    >>> form = Form([Field("nsim", "integer", default=100, minimum=1)], {}, title="Data")
    >>> form.enter("nsim", "0")
    >>> form.faults
    {'nsim': '0 is too small; give an integer >= 1'}
    >>> form.enter("nsim", "500")
    >>> form.values
    {'nsim': 500}
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
        remarks: Iterable[str] = (),
        folded: str = "more options",
    ) -> None:
        known = {field.name: field for field in fields}
        locked, hidden = dict(lock or {}), list(hide)
        start = {name: locked.get(name, values.get(name, field.default)) for name, field in known.items()}
        _refuse_unfit(known, values, start, locked, hidden)
        shown = {each.name: (each, name) for name, field in known.items() for each in spread(field, start[name])}
        held = spread_values(known.values(), {name: each for name, (each, _) in shown.items()}, start)
        self.title = title
        self._fields, self._start = known, start
        self.remarks = list(remarks)
        self._folded = folded
        self._first = None if first is None else set(first)
        self._entries = {
            name: Entry(field, held.get(name, field.default), locked=owner in locked, hidden=owner in hidden)
            for name, (field, owner) in shown.items()
        }
        self._owners = {name: owner for name, (_, owner) in shown.items()}
        self._shared: set[str] = set()
        self._shared_with = ""
        self.ties: dict[str, Any] = {}
        """What a screen is told of parameters that another form has too, by name; see `Ties`."""

    # --- for a screen ---

    def describe(self) -> dict[str, Any]:
        """Return the form without its values, as JSON.

        Returns
        -------
        dict
            'title', 'folded' (what the collapsed fields are) and 'remarks' (a list of texts) if there are any, and
            'fields', a list with one dict per field. Its 'kind' is 'text', 'slider' (text, and a slider with the
            positions 'stops'), 'choice' (one of 'options', to which `set` may add), 'boolean' or 'code' (a value that
            can only be seen). 'expects' is a text about valid input, 'first' says whether the field is always visible,
            and 'tie', of a parameter that another form has too, whether it is one field of both ('tied'; None where it
            cannot be one) and a 'text' about it. 'shared' is a text about fields that another form shows.
        """
        shown = self._shown_entries()
        fields = []
        for name, entry in shown.items():
            owner = self._owners[name]
            tie = {"tie": self.ties[owner] | {"name": owner}} if owner in self.ties else {}
            fields.append(entry.describe() | {"first": self._first is None or owner in self._first} | tie)
        told: dict[str, Any] = {"remarks": self.remarks} if self.remarks else {}
        if self._first is not None:
            told["folded"] = self._folded
        if self._shared:
            names = ", ".join(name for name in self._fields if name in self._shared)
            told["shared"] = f"{names}: the same as above, in {self._shared_with}"
        return {"title": self.title, "fields": fields} | told

    def state(self) -> dict[str, Any]:
        """Return the current state as JSON: 'shown', 'faults' and 'changed' (from the initial value), each by name."""
        entries = self._shown_entries()
        return {
            "shown": {name: entry.shown for name, entry in entries.items()},
            "faults": {name: entry.fault for name, entry in entries.items() if entry.fault},
            "changed": {name: entry.changed for name, entry in entries.items()},
        }

    def _shown_entries(self) -> dict[str, Entry]:
        own = ((name, entry) for name, entry in self._entries.items() if self._owners[name] not in self._shared)
        return {name: entry for name, entry in own if not entry.hidden}

    def share(self, other: Form, names: Iterable[str]) -> None:
        """Have the fields of these parameters in common with another form, which shows them.

        Fields that were in common until now get a state of their own, with the values that they have.
        """
        before, self._shared, self._shared_with = self._shared, set(names), other.title
        entries = {name: (owner, self._entries[name]) for name, owner in self._owners.items()}
        for name in before - self._shared:
            entries |= {key: (name, copy(entry)) for key, (owner, entry) in entries.items() if owner == name}
        found: dict[str, tuple[str, Entry]] = {}
        for name in self._fields:
            if name in self._shared:
                found |= {key: (name, other._entries[key]) for key, owner in other._owners.items() if owner == name}
                self._start[name] = other._start[name]
            else:
                found |= {key: each for key, each in entries.items() if each[0] == name}
        self._owners = {key: owner for key, (owner, _) in found.items()}
        self._entries = {key: entry for key, (_, entry) in found.items()}

    def enter(self, name: str, shown: Any) -> None:
        """Set what a user entered. Input that is not valid is kept, and shows in `faults`.

        Parameters
        ----------
        name : str
            Name of the field. An unknown name is ignored, as an edit may arrive after its field was removed.
        shown : str or bool
            Text, a label, True or False.

        Raises
        ------
        FieldError
            If the field is locked, or its value can be given only in code.
        """
        entry = self._entries.get(name)
        if entry is None or entry.hidden:
            return
        if entry.locked:
            raise FieldError({name: _locked(entry.field, shown, entry.value)})
        if entry.field.kind in ("any", "object"):
            raise FieldError({name: "given in code, as no widget can make such a value"})
        entry.enter(shown)

    def reset(self, name: str | None = None) -> None:
        """Restore the initial value of one field, or of all (None); locked and hidden values stay."""
        for entry in self._entries.values() if name is None else self._open(name):
            if not entry.fixed:
                entry.reset()

    def reset_all(self) -> Callable[[], None]:
        """Restore all initial values, and return a function that undoes this."""
        before = {name: (entry.shown, entry.value) for name, entry in self._entries.items() if entry.changed}

        def back() -> None:
            for name, (shown, value) in before.items():
                for entry in self._open(name):
                    entry.set(value)
                    if entry.shown != shown:  # it was not valid, or not in nmlab's notation
                        entry.enter(shown)

        self.reset()
        return back

    def clear(self) -> None:
        """Set all fields to their own defaults; a field without one becomes empty.

        Locked and hidden values stay, and values that only code can make return to their initial value.
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
        """Current values by name, without empty fields."""
        return self._gathered({name: entry.value for name, entry in self._entries.items()})

    @property
    def given(self) -> Values:
        """Initial values by name, without those that were their field's own default."""
        given = {self._owners[name] for name, entry in self._entries.items() if entry.given is not REQUIRED}
        return {name: value for name, value in self._start.items() if name in given}

    @property
    def changed(self) -> Values:
        """Valid values by name that differ from the initial ones; of an object, a dict of the members that do."""
        changed: Values = {}
        for name, entry in self._entries.items():
            if entry.changed and not entry.fault:
                *path, last = name.split(".") if self._owners[name] != name else [name]
                inner = changed
                for part in path:
                    inner = inner.setdefault(part, {})
                inner[last] = entry.value
        return changed

    @property
    def chosen(self) -> Values:
        """Values by name that differ from their field's own default or from the initial value."""
        chosen = {self._owners[name] for name, entry in self._entries.items() if entry.chosen}
        return {name: value for name, value in self.values.items() if name in chosen}

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong, by name; {} if all values are valid."""
        own = ((name, entry) for name, entry in self._entries.items() if self._owners[name] not in self._shared)
        return {name: entry.fault for name, entry in own if entry.fault}

    @property
    def fields(self) -> dict[str, Field]:
        """The fields by name, an object as one."""
        return dict(self._fields)

    def initial(self, name: str) -> Any:
        """Return the initial value of a field; REQUIRED if it has none."""
        return self._start[name]

    def set(self, values: Mapping[str, Any]) -> None:
        """Set values by name; unknown, locked and hidden names are ignored.

        A dict for an object sets the members that it has.
        """
        shown = {name: entry.field for name, entry in self._entries.items()}
        for name, value in spread_values(self._fields.values(), shown, values).items():
            for entry in self._open(name):
                entry.set(value)

    def _gathered(self, values: Mapping[str, Any]) -> Values:
        held = {name: value for name, value in values.items() if value is not REQUIRED}
        found = {name: gather(field, held, self._start[name]) for name, field in self._fields.items()}
        return {name: value for name, value in found.items() if value is not REQUIRED}

    def to_json(self) -> Values:
        """Return the chosen values as JSON, such as for a preset, without those that are not valid."""
        entries = [entry for entry in self._entries.values() if entry.chosen and not entry.fault]
        fitting = {entry.field.name: _converted(entry) for entry in entries}
        return describe_values([entry.field for entry in entries], fitting)

    def from_json(self, stored: Mapping[str, Any]) -> list[str]:
        """Set the values that `to_json` returned, and all other fields to their own defaults.

        A value is not set if its field no longer exists, if it is no longer valid, or if only code can make it. Locked
        and hidden values stay.

        Parameters
        ----------
        stored : mapping
            Values by name, as JSON.

        Returns
        -------
        list of str
            Names of the values that could not be set.
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
    """Raise FieldError with all names whose value differs from the locked one.

    Parameters
    ----------
    given : mapping
        Values by name.
    lock : mapping
        Locked values by name.
    fields : iterable of Field
        The fields.

    Raises
    ------
    FieldError
        If a locked field has another value.
    """
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
    return f"{short_repr(given)} cannot be set: locked by this Lab at {text}"


def _refuse_unfit(
    known: Mapping[str, Field],
    values: Mapping[str, Any],
    start: Mapping[str, Any],
    locked: Mapping[str, Any],
    hidden: Iterable[str],
) -> None:
    """Raise FieldError if fields cannot be locked or hidden; locked values that are also in `values` were checked."""
    faults = {name: unknown_name(name, list(known)) for name in locked if name not in known}
    for name, value in locked.items():
        if name in known and values.get(name, REQUIRED) is not value and (fault := fault_of(known[name], value)):
            faults[name] = fault
    for name in hidden:
        if name in known and start[name] is REQUIRED:
            faults[name] = f"hidden, but it has no value; give {expected(known[name])}"
    if faults:
        raise FieldError(faults, "These fields cannot be locked or hidden")


def _converted(entry: Entry) -> Any:
    try:
        return convert(entry.field, entry.value)
    except FieldError:  # made in code
        return entry.value
