"""A form out of fields: what it shows, what it reads, what it says is wrong."""

import json
import math
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from annotated_types import Ge, Interval, Le, Len, MultipleOf, Unit
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmlab.errors import FieldError
from nmlab.fields import Field, check, convert, fault_of, fields_of
from nmlab.form import Form, refuse_locked
from nmlab.options import TrainerOptions


class Colour(Enum):
    RED = "r"
    BLUE = "b"


def everything(
    count: Annotated[int, Ge(1)],
    rate: Annotated[float, Unit("1/s")] = 1e-3,
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
    share: Annotated[float, Interval(ge=0, le=1)] = 0.25,
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


def shown(form: Form) -> dict[str, Any]:
    found: dict[str, Any] = form.state()["shown"]
    return found


def described(form: Form) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in form.describe()["fields"]}


# Showing and reading ----------------------------------------------------------------------------------------


def test_it_shows_the_defaults_and_reads_them_back() -> None:
    some = form(count=3)
    assert some.faults == {}
    assert check(FIELDS, some.values) == check(FIELDS, {"count": 3})
    assert shown(some) == {
        "count": "3",
        "rate": "0.001",
        "flag": True,
        "maybe": "none",
        "word": "abc",
        "note": "",
        "kind": "b",
        "colour": "BLUE",
        "other": "none",
        "folder": "here",
        "pair": "0.5, 2.0",
        "some": "1, 2",
        "limit": "",
        "share": "0.25",
        "system": "None",
    }


def test_a_required_value_is_missing_until_it_is_given() -> None:
    some = form()
    assert some.state()["faults"] == {"count": "missing; give an integer >= 1"}
    assert "count" not in some.values
    some.enter("count", "4")
    assert some.faults == {}
    assert some.values["count"] == 4


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(1),
        "rate": st.floats(allow_nan=False),
        "flag": st.booleans(),
        "maybe": st.booleans() | st.none(),
        "word": st.text(),
        "note": st.text(min_size=1) | st.none(),
        "kind": st.sampled_from(["a", "b"]),
        "colour": st.sampled_from(Colour),
        "other": st.sampled_from(Colour) | st.none(),
        "folder": st.from_regex(r"\A[a-z]{1,5}(/[a-z]{1,5})?\Z").map(Path),
        "pair": st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
        "some": st.lists(st.integers(), min_size=1),
        "limit": st.integers() | st.none(),
        "share": st.floats(0, 1),
    },
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_whatever_is_shown_is_read_back(values: dict[str, Any]) -> None:
    written, typed = form(count=1), form(count=1)
    written.set(values)
    for name, text in json.loads(json.dumps(shown(written))).items():
        if name in values:
            typed.enter(name, text)
    assert typed.faults == {}
    assert check(FIELDS, typed.values) == check(FIELDS, written.values) == check(FIELDS, {"count": 1} | values)


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
        ("word", " a ", " a "),
        ("word", "", ""),
        ("word", "none", "none"),
        ("note", "", None),
        ("folder", "a/b", Path("a/b")),
        ("flag", False, False),
        ("maybe", "no", False),
        ("maybe", "none", None),
        ("other", "RED", Colour.RED),
    ],
)
def test_what_is_entered(name: str, typed: Any, value: Any) -> None:
    some = form(count=1)
    some.enter(name, typed)
    assert some.faults == {}
    assert shown(some)[name] == typed
    assert check(FIELDS, some.values)[name] == value


@pytest.mark.parametrize(
    ("name", "typed", "part"),
    [
        ("count", "0", "0 is too small; give an integer >= 1"),
        ("count", "2.5", "2.5 is not an integer"),
        ("count", "many", "'many' is not an integer"),
        ("rate", "fast", "'fast' is not a number; give a number (in 1/s)"),
        ("rate", "", "missing"),
        ("share", "2", "2 is too large"),
        ("pair", "1", "is too short"),
        ("some", "1, x", "holds 'x'"),
        ("kind", "c", "not one of the choices"),
        ("flag", "perhaps", "neither True nor False"),
    ],
)
def test_what_is_entered_wrong_stands_beside_its_field(name: str, typed: str, part: str) -> None:
    some = form(count=1)
    some.enter(name, typed)
    assert set(some.faults) == set(some.state()["faults"]) == {name}
    assert part in some.faults[name]
    assert shown(some)[name] == typed, "what was typed is not taken away"
    some.reset(name)
    assert some.faults == {}


