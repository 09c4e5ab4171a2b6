"""A Problem's metrics on data, outside any fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from neuromancer.dataset import DictDataset

import nmlab
from nmlab import BusyError, DataError, FieldError, Lab, TrainerOptions, score
from nmlab.data.splits import make_splits
from nmlab.fitting.request import FitRequest
from nmlab.problem.weights import copy_weights
from tests.helpers.problems import PROBLEMS, integrator, noisy, noisy_data, pinn, pinn_data, rosenbrock, rosenbrock_data
from tests.helpers.randomness import users_states
from tests.helpers.waiting import until


def seeded(name: str) -> tuple[Any, Any]:
    """A problem and its data, always the same."""
    builder, function = PROBLEMS[name]
    torch.manual_seed(0)
    return builder(), function


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_runs_test_metrics_again_for_every_kind_of_problem(name: str, tmp_path: Path) -> None:
    problem, function = seeded(name)
    lab = Lab(problem, function, options=TrainerOptions(max_epochs=2, seed=1), runs_dir=tmp_path)
    told = lab.fit().test_metrics
    again = {f"test_{key}": value for key, value in score(problem, lab.splits, "test").items()}
    assert again == pytest.approx(told, rel=1e-5, abs=1e-7)


def by_hand(problem: Any, a: torch.Tensor, p: torch.Tensor) -> dict[str, float]:
    """Rosenbrock's metrics without NeuroMANCER."""
    with torch.no_grad():
        x = problem.nodes[0]({"a": a, "p": p})["x"]
        x1, x2 = x[:, [0]], x[:, [1]]
        over = torch.relu(x2 - x1), torch.relu(x1**2 + x2**2 - p**2)
        found = {"obj": ((1 - x1) ** 2 + a * (x2 - x1**2) ** 2).mean()}
        for name, value in zip(("order", "circle"), over, strict=True):
            found |= {name: 10 * value.mean(), f"{name}_raw": value.mean()}
            found |= {f"{name}_violation": value.mean(), f"{name}_violation_max": value.max()}
        found["loss"] = found["obj"] + found["order"] + found["circle"]
    return {name: float(value) for name, value in found.items()}


@given(st.integers(1, 40), st.integers(1, 50), st.sampled_from(["dev", "odd name", "train", "test"]))
@settings(deadline=None, max_examples=30)
def test_loss_terms_and_violations_are_means_over_samples_whatever_batch_and_name(n: int, size: int, name: str) -> None:
    problem, _ = seeded("rosenbrock")
    a, p = 0.2 + torch.rand(n, 1), 0.1 + torch.rand(n, 1)
    found = score(problem, DictDataset({"a": a, "p": p}, name=name), batch_size=size)
    assert found == pytest.approx(by_hand(problem, a, p), rel=1e-4, abs=1e-6)


def test_splits_all_four_returned_a_data_set_and_a_dict_are_scored_alike() -> None:
    problem, function = seeded("rosenbrock")
    returned = function(40)
    splits = make_splits(lambda: returned, {})
    dev = returned[1]
    expected = score(problem, splits)
    assert expected == score(problem, returned) == score(problem, splits, "dev")
    assert expected == pytest.approx(score(problem, dev)) == score(problem, dev.datadict)
    assert score(problem, splits, "train") != expected


def test_nothing_is_changed_by_it() -> None:
    torch.manual_seed(0)
    problem, data = noisy(), noisy_data()
    problem.nodes[0].eval()  # as a user froze it
    for parameter in problem.parameters():
        parameter.grad = torch.ones_like(parameter)
    weights, modes = copy_weights(problem), [module.training for module in problem.modules()]
    states = users_states()
    found = score(problem, data)
    assert torch.isfinite(torch.tensor(list(found.values()))).all()
    assert found == score(problem, data)  # no dropout in it
    assert all(torch.equal(value, weights[name]) for name, value in copy_weights(problem).items())
    assert [module.training for module in problem.modules()] == modes
    assert all(bool((parameter.grad == 1).all()) for parameter in problem.parameters())
    assert users_states() == states


def test_a_problem_that_needs_gradients_gets_them_also_where_the_caller_has_none() -> None:
    with torch.no_grad():
        assert score(pinn(), pinn_data())["loss"] > 0


def test_what_does_not_fit_is_told_in_the_users_words() -> None:
    with pytest.raises(FieldError, match="there is no split 'test'; the splits are: train, dev"):
        score(rosenbrock(), (*rosenbrock_data()[:2], None, 8), "test")
    with pytest.raises(DataError) as caught:
        score(integrator(), rosenbrock_data())
    assert "dev: node 'loop' needs x, which the data do not have; they have a, p" in str(caught.value)
    with pytest.raises(DataError, match=r"own: node 'map' raised RuntimeError.*a \(3, 2\) float32, p \(3, 1\)"):
        score(rosenbrock(), DictDataset({"a": torch.rand(3, 2), "p": torch.rand(3, 1)}, name="own"))
    with pytest.raises(DataError, match="batch_size is 0"):
        score(rosenbrock(), (*rosenbrock_data()[:3], 0))
    with pytest.raises(DataError, match="empty"):
        score(rosenbrock(), DictDataset({"a": torch.rand(0, 1), "p": torch.rand(0, 1)}, name="dev"))


def test_it_waits_for_no_fit_but_a_view_may_score(tmp_path: Path) -> None:
    seen: list[float] = []

    def view(problem: Any, splits: Any) -> Figure:
        seen.append(score(problem, splits)["loss"])
        return Figure()

    torch.manual_seed(0)
    problem = rosenbrock()
    fit = nmlab.launch.fit.make_fit(
        FitRequest(problem, rosenbrock_data, TrainerOptions(max_epochs=100000, seed=1), runs_dir=tmp_path, view=view)
    ).start()
    try:
        with pytest.raises(BusyError, match="not possible during a fit"):
            score(problem, rosenbrock_data())
        until(lambda: fit.run.epochs or fit.done)
    finally:
        fit.control.stop()
        run = fit.wait()
    assert seen[-1] == pytest.approx(run.best_value, rel=1e-5)
