"""Parameters that two forms have in common: each is one field of both, until it is untied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nmlab.fields import Field, disagreement, is_default
from nmlab.form.form import Form


class Ties:
    """The parameters that two functions have in common.

    One that agrees in annotation, bounds and default, and begins with the same value, is one field: the first form
    shows it, and the value holds for both. `untie` makes two of it, `tie` one again with the value of the first form.

    Parameters
    ----------
    first, second : Form
        The forms; a field that is tied is shown by the first.
    names : tuple of str
        What the functions of the two forms are called, for the texts.
    untied : Callable[[str], bool]
        Whether a parameter that could be one is to be two.

    Attributes
    ----------
    differing : dict of str to str
        Parameters with the same name that cannot be one, and in what they differ.
    able : list of str
        Parameters that can be one.
    """

    def __init__(
        self, first: Form, second: Form, names: tuple[str, str], untied: Callable[[str], bool] = lambda name: False
    ) -> None:
        self._forms, self._names = (first, second), names
        others = second.fields
        pairs = {name: disagreement(field, others[name]) for name, field in first.fields.items() if name in others}
        self.differing = {name: text for name, text in pairs.items() if text is not None}
        self.able = [name for name in pairs if name not in self.differing]
        self._tied: set[str] = set()
        for name in self.able:
            starts = [form.initial(name) for form in self._forms]
            if _same(others[name], *starts) and not untied(name):
                self._tied.add(name)
        self._apply()

    @property
    def tied(self) -> list[str]:
        """Names of the parameters that are one field."""
        return [name for name in self.able if name in self._tied]

    def tie(self, name: str) -> None:
        """Make one field of a parameter of both, with the value that the first form has; else nothing."""
        if name in self.able:
            self._tied.add(name)
            self._apply()

    def untie(self, name: str) -> None:
        """Make two fields of a parameter, each with the value that it has."""
        self._tied.discard(name)
        self._apply()

    def untie_where_different(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        """Untie the parameters of which two sets of values, given as JSON, hold different ones."""
        for name in self.tied:
            held = [{key: each for key, each in values.items() if _is_of(key, name)} for values in (first, second)]
            if held[0] != held[1]:
                self.untie(name)

    def _apply(self) -> None:
        first, second = self._forms
        second.share(first, self.tied)
        for form, other in zip(self._forms, reversed(self._names), strict=True):
            form.ties = {name: {"tied": name in self._tied, "text": f"the same for {other}"} for name in self.able}
            for name, differing in self.differing.items():
                form.ties[name] = {"tied": None, "text": f"not the same for {other}, where it differs: {differing}"}


def _same(field: Field, one: Any, other: Any) -> bool:
    return one is other or is_default(replace(field, default=one), other)


def _is_of(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")