def test_an_edit_of_a_field_that_is_gone_does_nothing() -> None:
    some = form(count=1)
    before = some.state()
    some.enter("of_the_function_before", "3")
    some.reset("of_the_function_before")
    some.set({"of_the_function_before": 3})
    assert some.state() == before


def test_a_choice_is_set_to_none_and_back() -> None:
    some = form(count=1, other=Colour.RED)
    assert shown(some)["other"] == "RED"
    some.set({"other": None})
    assert some.values["other"] is None
    some.set({"other": "BLUE"})
    assert check(FIELDS, some.values)["other"] is Colour.BLUE


def test_choices_may_hold_arrays_and_be_called_none() -> None:
    systems = {"one": np.ones(3), "two": np.ones(3), "none": np.zeros(3)}

    def function(system: Any, other: Any = None, third: Any = None) -> None: ...

    fields = fields_of(function, {"system": systems, "other": systems, "third": {"nothing": None, "one": 1}})
    some = Form(fields, {"system": systems["two"]}, title="")
    assert shown(some) == {"system": "two", "other": "none (2)", "third": "nothing"}
    assert described(some)["other"]["options"] == ["none (2)", "one", "two", "none"]
    assert described(some)["third"]["options"] == ["nothing", "one"]
    assert check(fields, some.values) == {"system": systems["two"], "other": None, "third": None}
    some.enter("other", "none")
    assert check(fields, some.values)["other"] is systems["none"]


def test_a_long_list_of_choices_is_shown_whole() -> None:
    names = [f"system {number}" for number in range(3000)]

    def function(system: Any = names[7]) -> None: ...

    some = form(fields_of(function, {"system": names}))
    assert described(some)["system"]["options"] == names
    some.enter("system", names[-1])
    assert some.values == {"system": names[-1]}


# What only code can make ------------------------------------------------------------------------------------


def test_a_value_no_widget_can_make_is_passed_through_or_asked_for() -> None:
    system = object()
    some = form(count=1, system=system)
    assert some.values["system"] is system
    assert described(some)["system"]["kind"] == "code"
    with pytest.raises(FieldError, match="given in code"):
        some.enter("system", "5")
    some.reset()
    assert some.values["system"] is system, "nobody could enter it again"

    def needs(system: Any) -> None: ...

    assert "data_kwargs" in form(fields_of(needs)).faults["system"]


def test_a_value_given_in_code_is_shown_in_one_short_line() -> None:
    some = form(count=1, system=np.arange(10_000.0).reshape(100, 100))
    text = shown(some)["system"]
    assert text.startswith("array(")
    assert len(text) < 100
    assert "\n" not in text


def test_a_default_is_the_authors_word_and_left_as_it_is() -> None:
    def function(
        empty: list[float] = [],  # noqa: B006
        root: float = np.sqrt(2.0),
        odd: tuple[float, float] = 0.0,  # type: ignore[assignment]
        scalar: list[float] = np.array(1.0),  # type: ignore[assignment]  # noqa: B008
        named: float = "auto",  # type: ignore[assignment]
        label: Literal["a", "b"] = "c",  # type: ignore[assignment]
        ticked: bool = "yes",  # type: ignore[assignment]
        separator: str = ", ",
        tag: str | None = "",
    ) -> None: ...

    fields = fields_of(function)
    some = Form(fields, {}, title="")
    assert some.faults == {}
    assert some.chosen == {}
    assert not any(some.state()["changed"].values())
    assert all(some.values[field.name] is field.default for field in fields)
    assert shown(some)["root"] == "1.4142135623730951"
    assert shown(some)["label"] == "c (given in code)"
    some.enter("separator", " ; ")
    assert some.values["separator"] == " ; "
    some.enter("named", "5")
    assert some.values["named"] == 5
    some.enter("named", "auto")
    assert (some.values["named"], some.faults) == ("auto", {}), "the default can be typed again"
    some.enter("named", "manual")
    assert set(some.faults) == {"named"}


