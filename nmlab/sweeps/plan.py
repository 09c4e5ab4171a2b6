"""Where a sweep's parameters go: to the data function, to the options, or in place of the batch size."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nmlab.errors import FieldError
from nmlab.fields import Field, check, convert, fault_of, takes_any_keyword
from nmlab.fields.field import unknown_name
from nmlab.fitting.request import FitRequest
from nmlab.options import TrainerOptions
from nmlab.provenance.settings import describe_values
from nmlab.sweeps.space import Parameter

OTHER_NAMES = {"learning_rate": "lr", "epochs": "max_epochs", "clip": "gradient_clip_val"}
"""NeuroMANCER's names of options."""

_BATCH_SIZE = Field("batch_size", "integer", minimum=1)

Part = Literal["data_kwargs", "options", "batch_size"]


@dataclass(frozen=True)
class Trial:
    """What one trial is fitted with.

    Parameters
    ----------
    request : FitRequest
        What is fitted.
    parameters : dict[str, Any]
        The swept values as JSON, by name, for the record.
    """

    request: FitRequest
    parameters: dict[str, Any]


class Plan:
    """Knows which value goes where.

    Parameters
    ----------
    parameters : Mapping[str, Parameter]
        What to try, by name.
    request : FitRequest
        What all trials share.

    `faults` says what is wrong, by key of the configuration or of `data_kwargs`; {} where all is well.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        request: FitRequest,
    ) -> None:
        self.parameters = dict(parameters)
        self._request = request
        self._options = request.options
        self._data_kwargs = dict(request.data_kwargs)
        self._fields = {field.name: field for field in request.fields}
        self._extra = takes_any_keyword(request.data_setup_function)
        self._places: dict[str, tuple[Part, str]] = {}
        self.faults: dict[str, str] = {}
        for name, parameter in self.parameters.items():
            if fault := self._place(name) or self._look(name, parameter):
                self.faults[f"parameters.{name}"] = fault
        self._look_at_the_rest()

    # --- before the first trial ---

    def _place(self, name: str) -> str | None:
        """Note where a parameter goes, as `lab.fit` tells loose keywords apart; return what is wrong with it."""
        part, _, rest = name.partition(".")
        known = OTHER_NAMES.get(name, name)
        option = known in TrainerOptions.model_fields
        place: tuple[Part, str]
        if rest and part == "data_kwargs":
            place = ("data_kwargs", rest)
        elif rest and part == "options":
            place = ("options", OTHER_NAMES.get(rest, rest))
        elif name in self._fields and option and name == known:
            return f"both the data function's and an option; call it 'data_kwargs.{name}' or 'options.{name}'"
        elif name in self._fields:
            place = ("data_kwargs", name)
        elif name == "batch_size":
            place = ("batch_size", name)
        elif option:
            place = ("options", known)
        elif self._extra:
            place = ("data_kwargs", name)
        else:
            return unknown_name(name, [*self._fields, "batch_size", *OTHER_NAMES, *TrainerOptions.model_fields])
        if place in self._places.values():
            other = next(key for key, value in self._places.items() if value == place)
            return f"the same as {other!r}; give one of them"
        self._places[name] = place
        return None

    def _look(self, name: str, parameter: Parameter) -> str | None:
        """Say what is wrong with the values that a parameter can take, as far as can be said beforehand."""
        part, key = self._places[name]
        if key == "lr" and part == "options" and _sets_its_own_lr(self._options.optimizer):
            return "without effect: the optimizer was made with a learning rate of its own; give its name or class"
        faults = [self._fault(part, key, parameter.value(draw)) for draw in parameter.looks]
        return "; ".join(dict.fromkeys(fault for fault in faults if fault)) or None

    def _fault(self, part: Part, key: str, value: Any) -> str | None:
        if part == "batch_size":
            return fault_of(_BATCH_SIZE, value)
        if part == "options":
            try:
                self._options.replace(**{key: value})
            except FieldError as error:
                return "; ".join(error.faults.values())
            return None
        if key in self._fields:
            return fault_of(self._fields[key], value)
        return None if self._extra else unknown_name(key, list(self._fields))

    def _look_at_the_rest(self) -> None:
        """Find what is wrong with the data keywords that are not swept."""
        swept = {key for part, key in self._places.values() if part == "data_kwargs"}
        fields = [field for name, field in self._fields.items() if name not in swept]
        given = {name: value for name, value in self._data_kwargs.items() if name not in swept}
        try:
            check(fields, given, extra=self._extra)
        except FieldError as error:
            self.faults |= error.faults

    # --- trials ---

    def trial(self, draws: Mapping[str, Any]) -> Trial:
        """Return what to fit with for these draws; FieldError where a value does not fit."""
        values = {name: parameter.value(draws[name]) for name, parameter in self.parameters.items()}
        parts: dict[Part, dict[str, Any]] = {"data_kwargs": {}, "options": {}, "batch_size": {}}
        for name, value in values.items():
            part, key = self._places[name]
            parts[part][key] = value
        size = parts["batch_size"].get("batch_size")
        return Trial(
            self._request.replace(
                options=self._options.replace(**parts["options"]),
                data_kwargs={**self._data_kwargs, **parts["data_kwargs"]},
                batch_size=self._request.batch_size if size is None else convert(_BATCH_SIZE, size),
            ),
            describe_values(self._fields.values(), values),
        )

    def first_look(self) -> Trial:
        """Return a trial of values that were looked at, by which a fit's other arguments can be checked."""
        return self.trial({name: parameter.looks[0] for name, parameter in self.parameters.items()})


def _sets_its_own_lr(optimizer: Any) -> bool:
    return not (optimizer is None or isinstance(optimizer, str) or inspect.isclass(optimizer))
