"""Decimal and thousands separators of text, judged over all numbers of a file.

`1.200` is 1.2 or 1200. Numbers such as `0,5`, `1.234.567` or `1.234,5` tell which sign is which; where none does, the
signs are asked for, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

SPACES = " '"
"""Signs that group digits and are never a decimal separator."""

_ALIKE = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})
"""Signs that are read as one of them."""

_EXPONENT = r"(?:[eEdD][+-]?\d+)"


def _pattern(number: str) -> re.Pattern[str]:
    return re.compile(rf"^[ ]*([+-]?{number})[ ]*$", re.MULTILINE)


def _decimal_pattern(sign: str) -> re.Pattern[str]:
    """Return a pattern of numbers in which a sign can only be the decimal separator."""
    s, other = re.escape(sign), rf"(?:(?!{re.escape(sign)})[.,{SPACES}])"
    grouped = rf"\d{{1,3}}(?:{other}\d{{3}})+{s}\d*{_EXPONENT}?"
    alone = rf"(?=[^\n]?\d)(?:\d*{s}(?:\d{{0,2}}|\d{{4,}})|(?:0\d*|\d{{4,}}|){s}\d{{3}}){_EXPONENT}?"
    return _pattern(rf"(?:{alone}|\d+{s}\d{{3}}{_EXPONENT}|{grouped})")


def _group_pattern(sign: str) -> re.Pattern[str]:
    """Return a pattern of numbers in which a sign can only group digits."""
    s, least = re.escape(sign), 1 if sign in SPACES else 2
    point = rf"(?!{s})[.,]\d*"
    return _pattern(rf"(?:\d{{1,3}}(?:{s}\d{{3}}){{{least},}}(?:{point})?|\d{{1,3}}(?:{s}\d{{3}})+{point}){_EXPONENT}?")


_CLEAR = {sign: _decimal_pattern(sign) for sign in ".,"}
_GROUPS = {sign: _group_pattern(sign) for sign in ".," + SPACES}
_DOUBTFUL = {sign: _pattern(rf"[1-9]\d{{0,2}}{re.escape(sign)}\d{{3}}") for sign in ".,"}


@dataclass
class Marks:
    """Which sign is the decimal separator and which one groups digits.

    Parameters
    ----------
    decimal, thousands : str or None
        As the user gave them; None for what the numbers show.
    decimals, groups, doubtful : dict of str to str
        By sign an example of a number in which it is the decimal separator, groups digits, or may be either.
    """

    decimal: str | None = None
    thousands: str | None = None
    decimals: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)
    _once: dict[str, str] = field(default_factory=dict)

    def see(self, cells: Iterable[str]) -> None:
        """Take the cells of a column into account."""
        text = "\n".join(cells).translate(_ALIKE)
        for patterns, found in ((_CLEAR, self.decimals), (_GROUPS, self.groups), (_DOUBTFUL, self.doubtful)):
            for sign, pattern in patterns.items():
                if sign in found or sign not in text:
                    continue
                for match in pattern.finditer(text):
                    # a single number with a space in it is more likely a slip
                    if sign not in SPACES or self._once.setdefault(sign, match[1]) != match[1]:
                        found[sign] = match[1]
                        break

    def decide(self) -> tuple[str, str | None, str]:
        """Return the decimal separator, the sign that groups digits, and what must be asked; '' if all is clear."""
        opposite = {".": ",", ",": "."}
        if self.decimal or self.thousands:
            clear = [self.decimal or opposite.get(self.thousands or "") or next(iter(self.decimals), ".")]
        else:
            clear = list(self.decimals)
            twice = [sign for sign in clear if sign in self.groups]
            if len(clear) > 1 or twice:
                numbers = [*self.decimals.values(), *(self.groups[sign] for sign in twice)]
                return "", None, f"its numbers use the same sign differently, or two signs alike: {_shown(numbers)}"
            clear = clear or [opposite[sign] for sign in ".," if sign in self.groups]
            if len(clear) > 1 or (not clear and self.doubtful):
                numbers = [*self.groups.values(), *self.doubtful.values()]
                return "", None, f"{_shown(numbers)} can be read in two ways"
        decimal = clear[0] if clear else "."
        others = [sign for sign in (*self.groups, *self.doubtful) if sign != decimal]
        return decimal, self.thousands or next(iter(others), None), ""


def _shown(numbers: Iterable[str]) -> str:
    return " and ".join(map(repr, dict.fromkeys(numbers)))


def to_numbers(texts: pd.Series, decimal: str, thousands: str | None) -> pd.Series:
    """Return a column of texts with a number in place of each text that is one with these separators."""
    point = re.escape(decimal)
    whole = rf"(?:\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+)" if thousands else r"\d+"
    number = rf"\s*[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+|inf|infinity){_EXPONENT}?\s*"
    there = texts[texts.map(lambda cell: isinstance(cell, str))].astype(str).str.translate(_ALIKE)
    there = there[there.str.fullmatch(number, flags=re.IGNORECASE)]
    if thousands:
        there = there.str.replace(thousands, "", regex=False)
    there = there.str.replace(decimal, ".", regex=False).str.replace("[dD]", "e", regex=True)
    found = texts.astype(object)
    found[there.index] = there.map(float)
    return found.astype(float) if not found.map(lambda cell: isinstance(cell, (str, bool))).any() else found