def test_a_required_value_is_what_the_screen_shows() -> None:
    def function(kind: Literal["a", "b"], flag: bool, maybe: bool | None, limit: int | None) -> None: ...

    fields = fields_of(function)
    some = Form(fields, {}, title="")
    assert some.faults == {}
    assert check(fields, some.values) == {"kind": "a", "flag": False, "maybe": None, "limit": None}
    assert not any(some.state()["changed"].values())
    assert set(some.chosen) == {"kind", "flag", "maybe", "limit"}, "they have no default"


MADE_IN_CODE: list[tuple[str, Callable[[], Any], str]] = [
    ("optimizer", lambda: torch.optim.SGD, "SGD"),
    ("optimizer", lambda: lambda parameters: torch.optim.SGD(parameters, lr=0.1), "<lambda>"),
    ("optimizer", lambda: "adagrad", "adagrad"),
    ("lr_scheduler", lambda: torch.optim.lr_scheduler.ConstantLR, "ConstantLR"),
    ("optimizer", lambda: torch.optim.SGD([torch.nn.Parameter(torch.ones(1))]), "SGD"),
]


@pytest.mark.parametrize(("name", "make", "called"), MADE_IN_CODE)
def test_an_option_that_only_code_can_give_survives_the_form(name: str, make: Callable[[], Any], called: str) -> None:
    given_value = make()
    options = TrainerOptions(**{name: given_value})
    fields = TrainerOptions.fields()
    some = Form(fields, {field.name: getattr(options, field.name) for field in fields}, title="")
    label = f"{called} (given in code)"
    assert some.faults == {}
    assert some.values[name] is given_value
    assert shown(some)[name] == label
    offered = described(some)[name]["options"]
    assert offered[-1] == label
    some.enter(name, offered[0])
    assert getattr(options.replace(**some.values), name) is None  # it can be chosen away
    some.enter(name, label)
    assert some.values[name] is given_value  # and back
    assert (some.faults, some.state()["changed"][name]) == ({}, False)


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
    some = Form(fields, {field.name: getattr(options, field.name) for field in fields}, title="")
    assert some.faults == {}
    assert options.replace(**some.values).to_json() == options.to_json()


# Description ------------------------------------------------------------------------------------------------


def test_the_description_says_what_a_screen_needs() -> None:
    some = Form(FIELDS, {}, title="Data: everything", first=["count", "kind"], lock={"word": "fixed"})
    spec = json.loads(json.dumps(some.describe()))
    assert spec["title"] == "Data: everything"
    assert [field["name"] for field in spec["fields"]] == [field.name for field in FIELDS]
    fields = described(some)
    assert [name for name, field in fields.items() if field["first"]] == ["count", "kind"]
    assert [name for name, field in fields.items() if field["locked"]] == ["word"]
    assert [name for name, field in fields.items() if field["integer"]] == ["count", "limit"]
    assert {name: field["kind"] for name, field in fields.items()} == {
        "count": "text",
        "rate": "text",
        "flag": "boolean",
        "maybe": "choice",
        "word": "text",
        "note": "text",
        "kind": "choice",
        "colour": "choice",
        "other": "choice",
        "folder": "text",
        "pair": "text",
        "some": "text",
        "limit": "text",
        "share": "slider",
        "system": "code",
    }
    assert fields["count"]["help"] == "How many <b>things</b>."
    assert fields["count"]["expects"] == "an integer >= 1"
    assert (fields["rate"]["label"], fields["rate"]["unit"]) == ("rate", "1/s")
    assert fields["other"]["options"] == ["none", "RED", "BLUE"]
    assert fields["maybe"]["options"] == ["none", "yes", "no"]
    assert (fields["limit"]["optional"], fields["limit"]["placeholder"]) == (True, "none")
    defaults = {name: fields[name]["default_text"] for name in ("count", "rate", "flag", "limit", "other")}
    assert defaults == {"count": "empty", "rate": "0.001", "flag": "yes", "limit": "none", "other": "none"}


