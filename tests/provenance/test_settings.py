"""What a run's settings say of functions and values, and what can be made again from it."""

from __future__ import annotations

import functools
import json
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmlab.fields import fields_of
from nmlab.provenance.settings import describe_function, describe_values, rebuild_values, versions


class System:
    def __call__(self, nsim: int) -> int:
        return nsim


class Colour(Enum):
    RED = "r"
    BLUE = "b"


def data_function(nsim: int = 5) -> int:
    """With a source."""
    return nsim


def decorated() -> Any:
    @functools.wraps(data_function)
    def wrapper(*arguments: Any) -> Any:
        return data_function(*arguments)

    return wrapper


def test_a_function_is_described_by_name_place_and_source() -> None:
    known = describe_function(data_function)
    assert (known["name"], known["module"]) == ("data_function", __name__)
    assert (known["file"], known["line"]) == (__file__, data_function.__code__.co_firstlineno)
    assert known["source"].startswith("def data_function(nsim: int = 5)")
    assert '"""With a source."""' in known["source"]
    assert describe_function(decorated()) == known
    assert describe_function(functools.partial(data_function, nsim=3)) == known
    assert json.loads(json.dumps(known)) == known


def test_functions_without_source_or_name_are_described_too() -> None:
    built_in = describe_function(len)
    assert (built_in["name"], built_in["file"], built_in["line"], built_in["source"]) == ("len", None, None, None)
    assert describe_function(System())["name"] == "System"
    namespace: dict[str, Any] = {}
    exec("def typed(): pass", namespace)
    typed = describe_function(namespace["typed"])
    assert (typed["name"], typed["file"], typed["source"]) == ("typed", "<string>", None)
    with_func = lambda: 1  # noqa: E731  # a function may carry any attribute
    with_func.func = data_function  # type: ignore[attr-defined]
    assert describe_function(with_func)["name"] == "<lambda>"


A, B = System(), System()


def settings(
    nsim: int = 5,
    spread: float = 1.0,
    solver: Literal["euler", "rk4"] = "euler",
    colour: Colour = Colour.RED,
    where: Path = Path(),
    bounds: tuple[float, float] = (0.0, 1.0),
    sys: Any = None,
    steps: int | None = None,
    anything: Any = None,
) -> None: ...


FIELDS = fields_of(settings, {"sys": {"CSTR": A, "TwoTank": B}})


def rebuilt(**values: Any) -> tuple[dict[str, Any], list[str]]:
    """`values` after a way through a file."""
    return rebuild_values(FIELDS, json.loads(json.dumps(describe_values(FIELDS, values))))


def test_choices_are_kept_by_name_and_come_back() -> None:
    values = {"colour": Colour.BLUE, "sys": B, "solver": "rk4", "where": Path("data/x.csv")}
    assert describe_values(FIELDS, values) == {
        "colour": "BLUE",
        "sys": "TwoTank",
        "solver": "rk4",
        "where": str(Path("data/x.csv")),
    }
    back, lost = rebuilt(**values)
    assert (back, lost) == (values, [])
    assert back["sys"] is B


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "nsim": st.integers(),
            "spread": st.floats(allow_nan=False, allow_infinity=False),
            "solver": st.sampled_from(["euler", "rk4"]),
            "colour": st.sampled_from(Colour),
            "where": st.from_regex(r"\A[a-z]{1,5}(/[a-z]{1,5})?\Z").map(Path),
            "bounds": st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
            "sys": st.sampled_from([A, B]),
            "steps": st.none() | st.integers(),
            "anything": st.none() | st.booleans() | st.text() | st.lists(st.integers()),
        },
    )
)
def test_values_come_back_as_they_were(values: dict[str, Any]) -> None:
    back, lost = rebuilt(**values)
    assert (back, lost) == (values, [])
    assert {name: type(value) for name, value in back.items()} == {name: type(value) for name, value in values.items()}


@pytest.mark.parametrize(
    "value", [np.ones(3), System(), data_function, [1, {"deep": System()}], float("nan"), Colour.RED, Path("x"), {1: 2}]
)
def test_what_is_no_json_is_named_as_lost_instead_of_changed(value: Any) -> None:
    assert rebuilt(anything=value, nsim=3) == ({"nsim": 3}, ["anything"])


def test_values_that_no_longer_fit_are_named() -> None:
    assert rebuild_values(FIELDS, {"sys": "Gone", "nsim": "many", "spread": 2.0}) == ({"spread": 2.0}, ["sys", "nsim"])


def test_names_that_the_function_does_not_list_pass_through() -> None:
    assert rebuild_values(FIELDS, {"more": [1, 2]}) == ({"more": [1, 2]}, [])


def test_versions_name_what_a_fit_stands_on() -> None:
    found = versions()
    assert found.keys() >= {"python", "torch", "lightning", "neuromancer", "numpy"}
    assert all(found.values())
