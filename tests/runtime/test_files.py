"""Files written whole or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest

from nmlab.runtime.files import atomic_write


def test_the_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writing_that_fails_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as aside:
            aside.write_text("ha")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        fail()
    assert path.read_text() == "old"


def test_a_file_that_a_reader_holds_is_replaced_when_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals, replace = iter([PermissionError("held"), PermissionError("held")]), os.replace

    def held(source: Any, target: Any) -> None:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    with atomic_write(tmp_path / "file") as aside:
        aside.write_text("new")
    assert (tmp_path / "file").read_text() == "new"
