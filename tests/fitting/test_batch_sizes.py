"""Batches too small for a layer are told before the first step, and `drop_last` leaves them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn
from torch.utils.data import DataLoader

import nmlab
from nmlab import DataError, RunStore, TrainerOptions
from nmlab.data.loader import SplitsDataModule
from nmlab.data.splits import Splits
from nmlab.runtime.rng import RandomStreams
from tests.helpers.fits import built
from tests.helpers.problems import Returned, noisy, noisy_data, rosenbrock, rosenbrock_data


def through(*layers: nn.Module) -> Problem:
    size = (variable("y") ** 2).minimize(name="size")
    return Problem([Node(nn.Sequential(*layers), ["x"], ["y"], name="network")], PenaltyLoss([size], []))


def data_of(*shape: int) -> Callable[..., Returned]:
    def data(nsim: int = 9, batch_size: int = 4) -> Returned:
        splits = [DictDataset({"x": torch.rand(nsim, *shape)}, name=name) for name in ("train", "dev", "test")]
        return splits[0], splits[1], splits[2], batch_size

    return data


TOO_SMALL: dict[str, tuple[Callable[[], Problem], Callable[..., Returned]]] = {
    "BatchNorm1d": (lambda: through(nn.Linear(3, 4), nn.BatchNorm1d(4)), data_of(3)),
    "BatchNorm2d": (lambda: through(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3)), data_of(2, 2, 2)),
    "BatchNorm3d": (lambda: through(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)), data_of(2, 2, 2, 2)),
    "SyncBatchNorm": (lambda: through(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=True)), data_of(3)),
}


@pytest.mark.parametrize("name", TOO_SMALL)
def test_a_last_batch_of_one_sample_is_told_with_what_helps(name: str, runs_dir: Path) -> None:
    builder, data = TOO_SMALL[name]
    with pytest.raises(DataError, match=r"single sample \(9 samples, batch_size=4\).*drop_last=True.*batch_size.* 5"):
        nmlab.fit(built(builder), data, TrainerOptions(max_epochs=2), runs_dir=runs_dir)
    assert RunStore(runs_dir).runs()[-1].epochs == 0
    options = TrainerOptions(max_epochs=2)
    assert nmlab.fit(built(builder), data, options.replace(drop_last=True), runs_dir=runs_dir).status == "finished"
    assert nmlab.fit(built(builder), data, options, runs_dir=runs_dir, batch_size=5).status == "finished"


@pytest.mark.parametrize("more", [{"batch_size": 1}, {"nsim": 1}])
def test_batches_of_single_samples_are_told(more: Any, runs_dir: Path) -> None:
    with pytest.raises(DataError, match=r"its batches are single samples.*give larger batches"):
        nmlab.fit(built(noisy), noisy_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir, **more)


def test_an_instance_norm_over_one_place_is_told(runs_dir: Path) -> None:
    problem = built(lambda: through(nn.Conv1d(2, 3, 2), nn.InstanceNorm1d(3, track_running_stats=True)))
    with pytest.raises(DataError, match="train: in training node 'network' raised ValueError"):
        nmlab.fit(problem, data_of(2, 2), TrainerOptions(max_epochs=1), runs_dir=runs_dir)


def test_a_loss_that_a_single_sample_makes_nan_is_told(runs_dir: Path) -> None:
    spread = Node(lambda x: x.std(0, keepdim=True), ["x"], ["y"], name="spread")
    layer = Node(nn.Linear(3, 3), ["x"], ["x"], name="layer")
    problem = Problem([layer, spread], PenaltyLoss([(variable("y") ** 2).minimize(name="size")], []))
    with pytest.raises(DataError, match="its loss is not finite on one sample"), pytest.warns(UserWarning, match="std"):
        nmlab.fit(problem, data_of(3), TrainerOptions(max_epochs=1), runs_dir=runs_dir)


@pytest.mark.filterwarnings("ignore:Found 1 module")  # Lightning's, in eval mode
def test_dev_and_test_may_have_single_samples_and_a_frozen_layer_may_train_on_one(runs_dir: Path) -> None:
    def data() -> Returned:
        train, dev, test, _ = noisy_data(nsim=33)
        return DictDataset({k: v[:32] for k, v in train.datadict.items()}, name="train"), dev, test, 16

    assert nmlab.fit(built(noisy), data, TrainerOptions(max_epochs=1), runs_dir=runs_dir).test_metrics
    frozen = built(noisy)
    frozen.nodes[0].callable[1].eval()
    run = nmlab.fit(frozen, noisy_data, TrainerOptions(max_epochs=1), runs_dir=runs_dir, nsim=33)
    assert run.status == "finished"


def test_a_batch_that_lightning_is_told_to_leave_out_does_not_count(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=1, trainer_kwargs={"limit_train_batches": 2})
    assert nmlab.fit(built(noisy), noisy_data, options, runs_dir=runs_dir, nsim=33).status == "finished"


def test_what_would_leave_no_batch_is_told(runs_dir: Path) -> None:
    with pytest.raises(DataError, match="drop_last=True leaves out all of its 9 samples, as batch_size is 10"):
        nmlab.fit(
            built(rosenbrock), rosenbrock_data, TrainerOptions(drop_last=True), runs_dir=runs_dir, nsim=9, batch_size=10
        )


@given(nsim=st.integers(1, 40), size=st.integers(1, 12), shuffle=st.booleans())
def test_batches_are_those_of_torchs_dataloader(nsim: int, size: int, shuffle: bool) -> None:
    data = DictDataset({"x": torch.arange(float(nsim))[:, None]}, name="train")
    module = SplitsDataModule(Splits(data, data, None, size), RandomStreams(1), shuffle, drop_last=nsim > size)
    ours = [batch["x"] for batch in module.train_dataloader()]
    theirs = [batch["x"] for batch in DataLoader(data, size, drop_last=nsim > size, collate_fn=data.collate_fn)]
    assert [len(batch) for batch in ours] == [len(batch) for batch in theirs]
    assert len(module.train_dataloader()) == len(theirs)
    assert sum(len(batch["x"]) for batch in module.val_dataloader()) == nsim
    if not shuffle:
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