def test_all_fields_stand_open_unless_some_come_first() -> None:
    assert all(field["first"] for field in described(form()).values())


def test_a_function_without_parameters_has_an_empty_form() -> None:
    some = form(fields_of(lambda: None))
    assert some.describe() == {"title": "Title", "fields": []}
    assert some.state() == {"shown": {}, "faults": {}, "changed": {}}
    assert (some.values, some.chosen, some.faults, some.to_json()) == ({}, {}, {}, {})


# Sliders ----------------------------------------------------------------------------------------------------


def stops_of(annotation: Any) -> list[str]:
    def function(x) -> None: ...  # type: ignore[no-untyped-def]

    function.__annotations__["x"] = annotation
    field = described(form(fields_of(function)))["x"]
    assert (field["kind"] == "slider") == bool(field["stops"])
    found: list[str] = field["stops"]
    return found


@pytest.mark.parametrize(
    ("annotation", "first", "second", "last", "count"),
    [
        (Annotated[int, Interval(ge=1, le=10)], "1", "2", "10", 10),
        (Annotated[int, Interval(gt=1, lt=10)], "2", "3", "9", 8),
        (Annotated[int, Interval(ge=0, le=10), MultipleOf(4)], "0", "4", "8", 3),
        (Annotated[int, Interval(ge=0, le=90_000)], "0", "200", "90000", 451),
        (Annotated[float, Interval(ge=0, le=1)], "0", "0.005", "1", 201),
        (Annotated[float, Interval(gt=0, lt=1)], "0.005", "0.01", "0.995", 199),
        (Annotated[float, Interval(ge=-1, le=1), MultipleOf(0.1)], "-1", "-0.9", "1", 21),
        (Annotated[float, Interval(ge=1e-5, le=1)], "1e-05", "1.12e-05", "1", 101),
        (Annotated[float, Interval(gt=1e-5, lt=1)], "1.12e-05", "1.26e-05", "0.891", 99),
        (Annotated[int, Interval(ge=1, le=1000)], "1", "2", "1000", 50),
    ],
)
def test_a_slider_stops_on_the_fields_own_steps(
    annotation: Any, first: str, second: str, last: str, count: int
) -> None:
    found = stops_of(annotation)
    assert (found[0], found[1], found[-1], len(found)) == (first, second, last, count)


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        Annotated[int, Ge(1)],
        Annotated[float, Le(1)],
        Annotated[float, Interval(ge=0, le=math.inf)],
        Annotated[float, Interval(ge=1, le=1)],
        Annotated[float, Interval(ge=2, le=1)],
        Annotated[int, Interval(gt=1, lt=3)],
        Annotated[int, Interval(ge=0, le=2**32 - 1)],  # a seed is not aimed at
        Annotated[list[float], Interval(ge=0, le=1), Len(2)],
        bool,
        Literal["a", "b"],
    ],
)
def test_nobody_invents_a_slider(annotation: Any) -> None:
    assert stops_of(annotation) == []


BOUND = st.floats(-1e6, 1e6) | st.integers(-(10**9), 10**9) | st.floats(1e-9, 1e9)


@settings(max_examples=100, deadline=None)
@given(BOUND, BOUND, st.booleans(), st.booleans(), st.booleans(), st.none() | st.sampled_from([0.1, 2, 5, 0.25, 7]))
def test_every_stop_is_a_value_of_the_field(
    low: float, high: float, integer: bool, over: bool, under: bool, step: float | None
) -> None:
    assume(low < high)
    bounds = Interval(**{"gt" if over else "ge": low, "lt" if under else "le": high})
    notes = [bounds] if step is None else [bounds, MultipleOf(step)]

    def function(x) -> None: ...  # type: ignore[no-untyped-def]

    function.__annotations__["x"] = Annotated[int if integer else float, *notes]
    fields = fields_of(function)
    some = form(fields)
    stops = described(some)["x"]["stops"]
    numbers = [float(text) for text in stops]
    assert numbers == sorted(set(numbers))
    assert len(stops) <= 1002
    for text in stops[:3] + stops[-3:]:
        some.enter("x", text)
        assert some.faults == {}
    if stops and not over and (not integer or low == int(low)) and step is None:
        assert numbers[0] == low


