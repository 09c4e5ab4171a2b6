"""What a sweep in code tries for one parameter: `choice`, `uniform`, `log_uniform`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nmlab.errors import FieldError
from nmlab.fields.field import is_bool


@dataclass(frozen=True)
class Distribution:
    """Values that a sweep tries for one parameter, as `choice`, `uniform` and `log_uniform` make it.

    Parameters: `kind`; `values` and their `probabilities`, of a choice; `low` and `high`, ends of a range.
    """

    kind: Literal["choice", "uniform", "log_uniform"]
    values: tuple[Any, ...] = ()
    probabilities: tuple[float, ...] | None = None
    low: float = 0.0
    high: float = 0.0

    def __repr__(self) -> str:
        if self.kind != "choice":
            return f"{self.kind}({self.low:g}, {self.high:g})"
        given = "" if self.probabilities is None else f", probabilities={list(self.probabilities)}"
        return f"choice({', '.join(map(repr, self.values))}{given})"


def choice(*values: Any, probabilities: Sequence[float] | None = None) -> Distribution:
    """Let a sweep choose among values.

    Parameters
    ----------
    *values : Any
        The values, at least one. A list in place of these is the same: ``nsim=[100, 500]``.
    probabilities : sequence of float, optional
        Probability of each value; default all the same. They must add up to 1.

    Returns
    -------
    Distribution
        What `lab.sweep` takes as a value.

    Raises
    ------
    FieldError
        If there are no values, or the probabilities do not fit them.

    Examples
    --------
    >>> import nmlab
    >>> nmlab.choice(32, 64, probabilities=[0.9, 0.1])
    choice(32, 64, probabilities=[0.9, 0.1])
    """
    if not values:
        raise FieldError({"values": "none; give at least one"}, "choice()")
    if probabilities is None:
        return Distribution("choice", values)
    shares = tuple(float(each) for each in probabilities)
    if fault := probabilities_fault(shares, len(values)):
        raise FieldError({"probabilities": fault}, "choice()")
    return Distribution("choice", values, shares)


def probabilities_fault(shares: Sequence[float], count: int) -> str | None:
    """Return what is wrong with the probabilities of so many values; None if nothing is."""
    if len(shares) != count:
        return f"{len(shares)} of them for {count} values; give one for each"
    if not all(0 <= share <= 1 for share in shares) or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        return f"{list(shares)}; give numbers from 0 to 1 that add up to 1"
    return None


def uniform(low: float, high: float) -> Distribution:
    """Let a sweep draw numbers evenly from a range, both ends included; whole ones for a parameter that takes these.

    Parameters
    ----------
    low, high : float
        The ends.

    Returns
    -------
    Distribution
        What `lab.sweep` takes as a value.

    Raises
    ------
    FieldError
        If the ends are not finite numbers in this order.

    Examples
    --------
    >>> import nmlab
    >>> nmlab.uniform(1, 100)
    uniform(1, 100)
    """
    _check_ends("uniform", low, high)
    return Distribution("uniform", low=low, high=high)


def log_uniform(low: float, high: float) -> Distribution:
    """Let a sweep draw positive numbers whose logarithm is spread evenly; whole ones for a parameter that takes these.

    Parameters
    ----------
    low, high : float
        The ends, as values and not as exponents.

    Returns
    -------
    Distribution
        What `lab.sweep` takes as a value.

    Raises
    ------
    FieldError
        If the ends are not positive numbers in this order.

    Examples
    --------
    >>> import nmlab
    >>> nmlab.log_uniform(1e-4, 1e-2)
    log_uniform(0.0001, 0.01)
    """
    _check_ends("log_uniform", low, high)
    if low <= 0:
        fault = f"{low!r}; give a number > 0: the ends are values, not exponents, as in log_uniform(1e-4, 1e-2)"
        raise FieldError({"low": fault}, "log_uniform()")
    return Distribution("log_uniform", low=low, high=high)


def _check_ends(name: str, low: Any, high: Any) -> None:
    faults = {
        end: f"{value!r} is not a finite number"
        for end, value in (("low", low), ("high", high))
        if is_bool(value) or not isinstance(value, int | float) or not math.isfinite(value)
    }
    if not faults and low > high:
        faults["low"] = f"{low!r} is above high, {high!r}"
    if faults:
        raise FieldError(faults, f"{name}()")
