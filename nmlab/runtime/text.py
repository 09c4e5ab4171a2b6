"""Numbers, durations, sizes and values as text.

There are three kinds of number, on purpose: `number_text` for tables and `repr`, from which people copy into code;
`typeset_number` for pictures and sentences, which are only read; `exact_number` for form fields, whose text is read
back and must give the same number.
"""

from __future__ import annotations

import math
import reprlib
from typing import Any

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number_text(value: float | None, digits: int = 5) -> str:
    """Return a number as Python writes it, rounded; '' for None.

    Parameters
    ----------
    value : float or None
        The number.
    digits : int, default 5
        Significant digits.

    Examples
    --------
    >>> number_text(0.123456789), number_text(1e-7), number_text(None)
    ('0.12346', '1e-07', '')
    """
    return "" if value is None else f"{value:.{digits}g}"


def typeset_number(value: float, digits: int = 3) -> str:
    """Return a number as it is printed in a text, with a minus sign and powers of ten.

    Parameters
    ----------
    value : float
        The number.
    digits : int, default 3
        Significant digits.

    Examples
    --------
    >>> typeset_number(0.0123), typeset_number(12000.4), typeset_number(-4.5e-7)
    ('0.0123', '12000', '−4.5×10⁻⁷')
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "−∞" if value < 0 else "∞"
    if not value or 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        return (f"{value:.0f}" if "e" in text else text).replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    text = mantissa[:-1] + power if mantissa in ("1", "-1") else f"{mantissa}×{power}"
    return text.replace("-", "−")


def exact_number(value: Any) -> str:
    """Return the shortest usual text of a number that gives the same number when it is read.

    Examples
    --------
    >>> exact_number(0.001), exact_number(1e-05), exact_number(0.1 + 0.2), exact_number(7)
    ('0.001', '1e-05', '0.30000000000000004', '7')
    """
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))
    return str(value)


def duration_text(seconds: float) -> str:
    """Return a duration as text.

    Examples
    --------
    >>> duration_text(1.25), duration_text(45.2), duration_text(125), duration_text(3725)
    ('1.2 s', '45 s', '2 min 05 s', '1 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def size_text(count: float) -> str:
    """Return a number of bytes as text, with decimal units as file managers show them.

    Examples
    --------
    >>> size_text(120), size_text(45_300), size_text(8_000_000)
    ('0 kB', '45 kB', '8 MB')
    """
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    number, unit = (count / 1e6, "MB") if count < 1e10 else (count / 1e9, "GB")
    return f"{number:.1f}".removesuffix(".0") + f" {unit}"


def short_repr(value: Any, length: int = 60, one_line: bool = True) -> str:
    """Return the `repr` of a value, shortened in the middle.

    Parameters
    ----------
    value : object
        Any value.
    length : int, default 60
        Approximate maximum length; containers are shortened as `reprlib` does.
    one_line : bool, default True
        Whether line breaks are replaced by spaces.

    Examples
    --------
    >>> short_repr("a" * 30, 12)
    "'aaa...aaaa'"
    """
    shortened = reprlib.Repr()
    shortened.maxstring = shortened.maxother = shortened.maxlong = length
    text = shortened.repr(value)
    return " ".join(text.split()) if one_line else text