# Back to the defaults, locks, hidden fields -----------------------------------------------------------------


def marked(some: Form) -> set[str]:
    return {name for name, changed in some.state()["changed"].items() if changed}


def test_changed_fields_are_marked_and_reset() -> None:
    some = form(count=1, rate=0.5)
    assert marked(some) == set(), "what the author gave is where the form begins"
    assert some.chosen == some.given == {"count": 1, "rate": 0.5}
    assert described(some)["rate"]["default_text"] == "0.5"
    some.enter("rate", "1e-3")
    some.enter("word", "new")
    assert marked(some) == {"rate", "word"}
    assert some.changed == {"rate": 1e-3, "word": "new"}
    assert some.chosen == {"count": 1, "rate": 1e-3, "word": "new"}, "the field's own default was chosen too"
    some.reset("word")
    assert (shown(some)["word"], some.values["word"]) == ("abc", "abc")
    some.enter("kind", "a")
    some.reset()
    assert some.chosen == {"count": 1, "rate": 0.5}
    assert (some.faults, marked(some)) == ({}, set())


def test_a_form_goes_to_the_fields_own_defaults_whatever_it_began_with() -> None:
    some = form(count=1, rate=0.5)
    some.clear()
    assert (shown(some)["count"], some.values["rate"]) == ("", 1e-3)
    assert set(some.faults) == {"count"}, "it has no default of its own"
    assert marked(some) == {"count", "rate"}
    assert form().chosen == {}


def test_a_locked_value_is_shown_and_kept() -> None:
    some = Form(FIELDS, {"count": 5}, title="", lock={"rate": 0.1, "kind": "a"})
    assert (shown(some)["rate"], shown(some)["kind"]) == ("0.1", "a")
    with pytest.raises(FieldError, match=r"rate: '0.2' cannot be set: locked by this Lab at 0.1"):
        some.enter("rate", "0.2")
    some.set({"rate": 0.3, "count": 6})
    some.reset()
    assert some.from_json({"rate": 0.4, "count": 7}) == []
    assert (some.values["rate"], some.values["kind"], some.values["count"]) == (0.1, "a", 7)
    assert not some.state()["changed"]["rate"], "nobody here changed it"


def test_a_hidden_field_is_nowhere_on_screen_and_keeps_its_value() -> None:
    some = Form(FIELDS, {"count": 5}, title="", hide=["count", "rate"])
    assert not {"count", "rate"} & (set(described(some)) | set(shown(some)) | set(some.state()["changed"]))
    some.enter("count", "6")
    some.set({"count": 7})
    some.reset()
    assert (some.values["count"], some.values["rate"]) == (5, 1e-3)
    both = Form(FIELDS, {}, title="", lock={"count": 3}, hide=["count"])
    assert (both.values["count"], both.faults) == (3, {})


def test_locks_that_cannot_be_are_all_named_at_once() -> None:
    with pytest.raises(FieldError) as raised:
        Form(FIELDS, {}, title="", lock={"rate": "fast", "kind": "c", "cuont": 3}, hide=["count", "of_another_form"])
    faults = raised.value.faults
    assert set(faults) == {"rate", "kind", "cuont", "count"}
    assert "'fast' is not a number" in faults["rate"]
    assert "did you mean 'count'" in faults["cuont"]
    assert "no value" in faults["count"]


def test_an_option_that_only_code_can_give_can_be_locked_once_it_is_checked() -> None:
    options = TrainerOptions(optimizer=torch.optim.SGD)
    values = {"optimizer": options.optimizer}
    some = Form(TrainerOptions.fields(), values, title="", lock={"optimizer": options.optimizer})
    assert some.values["optimizer"] is torch.optim.SGD
    assert some.faults == {}
    with pytest.raises(FieldError, match="not one of the choices"):
        Form(TrainerOptions.fields(), {}, title="", lock={"optimizer": torch.optim.SGD})


