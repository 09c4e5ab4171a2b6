"""Metrics as TensorBoard events, read back by TensorBoard's own reader."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nmlab.events import EventWriter


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Each tag's values by epoch."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_train_and_dev_share_a_chart_and_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, every=0.0)
    writer.add(0, {"epoch": 0.0, "train_loss": 2.0, "dev_loss": 1.0, "lr": 0.5, "dev_x lt 1": 0.25}, best=True)
    writer.add(1, {"epoch": 1.0, "train_loss": math.nan, "dev_loss": math.inf, "lr": 0.25}, best=False)
    writer.close()
    found = scalars(tmp_path)
    assert found.pop("loss/train") == {0: 2.0}
    assert found.pop("loss/dev") == {0: 1.0}
    assert found.pop("lr") == {0: 0.5, 1: 0.25}
    assert list(found.values()) == [{0: 0.25}], "and no chart of the epoch over itself"


def test_every_row_is_written_where_epochs_are_slow(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, every=0.0)
    for epoch in range(10):
        writer.add(epoch, {"dev_loss": float(epoch)}, best=False)
    writer.close()
    assert scalars(tmp_path)["loss/dev"] == {epoch: float(epoch) for epoch in range(10)}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_thinned_rows_hold_the_first_the_best_and_the_last(
    tmp_path_factory: pytest.TempPathFactory, losses: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("events")
    writer = EventWriter(folder, every=1000.0)
    for epoch, loss in enumerate(losses):
        writer.add(epoch, {"dev_loss": float(loss)}, best=loss < min(losses[:epoch], default=math.inf))
    writer.close()
    best = losses.index(min(losses))
    assert scalars(folder)["loss/dev"] == {epoch: losses[epoch] for epoch in {0, best, len(losses) - 1}}


def test_between_them_rows_come_at_the_pace_given(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, every=0.05)
    start, epoch = time.perf_counter(), 0
    while time.perf_counter() - start < 0.4:
        writer.add(epoch, {"dev_loss": float(epoch)}, best=False)
        epoch += 1
        time.sleep(0.001)
    seconds = time.perf_counter() - start
    writer.close()
    found = scalars(tmp_path)["loss/dev"]
    assert found.keys() >= {0, epoch - 1}
    assert 3 <= len(found) <= 2 + seconds / 0.05 < epoch


def test_tensorboard_can_follow_a_run_that_goes_on(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, every=0.0)
    writer.add(0, {"dev_loss": 1.0}, best=True)
    deadline = time.monotonic() + 10
    while not scalars(tmp_path):
        assert time.monotonic() < deadline, "nothing is on disk before the file is closed"
        time.sleep(0.1)
    writer.close()
