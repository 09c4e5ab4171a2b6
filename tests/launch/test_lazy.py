"""Problems with lazy modules: initialized from the first batch under the fit's seed, wherever a Problem is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node, System
from torch import nn

import nmlab
from nmlab import DataError, Lab, Run, TrainerOptions
from nmlab.compat import lit_trainer
from nmlab.problem.lazy import has_lazy
from tests.benchmark.plain import plain_loop
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import Returned, noisy_data, three

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")


def dense() -> Problem:
    """LazyLinear and LazyBatchNorm, one of them within a module of the user's."""
    network = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Tanh(), nn.Sequential(nn.LazyLinear(1)))
    fit = ((variable("y") - variable("seen")) ** 2).minimize(name="fit")
    return Problem([Node(network, ["x"], ["y"], name="network")], PenaltyLoss([fit], []))


def convolution() -> Problem:
    """LazyConv and LazyInstanceNorm."""
    network = nn.Sequential(
        nn.LazyConv1d(4, 3, padding=1), nn.LazyInstanceNorm1d(affine=True), nn.Tanh(), nn.Flatten(), nn.LazyLinear(1)
    )
    fit = ((variable("y") - variable("seen")) ** 2).minimize(name="fit")
    return Problem([Node(network, ["x"], ["y"], name="network")], PenaltyLoss([fit], []))


def convolution_data(nsim: int = 24, batch_size: int = 8) -> Returned:
    def split(name: str) -> DictDataset:
        x = torch.rand(nsim, 2, 6)
        return DictDataset({"x": x, "seen": x.mean((1, 2))[:, None]}, name=name)

    return three(split, batch_size)


def rollout() -> Problem:
    """A lazy network within a System."""
    step = Node(nn.Sequential(nn.LazyLinear(6), nn.Tanh(), nn.LazyLinear(2)), ["x"], ["x"], name="step")
    size = (variable("x") ** 2).minimize(name="size")
    return Problem([System([step], name="rollout", nsteps=3)], PenaltyLoss([size], []))


def rollout_data(nsim: int = 24, batch_size: int = 8) -> Returned:
    return three(lambda name: DictDataset({"x": torch.rand(nsim, 1, 2)}, name=name), batch_size)


LAZY = {
    "dense": (dense, noisy_data),
    "convolution": (convolution, convolution_data),
    "rollout": (rollout, rollout_data),
}
OPTIONS = TrainerOptions(max_epochs=3, seed=4)


def classes(problem: Any) -> list[type]:
    return [*map(type, problem.modules()), *map(type, problem.parameters()), *map(type, problem.buffers())]


@pytest.mark.parametrize("name", LAZY)
def test_a_fit_initializes_from_the_first_batch_under_its_seed(name: str, runs_dir: Path) -> None:
    builder, data = LAZY[name]
    plain: Any = builder()
    torch.manual_seed(4)
    train, dev, _, size = data()
    torch.manual_seed(4)
    plain.eval()
    plain({**{key: value[:size] for key, value in train.datadict.items()}, "name": "train"})
    plain.train()
    start = {key: value.clone() for key, value in plain.state_dict().items()}
    losses = plain_loop(plain, train, dev, size, epochs=3)
    problem: Any = builder()
    run = nmlab.fit(problem, data, OPTIONS, runs_dir=runs_dir)
    assert run.column("dev_loss") == losses
    assert same(problem.state_dict(), plain.state_dict())
    assert same(Run(run.folder).restore(builder(), "start").state_dict(), start)
    for again in (builder, problem):  # from a builder, and from what is initialized already
        assert rows(nmlab.fit(again, data, OPTIONS, resume=run, runs_dir=runs_dir)).equals(rows(run))
    assert rows(nmlab.fit(builder, data, OPTIONS, runs_dir=runs_dir)).equals(rows(run))


@pytest.mark.parametrize("name", LAZY)
def test_what_leaves_no_trace_leaves_lazy_modules_lazy(name: str, runs_dir: Path) -> None:
    builder, data = LAZY[name]
    problem: Any = builder()
    before = classes(problem)
    assert "lazy modules" in nmlab.look(problem).head
    nmlab.find_lr(problem, data, num_training=20)
    nmlab.find_batch_size(problem, data, max_trials=1)
    nmlab.score(problem, data())
    assert classes(problem) == before
    assert has_lazy(problem)
    run = nmlab.fit(problem, data, OPTIONS, runs_dir=runs_dir)
    assert not has_lazy(problem)
    assert rows(run).equals(rows(nmlab.fit(builder(), data, OPTIONS, runs_dir=runs_dir)))


def test_every_run_of_a_lab_starts_from_what_its_first_run_was_initialized_with(runs_dir: Path) -> None:
    lab = Lab(dense(), noisy_data, runs_dir=runs_dir)
    lab.find_lr(num_training=20)
    first = lab.fit(max_epochs=3, seed=4)
    other = lab.fit(max_epochs=3, seed=5)
    again = lab.fit(max_epochs=3, seed=4)
    assert rows(first).equals(rows(again))
    assert len(lab.runs) == 3
    starts = [run.restore(built(dense), "start").state_dict() for run in (first, other)]
    assert same(*starts)
    assert not lab.cross([first, other]).frame.isna().any(axis=None)


def test_every_trial_of_a_sweep_starts_from_the_same(runs_dir: Path) -> None:
    problem = dense()
    config = {
        "method": "grid",
        "metric": {"name": "dev_loss", "goal": "minimize"},
        "parameters": {"lr": {"values": [0.001, 0.01]}},
    }
    done = nmlab.sweep(problem, noisy_data, config, options=OPTIONS, runs_dir=runs_dir)
    starts = [run.restore(built(dense), "start").state_dict() for run in nmlab.RunStore(runs_dir).runs()]
    assert len(starts) == 2
    assert same(*starts)
    assert done.best is not None


def test_neuromancers_trainer_takes_them_too(runs_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    problem = dense()
    lit_trainer.LitTrainer(epochs=2, accelerator="cpu", devices=1, save_weights=False).fit(problem, noisy_data)
    assert not has_lazy(problem)


@pytest.mark.parametrize("wrong", ["a key", "a layer that no batch reaches"])
def test_what_cannot_be_initialized_is_told_and_stays_lazy(wrong: str, runs_dir: Path) -> None:
    problem: Any = dense()
    if wrong == "a key":

        def data() -> Returned:
            return three(lambda name: DictDataset({"z": torch.rand(9, 1)}, name=name), 3)
    else:
        problem.nodes[0].callable.add_module("unused", nn.Identity())
        problem.nodes[0].unused = nn.LazyLinear(3)
        data = noisy_data
    before = classes(problem)
    with pytest.raises(DataError, match="cannot be initialized"):
        nmlab.fit(problem, data, OPTIONS, runs_dir=runs_dir)
    assert classes(problem) == before


def test_an_optimizer_that_was_made_before_keeps_its_parameters(runs_dir: Path) -> None:
    problem = dense()
    optimizer = torch.optim.SGD(problem.parameters(), lr=0.1)
    run = nmlab.fit(problem, noisy_data, OPTIONS.replace(optimizer=optimizer), runs_dir=runs_dir)
    plain = nmlab.fit(dense(), noisy_data, OPTIONS.replace(optimizer="SGD", lr=0.1), runs_dir=runs_dir)
    assert rows(run).equals(rows(plain))
