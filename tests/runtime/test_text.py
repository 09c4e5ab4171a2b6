"""Numbers, durations, sizes and values as text: the examples of each function, and what they leave out."""

import doctest
import json
from math import inf, nan

import pytest

from nmlab.runtime import text
from tests.helpers.processes import ROOT


def test_examples() -> None:
    assert doctest.testmod(text).failed == 0


@pytest.mark.parametrize(("value", "shown"), [(float("nan"), "nan"), (float("-inf"), "-inf"), (1e5, "1e+05")])
def test_plain_numbers_can_be_copied_into_float(value: float, shown: str) -> None:
    assert text.number_text(value) == shown
    assert float(shown) == value or value != value


def test_a_repr_of_several_lines_becomes_one_line() -> None:
    assert "\n" not in text.short_repr(type("Long", (), {"__repr__": lambda self: "a\n  b"})())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.5, "0.5"), (-2.0, "−2"), (0.012345, "0.0123"), (12345.0, "12345"), (99999.7, "100000"),
     (123456.0, "1.23×10⁵"), (1e-7, "10⁻⁷"), (4.5e-7, "4.5×10⁻⁷"), (-1e20, "−10²⁰"), (inf, "∞"), (-inf, "−∞"),
     (nan, "not a number")],
)  # fmt: skip
def test_typeset_numbers(value: float, shown: str) -> None:
    assert text.typeset_number(value) == shown


def test_the_page_writes_numbers_alike() -> None:
    """The same cases are tried in the browser's language, in `tests/front/text.test.js`."""
    cases = json.loads((ROOT / "tests" / "front" / "numbers.json").read_text(encoding="utf-8"))
    assert [text.typeset_number(value, 4) for value, _ in cases] == [shown for _, shown in cases]
