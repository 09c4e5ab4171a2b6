"""Fields read from signatures and models, and values checked against them."""

from __future__ import annotations

import copy
import functools
import math
import pickle
from collections.abc import Callable, Sequence
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import numpy as np
import pydantic
import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MinLen, MultipleOf, Unit
from hypothesis import given
from hypothesis import strategies as st

from nmlab.errors import DataError, FieldError, NonFiniteLossError
from nmlab.fields import (
    REQUIRED,
    Field,
    check,
    convert,
    expected,
    fault_of,
    fields_of,
    fields_of_model,
    is_default,
    takes_any_keyword,
)


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Swapped(StrEnum):
    """Each member's name is the other's value."""

    LEFT = "RIGHT"
    RIGHT = "LEFT"


def field_of(annotation: Any, default: Any = REQUIRED) -> Field:
    """The field of a function's one parameter, annotated so."""

    def required(x) -> None: ...  # type: ignore[no-untyped-def]
    def defaulted(x=default) -> None: ...  # type: ignore[no-untyped-def]

    function: Any = required if default is REQUIRED else defaulted
    function.__annotations__["x"] = annotation
    (field,) = fields_of(function)
    return field


# Reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "kind", "optional"),
    [
        (int, "integer", False),
        (float, "number", False),
        (int | float, "number", False),
        (bool, "boolean", False),
        (str, "string", False),
        (Path, "path", False),
        (str | Path, "path", False),
        (Literal["a", "b"], "choice", False),
        (Literal["a", None], "choice", True),
        (Literal["a"] | Literal["b"] | None, "choice", True),
        (Colour, "choice", False),
        (int | None, "integer", True),
        (Optional[float], "number", True),  # noqa: UP045 - users write it
        (tuple[float, float], "numbers", False),
        (tuple[int, ...], "numbers", False),
        (list[float] | None, "numbers", True),
        (Sequence[int], "numbers", False),
        (Annotated[int, Ge(1)] | None, "integer", True),
        (np.ndarray, "any", False),
        (int | str, "any", False),
        (list[str], "any", False),
        (dict[str, int], "any", False),
        (Any, "any", False),
    ],
)
def test_an_annotation_settles_kind_and_whether_none_is_well(annotation: Any, kind: str, optional: bool) -> None:
    field = field_of(annotation)
    assert (field.kind, field.optional, field.required) == (kind, optional, True)


@pytest.mark.parametrize(
    ("default", "kind"),
    [
        (True, "boolean"),
        (3, "integer"),
        (0.5, "number"),
        (np.float32(0.5), "number"),
        ("a", "string"),
        (Path("a"), "path"),
        (Colour.RED, "choice"),
        ((1, 2), "numbers"),
        ([1.0], "numbers"),
        ((), "any"),
        (["a"], "any"),
        (None, "any"),
        (np.zeros(2), "any"),
        (object(), "any"),
    ],
)
def test_without_annotation_the_default_settles_the_kind(default: Any, kind: str) -> None:
    def function(x=default) -> None: ...  # type: ignore[no-untyped-def]

    (field,) = fields_of(function)
    assert field.kind == kind
    assert field.default is default
    assert field.optional == (default is None)


def test_neither_annotation_nor_default_passes_anything_through() -> None:
    def function(x) -> None: ...  # type: ignore[no-untyped-def]

    system = object()
    assert check(fields_of(function), {"x": system}) == {"x": system}


def test_a_bare_container_takes_its_items_from_the_default() -> None:
    field = field_of(list, [1, 2])
    assert (field.kind, field.item_kind, field.container) == ("numbers", "integer", list)


@pytest.mark.parametrize(
    ("note", "word", "value"),
    [
        (Ge(1), "minimum", 1),
        (Gt(1), "exclusive_minimum", 1),
        (Le(1), "maximum", 1),
        (Lt(1), "exclusive_maximum", 1),
        (Interval(ge=0, lt=1), "exclusive_maximum", 1),
        (MultipleOf(5), "multiple_of", 5),
        (Unit("s"), "unit", "s"),
        (pydantic.Field(gt=2), "exclusive_minimum", 2),
        (pydantic.Field(description="how long"), "help", "how long"),
        ("a note of somebody else", "minimum", None),
    ],
)
@pytest.mark.parametrize("wrap", [lambda t, note: Annotated[t, note], lambda t, note: Annotated[t | None, note]])
def test_annotated_gives_bounds_step_and_unit(note: Any, word: str, value: Any, wrap: Callable[..., Any]) -> None:
    assert getattr(field_of(wrap(float, note)), word) == value


