"""Callbacks of installed packages: found by each fit, though packages are read only when something was installed."""

import sys
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from nmlab.training import entry_points
from nmlab.training.entry_points import known_entry_points


class Greeting(Callback):
    """What the package below registers."""


def greetings() -> list[str]:
    with known_entry_points():
        trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    callbacks: list[Callback] = vars(trainer)["callbacks"]
    return [type(callback).__name__ for callback in callbacks if type(callback).__name__ == "Greeting"]


def test_callbacks_of_a_package_that_is_installed_meanwhile_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert greetings() == []
    package = tmp_path / "greeting-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        f"[lightning.pytorch.callbacks_factory]\ngreeting = {__name__}:Greeting\n"
    )
    assert greetings() == ["Greeting"]
    assert greetings() == ["Greeting"]
    for file in package.iterdir():
        file.unlink()
    package.rmdir()
    assert greetings() == []


def test_packages_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    greetings()
    asked: list[str] = []

    def read(group: str) -> list[str]:
        asked.append(group)
        return []

    monkeypatch.setattr(entry_points, "entry_points", read)
    greetings()
    assert asked == []
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path.cwd().root)])
    greetings()
    assert asked  # Lightning still asks where it is expected to
