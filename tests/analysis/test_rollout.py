"""A run's System simulated from new states, against plain PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP, MLP_bounds
from neuromancer.problem import Problem
from neuromancer.system import Node, System

import nmlab
from nmlab import DataError, FieldError, Run, RunError, TrainerOptions
from nmlab.problem.weights import copy_weights
from tests.helpers.fits import built, same
from tests.helpers.problems import integrator, integrator_data, rosenbrock, rosenbrock_data, sequence, sequence_data

SHORT = TrainerOptions(max_epochs=2, lr=0.01, seed=1, tensorboard=False)
A, B = torch.tensor([[1.2, 1.0], [0.0, 1.0]]), torch.tensor([[1.0], [0.5]])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nmlab.fit(built(integrator), integrator_data, SHORT, runs_dir=tmp_path_factory.mktemp("runs"))


def by_hand(policy: Any, x0: Any, steps: int, a: torch.Tensor = A) -> tuple[np.ndarray, np.ndarray]:
    x = torch.as_tensor(x0, dtype=torch.float32)
    states, forces = [x], []
    with torch.no_grad():
        for _ in range(steps):
            u = policy(x)
            x = x @ a.T + u @ B.T
            states.append(x)
            forces.append(u)
    return torch.stack(states, 1).numpy(), torch.stack(forces, 1).numpy()


def policy_of(run: Run) -> Any:
    assert run.problem is not None
    return run.problem.nodes[0].nodes[0].callable


NUMBERS = st.floats(-2, 2, width=32)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5), st.integers(1, 25))
@settings(deadline=None, max_examples=15)
def test_states_and_inputs_are_those_of_plain_pytorch(run: Run, x0: list[Any], steps: int) -> None:
    found = run.rollout(x0, steps)
    states, forces = by_hand(policy_of(run), x0, steps)
    assert found["x"] == pytest.approx(states, rel=1e-3, abs=1e-4)
    assert found["u"] == pytest.approx(forces, rel=1e-3, abs=1e-4)
    over = np.maximum(states - 10.0, 0)
    path = found.paths[run.id]
    assert path.violations["bounds"] == pytest.approx(over, rel=1e-3, abs=1e-3)
    assert path.costs["action"] == pytest.approx(0.01 * (forces**2).mean(), rel=1e-3)
    assert any("in the training it was 4" in remark for remark in found.remarks) is (steps > 4)
    assert any("regulation is not evaluated: it also reads r" in remark for remark in found.remarks)


def test_one_state_and_the_steps_of_the_training_are_enough(run: Run) -> None:
    found = run.rollout([1.0, 0.5])
    assert found["x"].shape == (1, 5, 2)
    assert not found.warnings
    assert "x[0] is up to" in run.rollout([100.0, 0.5]).warnings[0]


def test_another_plant_and_other_controllers_side_by_side(run: Run, tmp_path: Path) -> None:
    other = 1.2 * A

    def plant(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return x @ other.T + u @ B.T

    steps: list[int] = []

    def gain(x: torch.Tensor, step: int) -> np.ndarray:
        steps.append(step)
        return (-0.4 * x[:, :1] - 0.5 * x[:, 1:]).numpy()

    second = nmlab.fit(built(integrator, 4), integrator_data, SHORT, runs_dir=tmp_path)
    x0 = [[1.0, 0.5], [-1.0, 0.2]]
    found = run.rollout(x0, 8, plant=plant, against={"gain": gain, "second": second})
    expected = {
        run.id: by_hand(policy_of(run), x0, 8, other),
        "gain": by_hand(lambda x: -0.4 * x[:, :1] - 0.5 * x[:, 1:], x0, 8, other),
        "second": by_hand(policy_of(second), x0, 8, other),
    }
    assert list(found.paths) == list(expected)
    for name, (states, forces) in expected.items():
        assert found.paths[name].outputs["x"] == pytest.approx(states, rel=1e-4, abs=1e-5)
        assert found.paths[name].outputs["u"] == pytest.approx(forces, rel=1e-4, abs=1e-5)
    assert steps == list(range(8))
    assert list(found.summary.index) == list(expected)
    assert found.summary["bounds_violation_max"].max() >= 0
    frame = found.frame
    assert frame.index.names == ["of", "sample", "step"]
    assert frame.loc[("gain", 1, 3), "u"] == pytest.approx(expected["gain"][1][1, 3, 0], rel=1e-4)
    again = run.rollout(x0, 8, plant={"integrator": plant})
    assert np.array_equal(again["x"], found["x"])
    assert found.png()[0].startswith(b"\x89PNG")
    assert len(found.figure().axes) == 4  # x[0], x[1], u and the violation
    assert all(name in found.alt() for name in ("x[0]", "x[1]", "u"))
    assert "<img" in found._repr_html_()


def test_everything_is_as_before_also_after_a_fault(run: Run) -> None:
    assert run.problem is not None
    held = copy_weights(run.problem)
    system = run.problem.nodes[0]
    nodes = list(system.nodes)

    def broken(x: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("no control today")

    with pytest.raises(DataError, match=r"node 'policy' raised ZeroDivisionError: no control today; it got x 1×2"):
        run.rollout([1.0, 0.0], 3, against={"broken": broken})
    with pytest.raises(DataError, match=r"u has shape 3; give 1×columns"):
        run.rollout([1.0, 0.0], 3, against={"flat": lambda x: torch.zeros(3)})
    assert same(copy_weights(run.problem), held)
    assert list(system.nodes) == nodes
    assert system.nsteps == 4
    assert "init" not in vars(system)


def test_all_faults_are_told_at_once(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError) as told:
        run.rollout({"y": [1.0]}, 3, inputs={"r": np.zeros((9, 2)), "q": 1.0})
    assert [fault.partition(" is")[0].partition(" has")[0] for fault in told.value.faults] == [
        "x0: y",
        "inputs: q",
        "x0: x",
        "inputs: r",
    ]
    with pytest.raises(DataError, match=r"x has shape 3; give an array of shape samples×1×2"):
        run.rollout([1.0, 2.0, 3.0])
    for steps in (0, True, 2.5):
        with pytest.raises(FieldError, match="no number of steps"):
            run.rollout([1.0, 0.0], steps)  # type: ignore[arg-type]
    with pytest.raises(FieldError, match="unknown name"):
        run.rollout([1.0, 0.0], plant={"cart": abs})
    with pytest.raises(FieldError, match="neither a function"):
        run.rollout([1.0, 0.0], against={"gain": 3.0})
    with pytest.raises(RunError, match="with one System; this one has: none"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, SHORT, runs_dir=tmp_path).rollout([1.0])


# --- disturbances and references ---


def tracked() -> Problem:
    """A tank whose level follows a reference under a disturbance."""
    policy = Node(MLP_bounds(2, 1, hsizes=[4], min=-1.0, max=1.0), ["x", "r"], ["u"], name="policy")
    tank = Node(lambda x, u, d: 0.9 * x + u + d, ["x", "u", "d"], ["x"], name="tank")
    system = System([policy, tank], name="loop", nstep_key="d")
    x, r = variable("x"), variable("r")
    follow = ((x[:, 1:] - r[:, 1:]) ** 2).minimize(name="follow")
    return Problem([system], PenaltyLoss([follow], []))


def tracked_data(nsim: int = 20) -> Any:
    def split(name: str) -> DictDataset:
        data = {"x": torch.randn(nsim, 1, 1), "r": torch.randn(nsim, 6, 1), "d": 0.1 * torch.randn(nsim, 5, 1)}
        return DictDataset(data, name=name)

    return split("train"), split("dev"), split("test"), nsim


def test_disturbances_and_references_are_numbers_arrays_or_functions(tmp_path: Path) -> None:
    run = nmlab.fit(built(tracked), tracked_data, SHORT, runs_dir=tmp_path)
    policy = run.problem.nodes[0].nodes[0]  # type: ignore[union-attr]
    d = 0.05 * np.sin(np.arange(12))
    x, levels = torch.tensor([[0.5]]), [0.5]
    with torch.no_grad():
        for step in range(12):
            u = policy({"x": x, "r": torch.tensor([[0.3]])})["u"]
            x = 0.9 * x + u + float(d[step])
            levels.append(float(x))
    forms: list[dict[str, Any]] = [
        {"r": 0.3, "d": d},
        {"r": np.full((13, 1), 0.3), "d": d[None, :, None]},
        {"r": lambda step: 0.3, "d": lambda step: 0.05 * np.sin(step)},
    ]
    for inputs in forms:
        found = run.rollout(0.5, 12, inputs=inputs)
        assert found["x"][0, :, 0] == pytest.approx(levels, abs=1e-5)
        expected = float(np.mean((np.array(levels)[1:] - 0.3) ** 2))
        assert found.paths[run.id].costs["follow"] == pytest.approx(expected, rel=1e-4)
    two = run.rollout([[0.5], [0.1]], 12, inputs=forms[0])
    assert two["x"][0, :, 0] == pytest.approx(levels, abs=1e-5)
    with pytest.raises(DataError) as told:
        run.rollout(0.5, 12, inputs={"r": np.zeros(12)})
    assert told.value.faults == [
        "inputs: d is missing; give an array of 12 steps, or a function of the step",
        "inputs: r has shape 12; give 13 steps of 1 column",
    ]


def test_an_open_loop_goes_on_from_new_states_or_from_what_its_init_function_makes(tmp_path: Path) -> None:
    run = nmlab.fit(built(sequence), sequence_data, SHORT, runs_dir=tmp_path)
    network = run.problem.nodes[0].nodes[0].callable  # type: ignore[union-attr]
    x = torch.tensor([[0.1, 0.9]])
    states = [x]
    with torch.no_grad():
        for _ in range(20):
            x = network(x)
            states.append(x)
    expected = torch.cat(states).numpy()
    assert run.rollout([0.1, 0.9], 20)["xn"][0] == pytest.approx(expected, abs=1e-5)
    seen = np.array([[0.0, 0.0], [0.0, 0.0], [0.1, 0.9]])
    assert run.rollout(None, 20, inputs={"Xp": seen})["xn"][0] == pytest.approx(expected, abs=1e-5)
    other = run.rollout([0.1, 0.9], 20, against={"still": lambda x: x})
    assert other.paths["still"].outputs["xn"][0] == pytest.approx(np.tile([0.1, 0.9], (21, 1)), abs=1e-6)


def test_units_of_a_file_hold_for_states_too(tmp_path: Path) -> None:
    table = np.column_stack([20 + 30 * np.sin(np.arange(120) / 9), 500.0 + np.arange(120)])
    content = "temp,watt\n" + "\n".join(f"{a},{b}" for a, b in table)
    data = nmlab.from_file(
        "heater.csv", content=content.encode(), columns={"X": "temp", "U": "watt"}, initial={"xn": "X"}
    )
    step = Node(MLP(2, 1, hsizes=[6], nonlin=torch.nn.Tanh), ["xn", "U"], ["xn"], name="step")
    error = ((variable("xn")[:, 1:-1] - variable("X")[:, 1:]) ** 2).minimize(name="error")
    problem = Problem([System([step], name="rollout", nstep_key="U")], PenaltyLoss([error], []))
    run = nmlab.fit(problem, data, SHORT, data_kwargs={"horizon": 5, "normalise": "zscore"}, runs_dir=tmp_path)
    watts = np.linspace(500, 560, 30)
    long = run.rollout(25.0, 30, inputs={"U": watts})
    assert long["xn"][0, 0, 0] == pytest.approx(25.0)
    short = run.predict({"xn": 25.0, "U": watts[:5, None]})
    assert long["xn"][0, :6] == pytest.approx(short["xn"][0], rel=1e-5)