def test_bounds_of_containers() -> None:
    assert field_of(tuple[float, float]).max_items == field_of(tuple[float, float]).min_items == 2
    assert field_of(Annotated[list[int], Len(1, 4)]).max_items == 4
    assert field_of(tuple[Annotated[int, Ge(1)], ...]).items[0].minimum == 1
    assert field_of(Annotated[list[float], Ge(1)]).items[0].minimum == 1  # written outside, meant for each
    assert field_of(tuple[int, float]).item_kind == "number"


NUMPY_STYLE = "Do.\n\nParameters\n----------\nnsim, bs : int\n    How many\n    of them.\n"
GOOGLE_STYLE = "Do.\n\nArgs:\n    nsim (int): How many\n        of them.\n    bs: How many of them.\n"
REST_STYLE = "Do.\n\n:param nsim: How many\n    of them.\n:param int bs: How many of them.\n"


@pytest.mark.parametrize("docstring", [NUMPY_STYLE, GOOGLE_STYLE, REST_STYLE])
def test_help_comes_from_the_docstring(docstring: str) -> None:
    def function(nsim: int, bs: int, other: int) -> None: ...

    function.__doc__ = docstring
    assert [field.help for field in fields_of(function)] == ["How many of them.", "How many of them.", ""]


@given(st.text())
def test_an_odd_docstring_is_no_reason_to_fail(docstring: str) -> None:
    def function(nsim: int) -> None: ...

    function.__doc__ = docstring
    assert fields_of(function)[0].kind == "integer"


def test_one_annotation_that_cannot_be_resolved_falls_back_alone() -> None:
    def function(x: Unknown = 3, y: Annotated[int, Ge(1)] = 3) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    x, y = fields_of(function)
    assert (x.kind, x.minimum) == ("integer", None)
    assert (y.kind, y.minimum) == ("integer", 1)


class Plant:
    """A plant.

    Args:
        nsim: steps
    """

    def __init__(self, nsim: Annotated[int, Ge(1)] = 3) -> None: ...

    def method(self, nsim: Annotated[int, Ge(1)] = 3) -> None:
        """Simulate.

        Args:
            nsim: steps
        """

    def __call__(self, nsim: Annotated[int, Ge(1)] = 3) -> None:
        """Simulate.

        Args:
            nsim: steps
        """

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        Plant().method,
        Plant(),
        functools.partial(Plant.method, Plant()),
        Plant().wrapped,
        functools.partial(Plant().wrapped),
    ],
    ids=["method", "callable", "partial", "wrapped", "partial of wrapped"],
)
def test_every_callable_gives_its_fields(function: Callable[..., Any]) -> None:
    assert fields_of(function) == (Field("nsim", "integer", 3, minimum=1, help="steps"),)


def test_a_class_gives_the_fields_of_its_init() -> None:
    assert [(field.name, field.minimum) for field in fields_of(Plant)] == [("nsim", 1)]


def test_a_partial_gives_a_new_default() -> None:
    def function(x: int, y: int, *, z: int) -> None: ...

    assert [(f.name, f.default) for f in fields_of(functools.partial(function, 1, y=2))] == [
        ("y", 2),
        ("z", REQUIRED),
    ]


def test_variadic_parameters_give_no_field() -> None:
    def function(x: int, *args: int, y: int = 1, **kwargs: int) -> None: ...

    assert [field.name for field in fields_of(function)] == ["x", "y"]
    assert takes_any_keyword(function)
    assert not takes_any_keyword(Plant().method)


def test_positional_only_parameters_are_refused_by_name() -> None:
    def function(x: int, y: int, /, z: int) -> None: ...

    with pytest.raises(FieldError, match="positional-only") as error:
        fields_of(function)
    assert list(error.value.faults) == ["x", "y"]


