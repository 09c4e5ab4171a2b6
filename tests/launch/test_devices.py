"""Fits that several processes share: each passes its part of every batch, and all take the steps of one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn

import nmlab
from nmlab import DataError, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import PROBLEMS, rosenbrock, rosenbrock_data
from tests.helpers.waiting import until

EXACT = 1e-10


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def shared(devices: int = 2, **options: Any) -> TrainerOptions:
    return TrainerOptions(**{"max_epochs": 3, "seed": 1, "accelerator": "cpu", "devices": devices, **options})


def alone(**options: Any) -> TrainerOptions:
    return shared(1, **options)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether weights are the same but for rounding in double precision."""
    return all(torch.allclose(one[name], other[name], rtol=EXACT, atol=EXACT) for name in one)


def small_last(nsim: int = 25, batch_size: int = 8) -> Any:
    """Rosenbrock's samples; the last batch is one of them, fewer than there are processes."""
    return rosenbrock_data(nsim, batch_size)


# --- the same steps ---

CASES = {name: PROBLEMS[name] for name in ("rosenbrock", "integrator", "pinn", "sequence")}
CASES["small last batch"] = (rosenbrock, small_last)


@pytest.mark.parametrize("name", CASES)
def test_several_take_the_steps_of_one(name: str, runs_dir: Path, double: None) -> None:
    builder, data = CASES[name]
    # by Lightning's own batches where data have another number type
    options: dict[str, Any] = {"precision": "64-true"} if name == "sequence" else {}
    options |= {"max_epochs": 5, "shuffle": True}
    problem = built(builder)
    single = nmlab.fit(problem, data, alone(**options), runs_dir=runs_dir)
    for devices in (2, 3):
        other = built(builder)
        run = nmlab.fit(other, data, shared(devices, **options), runs_dir=runs_dir)
        assert run.settings["ranks"] == devices
        assert equal(problem.state_dict(), other.state_dict())
        assert torch.allclose(
            torch.tensor(rows(run).to_numpy()), torch.tensor(rows(single).to_numpy()), rtol=EXACT, atol=EXACT
        )
        assert run.test_metrics == pytest.approx(single.test_metrics, rel=EXACT)
        assert len(list(run.folder.glob("events.out.*"))) == 1


VARIANTS: dict[str, dict[str, Any]] = {
    "LBFGS": {"optimizer": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=4), "gradient_clip_val": None},
    "accumulated": {"trainer_kwargs": {"accumulate_grad_batches": 2}, "precision": "64-true"},
    "patience": {"patience": 1, "lr": 0.3, "max_epochs": 8, "lr_scheduler": "ReduceLROnPlateau"},
    "drop_last and a schedule": {"drop_last": True, "lr_scheduler": "OneCycleLR", "gradient_clip_val": 0.1},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_options_mean_the_same(variant: str, runs_dir: Path, double: None) -> None:
    found = []
    for devices in (1, 2):
        problem = built(rosenbrock)
        run = nmlab.fit(problem, small_last, shared(devices, **VARIANTS[variant]), runs_dir=runs_dir)
        found.append((problem.state_dict(), run.epochs))
    assert found[0][1] == found[1][1]
    assert equal(found[0][0], found[1][0])


def test_a_stopped_run_goes_on_with_as_many(runs_dir: Path, double: None) -> None:
    whole, parts = built(rosenbrock), built(rosenbrock)
    options = {"max_epochs": 6, "shuffle": True}
    nmlab.fit(whole, rosenbrock_data, alone(**options), runs_dir=runs_dir)
    fit = make_fit(FitRequest(parts, rosenbrock_data, shared(**options), runs_dir=runs_dir))
    fit.control.step()
    fit.start()
    until(lambda: fit.control.paused)
    assert fit.run.epochs == 1
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"
    assert fit.control.want(max_epochs=3) is False
    run = nmlab.fit(parts, rosenbrock_data, runs_dir=runs_dir, resume=fit.run)
    assert run.epochs == 6
    assert equal(whole.state_dict(), parts.state_dict())


