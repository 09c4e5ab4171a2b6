"""Outputs of a run's Problem for new inputs, against plain PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node, System

import nmlab
from nmlab import BusyError, DataError, FieldError, Run, RunError, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.problem.weights import copy_weights, read_weights
from tests.helpers.fits import built, same
from tests.helpers.problems import (
    PROBLEMS,
    integrator,
    integrator_data,
    noisy,
    noisy_data,
    pinn,
    pinn_data,
    rosenbrock,
    rosenbrock_data,
    sequence,
    sequence_data,
)
from tests.helpers.randomness import users_states
from tests.helpers.waiting import until

SHORT = TrainerOptions(max_epochs=2, lr=0.01, seed=1, tensorboard=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nmlab.fit(built(rosenbrock), rosenbrock_data, SHORT, runs_dir=tmp_path_factory.mktemp("runs"))


def by_hand(run: Run, a: np.ndarray, p: np.ndarray) -> dict[str, np.ndarray]:
    """Point and violations by PyTorch alone, with the weights of the run's checkpoint."""
    path = run.checkpoint_path
    assert path is not None
    weights = {name.rpartition("callable.")[2]: value for name, value in read_weights(path).items()}
    inputs = torch.tensor(np.column_stack([a, p]), dtype=torch.float32)
    hidden = torch.relu(inputs @ weights["linear.0.weight"].T + weights["linear.0.bias"])
    x = hidden @ weights["linear.1.weight"].T + weights["linear.1.bias"]
    order = torch.relu(x[:, [1]] - x[:, [0]])
    circle = torch.relu(x[:, [0]] ** 2 + x[:, [1]] ** 2 - inputs[:, [1]] ** 2)
    return {"x": x.numpy(), "order": order.numpy(), "circle": circle.numpy()}


PAIRS = st.lists(st.tuples(st.floats(0.25, 1.25, width=32), st.floats(0.5, 2.0, width=32)), min_size=1, max_size=9)


@given(PAIRS)
@settings(deadline=None, max_examples=15)
def test_every_form_of_inputs_gives_what_plain_pytorch_gives(run: Run, pairs: list[tuple[float, float]]) -> None:
    a, p = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    expected = by_hand(run, a, p)
    table = pd.DataFrame({"p": p, "a": a})
    forms = [
        {"p": p, "a": a[:, None]},
        {"a": torch.tensor(a), "p": p.tolist()},
        table,
        table.rename(columns={"a": "a[0]"}),
    ]
    for form in forms:
        prediction = run.predict(form)
        assert prediction["x"] == pytest.approx(expected["x"], abs=1e-6)
        for name in ("order", "circle"):
            assert prediction.violations[name] == pytest.approx(expected[name], abs=1e-6)
        frame = prediction.frame
        assert list(frame) == ["x[0]", "x[1]", "order_violation_max", "circle_violation_max"]
        assert frame["x[1]"].to_numpy() == pytest.approx(expected["x"][:, 1], abs=1e-6)


def test_a_file_of_inputs_is_a_table_of_them(run: Run, tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [0.5, 0.7, 0.9], "p": [1.0, 1.2, 1.4], "operator": ["x", "y", "z"]})
    table.to_csv(tmp_path / "new.csv", index=False)
    prediction = run.predict(tmp_path / "new.csv")
    assert prediction["x"] == pytest.approx(run.predict(table)["x"])
    assert any("operator" in remark for remark in run.predict(table).remarks)


def test_one_sample_holds_for_all(run: Run) -> None:
    prediction = run.predict({"a": 0.5, "p": [1.0, 1.5]})
    assert prediction.inputs["a"].tolist() == [[0.5], [0.5]]
    assert prediction["x"] == pytest.approx(run.predict({"a": [0.5, 0.5], "p": [1.0, 1.5]})["x"])


