"""Whether parameters of two functions can be one: by annotation, bounds, choices and default, not by their help."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Le, Predicate, Unit
from hypothesis import given
from hypothesis import strategies as st

from nmlab.fields import Field, disagreement, fields_of

ARRAY = np.arange(3)


def only(function: Callable[..., Any], **choices: Any) -> Field:
    (field,) = fields_of(function, choices or None)
    return field


def f_int(n: int = 5) -> None: ...
def f_other_default(n: int = 6) -> None: ...
def f_required(n: int) -> None: ...
def f_float(n: float = 5) -> None: ...
def f_bounded(n: Annotated[int, Ge(1)] = 5) -> None: ...
def f_higher(n: Annotated[int, Ge(2)] = 5) -> None: ...
def f_other_side(n: Annotated[int, Le(1)] = 1) -> None: ...
def f_unit(n: Annotated[int, Unit("s")] = 5) -> None: ...
def f_optional(n: int | None = 5) -> None: ...
def f_even(n: Annotated[int, Predicate(lambda n: n % 2 == 1)] = 5) -> None: ...
def f_literal(n: Literal[5, 6] = 5) -> None: ...
def f_pair(n: tuple[int, int] = (1, 2)) -> None: ...
def f_list(n: list[int] = [1, 2]) -> None: ...  # noqa: B006
def f_plain(n=5) -> None: ...  # type: ignore[no-untyped-def]
def f_bool(n: bool = True) -> None: ...
def f_array(n: Any = ARRAY) -> None: ...
def f_other_array(n: Any = np.arange(3)) -> None: ...  # noqa: B008


ALL = [each for name, each in sorted(globals().items()) if name.startswith("f_")]


@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_only_a_parameter_like_it_agrees_and_the_answer_is_the_same_both_ways(one: Any, other: Any) -> None:
    here, there = disagreement(only(one), only(other)), disagreement(only(other), only(one))
    assert (here is None) == (there is None) == (one is other)


def test_help_makes_no_difference() -> None:
    def told(n: int = 5) -> None:
        """Told.

        Parameters
        ----------
        n : int
            How many.
        """

    assert disagreement(only(f_int), only(told)) is None


def test_choices_count_by_label_and_value() -> None:
    def free(n: Any) -> None: ...

    same, other = {"a": ARRAY}, {"a": np.arange(3)}
    assert disagreement(only(free, n=same), only(free, n=dict(same))) is None
    assert disagreement(only(free, n=same), only(free, n=other)) is not None
    assert disagreement(only(free, n=same), only(free, n={"b": ARRAY})) is not None


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (f_int, f_other_default, "default 5 and 6"),
        (f_int, f_required, "default 5 and none"),
        (f_bounded, f_higher, "an integer >= 1 and an integer >= 2"),
        (f_int, f_float, "an integer and a number"),
    ],
)
def test_it_says_in_what_they_differ(one: Any, other: Any, says: str) -> None:
    assert says in (disagreement(only(one), only(other)) or "")
