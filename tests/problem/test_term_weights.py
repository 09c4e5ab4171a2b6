"""Weights of a Problem's terms: which can be set, what they multiply, and that they are put back."""

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from neuromancer.constraint import Constraint, Objective, variable
from neuromancer.loss import AugmentedLagrangeLoss, BarrierLoss, PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

from nmlab.problem.fast_loss import FastProblem
from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.term_weights import (
    KeptWeights,
    Weight,
    measured_terms,
    own_weights,
    use_weights,
    weight_faults,
    weighted,
    weights_of,
)
from nmlab.problem.terms import terms_of
from tests.helpers.problems import lagrange, rosenbrock

FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def problem(kind: Any = PenaltyLoss, **weights: Any) -> Problem:
    """Objective `size` and constraint `low` of a linear map from p to x."""
    node = Node(nn.Linear(1, 1), ["p"], ["x"], name="map")
    size = (variable("x") ** 2).minimize(weight=weights.get("size", 1.0), name="size")
    low = variable("x") >= 1.0
    low.update_name("low")
    low.weight = weights.get("low", 20.0)
    return Problem([node], kind([size], [low]))


def batch(value: float = 0.5) -> dict[str, Any]:
    return {"p": torch.full((3, 1), value), "name": "train"}


@given(FINITE, st.floats(0, 1e6, width=32, exclude_min=True))
def test_a_weight_multiplies_as_the_number_it_is_and_keeps_the_other_factor(value: float, number: float) -> None:
    tensor = torch.tensor(value)
    product = Weight(number) * tensor
    assert torch.equal(product, number * tensor)
    assert product.unweighted is tensor
    assert Weight(number) == number


@given(st.sampled_from([math.nan, math.inf, -math.inf, 2.0]))
def test_zero_gives_zero_whatever_the_value_and_no_gradient_reaches_it(value: float) -> None:
    held = torch.tensor(1.0, requires_grad=True)
    product = Weight(0) * (held * value)
    assert float(product) == 0.0
    assert not product.requires_grad
    (product + held).backward()
    assert float(held.grad) == 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [PenaltyLoss, BarrierLoss])
@pytest.mark.parametrize("weights", [{}, {"low": 7.5}, {"low": 0.0}, {"size": 0.0}, {"size": 3.0, "low": 1.0}])
def test_both_ways_to_evaluate_the_loss_heed_them_to_the_last_bit(kind: Any, weights: dict[str, float]) -> None:
    own = problem(kind)
    plain = copy.deepcopy(own)
    for term, name in zip([*plain.loss.objectives, *plain.loss.constraints], ("size", "low"), strict=True):
        term.weight = weights.get(name, term.weight)
    with weighted(own, weights):
        fast = FastProblem(own)
        fast.look()
        one, other = fast(batch()), own(batch())
        expected = plain(batch())
        for output in (one, other):
            for key in ("train_loss", *(f"train_{term.key}" for term in terms_of(own))):
                assert torch.equal(output[key], expected[key]), key
        totals = [MetricAccumulator(terms_of(own), measured_terms(own)) for _ in range(2)]
        for total, output in zip(totals, (one, other), strict=True):
            total.add(output, "train", 3)
        assert totals[0].means() == totals[1].means()
        assert totals[0].names[3:-2] == [f"{name}_raw" for name in measured_terms(own)]
    assert weights_of(own) == {"size": 1.0, "low": 20.0}
    assert type(own.loss.constraints[0].weight) is float


def test_values_without_weights_are_those_of_weights_of_one() -> None:
    heavy, light = problem(low=20.0), problem(low=1.0)
    light.load_state_dict(heavy.state_dict())
    with weighted(heavy, {"size": 0.0}):
        totals = MetricAccumulator(terms_of(heavy), measured_terms(heavy))
        totals.add(FastProblem(heavy)(batch()), "train", 3)
    expected = MetricAccumulator(terms_of(light))
    expected.add(light(batch()), "train", 3)
    found, one = totals.means(), expected.means()
    assert (found["size_raw"], found["low_raw"]) == (one["size"], one["low"])
    assert (found["size"], found["loss"]) == (0.0, found["low"])


def test_a_tensor_multiplies_as_it_is() -> None:
    own = problem(low=torch.tensor(20.0, dtype=torch.float64))
    expected = own(batch())["train_low"]
    with weighted(own, {}):
        assert torch.equal(own(batch())["train_low"], expected)
        assert own(batch())["train_low"].dtype == expected.dtype
    assert isinstance(own.loss.constraints[0].weight, torch.Tensor)


def test_all_faults_are_said_at_once_with_the_terms_there_are() -> None:
    own = problem(low=torch.tensor(2.0, requires_grad=True))
    faults = weight_faults(own, {"lov": 1.0, "low": 3.0, "size": 2.0})
    assert faults == {
        "weights.lov": "not a term of this Problem; did you mean 'low'? its terms are: size, low",
        "weights.low": "its weight is a tensor that is trained",
    }
    assert weight_faults(problem(), {"size": 0.0, "low": 0.0}).keys() == {"weights"}
    assert weight_faults(problem(), {"size": 0.0}, beside={"low": 0.0}).keys() == {"weights"}
    assert weight_faults(problem(), {"size": 0.0, "low": 3.0}) == {}


class Own(Objective):  # type: ignore[misc]  # neuromancer has no types
    def forward(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        return {self.output_keys[0]: self.metric(self.var(input_dict)) * self.weight}


class Trained(Objective):  # type: ignore[misc]  # neuromancer has no types
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        delattr(self, "weight")
        self.register_parameter("weight", nn.Parameter(torch.tensor(1.0)))


@pytest.mark.parametrize(("kind", "weight", "part"), [(Own, 0.0, "forward of its own"), (Trained, 2.0, "parameter")])
def test_what_cannot_be_heeded_is_refused(kind: Any, weight: float, part: str) -> None:
    node = Node(nn.Linear(1, 1), ["p"], ["x"], name="map")
    terms = [kind(variable("x"), name="own"), (variable("x") ** 2).minimize(name="other")]
    own = Problem([node], PenaltyLoss(terms, []))
    assert part in weight_faults(own, {"own": weight})["weights.own"]
    assert weight_faults(own, {"other": 2.0}) == {}


def test_an_lagrange_lagrangian_weighs_constraints_itself() -> None:
    own = lagrange()
    assert isinstance(own.loss, AugmentedLagrangeLoss)
    names = [term.name for term in terms_of(own)]
    faults = weight_faults(own, dict.fromkeys(names, 2.0))
    constraints = len(own.loss.constraints)
    assert [*faults] == [f"weights.{name}" for name in names[-constraints:]]


def test_own_weights_are_known_while_others_are_in_their_place() -> None:
    own = rosenbrock()
    before = weights_of(own)
    kept = KeptWeights(own)
    use_weights(own, {"circle": 3.0})
    with weighted(own, {"order": 4.0}):
        assert weights_of(own) == before | {"circle": 3.0, "order": 4.0}
        assert own_weights(own) == before
    assert weights_of(own) == before | {"circle": 3.0}
    kept.put_back()
    assert weights_of(own) == own_weights(own) == before


def test_a_copied_problem_has_its_weights_too() -> None:
    own = rosenbrock()
    with weighted(own, {"circle": 3.0}):
        copied = copy.deepcopy(own)
    assert isinstance(copied.loss.constraints[1], Constraint)
    assert weights_of(copied)["circle"] == 3.0
    assert isinstance(copied.loss.constraints[1].weight, Weight)
