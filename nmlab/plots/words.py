"""Words in a picture: names that fit, numbers that tell each other apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from matplotlib.font_manager import FontProperties, findfont, get_font

from nmlab.runtime.text import typeset_number

if TYPE_CHECKING:
    from nmlab.runs import Run


def tick_labels(values: Sequence[float]) -> list[str]:
    """Return numbers with as few digits as are needed to represent them."""
    for digits in range(1, 16):
        if all(math.isclose(value, float(f"{value:.{digits}g}"), rel_tol=1e-12) for value in values):
            break
    return [typeset_number(value, digits) for value in values]


@cache
def _advance(family: str, character: str) -> float:
    """Return the width of a character relative to the font size; NaN if the font does not have it."""
    font = get_font(findfont(FontProperties(family=[family])))
    if not font.get_char_index(ord(character)):
        return math.nan
    font.set_size(100, 72)
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536 / 100


def shown(text: str, font: FontProperties) -> str:
    """Return `text` in one line, with a box for characters that the font does not have."""
    family = font.get_family()[0]
    return "".join("□" if math.isnan(_advance(family, each)) else each for each in " ".join(text.split()))


def width_of(text: str, font: FontProperties) -> float:
    """Return the width of a line of text in points."""
    family = font.get_family()[0]
    return font.get_size_in_points() * sum(_advance(family, each) for each in shown(text, font))


def elide(text: str, font: FontProperties, width: float) -> str:
    """Return `text` shortened in the middle to a width in points, since similar names often differ at the end."""
    text = shown(text[:1000], font)
    if width_of(text, font) <= width:
        return text
    for kept in range(min(len(text) - 1, 200), 1, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if width_of(short, font) <= width:
            return short
    return "…"


def run_label(run: Run) -> str:
    """Return a run's number and name, such as '0007 rosenbrock'."""
    digits = run.id.partition("-")[0]
    return f"{digits} {run.name}" if digits.isdigit() and run.name != run.id else run.name
