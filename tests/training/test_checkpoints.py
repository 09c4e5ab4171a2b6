"""Checkpoints: whole or not at all, and as of the moment when they were saved."""

from __future__ import annotations

from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from nmlab.training.checkpoints import CheckpointWriter, save_weights
from tests.helpers.clock import Clock


def read(path: Path) -> Any:
    return torch.load(path, weights_only=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "last.ckpt"


def test_a_path_that_is_not_named_is_written_at_once(path: Path) -> None:
    CheckpointWriter({}).save_checkpoint({"epoch": 3}, path)
    assert read(path) == {"epoch": 3}
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("every", [None, 0.0, 1000.0])
def test_a_save_that_fails_leaves_the_old_file(
    path: Path, every: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = CheckpointWriter({} if every is None else {path: every})
    writer.save_checkpoint({"epoch": 1}, path)
    writer.flush()
    save = torch.save

    def full(content: Any, file: Any) -> None:
        save(content, file)
        Path(file).write_bytes(Path(file).read_bytes()[:50])
        raise OSError("No space left on device")

    def both() -> None:
        writer.save_checkpoint({"epoch": 2}, path)
        writer.flush()

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        both()
    assert read(path) == {"epoch": 1}
    monkeypatch.setattr(torch, "save", save)
    writer.save_checkpoint({"epoch": 3}, path)
    writer.flush()
    assert read(path) == {"epoch": 3}


def test_what_is_held_is_a_copy_of_that_moment(path: Path) -> None:
    """Later training changes the tensors that Lightning handed over."""
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint = {
        "state_dict": layer.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
        "loops": OrderedDict(done=[torch.tensor(1)], pair=(1, torch.tensor(2))),
    }
    now = CheckpointWriter({})
    now.save_checkpoint(checkpoint, path.with_name("now.ckpt"))
    later = CheckpointWriter({path: 1000.0})
    later.save_checkpoint({}, path)  # the first is written at once
    later.save_checkpoint(checkpoint, path)
    assert read(path) == {}
    for _ in range(3):
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
    checkpoint["loops"]["done"][0] += 5  # type: ignore[index]
    later.flush()

    expected, found = read(path.with_name("now.ckpt")), read(path)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert found["lr_schedulers"][0]["milestones"] == Counter({2: 2, 5: 1})
    assert type(found["state_dict"]) is type(expected["state_dict"])
    assert not torch.equal(found["state_dict"]["weight"], layer.weight)


def test_the_newest_is_written_when_its_time_has_come(path: Path, clock: Clock) -> None:
    best = path.with_name("best.ckpt")
    writer = CheckpointWriter({path: 0.5, best: 0.5})
    for epoch in range(2):
        writer.save_checkpoint({"epoch": epoch}, best)
        writer.save_checkpoint({"epoch": epoch}, path)
    assert read(path) == read(best) == {"epoch": 0}, "the first is written at once, the second waits"
    clock.sleep(0.6)
    writer.save_checkpoint({"epoch": 2}, path)
    assert read(path) == {"epoch": 2}
    assert read(best) == {"epoch": 1}, "the best is seldom saved, and must not wait in memory for its next save"
    written = path.stat().st_mtime_ns
    writer.save_checkpoint({"epoch": 3}, path)
    writer.flush(best)
    assert path.stat().st_mtime_ns == written
    writer.flush()
    assert read(path) == {"epoch": 3}
    written = path.stat().st_mtime_ns
    writer.flush()
    assert path.stat().st_mtime_ns == written


def test_every_zero_writes_each_one(path: Path) -> None:
    writer = CheckpointWriter({path: 0.0})
    for epoch in range(3):
        writer.save_checkpoint({"epoch": epoch}, path)
        assert read(path) == {"epoch": epoch}


def test_loading_executes_nothing(path: Path) -> None:
    writer = CheckpointWriter({})
    writer.save_checkpoint({"weights": torch.ones(2)}, path)
    assert torch.equal(writer.load_checkpoint(path)["weights"], torch.ones(2))
    assert writer.load_checkpoint(str(path), map_location="meta")["weights"].device.type == "meta"
    path.parent.mkdir(exist_ok=True)
    torch.save({"evil": Path("x")}, path)
    with pytest.raises(Exception, match=r"Weights only load failed"):
        writer.load_checkpoint(path, weights_only=False)
    writer.remove_checkpoint(path)
    writer.remove_checkpoint(path)
    assert not path.exists()


def test_weights_alone_carry_their_prefix(path: Path) -> None:
    save_weights({"a.weight": torch.ones(1)}, path, "problem.")
    assert read(path) == {"state_dict": {"problem.a.weight": torch.ones(1)}}
