"""The tab "Try it" and the button Report, without a browser."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab import Lab, Run, TrainerOptions
from nmlab.notebook.try_it import try_it
from tests.helpers.fits import built
from tests.helpers.problems import integrator, integrator_data, rosenbrock, rosenbrock_data, sequence, sequence_data
from tests.helpers.screen import Screen

OPTIONS = TrainerOptions(max_epochs=2, seed=1, tensorboard=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS, runs_dir=tmp_path_factory.mktemp("runs")).fit()


@given(st.floats(-2, 2), st.floats(-2, 2))
@settings(deadline=None, max_examples=15)
def test_it_shows_what_the_problem_gives_where_the_sliders_stand(run: Run, a: float, p: float) -> None:
    tried = try_it(run, [a, p])
    expected = run.predict({"a": a, "p": p})
    assert [row["name"] for row in tried["outputs"]] == ["x[0]", "x[1]"]
    assert [row["values"][0] for row in tried["outputs"]] == pytest.approx(expected["x"][0].tolist())
    assert [row["broken"] for row in tried["violations"]] == [
        bool(expected.violations[name].max() > 0) for name in ("order", "circle")
    ]
    assert tried["said"] == [*expected.warnings, *expected.remarks]
    assert [slider["value"] for slider in tried["sliders"]] == [a, p]


def test_sliders_span_what_train_covered(run: Run) -> None:
    covered = run.settings["coverage"]
    for slider in try_it(run)["sliders"]:
        low, high = covered[slider["name"]]["low"][0], covered[slider["name"]]["high"][0]
        assert (slider["low"], slider["high"]) == (low, high)
        assert slider["value"] == pytest.approx((low + high) / 2)
    for odd in ([1.0], [float("nan"), 1.0]):
        assert try_it(run, odd)["sliders"] == try_it(run)["sliders"]


def test_outputs_of_several_steps_are_curves(tmp_path: Path) -> None:
    run = Lab(built(integrator), integrator_data, options=OPTIONS, runs_dir=tmp_path).fit()
    tried = try_it(run, [1.0, 0.5])
    assert {row["name"]: len(row["values"]) for row in tried["outputs"]} == {"x[0]": 5, "x[1]": 5, "u": 4}


def test_why_there_is_nothing_to_try_is_said(run: Run, tmp_path: Path) -> None:
    assert "not in this kernel" in try_it(Run(run.folder))["why"]
    made = Lab(built(sequence), sequence_data, options=OPTIONS, runs_dir=tmp_path).fit()
    assert "no input of a single step" in try_it(made)["why"]


def test_the_page_asks_and_is_answered_with_the_runs_own_weights(tmp_path: Path) -> None:
    lab = Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS, runs_dir=tmp_path)
    screen = Screen(lab)
    first = lab.fit()
    lab.fit(lr=0.1, max_epochs=5)
    screen.choose(tab="try")
    lab._bench._look()  # type: ignore[union-attr]
    assert screen.panel.page["run"] == lab.run.id  # type: ignore[union-attr]
    screen.send("try", run=first.id, values=[0.5, 1.0], asks="now")
    tried: Any = screen.panel.tried
    assert (tried["run"], tried["asks"], tried["number"]) == (first.id, "now", 1)
    assert tried["outputs"][0]["values"][0] == pytest.approx(first.predict({"a": 0.5, "p": 1.0})["x"][0, 0])
    again = Lab(built(rosenbrock, 4), rosenbrock_data, options=OPTIONS, runs_dir=tmp_path)
    other = Screen(again)
    other.send("try", run=first.id, values=[0.5, 1.0])
    assert other.panel.tried["outputs"] == tried["outputs"]


def test_a_report_is_written_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lab = Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS)
    screen = Screen(lab)
    run = lab.fit()
    sent: list[Any] = []
    monkeypatch.setattr(
        type(screen.panel), "send", lambda panel, content, buffers=None: sent.append((content, buffers))
    )
    screen.send("report", runs=[run.id])
    path = tmp_path / f"{run.id}-report.html"
    assert f"Saved as {path}" in screen.message
    assert ({"file": path.name}, [path.read_bytes()]) in sent
    assert "the 5 largest values" in path.read_text(encoding="utf-8")
    path.unlink()
    other = Screen(Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS))
    other.send("report", runs=[run.id])
    text = path.read_text(encoding="utf-8")
    assert "the 5 largest values" in text
    assert "They cannot be found" not in text
