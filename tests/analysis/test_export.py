"""Nodes of a trained Problem in files that run without nmlab, NeuroMANCER and Lightning."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.system import Node, System

import nmlab
from nmlab import FieldError, Run, RunError, TrainerOptions
from nmlab.analysis import export_formats
from nmlab.problem.weights import copy_weights
from tests.helpers.fits import built, same
from tests.helpers.problems import PROBLEMS, integrator, integrator_data, rosenbrock, rosenbrock_data
from tests.helpers.processes import fresh

SHORT = TrainerOptions(max_epochs=2, lr=0.01, seed=1, tensorboard=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nmlab.fit(built(integrator), integrator_data, SHORT, runs_dir=tmp_path_factory.mktemp("runs"))


def heater() -> tuple[Problem, Any]:
    """A model of a normalised file, in whose units the export is to be."""
    step = np.arange(120)
    content = "temp,watt\n" + "\n".join(f"{290 + 30 * np.sin(k / 9)},{500.0 + k}" for k in step)
    columns = {"X": "temp", "U": "watt"}
    data = nmlab.from_file("heater.csv", content=content.encode(), columns=columns, initial={"xn": "X"})
    network = Node(MLP(2, 1, hsizes=[6], nonlin=torch.nn.Tanh), ["xn", "U"], ["xn"], name="step")
    error = ((variable("xn")[:, 1:-1] - variable("X")[:, 1:]) ** 2).minimize(name="error")
    torch.manual_seed(0)
    return Problem([System([network], name="rollout", nsteps=5)], PenaltyLoss([error], [])), data


ELSEWHERE = """
import os, runpy, sys
os.chdir(sys.argv[1])
for name in ("nmlab", "neuromancer", "lightning", "pytorch_lightning"):
    sys.modules[name] = None
import numpy as np
import torch
stored = np.load("expected.npz")
given = {key[3:]: torch.from_numpy(stored[key]) for key in stored if key.startswith("in_")}
wanted = {key[4:]: stored[key] for key in stored if key.startswith("out_")}
found = {"pt2": torch.export.load("it.pt2").module()(given), "py": runpy.run_path("it.py")["run"](given)}
import onnxruntime
session = onnxruntime.InferenceSession("it.onnx")
names = [each.name for each in session.get_outputs()]
values = session.run(names, {each.name: given[each.name].numpy() for each in session.get_inputs()})
found["onnx"] = {name.removesuffix("_out"): torch.from_numpy(value) for name, value in zip(names, values)}
for form, outputs in found.items():
    for key, value in wanted.items():
        print(form, key, abs(outputs[key].detach().numpy() - value).max())