def test_all_faults_are_told_at_once(run: Run) -> None:
    with pytest.raises(DataError) as told:
        run.predict({"a": [[0.5, 0.6]], "pp": 1.0})
    assert told.value.faults == [
        "pp is an unknown name; did you mean 'p'? Known are: a, p",
        "p is missing; give an array of shape samples×1",
        "a has shape 1×2; give an array of shape samples×1",
    ]
    with pytest.raises(DataError) as told:
        run.predict({"a": [0.5, np.nan], "p": ["1", "big"]})
    assert [fault.partition(" ")[0] for fault in told.value.faults] == ["a", "p"]
    with pytest.raises(DataError, match="numbers of samples differ: a 2, p 3"):
        run.predict({"a": [0.5, 0.6], "p": [1.0, 1.1, 1.2]})
    with pytest.raises(DataError, match="does not say which input is which; give a dict or a DataFrame of a, p"):
        run.predict(np.ones((3, 2)))
    with pytest.raises(DataError, match="p is missing"):
        run.predict(pd.DataFrame({"a": [0.5]}))


@given(st.floats(-3, 3), st.floats(-3, 3))
@settings(deadline=None, max_examples=25)
def test_inputs_beyond_train_are_told_and_no_others(run: Run, a: float, p: float) -> None:
    train = run.settings["coverage"]
    given = {"a": np.float32(a), "p": np.float32(p)}
    outside = {key for key in given if not train[key]["low"][0] <= given[key] <= train[key]["high"][0]}
    prediction = run.predict(given)
    assert {text.partition(" ")[0] for text in prediction.warnings} == outside
    assert all(text in repr(prediction) and "train's" in text for text in prediction.warnings)


