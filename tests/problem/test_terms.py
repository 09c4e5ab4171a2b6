"""Names of objectives and constraints, and what of a Problem is the same in every process."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from neuromancer.constraint import Loss, variable
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

from nmlab.data.splits import make_splits
from nmlab.problem.terms import steady, terms_of
from nmlab.problem.weights import fingerprint
from tests.helpers.problems import PROBLEMS
from tests.helpers.processes import fresh

x, y = variable("x"), variable("y")


def problem_of(objectives: list[Any], constraints: list[Any]) -> Problem:
    return Problem([Node(nn.Linear(1, 1), ["a"], ["x"], name="line")], PenaltyLoss(objectives, constraints))


def names(objectives: list[Any], constraints: list[Any]) -> list[str]:
    return [term.name for term in terms_of(problem_of(objectives, constraints))]


def called(constraint: Any, name: str) -> Any:
    constraint.name = name
    return constraint


def my_metric(value: torch.Tensor) -> torch.Tensor:
    return value.mean()


def test_terms_without_a_name_are_numbered_by_their_place() -> None:
    objectives = [
        (x**2).minimize(),
        (x * 2.0).minimize(name="cost"),
        (x + y).minimize(metric=my_metric),
        abs(x).minimize(metric=lambda value: value.mean()),
    ]
    constraints = [x[:, [0]] < 1.0, called(y > 0.0, "positive"), x + y < torch.ones(1), x**2 == 3.0]
    assert names(objectives, constraints) == [
        "objective_1",
        "cost",
        "objective_3",
        "objective_4",
        "constraint_1",
        "positive",
        "constraint_3",
        "constraint_4",
    ]


def test_names_that_a_person_can_read_are_kept() -> None:
    assert names([], [x < 10.0, y > x]) == ["x lt 10.0", "y gt x"]
    assert names([x.minimize(name="∫ 〈u²〉 dt")], [called(x < 1.0, "u<1"), called(x > 0.0, "0<=u")]) == [
        "∫ 〈u²〉 dt",
        "u<1",
        "0<=u",
    ]


def test_a_name_that_is_another_metrics_gets_term() -> None:
    assert names([x.minimize(name="loss"), y.minimize(name="loss_term")], []) == ["loss_term", "loss_term_term"]
    assert names([Loss(["x"], torch.mean)], []) == ["loss_term"]
    bound = called(x < 1.0, "bound")
    assert names([x.minimize(name="bound_violation")], [bound]) == ["bound_violation", "bound_term"]
    assert names([x.minimize(name="bound_violation_max")], [bound]) == ["bound_violation_max", "bound_term"]
    both = [bound, called(x > 0.0, "bound_violation")]
    assert names([], both) == ["bound", "bound_violation_term"]
    assert names([], [called(x < 1.0, "loss")]) == ["loss_term"]


def test_a_constraint_among_the_objectives_is_one() -> None:
    first, second = terms_of(problem_of([called((x == y) ^ 2, "track")], [called(x < 1.0, "bound")]))
    assert (first.name, first.violation_key) == ("track", None)
    assert second.name == "bound"
    assert second.violation_key is not None


@pytest.mark.parametrize("name", PROBLEMS)
def test_keys_lead_to_the_terms_values_in_the_output(name: str) -> None:
    torch.manual_seed(0)
    builder, data = PROBLEMS[name]
    problem = builder().eval()
    splits = make_splits(data, {})
    batch = splits.train.collate_fn([splits.train[i] for i in range(4)])
    output = problem(batch)
    terms = terms_of(problem)
    total = sum(output[f"{batch['name']}_{term.key}"] for term in terms)
    assert torch.isclose(total, output[f"{batch['name']}_loss"])
    for term in terms:
        if term.violation_key is not None:
            assert bool((output[f"{batch['name']}_{term.violation_key}"] >= 0).all())
    assert sum(term.violation_key is not None for term in terms) == len(problem.loss.constraints)


def test_what_differs_between_processes_is_left_out() -> None:
    assert steady(f"x lt {id(x)}") == "x lt #"
    assert steady(f"sum_{my_metric}") == "sum_#"
    assert steady(f"sum_{torch.mean}") == "sum_#"
    assert steady("u<1") == "u<1"
    assert steady("x lt 10.0") == "x lt 10.0"


FRESH = """
import random, sys
held = [object() for _ in range(random.SystemRandom().randrange(20000))]  # other addresses in every process
import nmlab, torch
from nmlab.problem.weights import fingerprint
from tests.helpers.problems import PROBLEMS
from tests.problem.test_terms import with_made_up_names
problems = [builder() for builder, _ in PROBLEMS.values()] + [with_made_up_names()]
print(*map(fingerprint, problems))
"""


def with_made_up_names() -> Problem:
    return problem_of(
        [(x + y).minimize(metric=my_metric), (x * y).minimize(metric=lambda value: value.mean())],
        [x + y < torch.ones(1)],
    )


def test_fingerprints_are_equal_in_every_process() -> None:
    here = [fingerprint(build()) for build in [*(builder for builder, _ in PROBLEMS.values()), with_made_up_names]]
    assert fresh(FRESH).split() == here


def test_fingerprints_tell_problems_apart() -> None:
    def build(width: int = 4, key: str = "a", term: str = "fit", bound: float = 1.0) -> Problem:
        layers = nn.Sequential(nn.Linear(1, width), nn.Linear(width, 1))
        node = Node(layers, [key], ["x"], name="line")
        return Problem([node], PenaltyLoss([x.minimize(name=term)], [x < bound]))

    seen = {fingerprint(p) for p in (build(), build(5), build(key="b"), build(term="other"), build(bound=2.0))}
    assert len(seen) == 5
    assert fingerprint(build()) == fingerprint(build())