def test_what_has_no_signature_is_refused() -> None:
    with pytest.raises(FieldError, match="cannot be read"):
        fields_of(dict)
    with pytest.raises(FieldError, match="cannot be read"):
        fields_of(3)  # type: ignore[arg-type]


def test_a_models_fields() -> None:
    class Model(pydantic.BaseModel):
        lr: Annotated[float, Gt(0)] = pydantic.Field(0.1, description="rate")
        steps: int = pydantic.Field(ge=1)
        sizes: list[int] = pydantic.Field(default_factory=lambda: [1])

    assert fields_of_model(Model) == (
        Field("lr", "number", 0.1, exclusive_minimum=0, help="rate"),
        Field("steps", "integer", minimum=1),
        Field("sizes", "numbers", [1], container=list, items=(Field("item 0", "integer"),)),
    )


def test_required_stays_itself() -> None:
    assert copy.deepcopy(REQUIRED) is REQUIRED
    assert pickle.loads(pickle.dumps(REQUIRED)) is REQUIRED
    assert repr(REQUIRED) == "REQUIRED"


# Choices ----------------------------------------------------------------------------------------------------


def simulate(sys: Any, nsim: int = 3) -> None: ...


def test_choices_take_a_label_or_the_value_itself() -> None:
    cstr, tank = np.zeros(2), np.zeros(2)
    fields = fields_of(simulate, {"sys": {"CSTR": cstr, "TwoTank": tank}})
    assert fields[0].kind == "choice"
    assert check(fields, {"sys": "TwoTank"})["sys"] is tank
    assert check(fields, {"sys": cstr})["sys"] is cstr
    with pytest.raises(FieldError, match="'CSTR', 'TwoTank'"):
        check(fields, {"sys": np.zeros(2)})  # equal to a choice, but no choice


def test_choices_as_a_list_are_labelled_by_str() -> None:
    field = fields_of(simulate, {"sys": [1, "1", 2.5]})[0]
    assert field.choices == {"1 (2)": 1, "1": "1", "2.5": 2.5}
    assert convert(field, "1") == "1"
    assert convert(field, 1) == 1


def test_a_label_wins_over_an_equal_value() -> None:
    assert convert(fields_of(simulate, {"sys": {"a": "b", "b": "a"}})[0], "a") == "b"


def test_a_default_may_be_a_label() -> None:
    def function(sys: Any = "CSTR") -> None: ...

    cstr = object()
    assert check(fields_of(function, {"sys": {"CSTR": cstr}}), {}) == {"sys": cstr}


@pytest.mark.parametrize("choices", [{"syss": [1]}, {"sys": []}, {"sys": "abc"}, {"sys": 3}])
def test_useless_choices_are_refused(choices: Any) -> None:
    with pytest.raises(FieldError) as error:
        fields_of(simulate, choices)
    assert set(error.value.faults) == set(choices)


def test_an_enum_takes_member_name_or_value() -> None:
    field = field_of(Colour)
    assert convert(field, Colour.RED) is convert(field, "RED") is convert(field, "r") is Colour.RED
    assert fault_of(field, "green") == "'green' is not one of the choices; give one of 'RED', 'BLUE'"
    assert convert(field_of(Swapped), Swapped.LEFT) is Swapped.LEFT
    assert convert(field_of(Swapped), "LEFT") is Swapped.LEFT


def test_a_literal_tells_true_from_one() -> None:
    assert fault_of(field_of(Literal[1, 2]), True) is not None
    assert convert(field_of(Literal[1, "1"]), "1") == "1"
    assert convert(field_of(Literal[1, "1"]), 1) == 1
    assert convert(field_of(Literal[16, 32]), np.int64(16)) == 16


def test_choices_that_refuse_to_compare_do_no_harm() -> None:
    class Odd:
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparison")

    odd = Odd()
    field = fields_of(simulate, {"sys": {"odd": odd}})[0]
    assert convert(field, odd) is odd
    assert fault_of(field, 3) is not None


