"""The parameters of a Lab's data function or builder: a form, and the values that no form has a field for."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from typing import Any

from nmlab.data.splits import place_of
from nmlab.errors import FieldError, NmlabError
from nmlab.fields import Field, check, fields_of, takes_any_keyword
from nmlab.fitting.keywords import Keywords
from nmlab.form import Form, refuse_locked
from nmlab.provenance.settings import describe_values, rebuild_values


class Section:
    """The parameters of one function, as a Lab's form has them.

    Parameters
    ----------
    title : str
        What the form is called before the function's name, such as "Data".
    function : callable
        The data function or the builder.
    values : Mapping[str, Any]
        Initial values of its keywords.
    choices : Mapping[str, Any] or None
        Values that its keywords take by name.
    lock : Mapping[str, Any]
        Values of the Lab that cannot be changed, also such of other functions.
    hide : Container[str]
        Names that the form does not show, also such of other functions.

    Raises
    ------
    FieldError
        Where a value is wrong, or locked at another one.
    """

    def __init__(
        self,
        title: str,
        function: Callable[..., Any],
        values: Mapping[str, Any],
        choices: Mapping[str, Any] | None,
        lock: Mapping[str, Any],
        hide: Container[str],
    ) -> None:
        self.title, self.function, self.choices = title, function, choices
        self._lock, self._hide = lock, hide
        self.fields = fields_of(function, choices)
        self.extra = takes_any_keyword(function)
        names = self.names
        self.lock = {name: value for name, value in lock.items() if name in names}
        refuse_locked(values, self.lock, self.fields)
        subject = f"{place_of(function)} cannot be called with this"
        checked = check(self.fields, values, subject=subject, extra=self.extra, complete=False)
        self.form = Form(
            self.fields,
            checked,
            title=f"{title}: {getattr(function, '__name__', title.lower())}",
            lock=self.lock,
            hide=[name for name in names if name in hide],
            remarks=_remarks_of(function),
        )
        self._beyond = {name: value for name, value in checked.items() if name not in names}

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [field.name for field in self.fields]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The function's values as they stand, without those that hold nothing."""
        return {**self._beyond, **self.form.values}

    @property
    def keywords(self) -> Keywords:
        """What the function is called with."""
        return Keywords(self.fields, self.extra, self.kwargs)

    def with_function(
        self, function: Callable[..., Any], values: Mapping[str, Any], choices: Mapping[str, Any] | None
    ) -> Section:
        """Return the section of another function; what was given or chosen here is kept where that takes it too."""
        fields = {field.name: field for field in fields_of(function, choices)}

        def fitting(held: Mapping[str, Any]) -> dict[str, Any]:
            kept: dict[str, Any] = {}
            for name, value in held.items():
                if name in fields and name not in values and name not in self._lock:
                    with suppress(FieldError):
                        kept |= check([fields[name]], {name: value}, complete=False)
            return kept

        given, changed = fitting({**self._beyond, **self.form.given}), fitting(self.form.changed)
        made = Section(self.title, function, {**given, **values}, choices, self._lock, self._hide)
        made.form.set(changed)
        return made

    def with_signature(self) -> Section | None:
        """Return the section of the same function as its signature is now; None where it is the same."""
        now = fields_of(self.function, self.choices)
        return None if _alike(now, self.fields) else self.with_function(self.function, {}, self.choices)

    def choose(self, values: Mapping[str, Any]) -> None:
        """Choose these values, and the function's own defaults elsewhere; locked values stay."""
        names = self.names
        self._beyond = {name: value for name, value in values.items() if name not in names} if self.extra else {}
        self.form.clear()
        self.form.set({name: value for name, value in values.items() if name not in self.lock})

    def to_json(self) -> dict[str, Any]:
        """Return the chosen values as JSON, such as for a preset."""
        return self.form.to_json() | describe_values((), self._beyond)

    def from_json(self, stored: Mapping[str, Any]) -> list[str]:
        """Choose the values that `to_json` returned, and defaults elsewhere; return the names that are lost."""
        names = self.names
        # an object's members are called "object.member"
        beyond = {name: value for name, value in stored.items() if name.partition(".")[0] not in names}
        lost = self.form.from_json({name: value for name, value in stored.items() if name not in beyond})
        if not self.extra:
            return [*lost, *beyond]
        values, gone = rebuild_values((), beyond)
        here = describe_values((), self._beyond)
        self._beyond = values | {name: self._beyond[name] for name in gone if here.get(name) == beyond[name]}
        return [*lost, *(name for name in gone if name not in self._beyond)]


Asked = tuple[str, Callable[..., Any] | None, Mapping[str, Any], Mapping[str, Any] | None]
"""Title, function, initial values and choices of a section."""


def sections_of(*asked: Asked, lock: Mapping[str, Any], hide: Container[str]) -> list[Section | None]:
    """Return the sections of some functions, None where there is none; raises `FieldError` with the faults of all."""
    made: list[Section | None] = []
    errors: list[FieldError] = []
    for title, function, values, choices in asked:
        try:
            made.append(None if function is None else Section(title, function, values, choices, lock, hide))
        except FieldError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        faults: dict[str, str] = {}
        for (title, *_), each in zip(asked, errors, strict=True):
            part = f"{title.lower()}_kwargs"
            faults |= {f"{part}.{name}" if name in faults else name: text for name, text in each.faults.items()}
        raise FieldError(faults, subject="This Lab cannot be made")
    return made


def _alike(one: tuple[Field, ...], other: tuple[Field, ...]) -> bool:
    try:
        return one == other
    except Exception:  # a default whose == is not a bool
        return False


def _remarks_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return what a data function says of itself, as `FileData` does of its file; () if it says nothing."""
    try:
        return tuple(map(str, getattr(function, "remarks", ())))
    except NmlabError:  # the file is gone or was changed, which the next run tells
        return ()