def test_code_is_refused_another_value_than_the_locked_one() -> None:
    lock = {"rate": 1e-3, "colour": Colour.RED, "limit": None, "system": FIELDS}
    refuse_locked({"rate": 0.001, "colour": "RED", "limit": None, "system": FIELDS, "count": 3}, lock, FIELDS)
    with pytest.raises(FieldError) as raised:
        refuse_locked({"rate": 0.01, "colour": "BLUE", "limit": 3, "count": 3}, lock, FIELDS)
    assert raised.value.faults == {
        "rate": "0.01 cannot be set: locked by this Lab at 0.001",
        "colour": "'BLUE' cannot be set: locked by this Lab at RED",
        "limit": "3 cannot be set: locked by this Lab at None",
    }


# Presets ----------------------------------------------------------------------------------------------------


def test_a_preset_brings_back_what_was_chosen_and_defaults_elsewhere() -> None:
    some = form(count=5, other=Colour.RED, folder=Path("a"))
    some.enter("kind", "a")
    stored = json.loads(json.dumps(some.to_json()))
    assert stored == {"count": 5, "kind": "a", "other": "RED", "folder": "a"}
    another = form(rate=0.5)
    assert another.from_json(stored) == []
    assert check(FIELDS, another.values) == check(FIELDS, some.values)
    assert another.state()["shown"] == some.state()["shown"]


def test_a_preset_brings_back_an_own_default_where_the_author_gave_another_value() -> None:
    some = form(count=1, rate=0.5)
    some.enter("rate", "1e-3")
    stored = some.to_json()
    some.reset()
    assert some.from_json(stored) == []
    assert some.values["rate"] == 1e-3


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_any_preset_comes_back(values: dict[str, Any]) -> None:
    assume(all(math.isfinite(number) for number in (values.get("rate", 0.0), *values.get("pair", ()))))
    some, another = form(count=1, **{"rate": 0.5} | values) if "count" not in values else form(**values), form()
    assert another.from_json(json.loads(json.dumps(some.to_json()))) == []
    assert check(FIELDS, another.values) == check(FIELDS, some.values)


def test_choices_whose_labels_name_each_other_come_back() -> None:
    fields = fields_of(lambda x="a": None, {"x": {"a": "b", "b": "a"}})
    some, another = form(fields), form(fields)
    some.enter("x", "a")
    assert another.from_json(some.to_json()) == []
    assert check(fields, another.values) == check(fields, some.values) == {"x": "b"}


def test_what_a_preset_cannot_bring_back_is_named_and_what_is_here_stays() -> None:
    here, there = object(), object()
    stored = form(count=2, system=there).to_json()
    some = form(count=1, system=here)
    assert some.from_json(stored | {"kind": "gone", "old_name": 3}) == ["system", "kind", "old_name"]
    assert some.values["system"] is here
    assert (some.values["kind"], some.values["count"]) == ("b", 2)


def test_a_preset_of_the_objects_that_are_here_loses_nothing() -> None:
    fields = TrainerOptions.fields()
    some = Form(fields, {"optimizer": torch.optim.SGD}, title="")
    stored = some.to_json()
    some.enter("lr", "0.5")
    assert some.from_json(stored) == []
    assert some.values["optimizer"] is torch.optim.SGD
    assert some.values["lr"] == 1e-3


def test_a_preset_leaves_out_what_is_wrong() -> None:
    some = form(count=1)
    some.enter("rate", "fast")
    assert some.to_json() == {"count": 1}


def test_a_label_is_taken_over_an_equal_value() -> None:
    """What a form reads is what `check` makes of it, so that code and screen agree."""
    (field,) = fields_of(lambda x=None: None, {"x": {"1": "one", "one": 1}})
    some = form((field,))
    some.enter("x", "one")
    assert convert(field, some.values["x"]) == 1
    assert fault_of(field, some.values["x"]) is None
