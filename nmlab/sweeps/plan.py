"""Where a sweep's parameters go: to data function, builder or options, or in place of the batch size."""

from __future__ import annotations

import inspect
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nmlab.errors import FieldError
from nmlab.fields import Field, check, convert, fault_of, members_by_name, takes_any_keyword
from nmlab.fields.field import unknown_name
from nmlab.fitting.keywords import Keywords, shared_fields
from nmlab.fitting.request import FitRequest
from nmlab.options import TrainerOptions
from nmlab.provenance.settings import describe_values
from nmlab.sweeps.space import Parameter, number_in

OTHER_NAMES = {"learning_rate": "lr", "epochs": "max_epochs", "clip": "gradient_clip_val"}
"""NeuroMANCER's names of options."""

_BATCH_SIZE = Field("batch_size", "integer", minimum=1)

Part = Literal["data_kwargs", "problem_kwargs", "options", "batch_size"]

Place = tuple[Part, str]
"""Where a value goes: a part of the request, and a name there; of a member of an object or a dict, 'name.member'."""

_WHOSE: dict[str, str] = {"data_kwargs": "the data function's", "problem_kwargs": "the builder's"}


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
    tied : Container[str], optional
        Parameters of data function and builder that are one; default those that agree.

    `faults` says what is wrong, by key of the configuration or of the shared keywords; {} where all is well.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], request: FitRequest, tied: Container[str] | None = None
    ) -> None:
        self.parameters = dict(parameters)
        self._request = request
        self._options = request.options
        self._functions: dict[str, Keywords] = {
            "data_kwargs": Keywords(
                request.fields, takes_any_keyword(request.data_setup_function), request.data_kwargs
            ),
            "problem_kwargs": Keywords(
                request.problem_fields,
                request.builder is not None and takes_any_keyword(request.builder),
                request.problem_kwargs,
            ),
        }
        shared = shared_fields(self._functions["data_kwargs"], self._functions["problem_kwargs"])
        one = [name for name, why in shared.items() if why is None] if tied is None else tied
        self._apart = {name: why for name, why in shared.items() if name not in one}
        self._places: dict[str, list[Place]] = {}
        self.faults: dict[str, str] = {}
        for name, parameter in self.parameters.items():
            if fault := self._place(name) or self._look(name, parameter):
                self.faults[f"parameters.{name}"] = fault
        self._look_at_the_rest()

    # --- before the first trial ---

    def _place(self, name: str) -> str | None:
        """Note where a parameter goes, as `lab.fit` tells loose keywords apart; return what is wrong with it."""
        found = self._found(name)
        if isinstance(found, str):
            return found
        taken = {place: key for key, places in self._places.items() for place in places}
        if twice := [place for place in found if place in taken]:
            return f"the same as {taken[twice[0]]!r}; give one of them"
        self._places[name] = found
        return None

    def _found(self, name: str) -> list[Place] | str:
        part, _, rest = name.partition(".")
        if rest and part == "options":
            return [("options", OTHER_NAMES.get(rest, rest))]
        if rest and part == "data_kwargs":
            return [("data_kwargs", rest)]
        if rest and part == "problem_kwargs" and self._request.builder is not None:
            return [("problem_kwargs", rest)]
        known = OTHER_NAMES.get(name, name)
        head = known.partition(".")[0]  # of a member, the object or dict that it is in
        option = head in TrainerOptions.model_fields
        own: list[Part] = [
            each for each in ("data_kwargs", "problem_kwargs") if name.partition(".")[0] in self._functions[each].names
        ]
        if own and option and name == known:
            parts = [*own, "options"]
            whose = " and ".join(_WHOSE[each] for each in own)
            said = [f"{each}.{name}" for each in parts]
            return f"{'both ' * (len(own) == 1)}{whose} and an option; call it {' or '.join(map(repr, said))}"
        if len(own) == 2 and head in self._apart:
            why = f" ({self._apart[head]})" if self._apart[head] else ""
            said = [f"{each}.{name}" for each in own]
            both = "a parameter of both the data function and the builder, and not one"
            return f"{both}{why}; call it {said[0]!r} or {said[1]!r}"
        if own:
            return [(each, name) for each in own]
        if name == "batch_size":
            return [("batch_size", name)]
        if option:
            return [("options", known)]
        extra: list[Part] = [each for each in ("data_kwargs", "problem_kwargs") if self._functions[each].extra]
        if len(extra) == 2:
            either = f"'data_kwargs.{name}' or 'problem_kwargs.{name}'"
            return f"data function and builder both take any keyword; call it {either}"
        if extra:
            return [(extra[0], name)]
        names = [name for keywords in self._functions.values() for name in (field.name for field in keywords.fields)]
        return unknown_name(name, [*dict.fromkeys(names), "batch_size", *OTHER_NAMES, *TrainerOptions.model_fields])

    def _look(self, name: str, parameter: Parameter) -> str | None:
        """Say what is wrong with the values that a parameter can take, as far as can be said beforehand."""
        fields = [self._field(*place) for place in self._places[name]]
        if parameter.whole is not None and any(field is not None and field.kind == "integer" for field in fields):
            parameter = self.parameters[name] = parameter.whole
        if ("options", "lr") in self._places[name] and _sets_its_own_lr(self._options.optimizer):
            return "without effect: the optimizer was made with a learning rate of its own; give its name or class"
        faults = [
            self._fault(*place, self._read(place, parameter.value(draw)))
            for draw in parameter.looks
            for place in self._places[name]
        ]
        return "; ".join(dict.fromkeys(fault for fault in faults if fault)) or None

    def _field(self, part: Part, key: str) -> Field | None:
        """Return the field of a place; None where it has none, as a member of a dict."""
        if part == "batch_size":
            return _BATCH_SIZE
        fields = TrainerOptions.fields() if part == "options" else self._functions[part].fields
        head, *members = key.split(".")
        field = next((each for each in fields if each.name == head), None)
        for member in members:
            field = None if field is None else next((each for each in field.items if each.name == member), None)
        return field

    def _read(self, place: Place, value: Any) -> Any:
        """Return a value with a number in a text, as YAML reads 1e-5, as the number where the parameter takes one."""
        field = self._field(*place)
        return number_in(value) if field is not None and field.kind in ("integer", "number") else value

    def _fault(self, part: Part, key: str, value: Any) -> str | None:
        if part == "batch_size":
            return fault_of(_BATCH_SIZE, value)
        if part == "options":
            try:
                self._options.replace(**self._merged(part, {key: value}))
            except FieldError as error:
                return "; ".join(error.faults.values())
            return None
        keywords = self._functions[part]
        head = key.partition(".")[0]
        field = next((each for each in keywords.fields if each.name == head), None)
        if field is not None:
            return fault_of(field, self._merged(part, {key: value})[head])
        return None if keywords.extra else unknown_name(key, [each.name for each in keywords.fields])

    def _merged(self, part: Part, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by the names of a part; members within the object or dict that all trials share."""
        merged: dict[str, Any] = {}
        for key, value in values.items():
            head, *members = key.split(".")
            if not members or head not in self._names(part):
                merged[key] = value
                continue
            inner = merged.setdefault(head, dict(self._shared(part, head)))
            for member in members[:-1]:
                inner[member] = inner = dict(inner.get(member) or {})
            inner[members[-1]] = value
        return merged

    def _names(self, part: Part) -> Container[str]:
        return TrainerOptions.model_fields if part == "options" else self._functions[part].names

    def _shared(self, part: Part, name: str) -> Mapping[str, Any]:
        """Return the members of an object or dict that all trials share."""
        if part == "options":
            return dict(getattr(self._options, name) or {})
        keywords, field = self._functions[part], self._field(part, name)
        held = keywords.values.get(name, None if field is None or field.required else field.default)
        return {} if held is None or field is None else members_by_name(field, held)

    def _look_at_the_rest(self) -> None:
        """Find what is wrong with the keywords that are not swept."""
        for part, keywords in self._functions.items():
            swept = {key.partition(".")[0] for places in self._places.values() for each, key in places if each == part}
            fields = [field for field in keywords.fields if field.name not in swept]
            given = {name: value for name, value in keywords.values.items() if name not in swept}
            try:
                check(fields, given, extra=keywords.extra)
            except FieldError as error:
                told = {f"{part}.{name}" if name in self.faults else name: each for name, each in error.faults.items()}
                self.faults |= told

    # --- trials ---

    def trial(self, draws: Mapping[str, Any]) -> Trial:
        """Return what to fit with for these draws; FieldError where a value does not fit."""
        values = {name: parameter.value(draws[name]) for name, parameter in self.parameters.items()}
        parts: dict[Part, dict[str, Any]] = {"data_kwargs": {}, "problem_kwargs": {}, "options": {}, "batch_size": {}}
        for name, value in values.items():
            for place in self._places[name]:
                values[name] = parts[place[0]][place[1]] = self._read(place, value)
        size = parts["batch_size"].get("batch_size")
        known = {name: field for name, places in self._places.items() if (field := self._field(*places[0])) is not None}
        return Trial(
            self._request.replace(
                options=self._options.replace(**self._merged("options", parts["options"])),
                batch_size=self._request.batch_size if size is None else convert(_BATCH_SIZE, size),
                data_kwargs={**self._request.data_kwargs, **self._merged("data_kwargs", parts["data_kwargs"])},
                problem_kwargs={
                    **self._request.problem_kwargs,
                    **self._merged("problem_kwargs", parts["problem_kwargs"]),
                },
            ),
            describe_values([replace(field, name=name) for name, field in known.items()], values),
        )

    def first_look(self) -> Trial:
        """Return a trial of values that were looked at, by which a fit's other arguments can be checked."""
        return self.trial({name: parameter.looks[0] for name, parameter in self.parameters.items()})


def _sets_its_own_lr(optimizer: Any) -> bool:
    return not (optimizer is None or isinstance(optimizer, str) or inspect.isclass(optimizer))
