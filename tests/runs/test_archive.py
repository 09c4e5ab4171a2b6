"""Runs taken elsewhere in one file: whole, safe to unpack, and never half there."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import nmlab
from nmlab.errors import RunError
from nmlab.runs import Run, Runs, RunStore, archive
from nmlab.runs.archive import export_runs, load
from tests.helpers.problems import rosenbrock, rosenbrock_data


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "here")


def ended(store: RunStore, name: str = "r", rows: int = 2, **more: Any) -> Run:
    """A run with a few epochs that has ended."""
    writer = store.create(name, {"seed": 1, **more})
    for epoch in range(rows):
        writer.append({"epoch": epoch, "dev_loss": 1.0 / (epoch + 1)})
    writer.checkpoint("best").write_bytes(b"weights")
    writer.close("finished")
    return writer.run


def ids(runs: Runs) -> list[str]:
    return [run.id for run in runs]


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a run's folder by its path within, but the lock."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop("alive.lock", None)
    return found


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- there and back ---


def test_a_fit_is_the_same_elsewhere(tmp_path: Path) -> None:
    problem = rosenbrock()
    options = nmlab.TrainerOptions(max_epochs=3, seed=5)
    run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=tmp_path / "here", name="mine")
    store = RunStore(tmp_path / "here")
    store.rename(run, "the best <one>")
    store.annotate(run, "keep")
    path = export_runs(store.runs(), tmp_path / "out" / "runs.zip", {"code/run.py": "print()\n", "fig.png": b"\x89"})
    metrics, test_metrics = run.metrics, run.test_metrics
    shutil.rmtree(tmp_path / "here")

    runs = nmlab.load(path, tmp_path / "there")
    (there,) = runs
    assert there.folder.parent == tmp_path / "there"
    assert (there.id, there.name, there.note, there.status) == (run.id, "the best <one>", "keep", "finished")
    assert there.metrics.equals(metrics)
    assert len(there.metrics) == 3
    assert there.test_metrics == test_metrics != {}
    assert there.settings["options"]["max_epochs"] == 3
    restored = there.restore(rosenbrock())
    assert all(torch.equal(a, b) for a, b in zip(restored.parameters(), problem.parameters(), strict=True))
    again = nmlab.fit(rosenbrock(), rosenbrock_data, nmlab.TrainerOptions(max_epochs=4), resume=there)
    assert again.epochs == 4

    with zipfile.ZipFile(path) as packed:
        assert packed.read("code/run.py") == b"print()\n"
        assert packed.read("fig.png") == b"\x89"
        assert "nmlab.load('runs.zip')" in packed.read("README.txt").decode()
        assert {info.compress_type for info in packed.infolist()} == {zipfile.ZIP_DEFLATED}
    assert names_in(path.parent) == ["runs.zip"]


def test_every_file_of_a_run_comes_along_but_its_lock(store: RunStore, tmp_path: Path) -> None:
    run = ended(store, "ä run")
    (run.folder / "own").mkdir()
    (run.folder / "own" / "grün.txt").write_text("1")
    (run.folder / "status.json.tmp").write_text("{")
    os.utime(run.folder / "own" / "grün.txt", (0, 0))  # older than what a zip file can say
    (there,) = load(export_runs([run], tmp_path / "a.zip"), tmp_path / "there")
    (run.folder / "status.json.tmp").unlink()
    assert files(there.folder) == files(run.folder)
    assert not (there.folder / "alive.lock").exists()


def test_a_run_that_still_goes_is_an_interrupted_one_elsewhere(store: RunStore, tmp_path: Path) -> None:
    writer = store.create("r", {})
    writer.append({"epoch": 0, "dev_loss": 1.0})
    first = export_runs([writer.run], tmp_path / "first.zip")
    writer.append({"epoch": 1, "dev_loss": 0.5})
    writer.close("finished")
    last = export_runs([writer.run], tmp_path / "last.zip")
    assert [(run.status, run.epochs) for run in load(first, tmp_path / "there")] == [("interrupted", 1)]
    assert [(run.id, run.status, run.epochs) for run in load(last, tmp_path / "there")] == [("0002-r", "finished", 2)]
    assert ids(load(last, tmp_path / "there")) == ["0002-r"]
    assert ids(load(first, tmp_path / "there")) == ["0001-r"]
    assert len(RunStore(tmp_path / "there").runs()) == 2


def test_an_export_replaces_its_file_once_it_is_whole(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export_runs([ended(store)], tmp_path / "a.zip")
    before = path.read_bytes()

    def full(*arguments: object, **keywords: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(zipfile.ZipFile, "write", full)
        with pytest.raises(RunError, match=r"cannot be exported to .*a.zip: No space left"):
            export_runs(store.runs(), path)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["a.zip", "here"]
    ended(store, "second")
    assert ids(load(export_runs(store.runs(), path), tmp_path / "there")) == ["0001-r", "0002-second"]
    with pytest.raises(RunError, match="There are no runs to export"):
        export_runs([], tmp_path / "none.zip")


def test_names_that_windows_does_not_take_become_others(store: RunStore, tmp_path: Path) -> None:
    path = export_runs([ended(store)], tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("runs/0001-r/12:30.txt", "1")
        packed.writestr(member("runs/0001-r/..\\up.txt"), "2")
        packed.writestr("runs/C:/up.txt", "3")
    (there,) = load(path, tmp_path / "there")
    assert files(there.folder).items() >= {("12_30.txt", b"1"), (".._up.txt", b"2")}
    assert names_in(tmp_path) == ["a.zip", "here", "there"]


# --- ids ---


def test_ids_stay_where_they_are_free(store: RunStore, tmp_path: Path) -> None:
    for name in "abc":
        ended(store, name)
    there = RunStore(tmp_path / "there")
    theirs = ended(there, "theirs")
    path = export_runs(store.runs(), tmp_path / "a.zip")
    assert ids(load(path, there.folder)) == ["0004-a", "0002-b", "0003-c"]  # in the order of the file
    assert there.get("4").name == "a"
    assert there.get("1").id == theirs.id
    assert ids(load(path, there.folder)) == ["0004-a", "0002-b", "0003-c"]  # not copied again
    assert len(there.runs()) == 4
    assert ended(there).id == "0005-r"


def test_a_deleted_runs_number_is_not_given_to_a_loaded_one(store: RunStore, tmp_path: Path) -> None:
    path = export_runs([ended(store, "a")], tmp_path / "a.zip")
    there = RunStore(tmp_path / "there")
    there.delete(ended(there, "theirs"))
    assert ids(load(path, there.folder)) == ["0002-a"]
    assert there.undelete().id == "0001-theirs"
    shutil.rmtree(there.folder / ".ids")  # as where the runs were copied by hand
    assert ended(there).id == "0003-r"


def test_runs_of_two_machines_with_one_id_are_both_kept(store: RunStore, tmp_path: Path) -> None:
    other = RunStore(tmp_path / "other")
    one, two = ended(store, "r", rows=1), ended(other, "r", rows=2, seed=2)
    load(export_runs([one], tmp_path / "a.zip"), tmp_path / "there")
    assert ids(load(export_runs([two], tmp_path / "b.zip"), tmp_path / "there")) == ["0002-r"]
    assert [run.epochs for run in RunStore(tmp_path / "there").runs()] == [1, 2]


# --- from folders ---


def test_a_folder_of_runs_is_loaded_too(store: RunStore, tmp_path: Path) -> None:
    runs = [ended(store, "a"), ended(store, "b")]
    going = store.create("c", {})
    store.delete(ended(store, "deleted"))
    (store.folder / "notes").mkdir()
    there = load(store.folder, tmp_path / "there")
    assert ids(there) == [*(run.id for run in runs), going.run.id]
    assert [run.status for run in there] == ["finished", "finished", "interrupted"]
    assert files(there[0].folder) == files(runs[0].folder)
    assert ids(load(runs[1].folder, tmp_path / "one")) == ["0002-b"]
    path = export_runs(runs, tmp_path / "a.zip")
    shutil.unpack_archive(path, tmp_path / "unpacked")
    assert ids(load(tmp_path / "unpacked", tmp_path / "two")) == ["0001-a", "0002-b"]
    going.close("finished")


def test_a_folder_loaded_into_itself_stays_as_it_is(store: RunStore) -> None:
    runs = [ended(store, "a"), ended(store, "b")]
    (runs[1].folder / "settings.json").write_text("{")
    assert ids(load(store.folder, store.folder)) == ["0001-a", "0002-b"]
    assert len(store.runs()) == 2


def test_a_damaged_run_is_not_lost(store: RunStore, tmp_path: Path) -> None:
    run = ended(store, "a")
    (run.folder / "settings.json").write_text("{")
    (there,) = load(export_runs([run], tmp_path / "a.zip"), tmp_path / "there")
    assert (there.id, there.status, there.column("dev_loss")) == ("0001-a", "damaged", [1.0, 0.5])


# --- what is no archive, or a wicked one ---


def test_what_is_no_archive_is_an_error_that_says_what_would_be(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a/settings.json", "{}")
    whole = export_runs([ended(store)], tmp_path / "a.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    hurt = bytearray(whole)
    hurt[whole.index(b"metrics.csv") + 20] ^= 0xFF
    (tmp_path / "hurt.zip").write_bytes(hurt)
    for name, reason in {
        "none.zip": "There is no ",
        "text.zip": "cannot be read as a zip file",
        "half.zip": "cannot be read as a zip file",
        "hurt.zip": "cannot be read as a zip file",
        "other.zip": "There are no runs in",
        "empty": "There are no runs in",
    }.items():
        with pytest.raises(RunError, match=rf"{reason}.*give a file that lab\.export\(\) wrote, or a folder of runs"):
            load(tmp_path / name, tmp_path / "there")
    assert list(RunStore(tmp_path / "there").runs()) == []
    assert not list((tmp_path / "there").glob(".incoming*"))


def member(name: str, mode: int = 0o644, **more: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFREG | mode if mode < 0o10000 else mode) << 16
    for key, value in more.items():
        setattr(info, key, value)
    return info


WICKED = {
    "up": member("runs/../../up.txt"),
    "here": member("runs/./a/settings.json"),
    "nothing": member("runs//a.txt"),
    "link": member("runs/0001-r/link", stat.S_IFLNK | 0o777),
    "packer": member("runs/0001-r/big", compress_type=zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("case", WICKED)
def test_a_wicked_archive_is_refused_whole(store: RunStore, tmp_path: Path, case: str) -> None:
    path = export_runs([ended(store)], tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(WICKED[case], "/etc/passwd", compress_type=WICKED[case].compress_type)
    with pytest.raises(RunError, match="was not written by nmlab and is not unpacked: it holds runs/"):
        load(path, tmp_path / "there")
    assert list(RunStore(tmp_path / "there").runs()) == []
    assert names_in(tmp_path) == ["a.zip", "here", "there"]


@pytest.mark.parametrize("name", ["/runs/up.txt", "../up.txt", "up.txt", "runs.txt", "README.txt/../../up.txt"])
def test_what_lies_outside_the_archives_runs_is_not_unpacked(store: RunStore, tmp_path: Path, name: str) -> None:
    path = export_runs([ended(store)], tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(member(name), "x")
    assert ids(load(path, tmp_path / "there")) == ["0001-r"]
    assert names_in(tmp_path) == ["a.zip", "here", "there"]
    assert names_in(tmp_path / "there") == [".gitignore", ".ids", "0001-r"]


def test_an_archive_that_would_grow_beyond_measure_is_refused(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(store)
    (run.folder / "log.txt").write_bytes(b"0" * 3_000_000)
    path = export_runs([run], tmp_path / "a.zip")
    assert len(load(path, tmp_path / "there")) == 1
    monkeypatch.setattr(archive, "MOST_BYTES", 2_000_000)
    with pytest.raises(RunError, match=r"was not written by nmlab and is not unpacked: it would take 3\d{6} bytes"):
        load(path, tmp_path / "elsewhere")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1))
    monkeypatch.setattr(archive, "MOST_RATIO", 10_000)
    with pytest.raises(RunError, match=r"take 3\d{6} bytes, but only 1 bytes are free in"):
        load(path, tmp_path / "elsewhere")


def test_a_copy_that_breaks_off_is_not_listed(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export_runs([ended(store, "a")], tmp_path / "a.zip")

    def full(*arguments: object, **keywords: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", full)
        with pytest.raises(RunError, match=r"cannot be copied to .*there: No space left"):
            load(path, tmp_path / "there")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", full)
        with pytest.raises(RunError, match=r"cannot be copied to .*there: No space left"):
            load(store.folder, tmp_path / "there")
    assert list(RunStore(tmp_path / "there").runs()) == []
    assert ids(load(path, tmp_path / "there")) == ["0001-a"]
