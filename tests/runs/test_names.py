"""Names of files made from names that users give."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmlab.runs import RunStore
from nmlab.runs.archive import export_runs, path_for
from nmlab.runs.names import slug
from nmlab.runs.presets import Presets


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("größe", "größe"),
        (unicodedata.normalize("NFD", "größe"), "größe"),
        ("演習", "演習"),
        ("क्षेत्र", "क्षेत्र"),
        ("a b/c:d", "a-b-c-d"),
        ("two - words", "two-words"),
        ("con", "con_"),
        ("NUL.csv", "NUL.csv_"),
        ("...", "run"),
        ("😀", "run"),
        ("x²", "x²"),
    ],
)
def test_letters_of_every_script_stay(name: str, file: str) -> None:
    assert slug(name) == file


@given(st.text())
def test_a_name_is_valid_on_every_system(name: str) -> None:
    file = slug(name)
    assert file == slug(file)
    assert not set(file) & set('<>:"/\\|?*')
    assert file.isprintable()
    assert 0 < len(file) <= 41
    assert len(file.encode()) < 200
    assert file.strip(". ") == file


def test_a_run_keeps_its_name_in_its_folder(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.create("größe 演習", {}).close("finished")
    assert [run.id for run in store.runs()] == ["0001-größe-演習"]
    assert store.get("0001").name == "größe 演習"


def test_an_export_replaces_its_own_and_no_other_file(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    store.create("a", {}).close("finished")
    path = tmp_path / "lab-runs.zip"
    assert path_for(path, "one") == path
    export_runs(store.runs(), path, owner="one")
    assert path_for(path, "one") == path
    other = path_for(path, "two")
    assert other == tmp_path / "lab-runs-2.zip"
    export_runs(store.runs(), other, owner="two")
    assert (path_for(path, "one"), path_for(path, "two")) == (path, other)
    (tmp_path / "lab-runs-3.zip").write_text("a file of the user's")
    assert path_for(path, "three") == tmp_path / "lab-runs-4.zip"


def test_a_preset_of_an_earlier_version_is_found_by_its_name(tmp_path: Path) -> None:
    presets = Presets(tmp_path)
    presets.save("größe", {"nsim": 3})
    (file,) = presets.folder.glob("*.json")
    file.rename(file.with_name(file.name.replace("größe", "gr-e")))
    assert presets.load("größe") == {"nsim": 3}
    presets.save("größe", {"nsim": 4})
    assert len(list(presets.folder.glob("*.json"))) == 1
