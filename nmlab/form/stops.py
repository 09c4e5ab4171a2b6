"""Positions of the slider of a number: multiples of the field's step within its bounds, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

from nmlab.fields import Field, fault_of
from nmlab.runtime.text import exact_number

MOST = 1000
"""Maximum number of positions that are distinct on a screen; a slider with more steps skips some of them."""

WIDEST = 1_000_000
"""Maximum number of steps; with more, as for seeds, a field has no slider."""

FINE = 200
"""Approximate number of positions of a slider whose field has no step."""

LOGARITHMIC = 1000
"""Ratio of the bounds from which a slider is logarithmic, with `PER_DECADE` positions per decade."""

PER_DECADE = 20


def stops(field: Field) -> list[str]:
    """Return the positions of a field's slider, in increasing order.

    They are linear, or logarithmic if both bounds are positive and far apart.

    Parameters
    ----------
    field : Field
        The field.

    Returns
    -------
    list of str
        Valid values as text; [] if the field is not a number with two bounds.
    """
    ends = _ends(field)
    if ends is None:
        return []
    low, high = ends
    step = _own_step(field)
    if step is not None:
        if step <= 0 or (field.kind == "integer" and step % 1):
            return []
        low, high = math.ceil(low / step) * step, math.floor(high / step) * step
    if low >= high:
        return []
    logarithmic = low > 0 and high >= LOGARITHMIC * low
    values = _along_logarithm(low, high, step) if logarithmic else _along_line(low, high, step)
    numbers = (int(value) if field.kind == "integer" else float(value) for value in values)
    texts = dict.fromkeys(exact_number(number) for number in numbers if not fault_of(field, number))
    return list(texts) if len(texts) > 1 else []


def _ends(field: Field) -> tuple[Decimal, Decimal] | None:
    lows = [bound for bound in (field.minimum, field.exclusive_minimum) if bound is not None]
    highs = [bound for bound in (field.maximum, field.exclusive_maximum) if bound is not None]
    if field.kind not in ("integer", "number") or not lows or not highs:
        return None
    low, high = _exact(max(lows)), _exact(min(highs))
    return (low, high) if low.is_finite() and high.is_finite() else None


def _own_step(field: Field) -> Decimal | None:
    if field.multiple_of is not None:
        return _exact(field.multiple_of)
    return Decimal(1) if field.kind == "integer" else None


def _exact(number: float) -> Decimal:
    """Return the decimal number as written, such as 0.1, not the nearest binary one."""
    return Decimal(number) if isinstance(number, int) else Decimal(repr(float(number)))


def _along_line(low: Decimal, high: Decimal, step: Decimal | None) -> Iterator[Decimal]:
    if step is None:
        stride = _round_step((high - low) / FINE)
    else:
        count = (high - low) / step
        if count > WIDEST:
            return
        stride = step if count <= MOST else step * _round_step(count / FINE)
    yield from (low + place * stride for place in range(int((high - low) / stride) + 1))
    yield high


def _along_logarithm(low: Decimal, high: Decimal, step: Decimal | None) -> Iterator[Decimal]:
    ratio = high / low
    count = min(MOST, math.ceil(PER_DECADE * ratio.log10()))
    yield low
    for place in range(1, count):
        value = low * ratio ** (Decimal(place) / count)
        rounded = Decimal(f"{value:.2e}")
        yield rounded if step is None else round(rounded / step) * step
    yield high


def _round_step(size: Decimal) -> Decimal:
    """Return the largest of …, 0.1, 0.2, 0.5, 1, 2, 5, … that is not larger than a size."""
    decade = Decimal(10) ** size.adjusted()
    return max(decade * factor for factor in (1, 2, 5) if decade * factor <= size)
