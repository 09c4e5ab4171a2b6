"""The samples on which a term is largest, against plain PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import nmlab
from nmlab import FieldError, Run, RunError, TrainerOptions, score
from nmlab.problem.weights import copy_weights
from tests.helpers.fits import built, same
from tests.helpers.problems import PROBLEMS, integrator, integrator_data, rosenbrock, rosenbrock_data

SHORT = TrainerOptions(max_epochs=2, lr=0.01, seed=1, tensorboard=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nmlab.fit(built(rosenbrock), rosenbrock_data, SHORT, runs_dir=tmp_path_factory.mktemp("runs"))


SPLIT = st.sampled_from(["train", "dev", "test"])


@given(SPLIT, st.sampled_from(["loss", "obj", "order", "circle"]), st.integers(1, 120))
@settings(deadline=None, max_examples=20)
def test_they_are_those_of_plain_pytorch_in_order(run: Run, split: Any, term: str, n: int) -> None:
    data = getattr(run.make_data(), split).datadict  # type: ignore[misc]
    with torch.no_grad():
        x = run.problem.nodes[0](data)["x"]  # type: ignore[union-attr]
    x1, x2, a, p = x[:, [0]], x[:, [1]], data["a"], data["p"]
    values = {
        "obj": (1 - x1) ** 2 + a * (x2 - x1**2) ** 2,
        "order": torch.relu(x2 - x1),
        "circle": torch.relu(x1**2 + x2**2 - p**2),
    }
    values["loss"] = values["obj"] + 10 * values["order"] + 10 * values["circle"]
    expected = values[term][:, 0].numpy()
    found = run.worst(split, term, n)
    worst = found.frame.index.to_numpy().copy()
    assert len(worst) == min(n, len(expected))
    assert found.frame[term].to_numpy() == pytest.approx(np.sort(expected)[::-1][:n], abs=1e-5)
    assert expected[worst] == pytest.approx(found.frame[term].to_numpy(), abs=1e-5)
    assert found.frame["a"].to_numpy() == pytest.approx(a[worst, 0].numpy())
    assert found.samples["x"] == pytest.approx(x[worst].numpy(), abs=1e-5)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "lagrange"])
def test_the_loss_of_each_sample_is_that_of_a_batch_of_it(name: str, tmp_path: Path) -> None:
    builder, function = PROBLEMS[name]
    run = nmlab.fit(built(builder), function, SHORT, runs_dir=tmp_path)
    assert run.make_data is not None
    splits = run.make_data()
    found = run.worst("dev", n=1000)
    assert len(found.frame) == found.total == len(splits.dev)
    if "index" not in splits.dev[0]:
        worst, best = int(found.frame.index[0]), int(found.frame.index[-1])
        for index in (worst, best):
            alone = torch.utils.data.Subset(splits.dev, [index])
            alone.collate_fn, alone.name = splits.dev.collate_fn, "dev"  # type: ignore[attr-defined]
            told = score(run.problem, alone, "dev")["loss"]
            assert found.frame["loss"][index] == pytest.approx(told, rel=1e-4, abs=1e-6)


def test_what_cannot_be_is_told_at_once(run: Run) -> None:
    with pytest.raises(FieldError) as told:
        run.worst("val", "objective", 0)  # type: ignore[arg-type]
    assert set(told.value.faults) == {"split", "term", "n"}
    with pytest.raises(FieldError, match="there is no split 'test'"):
        run.worst("test", data=(*rosenbrock_data()[:2], None, 8))
    with pytest.raises(FieldError, match="a str is no data"):
        run.worst("test", data="file.csv")
    elsewhere = Run(run.folder)
    elsewhere.restore(built(rosenbrock))
    with pytest.raises(RunError, match=r"give data=…"):
        elsewhere.worst("test")
    again = elsewhere.worst("test", data=run.make_data())  # type: ignore[misc]
    assert again.frame.equals(run.worst("test").frame)


def test_a_view_draws_them(run: Run) -> None:
    seen: list[Any] = []

    def view(problem: Any, splits: Any) -> Figure:
        seen.append(splits.dev.datadict["a"])
        return Figure()

    def told(problem: Any, splits: Any, worst: Any) -> Figure:
        seen.append(worst)
        return Figure()

    held = copy_weights(run.problem)
    found = run.worst("dev", "obj", 3)
    assert isinstance(found.figure(view), Figure)
    assert seen[0][:, 0].tolist() == pytest.approx(found.frame["a"].tolist())
    found.figure(told)
    assert seen[1] is found
    assert same(copy_weights(run.problem), held)
    assert "obj: the 3 largest values in the 100 samples of dev" in repr(found)


def test_what_a_system_makes_of_an_input_does_not_hide_it(tmp_path: Path) -> None:
    run = nmlab.fit(built(integrator), integrator_data, SHORT, runs_dir=tmp_path)
    found = run.worst("dev", "bounds", 3)
    starts = run.make_data().dev.datadict["x"]  # type: ignore[misc]
    assert found.samples["x"].shape == (3, 5, 2)
    worst = found.frame.index.to_numpy().copy()
    assert found.frame[["x[0]", "x[1]"]].to_numpy() == pytest.approx(starts[worst, 0].numpy())

    def view(problem: Any, splits: Any) -> Figure:
        assert splits.dev.datadict["x"].shape == (3, 1, 2)
        return Figure()

    assert isinstance(found.figure(view), Figure)


def test_a_data_function_that_is_gone_is_told(tmp_path: Path) -> None:
    class Maker:
        def __init__(self) -> None:
            self.large = np.zeros(3_000_000)

        def __call__(self) -> Any:
            return rosenbrock_data(20)

    maker = Maker()
    run = nmlab.fit(built(rosenbrock), maker, SHORT, runs_dir=tmp_path)
    assert len(run.worst("dev").frame) == 10
    del maker
    with pytest.raises(RunError, match="not there any more: give data=…"):
        run.worst("dev")