# Checking ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "taken"),
    [
        (int, 2.0, 2),
        (int, np.int64(2), 2),
        (int, np.float64(2.0), 2),
        (int, 10**400, 10**400),
        (float, 2, 2.0),
        (float, np.float32(0.5), 0.5),
        (float, math.inf, math.inf),
        (bool, np.bool_(True), True),
        (Path, "a", Path("a")),
        (float | None, None, None),
        (tuple[float, float], [1, 2], (1.0, 2.0)),
        (tuple[int, ...], range(3), (0, 1, 2)),
        (tuple[int, float], (1, 2), (1, 2.0)),
        (list[float], np.array([1, 2]), [1.0, 2.0]),
        (Sequence[int], (1, 2), [1, 2]),
        (Annotated[float, MultipleOf(0.1)], 0.3, 0.3),
    ],
)
def test_values_are_converted_where_nothing_is_lost(annotation: Any, value: Any, taken: Any) -> None:
    got = convert(field_of(annotation), value)
    assert got == taken
    assert type(got) is type(taken)
    if isinstance(got, tuple | list):
        assert [type(item) for item in got] == [type(item) for item in taken]


@pytest.mark.parametrize(
    ("annotation", "value", "fault"),
    [
        (Annotated[int, Ge(1)], 0, "0 is too small; give an integer >= 1"),
        (Annotated[int, Gt(1)], 1, "1 is too small; give an integer > 1"),
        (Annotated[float, Interval(ge=0, lt=1)], 1, "1 is too large; give a number >= 0 and < 1"),
        (Annotated[float, Le(1), Unit("s")], math.inf, "inf is too large; give a number <= 1 (in s)"),
        (Annotated[int, MultipleOf(5)], 7, "7 is not a multiple of the step; give an integer, a multiple of 5"),
        (int, 2.5, "2.5 is not an integer; give an integer"),
        (int, "5", "'5' is not an integer; give an integer"),
        (int, True, "True is not an integer; give an integer"),
        (int, 1e99, "1e+99 is too large for an exact integer; give an integer"),
        (float, "0,5", "'0,5' is not a number (with a decimal point: 0.5); give a number"),
        (int, math.inf, "inf is not an integer; give an integer"),
        (int | None, "5", "'5' is not an integer; give an integer, or None"),
        (float, None, "None is not a number; give a number"),
        (float, "1", "'1' is not a number; give a number"),
        (float, np.bool_(True), f"{np.bool_(True)!r} is not a number; give a number"),
        (float, math.nan, "nan is not a number; give a number"),
        (bool, 1, "1 is neither True nor False; give True or False"),
        (str, 1, "1 is not a string; give a string"),
        (Annotated[str, MinLen(2)], "a", "'a' is too short; give a string of at least 2 characters"),
        (Path, 1, "1 is not a path; give a path: a string or a pathlib.Path"),
        (tuple[float, float], (1,), "(1,) is too short; give a tuple of 2 numbers"),
        (tuple[int, int], (1, 2, 3), "(1, 2, 3) is too long; give a tuple of 2 integers"),
        (list[float], {1.0}, "{1.0} is not a sequence of numbers; give a list of numbers"),
        (list[float], "12", "'12' is not a sequence of numbers; give a list of numbers"),
        (list[float], [True], "[True] holds True, which is not a number; give a list of numbers"),
        (
            list[Annotated[int, Ge(1)]],
            [0],
            "[0] holds 0, which is too small; give a list of integers, each >= 1",
        ),
    ],
)
def test_a_fault_names_the_value_and_what_would_be_right(annotation: Any, value: Any, fault: str) -> None:
    field = field_of(annotation)
    assert fault_of(field, value) == fault
    with pytest.raises(FieldError) as error:
        convert(field, value)
    assert error.value.faults == {"x": fault}


def test_a_number_that_floats_cannot_hold_is_refused() -> None:
    assert "too large" in (fault_of(field_of(float), 10**400) or "")
    assert "not an integer" in (fault_of(field_of(int), np.zeros((2, 2))) or "")


def test_huge_values_are_shown_in_short() -> None:
    assert len(fault_of(field_of(float), "x" * 10_000) or "") < 200


