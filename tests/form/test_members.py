"""A parameter that is a class with members: a field a member, and one value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from annotated_types import Ge

from nmlab.errors import FieldError
from nmlab.fields import fields_of
from nmlab.form import Form


@dataclass
class Inner:
    rate: float = 0.1


@dataclass
class Noise:
    level: Annotated[float, Ge(0)] = 0.5
    inner: Inner = field(default_factory=Inner)
    system: Any = None


GIVEN = Noise(0.5)


def function(nsim: int = 3, noise: Noise = GIVEN, other: Noise | None = None) -> None: ...


def form(**options: Any) -> Form:
    return Form(fields_of(function), options.pop("values", {}), title="Data", **options)


def test_each_member_is_a_field() -> None:
    described = form().describe()["fields"]
    names = ["nsim", "noise.level", "noise.inner.rate", "noise.system", "other"]
    assert [each["name"] for each in described] == names
    assert [each["kind"] for each in described] == ["text", "text", "text", "code", "code"]
    json.dumps([form().describe(), form().state()])


def test_what_is_not_changed_is_the_object_itself() -> None:
    assert form().values["noise"] is GIVEN
    assert form().given == form().changed == form().chosen == {}


def test_a_member_that_is_entered_makes_a_new_object() -> None:
    here = form()
    here.enter("noise.inner.rate", "2")
    assert here.values == {"nsim": 3, "noise": Noise(0.5, Inner(2.0)), "other": None}
    assert here.changed == {"noise": {"inner": {"rate": 2}}}
    assert here.chosen == {"noise": Noise(0.5, Inner(2.0))}
    assert Noise(0.5) == GIVEN
    here.reset("noise.inner.rate")
    assert here.values["noise"] is GIVEN


def test_a_fault_has_the_members_name() -> None:
    here = form()
    here.enter("noise.level", "-1")
    assert here.faults == {"noise.level": "-1 is too small; give a number >= 0"}
    with pytest.raises(FieldError, match="given in code"):
        here.enter("noise.system", "1")
    with pytest.raises(FieldError, match="given in code"):
        here.enter("other", "1")


def test_a_given_object_is_what_reset_restores() -> None:
    given = Noise(0.25)
    here = form(values={"noise": given})
    assert here.values["noise"] is given
    assert here.given == {"noise": given}
    here.set({"noise": Noise(1.0, Inner(3.0))})
    assert here.values["noise"] == Noise(1.0, Inner(3.0))
    here.set({"noise": {"level": 2.0}})
    assert here.values["noise"] == Noise(2.0, Inner(3.0))
    here.reset()
    assert here.values["noise"] is given
    here.clear()
    assert here.values["noise"] == Noise(0.5)


def test_an_object_is_locked_and_hidden_as_a_whole() -> None:
    here = form(lock={"noise": Noise(7.0)}, hide=["other"])
    assert here.values["noise"] == Noise(7.0)
    assert [name for name in here.state()["shown"] if name.startswith("other")] == []
    with pytest.raises(FieldError, match="locked"):
        here.enter("noise.level", "1")


def test_a_preset_holds_the_members_that_were_chosen() -> None:
    here, there = form(), form()
    here.enter("noise.level", "2")
    assert there.from_json(json.loads(json.dumps(here.to_json()))) == []
    assert there.values["noise"] == Noise(2.0)


def test_a_required_object_is_missing_member_by_member() -> None:
    def required(noise: Required) -> None: ...

    here = Form(fields_of(required), {}, title="Data")
    assert list(here.faults) == ["noise.level"]
    here.enter("noise.level", "1")
    assert here.values == {"noise": Required(1.0)}


@dataclass
class Required:
    level: float
