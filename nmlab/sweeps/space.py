"""A parameter of a sweep as wandb's sweep format has it: what Optuna draws, and what a draw means.

The format is that of https://docs.wandb.ai/models/sweeps/sweep-config-keys. Optuna knows fewer distributions: it draws
the number of a value, a multiple's factor or a probability for those that it does not know.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import NormalDist
from typing import Annotated, Any

from annotated_types import Gt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nmlab.errors import FieldError
from nmlab.fields import check, fields_of
from nmlab.fields.field import unknown_name
from nmlab.sweeps.distributions import Distribution, probabilities_fault

ABSURD = 1e9
"""No parameter of a fit is drawn up to here."""

Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class Parameter:
    """What a sweep tries for one parameter.

    Parameters
    ----------
    distribution : what Optuna draws from
    value : returns what a draw means
    looks : draws whose values show whether all are well: each choice, or both ends
    whole : the same for a parameter that takes whole numbers alone, or None
    doubt : what to warn of, or ''
    weighted : whether some values are likelier than others
    """

    distribution: BaseDistribution
    value: Callable[[Any], Any]
    looks: Sequence[Any]
    whole: Parameter | None = None
    doubt: str = ""
    weighted: bool = False

    @property
    def draws(self) -> Sequence[Any] | None:
        """Every draw there is, for a grid; None where they are no finite number."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.distribution.choices
        if isinstance(self.distribution, IntDistribution):
            return range(self.distribution.low, self.distribution.high + 1)
        return None


def read_parameter(name: str, given: Any) -> Parameter:
    """Return what wandb's format says of one parameter; FieldError with every fault under `parameters.<name>`."""
    place = f"parameters.{name}"
    if isinstance(given, Distribution):
        return _of_code(given)
    if not isinstance(given, Mapping):
        right = "{'values': […]}, {'value': …} or {'min': …, 'max': …}"
        raise FieldError({place: f"{given!r} does not say what to try; give {right}"})
    keys = dict(given)
    if "parameters" in keys:
        raise FieldError({place: "nested parameters are not taken; give each by a name of its own, as 'options.lr'"})
    kind = keys.pop("distribution", None) or _kind_of(keys)
    if kind not in _KINDS:
        if kind is None:
            fault = f"{keys} does not say what to try; give 'values', 'value', or 'min' and 'max'"
        else:
            fault = f"the distribution {kind!r}: {unknown_name(str(kind), list(_KINDS))}"
        raise FieldError({place: fault})
    make = _KINDS[kind]
    keys = {key: each if key in ("values", "value") else number_in(each) for key, each in keys.items()}
    try:
        return make(**check(fields_of(make), keys))
    except FieldError as error:
        raise FieldError({f"{place}.{key}": f"{fault} ({kind})" for key, fault in error.faults.items()}) from None
    except (ValueError, OverflowError) as error:
        raise FieldError({place: f"{error} ({kind})"}) from None


def _kind_of(keys: Mapping[str, Any]) -> str | None:
    """Return the distribution that wandb takes where none is named."""
    if "values" in keys:
        return "categorical"
    if "value" in keys:
        return "constant"
    if "min" in keys or "max" in keys:
        ends = [keys.get("min"), keys.get("max")]
        return "int_uniform" if all(type(end) is int for end in ends) else "uniform"
    return None


def number_in(given: Any) -> Any:
    """Return the number in a text such as '1e-5', which YAML reads as text; anything else as it is."""
    return float(given) if isinstance(given, str) and re.fullmatch(_NUMBER, given.strip()) else given


_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"


def _of_code(given: Distribution) -> Parameter:
    if given.kind == "choice":
        return _categorical(given.values, given.probabilities)
    make = _uniform if given.kind == "uniform" else _log_uniform_values
    made = make(given.low, given.high)
    low, high = math.ceil(given.low), math.floor(given.high)
    if low > high:
        return made
    whole = IntDistribution(low, high, log=given.kind == "log_uniform")
    return replace(made, whole=Parameter(whole, int, (low, high)))


def _constant(value: Any) -> Parameter:
    return _categorical([value])


def _categorical(values: Any, probabilities: Any = None) -> Parameter:
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"values is {values!r}; give a list of at least one value")
    numbers = range(len(values))  # Optuna takes no objects
    if probabilities is None:
        return Parameter(CategoricalDistribution(tuple(numbers)), values.__getitem__, numbers)
    shares = [number_in(each) for each in probabilities] if isinstance(probabilities, list | tuple) else probabilities
    if not isinstance(shares, list) or not all(isinstance(each, int | float) for each in shares):
        raise ValueError(f"probabilities is {probabilities!r}; give a list of a number for each value")
    if fault := probabilities_fault(shares, len(values)):
        raise ValueError(f"probabilities: {fault}")
    steps = [*itertools.accumulate(shares)]
    able = [number for number, share in enumerate(shares) if share > 0]

    def drawn(share: float) -> Any:
        return values[min(bisect.bisect_right(steps, share), able[-1])]

    looks = [steps[number] - shares[number] / 2 for number in able]
    return Parameter(FloatDistribution(0.0, 1.0), drawn, looks, weighted=True)


def _uniform(min: float, max: float) -> Parameter:
    _in_order(min, max)
    return Parameter(FloatDistribution(min, max), float, (min, max))


def _int_uniform(min: int, max: int) -> Parameter:
    _in_order(min, max)
    return Parameter(IntDistribution(min, max), int, (min, max))


def _q_uniform(min: float, max: float, q: Positive = 1.0) -> Parameter:
    return _multiples(min, max, q)