BOUNDED = st.builds(
    Field,
    name=st.just("x"),
    kind=st.sampled_from(["integer", "number"]),
    minimum=st.none() | st.integers(-9, 9),
    exclusive_minimum=st.none() | st.integers(-9, 9),
    maximum=st.none() | st.integers(-9, 9),
    exclusive_maximum=st.none() | st.integers(-9, 9),
)


@given(BOUNDED, st.integers(-12, 12) | st.floats(-12, 12))
def test_bounds_hold_exactly_as_annotated_types_say(field: Field, value: float) -> None:
    well = (
        (field.minimum is None or value >= field.minimum)
        and (field.exclusive_minimum is None or value > field.exclusive_minimum)
        and (field.maximum is None or value <= field.maximum)
        and (field.exclusive_maximum is None or value < field.exclusive_maximum)
        and (field.kind == "number" or value == int(value))
    )
    assert (fault_of(field, value) is None) == well


@given(st.integers(-(10**6), 10**6), st.sampled_from([0.1, 0.01, 0.25, 3]))
def test_every_multiple_of_the_step_is_well_and_nothing_between(count: int, step: float) -> None:
    field = field_of(Annotated[float, MultipleOf(step)])
    assert fault_of(field, count * step) is None
    assert fault_of(field, (count + 0.5) * step) is not None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)
ANNOTATIONS = st.sampled_from(
    [
        int,
        float,
        bool,
        str,
        Path,
        Colour,
        Literal["a", 1],
        tuple[int, ...],
        list[float] | None,
        Annotated[int, Ge(1)],
    ]
)


@given(ANNOTATIONS, ANYTHING)
def test_a_value_is_refused_in_words_or_converted_once_and_for_all(annotation: Any, value: Any) -> None:
    field = field_of(annotation)
    fault = fault_of(field, value)
    if fault is None:
        taken = convert(field, value)
        assert convert(field, taken) == taken
    else:
        assert expected(field) in fault


def build(nsim: Annotated[int, Ge(1)], bs: int = 10, rate: Annotated[float, Le(1)] = 5, **more: Any) -> None: ...


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(FieldError) as error:
        check(fields_of(build), {"bs": 2.5, "rate": 3, "nsims": 2}, subject="build()")
    assert str(error.value).splitlines() == [
        "build():",
        "  nsim: missing; give an integer >= 1",
        "  bs: 2.5 is not an integer; give an integer",
        "  rate: 3 is too large; give a number <= 1",
        "  nsims: unknown name; did you mean 'nsim'? Known are: nsim, bs, rate",
    ]


def test_defaults_are_the_authors_word_and_order_is_the_fields() -> None:
    checked = check(fields_of(build), {"nsim": 2.0})
    assert checked == {"nsim": 2, "bs": 10, "rate": 5}
    assert list(checked) == ["nsim", "bs", "rate"]


def test_extra_and_incomplete_values() -> None:
    fields = fields_of(build)
    assert check(fields, {"other": 1, "nsim": 1}, extra=True) == {"nsim": 1, "bs": 10, "rate": 5, "other": 1}
    assert check(fields, {"bs": 3}, complete=False) == {"bs": 3}
    with pytest.raises(FieldError):
        check(fields, {"bs": "3"}, complete=False)


# Errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        FieldError({"x": "wrong"}, "subject"),
        DataError(["wrong"], "subject"),
        NonFiniteLossError(2, 3, "train_loss"),
    ],
)
def test_errors_survive_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_data_error_lists_its_faults() -> None:
    assert str(DataError(["one", "two"], "f()")).splitlines() == ["f():", "- one", "- two"]


def test_a_default_is_known_however_it_is_written() -> None:
    def function(
        number: float = 2.0, pair: tuple[float, float] = (0.5, 2.0), colour: Colour = Colour.RED, must: int = 1
    ) -> None: ...

    fields = {field.name: field for field in fields_of(function)}
    assert is_default(fields["number"], 2)
    assert is_default(fields["pair"], [0.5, 2])
    assert is_default(fields["colour"], "RED")
    assert not is_default(fields["number"], "2")
    assert not is_default(fields_of(lambda must: None)[0], None)
