"""A form out of fields: what it shows, what it reads, what it says is wrong."""

import math
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from annotated_types import Ge
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab.fields import Field, check, fields_of
from nmlab.notebook.form import Form
from nmlab.options import TrainerOptions


class Colour(Enum):
    RED = "r"
    BLUE = "b"


def everything(
    count: Annotated[int, Ge(1)],
    rate: float = 1e-3,
    flag: bool = True,
    maybe: bool | None = None,
    word: str = "abc",
    note: str | None = None,
    kind: Literal["a", "b"] = "b",
    colour: Colour = Colour.BLUE,
    other: Colour | None = None,
    folder: Path = Path("here"),
    pair: tuple[float, float] = (0.5, 2.0),
    some: list[int] = [1, 2],  # noqa: B006 - as users write it
    limit: int | None = None,
    system: Any = None,
) -> None:
    """Every kind of field.

    Parameters
    ----------
    count : int
        How many <b>things</b>.
    """


FIELDS = fields_of(everything)


def form(fields: tuple[Field, ...] = FIELDS, **values: Any) -> Form:
    return Form(fields, values, title="Title")


def widget(form: Form, name: str) -> Any:
    return form._entries[name].widget


def test_it_shows_the_defaults_and_reads_them_back() -> None:
    shown = form(count=3)
    assert shown.faults == {}
    assert check(FIELDS, shown.values) == check(FIELDS, {"count": 3})


def test_a_required_value_is_missing_until_it_is_given() -> None:
    shown = form()
    assert set(shown.faults) == {"count"}
    widget(shown, "count").value = "4"
    assert shown.faults == {}
    assert shown.values["count"] == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(1) | st.none(), st.floats(allow_nan=False, allow_infinity=False), st.booleans() | st.none())
def test_whatever_is_shown_is_read_back(limit: int | None, rate: float, maybe: bool | None) -> None:
    shown = form(count=1, limit=limit, rate=rate, maybe=maybe, pair=(rate, -rate))
    read = check(FIELDS, shown.values)
    assert (read["limit"], read["rate"], read["maybe"], read["pair"]) == (limit, rate, maybe, (rate, -rate))


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("rate", "1e-3", 0.001),
        ("rate", " -5 ", -5.0),
        ("rate", "inf", math.inf),
        ("count", "5_000", 5000),
        ("count", "1e3", 1000),
        ("limit", "", None),
        ("limit", "none", None),
        ("pair", "(1, 2.5)", (1.0, 2.5)),
        ("some", "3", [3]),
        ("some", "[3, 4]", [3, 4]),
        ("word", "12", "12"),
        ("word", "", ""),
        ("word", "none", "none"),
        ("note", "", None),
        ("folder", "a/b", Path("a/b")),
    ],
)
def test_what_is_typed(name: str, typed: str, value: Any) -> None:
    shown = form(count=1)
    widget(shown, name).value = typed
    assert shown.faults == {}
    assert check(FIELDS, shown.values)[name] == value


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("count", "0"),
        ("count", "2.5"),
        ("count", "many"),
        ("rate", "fast"),
        ("pair", "1"),
        ("some", "1, x"),
        ("rate", ""),
    ],
)
def test_what_is_typed_wrong_stands_beside_its_field(name: str, typed: str) -> None:
    shown = form(count=1)
    widget(shown, name).value = typed
    assert set(shown.faults) == {name}
    assert "role='alert'" in shown._entries[name]._note.value


def test_a_choice_is_set_to_none_and_back() -> None:
    shown = form(count=1, other=Colour.RED)
    assert widget(shown, "other").value == "RED"
    shown.set({"other": None})
    assert shown.values["other"] is None
    shown.set({"other": "BLUE"})
    assert check(FIELDS, shown.values)["other"] is Colour.BLUE


def test_choices_may_hold_arrays() -> None:
    systems = {"one": np.ones(3), "two": np.ones(3)}

    def function(system: Any) -> None: ...

    fields = fields_of(function, {"system": systems})
    shown = Form(fields, {"system": systems["two"]}, title="")
    assert widget(shown, "system").value == "two"
    assert check(fields, shown.values)["system"] is systems["two"]


def test_a_value_no_widget_can_make_is_passed_through_or_asked_for() -> None:
    system = object()
    assert form(count=1, system=system).values["system"] is system

    def needs(system: Any) -> None: ...

    assert "data_kwargs" in form(fields_of(needs)).faults["system"]


def test_a_default_is_the_authors_word_and_left_as_it_is() -> None:
    def function(
        empty: list[float] = [],  # noqa: B006
        root: float = np.sqrt(2.0),
        odd: tuple[float, float] = 0.0,  # type: ignore[assignment]
        named: float = "auto",  # type: ignore[assignment]
        separator: str = ", ",
        tag: str | None = "",
    ) -> None: ...

    fields = fields_of(function)
    shown = Form(fields, {}, title="")
    assert shown.faults == {}
    assert all(shown.values[field.name] is field.default for field in fields)
    assert widget(shown, "root").value == "1.4142135623730951"
    widget(shown, "separator").value = " ; "
    assert shown.values["separator"] == " ; "


def test_a_required_choice_is_what_the_screen_shows() -> None:
    def function(kind: Literal["a", "b"], flag: bool) -> None: ...

    fields = fields_of(function)
    shown = Form(fields, {}, title="")
    assert shown.faults == {}
    assert check(fields, shown.values) == {"kind": "a", "flag": False}


def test_help_is_escaped() -> None:
    assert "&lt;b&gt;" in form(count=1)._entries["count"]._note.value


MADE_IN_CODE: list[tuple[str, Callable[[], Any]]] = [
    ("optimizer", lambda: torch.optim.SGD),
    ("optimizer", lambda: lambda parameters: torch.optim.SGD(parameters, lr=0.1)),
    ("lr_scheduler", lambda: torch.optim.lr_scheduler.ConstantLR),
    ("optimizer", lambda: torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])),
]


@pytest.mark.parametrize(("name", "make"), MADE_IN_CODE)
def test_an_option_that_only_code_can_give_survives_the_form(name: str, make: Callable[[], Any]) -> None:
    given_value = make()
    options = TrainerOptions(**{name: given_value})
    fields = TrainerOptions.fields()
    shown = Form(fields, {field.name: getattr(options, field.name) for field in fields}, title="")
    assert shown.faults == {}
    assert shown.values[name] is given_value
    assert "given in code" in dict(widget(shown, name).options).__repr__()
    widget(shown, name).value = next(iter(dict(widget(shown, name).options).values()))
    assert getattr(options.replace(**shown.values), name) is None  # and it can be chosen away


def test_every_option_round_trips() -> None:
    options = TrainerOptions(
        max_epochs=7,
        lr=0.02,
        optimizer="adamw",
        seed=0,
        lr_scheduler="StepLR",
        gradient_clip_val=None,
        precision="64-true",
    )
    fields = [field for field in TrainerOptions.fields() if field.kind != "any"]
    shown = Form(fields, {field.name: getattr(options, field.name) for field in fields}, title="")
    assert shown.faults == {}
    assert options.replace(**shown.values).to_json() == options.to_json()