def test_it_is_the_runs_weights_whatever_the_problem_holds_now(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    first = nmlab.fit(problem, rosenbrock_data, SHORT, runs_dir=tmp_path)
    told = first.predict({"a": 0.5, "p": 1.0})["x"]
    second = nmlab.fit(problem, rosenbrock_data, SHORT.replace(max_epochs=5, lr=0.1), runs_dir=tmp_path)
    held = copy_weights(problem)
    assert np.array_equal(first.predict({"a": 0.5, "p": 1.0})["x"], told)
    assert not np.allclose(second.predict({"a": 0.5, "p": 1.0})["x"], told)
    assert same(copy_weights(problem), held)

    elsewhere = Run(first.folder)
    with pytest.raises(RunError, match=r"run\.restore\(problem\)"):
        elsewhere.predict({"a": 0.5, "p": 1.0})
    elsewhere.restore(built(rosenbrock, 5))
    assert np.array_equal(elsewhere.predict({"a": 0.5, "p": 1.0})["x"], told)
    elsewhere.restore(built(rosenbrock, 5), "start")
    assert not np.allclose(elsewhere.predict({"a": 0.5, "p": 1.0})["x"], told)


def test_without_a_checkpoint_the_problem_must_still_hold_the_weights(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    options = SHORT.replace(checkpoint=False)
    first = nmlab.fit(problem, rosenbrock_data, options, runs_dir=tmp_path)
    assert first.predict({"a": 0.5, "p": 1.0})["x"].shape == (1, 2)
    nmlab.fit(problem, rosenbrock_data, options.replace(max_epochs=4), runs_dir=tmp_path)
    with pytest.raises(RunError, match="kept no checkpoint"):
        first.predict({"a": 0.5, "p": 1.0})


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_prediction_for_the_dev_data_is_that_of_the_problem_itself(name: str, tmp_path: Path) -> None:
    builder, function = PROBLEMS[name]
    problem = built(builder)
    torch.manual_seed(3)
    _, dev, _, _ = function()
    run = nmlab.fit(problem, function, SHORT, runs_dir=tmp_path)
    batch = {k: v for k, v in dev.collate_fn([dev[i] for i in range(8)]).items() if isinstance(v, torch.Tensor)}
    prediction = run.predict({k: v for k, v in batch.items() if k != "index"})
    problem.eval()
    with torch.enable_grad():
        expected = problem.step({**batch, "name": "dev"})
    for key, value in prediction.outputs.items():
        assert value == pytest.approx(expected[key].detach().numpy(), abs=1e-6), key


def test_targets_may_be_left_out(tmp_path: Path) -> None:
    run = nmlab.fit(built(noisy), noisy_data, SHORT, runs_dir=tmp_path)
    assert run.predict([0.1, 0.2])["y"].shape == (2, 1)
    run = nmlab.fit(built(bounded), noisy_data, SHORT, runs_dir=tmp_path)
    prediction = run.predict([0.1, 0.2])
    assert [*prediction.violations] == ["low"]
    assert any("near" in remark and "seen" in remark for remark in prediction.remarks)


def bounded() -> Problem:
    """A constraint on the output alone, and one that reads the target."""
    low, near = variable("y") <= 0.1, variable("y") <= variable("seen")
    low.name, near.name = "low", "near"
    node = Node(MLP(1, 1, hsizes=[4]), ["x"], ["y"], name="network")
    return Problem([node], PenaltyLoss([], [low, near]))


def test_steps_are_rows(tmp_path: Path) -> None:
    run = nmlab.fit(built(integrator), integrator_data, SHORT, runs_dir=tmp_path)
    prediction = run.predict({"x": [[1.0, 0.0], [0.5, 0.5]]})
    assert (prediction["x"].shape, prediction["u"].shape) == ((2, 5, 2), (2, 4, 1))
    frame = prediction.frame
    assert frame.index.names == ["sample", "step"]
    assert frame.loc[(1, 0), ["x[0]", "x[1]"]].tolist() == [0.5, 0.5]
    assert np.isnan(frame.loc[(0, 4), "u"])
    with pytest.raises(DataError, match=r"x has shape 2×3; give an array of shape samples×1×2"):
        run.predict({"x": np.ones((2, 3))})


def test_an_input_that_only_an_init_func_reads_is_named_where_it_lacks(tmp_path: Path) -> None:
    run = nmlab.fit(built(sequence), sequence_data, SHORT, runs_dir=tmp_path)
    with pytest.raises(DataError, match="node 'rollout' needs Xp"):
        run.predict({"Xf": np.zeros((1, 3, 2))})


# --- files, and their units ---

HEATER = pd.DataFrame(
    {"minute": range(120), "temp": 20 + 30 * np.sin(np.arange(120) / 9), "watt": 500.0 + np.arange(120)}
)


def heater_model() -> Problem:
    """The next temperature from this one and the power, over windows."""
    step = Node(MLP(2, 1, hsizes=[6], nonlin=torch.nn.GELU), ["xn", "U"], ["xn"], name="step")
    rollout = System([step], name="rollout", nstep_key="U")
    low = variable("xn") <= 1.0
    low.name = "low"
    error = ((variable("xn")[:, 1:-1] - variable("X")[:, 1:]) ** 2).minimize(name="error")
    return Problem([rollout], PenaltyLoss([error], [low]))


@pytest.fixture(scope="module")
def heater(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Any]:
    folder = tmp_path_factory.mktemp("heater")
    HEATER.to_csv(folder / "heater.csv", index=False)
    data = nmlab.from_file(
        folder / "heater.csv", columns={"X": "temp", "U": "watt"}, initial={"xn": "X"}, time="minute"
    )
    cut = {"horizon": 5, "normalise": "zscore"}
    return nmlab.fit(built(heater_model), data, SHORT, data_kwargs=cut, runs_dir=folder / "runs"), data


def heater_by_hand(run: Run, start: float, watts: np.ndarray) -> np.ndarray:
    """Temperatures by PyTorch alone, from values of the file."""
    covered = run.settings["coverage"]
    mean, std = (np.array([covered[key][part][0] for key in ("X", "U")]) for part in ("offset", "scale"))
    weights = {name.rpartition("callable.")[2]: value for name, value in read_weights(run.checkpoint_path).items()}  # type: ignore[arg-type]
    x, found = torch.tensor([[(start - mean[0]) / std[0]]], dtype=torch.float32), [start]
    for watt in watts:
        u = torch.tensor([[(watt - mean[1]) / std[1]]], dtype=torch.float32)
        hidden = torch.nn.functional.gelu(
            torch.cat([x, u], 1) @ weights["linear.0.weight"].T + weights["linear.0.bias"]
        )
        x = hidden @ weights["linear.1.weight"].T + weights["linear.1.bias"]
        found.append(float(x) * std[0] + mean[0])
    return np.array(found)


def test_inputs_and_outputs_are_in_the_units_of_the_file(heater: tuple[Run, Any]) -> None:
    run, _ = heater
    watts = HEATER["watt"].to_numpy()[:5]
    expected = heater_by_hand(run, 20.0, watts)
    prediction = run.predict({"xn": 20.0, "U": watts[:, None]})
    assert prediction["xn"][0, :, 0] == pytest.approx(expected, rel=1e-4)
    assert not prediction.warnings
    assert list(prediction.violations) == ["low"]

    frame = HEATER.iloc[:5].rename(columns={"temp": "other"}).assign(xn=20.0)
    for form in (HEATER.iloc[:5], frame):
        assert run.predict(form)["xn"][0, :, 0] == pytest.approx(expected, rel=1e-4)


def test_a_file_like_the_one_that_was_trained_on_is_read_as_it_was(heater: tuple[Run, Any], tmp_path: Path) -> None:
    run, data = heater
    HEATER.iloc[:13].to_csv(tmp_path / "new.csv", index=False)
    prediction = run.predict(tmp_path / "new.csv")
    assert prediction["xn"].shape == (2, 6, 1)
    assert prediction["xn"][1, :, 0] == pytest.approx(
        heater_by_hand(run, HEATER["temp"][5], HEATER["watt"].to_numpy()[5:10]), rel=1e-4
    )
    assert any("3 of 13 rows" in remark for remark in prediction.remarks)
    train = data(horizon=5, normalise="zscore")[0]
    assert run.predict(train)["xn"] == pytest.approx(run.predict(data)["xn"][: len(train)], rel=1e-4)
    assert not run.predict(train).warnings


def test_an_output_that_no_input_has_the_units_of_is_said_to_be_scaled(tmp_path: Path) -> None:
    content = HEATER.to_csv(index=False).encode()
    data = nmlab.from_file("heater.csv", content=content, columns={"U": "watt", "T": "temp"}, time="minute")
    node = Node(MLP(1, 1, hsizes=[4]), ["U"], ["y"], name="network")
    fit = ((variable("y") - variable("T")) ** 2).minimize(name="fit")
    problem = Problem([node], PenaltyLoss([fit], []))
    run = nmlab.fit(problem, data, SHORT, data_kwargs={"normalise": "zscore"}, runs_dir=tmp_path)
    plain = run.predict({"U": [510.0, 520.0]})
    assert any("y is as the Problem has it, scaled" in remark for remark in plain.remarks)
    told = run.predict({"U": [510.0, 520.0]}, units={"y": "T"})
    covered = run.settings["coverage"]["T"]
    assert told["y"] == pytest.approx(plain["y"] * covered["scale"][0] + covered["offset"][0])
    assert not told.remarks
    with pytest.raises(FieldError) as error:
        run.predict({"U": 510.0}, units={"z": "T", "y": "W"})
    assert set(error.value.faults) == {"units['z']", "units['y']"}


# --- the surroundings ---


def test_a_prediction_leaves_everything_as_it_was(tmp_path: Path) -> None:
    problem = built(pinn)
    run = nmlab.fit(problem, pinn_data, SHORT, runs_dir=tmp_path)
    held, drawn = copy_weights(problem), users_states()
    problem.train()
    run.predict(np.linspace(0, 1, 5))
    assert same(copy_weights(problem), held)
    assert users_states() == drawn
    assert problem.training
    assert all(parameter.grad is None for parameter in problem.parameters())


def test_it_waits_for_no_fit_but_a_view_may_use_it(run: Run, tmp_path: Path) -> None:
    told: list[Any] = []

    def view(problem: Problem, splits: Any) -> Figure:
        told.append(run.predict({"a": 0.5, "p": 1.0})["x"])
        return Figure()

    options = SHORT.replace(max_epochs=100000)
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, options, runs_dir=tmp_path, view=view)).start()
    try:
        with pytest.raises(BusyError, match="while a fit changes its weights"):
            run.predict({"a": 0.5, "p": 1.0})
        until(lambda: fit.run.epochs or fit.done)
    finally:
        fit.control.stop()
        fit.wait()
    assert told
    assert all(np.array_equal(each, told[0]) for each in told)


def test_a_run_of_an_earlier_version_says_that_it_cannot_compare(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {key: value for key, value in run.settings.items() if key != "coverage"}
    monkeypatch.setattr(Run, "settings", property(lambda self: old))
    prediction = run.predict({"a": [9.0], "p": [1.0]})
    assert not prediction.warnings
    assert any("does not say what train covered" in remark for remark in prediction.remarks)