"""


@pytest.mark.parametrize("case", ["policy", "whole", "normalised"])
def test_a_fresh_process_without_nmlab_gets_the_same_from_every_format(
    case: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    node = None
    if case == "normalised":
        problem, data = heater()
        cut = {"horizon": 5, "normalise": "zscore"}
        run = nmlab.fit(problem, data, SHORT, data_kwargs=cut, runs_dir=tmp_path / "runs")
        given = {"xn": np.full((3, 1, 1), 300.0), "U": np.linspace(500, 600, 15).reshape(3, 5, 1)}
        wanted = dict(run.predict(given).outputs)
    elif case == "whole":
        given = {"x": np.array([[[1.0, 0.5]], [[0.2, -0.3]], [[2.0, 1.0]]], np.float32)}
        wanted = dict(run.predict(given).outputs)
    else:
        node = "policy"
        given = {"x": np.array([[1.0, 0.5], [0.2, -0.3], [2.0, 1.0]], np.float32)}
        wanted = {"u": run.problem.nodes[0].nodes[0]({"x": torch.from_numpy(given["x"])})["u"].detach().numpy()}  # type: ignore[union-attr]
    for suffix in ("pt2", "py", "onnx"):
        exported = run.export(f"it.{suffix}", node=node)
        assert exported.path == tmp_path / f"it.{suffix}"
        assert exported.difference <= 1e-5
        assert "samples of test" in repr(exported)
        assert set(exported.inputs) == set(given)
    stored: dict[str, Any] = {f"in_{key}": value for key, value in given.items()}
    np.savez("expected.npz", **stored, **{f"out_{key}": value for key, value in wanted.items()})
    lines = [line.split() for line in fresh(ELSEWHERE, tmp_path).splitlines()]
    assert len(lines) == 3 * len(wanted)
    for form, key, difference in lines:
        size = max(1.0, float(np.abs(wanted[key]).max()))
        assert float(difference) <= (1e-5 if form == "onnx" else 1e-6) * size, (form, key)
    assert not list(tmp_path.glob(".nmlab*"))


@pytest.mark.parametrize(
    "name", [name for name in PROBLEMS if name not in ("integrator", "odd last batch", "lagrange")]
)
def test_every_kind_of_problem_as_source(name: str, tmp_path: Path) -> None:
    builder, function = PROBLEMS[name]
    run = nmlab.fit(built(builder), function, SHORT, runs_dir=tmp_path)
    held = copy_weights(run.problem)
    exported = run.export(tmp_path / "it.py")
    assert exported.difference <= 1e-6
    text = exported.path.read_text()
    assert "nmlab." not in text
    assert "neuromancer" not in text
    assert same(copy_weights(run.problem), held)


def test_it_is_the_runs_weights_that_are_exported(tmp_path: Path) -> None:
    problem = built(rosenbrock)
    first = nmlab.fit(problem, rosenbrock_data, SHORT, runs_dir=tmp_path)
    told = first.predict({"a": 0.5, "p": 1.0})["x"]
    nmlab.fit(problem, rosenbrock_data, SHORT.replace(max_epochs=5, lr=0.1), runs_dir=tmp_path)
    first.export(tmp_path / "map.pt2", node="map")
    module = torch.export.load(tmp_path / "map.pt2").module()
    point = {"a": torch.tensor([[0.5], [0.5]]), "p": torch.tensor([[1.0], [1.0]])}
    assert module(point)["x"].detach().numpy()[:1] == pytest.approx(told, abs=1e-6)


def test_without_its_data_it_is_compared_on_random_samples_within_train(run: Run, tmp_path: Path) -> None:
    elsewhere = Run(run.folder)
    elsewhere.restore(built(integrator, 9))
    exported = elsewhere.export(tmp_path / "policy.py", node="policy")
    assert "random samples within the ranges of train" in exported.samples


def test_what_cannot_be_is_told_with_the_reason(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FieldError) as told:
        run.export(tmp_path / "no" / "it.pkl", node="polcy", units={"x": "Z"})
    assert set(told.value.faults) == {"path", "node", "folder", "units['x']"}
    assert "did you mean 'policy'" in told.value.faults["node"]

    monkeypatch.setattr(export_formats, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(RunError, match=r"ONNX needs onnxscript, which is not installed: pip install 'nmlab\[onnx\]'"):
        run.export(tmp_path / "it.onnx")

    def by_value(x: torch.Tensor) -> torch.Tensor:
        return x if float(x.detach().sum()) > 0 else -x

    node = Node(by_value, ["y"], ["z"], name="odd")
    network = Node(MLP(2, 1, hsizes=[4]), ["a", "p"], ["y"], name="network")
    problem = Problem([network, node], PenaltyLoss([(variable("z") ** 2).minimize(name="z")], []))
    odd = nmlab.fit(problem, rosenbrock_data, SHORT, runs_dir=tmp_path / "runs")
    with pytest.raises(RunError, match=r"Node 'odd' cannot be exported, as torch\.export cannot trace it"):
        odd.export(tmp_path / "it.pt2", node="odd")
    assert odd.export(tmp_path / "network.pt2", node="network").difference <= 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.pt2", "runs"]


def test_a_file_that_does_not_compute_the_same_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = export_formats.Format(
        lambda: None,
        lambda program, path, about: (path.write_text("x"), about[2])[1],
        lambda path, inputs, outputs: lambda given: {key: np.full((60, 1), 7.0) for key in outputs},
        1e-6,
    )
    monkeypatch.setitem(export_formats.FORMATS, ".pt2", wrong)
    (tmp_path / "it.pt2").write_text("before")
    with pytest.raises(RunError, match="was not written: loaded again it differs from the Problem"):
        run.export(tmp_path / "it.pt2", node="policy")
    assert (tmp_path / "it.pt2").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["it.pt2"]
    assert sys.modules["neuromancer"] is not None
