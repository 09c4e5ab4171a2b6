"""Metrics of a pass are means over its samples, whether it is one batch or many."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node

from nmlab.problem.metrics import MetricAccumulator
from nmlab.problem.terms import terms_of


def problem() -> Problem:
    z = variable("z")
    loss = PenaltyLoss([(z**2).minimize(weight=3.0, name="effort")], [2.0 * (z <= 0.1), (z >= -0.2)])
    return Problem([Node(MLP(2, 3), ["p"], ["z"], name="net")], loss)


def expected(problem: Problem, batches: list[dict[str, Any]]) -> dict[str, float]:
    """By the definitions, over all samples at once; a worst violation is that of any batch."""
    with torch.no_grad():
        outputs = [problem(batch) for batch in batches]
    shares = [len(batch["index"]) / sum(len(b["index"]) for b in batches) for batch in batches]

    def mean(key: str) -> float:
        return sum(share * float(one[key].double().mean()) for share, one in zip(shares, outputs, strict=True))

    means = {"loss": mean("train_loss")}
    for term in terms_of(problem):
        means[term.name] = mean(f"train_{term.key}")
        if term.violation_key:
            key = f"train_{term.violation_key}"
            means[f"{term.name}_violation"] = mean(key)
            means[f"{term.name}_violation_max"] = max(float(one[key].max()) for one in outputs)
    return means


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_means_are_those_over_the_samples(sizes: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    of = problem()
    totals = MetricAccumulator(terms_of(of))
    assert totals.means() == {}
    batches = [{"name": "train", "p": torch.randn(size, 2), "index": torch.arange(size)} for size in sizes]
    for batch in batches:
        totals.add(of(batch), "train", len(batch["index"]))
    for _ in range(2):  # reading changes nothing
        assert totals.means() == pytest.approx(expected(of, batches), rel=1e-5)
    totals.clear()
    assert totals.means() == {}
