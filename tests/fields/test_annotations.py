"""Annotations beyond the plain ones: numbers of other packages, aliases, rules, and classes with members."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, MutableSequence, Sequence, Set
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union

import attrs
import numpy as np
import pydantic
import pytest
from annotated_types import Ge, IsFinite, Len, LowerCase, MinLen, MultipleOf, Not, Predicate
from typing_extensions import TypeAliasType

from nmlab.errors import FieldError
from nmlab.fields import Field, check, convert, fault_of, fields_of, is_default
from nmlab.provenance.settings import describe_values, rebuild_values

Steps = NewType("Steps", int)
Count = TypeAliasType("Count", Annotated[int, Ge(1)])
Real = TypeVar("Real", bound=float)
Either = TypeVar("Either", int, float)


class Colour(Enum):
    RED = "r"
    BLUE = "b"


def field_of(annotation: Any) -> Field:
    def function(x) -> None: ...  # type: ignore[no-untyped-def]

    function.__annotations__["x"] = annotation
    (field,) = fields_of(function)
    return field


@pytest.mark.parametrize(
    ("annotation", "kind", "given", "taken"),
    [
        (np.float64, "number", 1, np.float64(1)),
        (np.float32, "number", 0.5, np.float32(0.5)),
        (np.int64, "integer", 2.0, np.int64(2)),
        (np.integer, "integer", 2, 2),
        (np.floating, "number", 2, 2.0),
        (np.number, "number", 2, 2.0),
        (np.bool_, "boolean", True, True),
        (numbers.Real, "number", 2, 2.0),
        (numbers.Number, "number", 2, 2.0),
        (numbers.Integral, "integer", np.int8(2), 2),
        (Decimal, "number", 0.1, Decimal("0.1")),
        (Fraction, "number", "1/3", Fraction(1, 3)),
        (Steps, "integer", 2, 2),
        (NewType("More", Steps), "integer", 2, 2),
        (Final[int], "integer", 2, 2),
        (ClassVar[float], "number", 2, 2.0),
        (Annotated[Steps, Ge(1)], "integer", 2, 2),
        (Count, "integer", 2, 2),
        (Optional[Count], "integer", None, None),  # noqa: UP045 - users write it
        (Real, "number", 2, 2.0),
        (Either, "number", 2, 2.0),
        (Union[int, np.float64], "number", 2, 2.0),  # noqa: UP007
        (np.int64 | int | None, "integer", 2, 2),
        (Literal[Colour.RED, Colour.BLUE], "choice", Colour.RED, Colour.RED),
        (Colour | Literal["none"], "choice", "none", "none"),
        (np.str_, "string", "a", np.str_("a")),
        (PurePosixPath, "path", "a", PurePosixPath("a")),
        (os.PathLike, "path", "a", Path("a")),
        (str | os.PathLike, "path", "a", Path("a")),
        (str | PurePath, "path", "a", Path("a")),
        (Sequence[float], "numbers", (1, 2), [1.0, 2.0]),
        (MutableSequence[int], "numbers", (1, 2), [1, 2]),
        (Iterable[int], "numbers", (1, 2), [1, 2]),
        (Collection[np.float32], "numbers", [1], [np.float32(1)]),
        (tuple[float, ...], "numbers", [1], (1.0,)),
        (set[int], "numbers", {1, 2}, {1, 2}),
        (Set[float], "numbers", [1], {1.0}),
        (frozenset[int], "numbers", [1], frozenset({1})),
        (deque[int], "numbers", [1], deque([1])),
    ],
)
def test_a_value_gets_the_type_that_the_annotation_names(annotation: Any, kind: str, given: Any, taken: Any) -> None:
    field = field_of(annotation)
    assert field.kind == kind
    got = convert(field, given)
    assert got == taken
    assert type(got) is type(taken)
    stored = describe_values([field], {"x": got})
    assert rebuild_values([field], stored) == ({"x": got}, [])


@pytest.mark.parametrize("annotation", [tuple[()] | None, complex, bytes, int | str, dict[str, Any], Callable])
def test_other_types_take_anything(annotation: Any) -> None:
    assert field_of(annotation).kind == "any"


def test_a_final_in_a_string_is_read() -> None:
    def function(x: Final[int] = 3, y: Final = 0.5) -> None: ...  # type: ignore[valid-type]

    assert [field.kind for field in fields_of(function)] == ["integer", "number"]


def even(number: int) -> bool:
    return number % 2 == 0


def refuses(value: Any) -> bool:
    raise RuntimeError("no comment")


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "fault"),
    [
        (Annotated[int, Predicate(even)], 2, 3, "3 is not one for which even is true; give an integer for which even"),
        (Annotated[int, Not(even)], 3, 2, "give an integer for which even is false"),
        (Annotated[int, Predicate(lambda n: n > 3)], 4, 3, "for which lambda n: n > 3 is true"),
        (Annotated[float, Ge(0), Predicate(math.isfinite)], 1, math.inf, "give a number >= 0 for which math.isfinite"),
        (IsFinite[float], 1, math.inf, "is true"),
        (LowerCase[str], "a", "A", "for which str.islower is true"),
        (Annotated[list[int], Predicate(any)], [1], [0], "[0] is not one for which any is true"),
        (list[Annotated[int, Predicate(even)]], [2], [1], "[1] holds 1, which is not one for which even is true"),
        (Annotated[int, Predicate(refuses)], None, 1, "1 is not accepted (RuntimeError: no comment)"),
        (Annotated[str, pydantic.StringConstraints(pattern="^a", min_length=2)], "ab", "ba", "that matches '^a'"),
        (Annotated[str, pydantic.StringConstraints(max_length=2)], "ab", "abc", "too long; give a string of at most 2"),
        (Annotated[str, pydantic.Field(pattern="^a$")], "a", "b", "'b' is not one that matches '^a$'"),
        (Annotated[float, pydantic.Field(gt=0, lt=1)], 0.5, 1, "give a number > 0 and < 1"),
        (Annotated[float, pydantic.Field(allow_inf_nan=False)], 0.5, math.inf, "that is finite"),
        (Annotated[str | None, pydantic.Field(pattern="^a$")], None, "b", "that matches '^a$', or None"),
        (pydantic.PositiveInt, 1, 0, "give an integer > 0"),
        (pydantic.FilePath, __file__, "/no/such/file", "Path does not point to a file"),
        (Annotated[int, pydantic.AfterValidator(refuses)], None, 1, "no comment"),
        (Annotated[dict[str, int], MinLen(1)], {"a": 1}, {}, "{} is not one of at least 1 items"),
        (Annotated[list[str], Len(1, 2)], ["a"], [], "[] is not one of at least 1 items"),
        (Annotated[np.ndarray, Ge(0)], np.zeros(2), -np.ones(2), ">= 0"),
        (Annotated[Literal[1, 2, 3], Ge(2)], 3, 1, "1 is not one >= 2; give one of '1', '2', '3' >= 2"),
        (Annotated[Decimal, MultipleOf(0.25)], Decimal("0.5"), Decimal("0.3"), "not a multiple of the step"),
        (np.int8, 100, 300, "300 is no int8"),
        (Decimal, 1, "one", "'one' is not a number; give a number"),
        (numbers.Real, 1, "1", "'1' is not a number; give a number"),
    ],
)
def test_what_annotated_demands_is_checked(annotation: Any, good: Any, bad: Any, fault: str) -> None:
    field = field_of(annotation)
    assert good is None or fault_of(field, good) is None
    assert fault in (fault_of(field, bad) or "")


# Classes with members ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Inner:
    rate: float = 0.1


@dataclasses.dataclass
class Noise:
    """Noise.

    Parameters
    ----------
    level : float
        Standard deviation.
    """

    level: Annotated[float, Ge(0)]
    seeds: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
    inner: Inner = dataclasses.field(default_factory=Inner)


class Model(pydantic.BaseModel):
    level: float = pydantic.Field(ge=0, description="Standard deviation.")
    seeds: list[int] = pydantic.Field(default_factory=lambda: [1, 2])
    inner: Inner = Inner()


@attrs.define
class Attrs:
    """Noise.

    Args:
        level: Standard deviation.
    """

    level: Annotated[float, Ge(0)]
    seeds: list[int] = attrs.Factory(lambda: [1, 2])
    inner: Inner = attrs.field(factory=Inner)


class Named(NamedTuple):
    """Noise.

    Args:
        level: Standard deviation.
    """

    level: Annotated[float, Ge(0)]
    seeds: list[int] = [1, 2]  # noqa: RUF012
    inner: Inner = Inner()


class Typed(TypedDict):
    """Noise.

    Args:
        level: Standard deviation.
    """

    level: Annotated[float, Ge(0)]
    seeds: list[int]
    inner: Inner


ALL = [Noise, Model, Attrs, Named, Typed]
GIVEN = {"level": 2, "seeds": [1, 2], "inner": Inner()}


@pytest.mark.parametrize("kind", ALL)
def test_a_class_with_members_is_read_member_by_member(kind: Any) -> None:
    field = field_of(kind)
    assert field.kind == "object"
    level, seeds, inner = field.items
    assert (level.kind, level.minimum, level.required, level.help) == ("number", 0, True, "Standard deviation.")
    assert (seeds.kind, seeds.item_kind) == ("numbers", "integer")
    assert kind is Typed or seeds.default == [1, 2]
    assert [item.name for item in inner.items] == ["rate"]


@pytest.mark.parametrize("kind", ALL)
def test_a_dict_becomes_an_instance_and_an_instance_stays_itself(kind: Any) -> None:
    field = field_of(kind)
    whole = convert(field, GIVEN)
    assert whole == kind(**GIVEN)
    assert type(whole) is (dict if kind is Typed else kind)
    if kind is not Typed:
        assert convert(field, whole) is whole
    assert is_default(dataclasses.replace(field, default=kind(**GIVEN)), GIVEN)
    stored = describe_values([field], {"x": whole})
    assert stored == {"x": {"level": 2.0, "seeds": [1, 2], "inner": {"rate": 0.1}}}
    assert rebuild_values([field], stored) == ({"x": whole}, [])


@pytest.mark.parametrize("kind", ALL)
def test_faults_of_all_members_are_named_at_once(kind: Any) -> None:
    with pytest.raises(FieldError) as error:
        check([field_of(kind)], {"x": {"level": -1, "seeds": [0.5], "inner": {"rates": 3}}})
    assert list(error.value.faults) == ["x.level", "x.seeds", "x.inner.rates"][: len(error.value.faults)]
    assert error.value.faults["x.level"] == "-1 is too small; give a number >= 0"
    assert "did you mean 'rate'?" in str(error.value)
    assert "3 is no " in (fault_of(field_of(kind), 3) or "")


def test_a_missing_member_is_the_default_instances() -> None:
    def function(noise: Noise = Noise(0.5, [7])) -> None: ...  # noqa: B008

    (field,) = fields_of(function)
    assert convert(field, {"inner": {"rate": 1}}) == Noise(0.5, [7], Inner(1.0))


def test_what_the_class_itself_refuses_is_a_fault() -> None:
    @dataclasses.dataclass
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError(f"{self.number} is odd")

    assert "does not make a valid Even (ValueError: 3 is odd)" in (fault_of(field_of(Even), {"number": 3}) or "")


def test_a_class_that_holds_itself_or_whose_arguments_are_no_attributes_is_given_in_code() -> None:
    class Own:
        def __init__(self, level: float) -> None: ...

    @dataclasses.dataclass
    class Begun:
        level: dataclasses.InitVar[float]

    assert [field_of(kind).kind for kind in (Own, Begun, Tree)] == ["any", "any", "object"]
    assert field_of(Tree).items[1].kind == "any"


@dataclasses.dataclass
class Tree:
    level: float = 0.0
    below: Tree | None = None


def test_a_class_that_was_defined_anew_is_the_one_that_holds_now() -> None:
    cell = "import dataclasses\n@dataclasses.dataclass\nclass Config:\n    level: float = 0.0\n"
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(cell + "def data(config: Config): ...", namespace)
    exec(cell, namespace)
    (field,) = fields_of(namespace["data"])
    assert fault_of(field, namespace["Config"](1.0)) is None
