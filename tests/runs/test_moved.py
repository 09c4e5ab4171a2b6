"""Folders of runs that are renamed, moved or deleted while objects in a kernel stand for them."""

import shutil
from pathlib import Path

import pytest

from nmlab import Lab, Run, RunError, RunStore, TrainerOptions
from nmlab.runs import Comparison
from tests.helpers.problems import rosenbrock, rosenbrock_data

QUICK = TrainerOptions(max_epochs=1, seed=1)


def ended(store: RunStore, loss: float = 1.0) -> Run:
    writer = store.create("data", {"seed": 1, "loss": loss})
    writer.append({"epoch": 0, "train_loss": loss, "dev_loss": loss})
    writer.close("finished")
    return writer.run


def test_every_run_has_an_id_of_its_own(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert len({ended(store).uid for _ in range(3)}) == 3


def test_a_run_follows_its_renamed_folder(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run, other = ended(store, 1.0), ended(store, 2.0)
    run.folder.rename(tmp_path / "the-good-one")
    assert (run.id, run.settings["loss"], run.column("dev_loss"), run.status) == (
        "the-good-one",
        1.0,
        [1.0],
        "finished",
    )
    assert run.folder == tmp_path / "the-good-one"
    assert {each.uid for each in store.runs()} == {run.uid, other.uid}


def test_a_run_is_never_another_one_in_its_place(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    run, other = ended(store, 1.0), ended(store, 2.0)
    place, there = run.folder, other.folder
    place.rename(tmp_path / "aside")
    there.rename(place)
    assert (other.folder, other.settings["loss"]) == (place, 2.0)
    assert run.status == "damaged"
    assert "belongs to another run" in str(run.damage)
    assert "gone" in repr(run)
    for read in (lambda: run.settings, lambda: run.metrics, lambda: run.column("dev_loss"), lambda: run.epochs):
        with pytest.raises(RunError, match="belongs to another run"):
            read()


@pytest.mark.parametrize("how", ["moved", "deleted", "in the trash"])
def test_a_run_whose_folder_is_gone_says_so(how: str, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    run, other = ended(store), ended(store)
    if how == "moved":
        run.folder.rename(tmp_path / "elsewhere")
    elif how == "deleted":
        shutil.rmtree(run.folder)
    else:
        store.delete(run)
    with pytest.raises(RunError, match="trash" if how == "in the trash" else "moved out of"):
        Comparison(run, other)
    if how == "moved":
        (tmp_path / "elsewhere").rename(tmp_path / "runs" / "back")
        assert run.id == "back"
    if how == "in the trash":
        store.undelete(run)
        assert run.settings["seed"] == 1


def test_a_lab_whose_folder_of_runs_is_gone_makes_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    lab = Lab(rosenbrock, rosenbrock_data, options=QUICK, data_kwargs={"nsim": 20}, runs_dir=folder)
    first = lab.fit()
    folder.rename(tmp_path / "old")
    with pytest.raises(RunError, match="is gone: it was deleted, renamed or moved"):
        lab.fit()
    assert not folder.exists()
    (tmp_path / "old").rename(folder)
    assert lab.fit().id.startswith("0002")
    assert first.settings["seed"] == 1


def test_numbers_go_on_where_a_folder_of_runs_was_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    first = ended(RunStore(folder))
    folder.rename(tmp_path / "old")
    with pytest.warns(UserWarning, match="is gone"):
        second = ended(RunStore(folder))
    assert (second.id, first.status) == ("0002-data", "damaged")


def test_a_run_of_an_earlier_version_follows_too(tmp_path: Path) -> None:
    run = ended(RunStore(tmp_path))
    (run.folder / "settings.json").write_text('{"layout": 1, "id": "0001-data", "created": "2024", "seed": 3}')
    run = Run(run.folder)
    assert run.settings["seed"] == 3
    run.folder.rename(tmp_path / "0001-other")
    assert (run.id, run.settings["seed"]) == ("0001-other", 3)


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    lab = Lab(rosenbrock, rosenbrock_data, options=QUICK, data_kwargs={"nsim": 20}, runs_dir=tmp_path / "runs")
    shutil.rmtree(there)
    for make in (RunStore, lambda: Run("0001-data"), lambda: Lab(rosenbrock, rosenbrock_data)):
        with pytest.raises(RunError, match="working directory is gone"):
            make()
    assert lab.fit().status == "finished"
    with pytest.raises(RunError, match="working directory is gone"):
        lab.export()
    monkeypatch.chdir(tmp_path)
