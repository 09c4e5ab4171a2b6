"""A parameter of a sweep as wandb's sweep format has it: what Optuna draws, and what a draw means.

The format is that of https://docs.wandb.ai/models/sweeps/sweep-config-keys. Optuna knows fewer distributions: it draws
the number of a value, a multiple's factor or a probability for those that it does not know.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Annotated, Any

from annotated_types import Gt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nmlab.errors import FieldError
from nmlab.fields import check, fields_of
from nmlab.fields.field import unknown_name

Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class Parameter:
    """What a sweep tries for one parameter.

    Parameters
    ----------
    distribution : what Optuna draws from
    value : returns what a draw means
    looks : draws whose values show whether all are well: each choice, or both ends
    """

    distribution: BaseDistribution
    value: Callable[[Any], Any]
    looks: Sequence[Any]

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


def _constant(value: Any) -> Parameter:
    return _categorical([value])


def _categorical(values: Any) -> Parameter:
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"values is {values!r}; give a list of at least one value")
    numbers = range(len(values))  # Optuna takes no objects
    return Parameter(CategoricalDistribution(tuple(numbers)), values.__getitem__, numbers)


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


def _log_uniform(min: float, max: float) -> Parameter:
    return _log_uniform_values(math.exp(min), math.exp(max))


def _q_log_uniform(min: float, max: float, q: Positive = 1.0) -> Parameter:
    return _multiples(math.exp(min), math.exp(max), q, log=True)


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
    "normal": _normal,
    "q_normal": _q_normal,
    "log_normal": _log_normal,
    "q_log_normal": _q_log_normal,
}
"""What wandb's distributions mean; a function's parameters are the keys that its distribution takes."""
