"""Runs that version 0.1.0 wrote: listed, read, restored, compared, resumed and done again as code."""

import zipfile
from pathlib import Path

import pytest

import nmlab
from nmlab import Lab, RunStore, TrainerOptions
from nmlab.provenance.script import script
from nmlab.runs import Comparison
from tests.helpers.fits import built, rows
from tests.helpers.problems import rosenbrock, rosenbrock_data

OPTIONS = TrainerOptions(max_epochs=6, seed=3, lr=0.01)
"""With which they were made, over 20 samples and on one thread."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).parent / "runs-of-0.1.0.zip") as kept:
        kept.extractall(tmp_path)
    return tmp_path / "nmlab_runs"


def test_they_are_listed_and_read(folder: Path) -> None:
    runs = RunStore(folder).runs()
    assert [(run.id[:4], run.status, run.epochs, run.settings["lab"]) for run in runs] == [
        ("0001", "finished", 6, None),
        ("0003", "finished", 6, "old"),
        ("0004", "stopped", 3, None),
    ]
    assert [run.damage for run in runs] == [None, None, None]
    assert runs[0].best_value == pytest.approx(0.5725041031837463)
    assert runs[0].test_metrics["test_loss"] > 0
    differences = str(Comparison(runs[0], runs[1]))
    assert all(each in differences for each in ("nsim", "lr", "0.02"))
    assert '"nsim": 20' in script(runs[0])
    assert len(runs.to_pandas()) == 3


def test_a_fit_of_today_gives_their_numbers(folder: Path) -> None:
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, OPTIONS, runs_dir=folder, nsim=20)
    old = RunStore(folder).get("0001-rosenbrock_data")
    then = rows(old)
    assert rows(run)[[*then]].to_numpy() == pytest.approx(then.to_numpy(), rel=1e-5)  # processors differ
    weights = old.restore(built(rosenbrock, 7)).state_dict()
    assert run.problem is not None
    for name, value in run.problem.state_dict().items():
        assert weights[name].numpy() == pytest.approx(value.numpy(), rel=1e-4, abs=1e-6)


def test_a_stopped_one_is_resumed_to_where_the_undisturbed_one_ended(folder: Path) -> None:
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, resume="0004-rosenbrock_data", runs_dir=folder)
    assert (run.status, run.epochs) == ("finished", 6)
    undisturbed = RunStore(folder).get("0001-rosenbrock_data")
    then = rows(undisturbed)
    assert rows(run)[[*then]].to_numpy() == pytest.approx(then.to_numpy(), rel=1e-5)


def test_a_lab_goes_on_from_them(folder: Path) -> None:
    lab = Lab(built(rosenbrock), rosenbrock_data, options=OPTIONS, runs_dir=folder, name="old")
    assert [run.id for run in lab.runs] == ["0003-rosenbrock_data"]
    lab.start_from("0003-rosenbrock_data")
    run = lab.fit(nsim=20, max_epochs=1)
    assert run.starts_from == "0003-rosenbrock_data"
    assert run.column("train_loss")[0] < 1.0