def _log_uniform_values(min: Positive, max: Positive) -> Parameter:
    _in_order(min, max)
    return Parameter(FloatDistribution(min, max, log=True), float, (min, max))


def _q_log_uniform_values(min: Positive, max: Positive, q: Positive = 1.0) -> Parameter:
    return _multiples(min, max, q, log=True)


def _inv_log_uniform_values(min: Positive, max: Positive) -> Parameter:
    return _log_uniform_values(min, max)  # which is its own mirror image by the logarithm


def _log_uniform(min: float, max: float) -> Parameter:
    return _of_exponents("log_uniform", _log_uniform_values, min, max)


def _q_log_uniform(min: float, max: float, q: Positive = 1.0) -> Parameter:
    return _of_exponents("q_log_uniform", lambda low, high: _multiples(low, high, q, log=True), min, max)


def _inv_log_uniform(min: float, max: float) -> Parameter:
    return _of_exponents("inv_log_uniform", lambda low, high: _log_uniform_values(1 / high, 1 / low), min, max)


def _of_exponents(kind: str, make: Callable[[float, float], Parameter], min: float, max: float) -> Parameter:
    """Return what draws between two numbers that are given by exponents of e; doubted where these must be values."""
    try:
        low, high = math.exp(min), math.exp(max)
        made = make(low, high)
    except (OverflowError, ZeroDivisionError):
        raise ValueError(
            f"min and max are exponents of e, and e to the {max:g} is too large; for values give {kind}_values"
        ) from None
    if min > 0 and ((max >= 2 * min and high < 2 * low) or high > ABSURD):
        ends = [made.value(each) for each in made.looks]
        told = f"min and max of {kind} are exponents of e, so that it draws from {ends[0]:.4g} to {ends[-1]:.4g}"
        return replace(made, doubt=f"{told}; if {min:g} and {max:g} are meant as values, give {kind}_values")
    return made


def _beta(a: Positive, b: Positive) -> Parameter:
    return _by_probability(_beta_quantile(a, b))


def _q_beta(a: Positive, b: Positive, q: Positive = 1.0) -> Parameter:
    quantile = _beta_quantile(a, b)
    return _by_probability(lambda share: _multiple(round(quantile(share) / q), q))


def _beta_quantile(a: float, b: float) -> Callable[[float], float]:
    from scipy.special import betaincinv  # only here, since it takes long to import

    return lambda share: float(betaincinv(a, b, share))


def _normal(mu: float = 0.0, sigma: Positive = 1.0) -> Parameter:
    return _by_probability(NormalDist(mu, sigma).inv_cdf)


def _log_normal(mu: float = 0.0, sigma: Positive = 1.0) -> Parameter:
    return _by_probability(lambda share: math.exp(NormalDist(mu, sigma).inv_cdf(share)))


def _q_normal(mu: float = 0.0, sigma: Positive = 1.0, q: Positive = 1.0) -> Parameter:
    return _by_probability(lambda share: _multiple(round(NormalDist(mu, sigma).inv_cdf(share) / q), q))


def _q_log_normal(mu: float = 0.0, sigma: Positive = 1.0, q: Positive = 1.0) -> Parameter:
    return _by_probability(lambda share: _multiple(round(math.exp(NormalDist(mu, sigma).inv_cdf(share)) / q), q))


def _in_order(min: float, max: float) -> None:
    if not (math.isfinite(min) and math.isfinite(max)):
        raise ValueError(f"from {min:g} to {max:g}; give finite numbers")
    if min > max:
        raise ValueError(f"min is {min:g}, above max, {max:g}")


def _multiples(min: float, max: float, q: float, log: bool = False) -> Parameter:
    """All multiples of q from min to max, evenly or by their logarithm."""
    _in_order(min, max)
    low, high = math.ceil(min / q - 1e-9), math.floor(max / q + 1e-9)  # 0.3 counts as a multiple of 0.1
    low = low if not log else low or 1
    if low > high:
        raise ValueError(f"there is no multiple of {q:g} from {min:g} to {max:g}")
    return Parameter(IntDistribution(low, high, log=log), lambda factor: _multiple(factor, q), (low, high))


def _multiple(factor: int, q: float) -> float:
    """Return a multiple as people write it: 3 · 0.1 is 0.3, and whole where q is."""
    return factor * int(q) if q.is_integer() else float(factor * Decimal(repr(q)))


def _by_probability(value: Callable[[float], float]) -> Parameter:
    """Return what has no ends to look at: its middle alone says whether it is well."""
    least = sys.float_info.epsilon
    return Parameter(FloatDistribution(least, 1 - least), value, (0.5,))


_KINDS: dict[str, Callable[..., Parameter]] = {
    "categorical": _categorical,
    "constant": _constant,
    "uniform": _uniform,
    "int_uniform": _int_uniform,
    "q_uniform": _q_uniform,
    "log_uniform": _log_uniform,
    "log_uniform_values": _log_uniform_values,
    "q_log_uniform": _q_log_uniform,
    "q_log_uniform_values": _q_log_uniform_values,
    "inv_log_uniform": _inv_log_uniform,
    "inv_log_uniform_values": _inv_log_uniform_values,
    "beta": _beta,
    "q_beta": _q_beta,
    "normal": _normal,
    "q_normal": _q_normal,
    "log_normal": _log_normal,
    "q_log_normal": _q_log_normal,
}
"""What wandb's distributions mean; a function's parameters are the keys that its distribution takes."""
