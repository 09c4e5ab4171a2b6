"""Presets: kept, listed, replaced and deleted by any name; what is damaged hides no other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab.errors import RunError
from nmlab.runs import RunStore
from nmlab.runs.presets import Presets

VALUES: dict[str, Any] = {"data": {"nsim": 5, "sys": "CSTR"}, "options": {"lr": 0.01, "seed": None}}


@pytest.fixture
def presets(tmp_path: Path) -> Presets:
    return Presets(tmp_path / "runs")


def test_a_preset_comes_back_in_another_session(presets: Presets, tmp_path: Path) -> None:
    assert presets.names() == []
    presets.save("quick", VALUES)
    presets.save("Long", {"data": {}, "options": {}})
    again = Presets(str(tmp_path / "runs"))
    assert again.names() == ["Long", "quick"]
    assert again.load("quick") == VALUES
    again.save(" quick\n", {"data": {"nsim": 6}})
    assert presets.load("quick") == {"data": {"nsim": 6}}
    assert presets.names() == ["Long", "quick"]
    presets.delete("quick")
    assert again.names() == ["Long"]


def test_presets_are_no_runs_and_are_not_for_git(presets: Presets, tmp_path: Path) -> None:
    presets.save("quick", VALUES)
    assert list(RunStore(tmp_path / "runs").runs()) == []
    assert (tmp_path / "runs" / ".gitignore").read_text("utf-8") == "*\n"
    assert not list(presets.folder.glob("*.tmp"))


names = st.text(min_size=1, max_size=60).filter(lambda name: bool(name.split())) | st.sampled_from(
    ["a", "A", "a b", "a-b", "a/b", "..", "con", "\udc80", "x" * 300, "x" * 299 + "y", "<img>"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(names, max_size=6))
def test_names_that_look_alike_to_a_file_system_are_kept_apart(given_names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        presets = Presets(folder)
        kept = {}
        for index, name in enumerate(given_names):
            presets.save(name, {"data": {"n": index}})
            kept[" ".join(name.split())] = index
        assert sorted(presets.names()) == sorted(kept)
        assert {name: presets.load(name)["data"]["n"] for name in kept} == kept
        lower = [path.name.lower() for path in presets.folder.glob("*")]
        assert len(set(lower)) == len(kept)
        for name in kept:
            presets.delete(name)
        assert presets.names() == []


def test_a_name_that_is_not_there_is_an_error_that_names_those_that_are(presets: Presets) -> None:
    with pytest.raises(RunError, match=r"There is no preset 'quick'; there are: none\."):
        presets.load("quick")
    presets.save("quick", VALUES)
    presets.save("long", VALUES)
    for call in (presets.load, presets.delete):
        with pytest.raises(RunError, match=r"There is no preset 'quik'; there are: 'long', 'quick'\."):
            call("quik")
    for name in ("", "  \n"):
        with pytest.raises(RunError, match="cannot be saved as"):
            presets.save(name, VALUES)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "cannot be read"),
        (b"[]", "not contain a JSON object"),
        (b"\xff", "cannot be read"),
        (b"{}", "another version"),
    ],
)
def test_a_damaged_file_hides_no_other(presets: Presets, content: bytes, reason: str) -> None:
    presets.save("hurt", VALUES)
    (path,) = presets.folder.glob("*.json")
    presets.save("fine", VALUES)
    path.write_bytes(content)
    assert presets.names() == ["fine"]
    with pytest.raises(RunError, match=f"The preset 'hurt' cannot be read: .*{reason}"):
        presets.load("hurt")
    presets.save("hurt", VALUES)
    assert presets.load("hurt") == VALUES


def test_an_unwritable_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written.*runs_dir="):
        Presets(tmp_path / "file").save("quick", VALUES)
    store = RunStore(tmp_path)
    store.make()
    (tmp_path / ".presets").write_text("")
    with pytest.raises(RunError, match="The preset 'quick' cannot be written"):
        Presets(tmp_path).save("quick", VALUES)