def test_an_epoch_more_is_one_for_all(runs_dir: Path) -> None:
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, shared(max_epochs=10**6), runs_dir=runs_dir))
    fit.control.step()
    fit.start()
    until(lambda: fit.control.paused)
    assert fit.control.want(max_epochs=4)
    fit.control.resume()
    assert fit.wait().epochs == 4


def test_callbacks_and_hooks_run_in_every_process(runs_dir: Path, tmp_path: Path) -> None:
    class Notes(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            everywhere = trainer.strategy.reduce(torch.tensor(float(trainer.global_rank)), reduce_op="sum")
            first = trainer.strategy.broadcast(trainer.global_rank)
            loss = float(trainer.callback_metrics["dev_loss"])
            note = f"{trainer.world_size} {trainer.is_global_zero} {float(everywhere)} {first} {loss}"
            (tmp_path / f"{trainer.global_rank}").write_text(note)

    nmlab.fit(built(rosenbrock), rosenbrock_data, shared(callbacks=[Notes()]), runs_dir=runs_dir)
    notes = [(tmp_path / name).read_text().split() for name in ("0", "1")]
    assert [note[:4] for note in notes] == [["2", "True", "1.0", "0"], ["2", "False", "1.0", "0"]]
    assert notes[0][4] == notes[1][4]


def test_neuromancers_example_of_several_gpus(runs_dir: Path) -> None:
    """LitTrainer with `strategy='ddp'`, whose datasets are all called 'train', on processes in place of GPUs."""

    def data(nsim: int, batch_size: int) -> Any:
        def split() -> DictDataset:
            return DictDataset({"p": torch.rand(nsim, 1) + 0.5, "a": torch.rand(nsim, 1)}, name="train")

        return split(), split(), split(), batch_size

    trainer = nmlab.LitTrainer(epochs=2, accelerator="cpu", strategy="ddp", devices=2, runs_dir=runs_dir)
    problem = built(rosenbrock)
    before = {name: value.clone() for name, value in problem.state_dict().items()}
    with pytest.raises(DataError, match="is named 'train'"):
        trainer.fit(problem, data, nsim=40, batch_size=16)

    def named(nsim: int, batch_size: int) -> Any:
        *splits, size = data(nsim, batch_size)
        for split, name in zip(splits, ("train", "dev", "test"), strict=True):
            split.name = name
        return *splits, size

    trainer.fit(problem, named, nsim=40, batch_size=16)
    assert nmlab.RunStore(runs_dir).runs()[-1].settings["ranks"] == 2
    assert not same(problem.state_dict(), before)


# --- what cannot be shared ---


def _of(term: Callable[[torch.Tensor], torch.Tensor]) -> Problem:
    node = Node(nn.Linear(1, 2), ["p"], ["x"], name="map")
    graded = Node(lambda x: term(x).reshape(1), ["x"], ["y"], name="graded")
    return Problem([node, graded], PenaltyLoss([variable("y").minimize(metric=torch.mean, name="own")], []))


NO_MEANS: dict[str, tuple[Callable[[], Problem], str]] = {
    "max": (lambda: _of(lambda x: x.amax()), "term 'own' is no mean over samples"),
    "variance": (lambda: _of(lambda x: x.var()), "term 'own' is no mean over samples"),
    "last samples": (lambda: _of(lambda x: x[-5:].mean()), "term 'own' is no mean over samples"),
    "fixed size": (lambda: _of(lambda x: x.reshape(32, 2).mean()), "it raises RuntimeError"),
}


@pytest.mark.parametrize("kind", NO_MEANS)
def test_a_loss_that_is_no_mean_over_samples_is_refused(kind: str, runs_dir: Path) -> None:
    from nmlab.data.splits import make_splits
    from nmlab.fitting.shares import check_shares

    builder, told = NO_MEANS[kind]
    with pytest.raises(DataError, match=told):
        check_shares(built(builder), make_splits(rosenbrock_data, {}), shared(), None, 2)
