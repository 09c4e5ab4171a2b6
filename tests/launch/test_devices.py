"""Fits that several processes share: each passes its part of every batch, and all take the steps of one."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from lightning.pytorch import Callback
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn
from torch.utils.data import DataLoader

import nmlab
from nmlab import DataError, FieldError, NonFiniteLossError, RunError, TrainerOptions
from nmlab.data.splits import make_splits
from nmlab.fitting.request import FitRequest
from nmlab.fitting.shares import check_shares
from nmlab.launch.fit import make_fit
from nmlab.launch.server import server
from nmlab.training.user_hooks import user_hooks_of
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import PROBLEMS, noisy, noisy_data, rosenbrock, rosenbrock_data, three
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
    "weights and changes": {"weights": {"order": 2.0}, "changes": [{"epoch": 1, "lr": 0.01, "weights": {"obj": 3.0}}]},
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
def test_a_loss_that_is_no_mean_over_samples_is_refused(kind: str) -> None:
    builder, told = NO_MEANS[kind]
    with pytest.raises(DataError, match=told):
        check_shares(built(builder), make_splits(rosenbrock_data, {}), shared(), None, 2)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in ("lagrange", "noisy")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_that_is_one_passes_unchanged(name: str, dtype: torch.dtype) -> None:
    builder, data = PROBLEMS[name]
    problem = built(builder)
    before = {key: value.clone() for key, value in problem.state_dict().items()}
    options = shared(precision="64-true" if dtype == torch.float64 else "32-true")
    assert check_shares(problem, make_splits(data, {}), options, None, 3) == []
    assert same(before, problem.state_dict())
    assert all(parameter.grad is None for parameter in problem.parameters())


def test_what_a_process_does_by_itself_is_told() -> None:
    remarks = check_shares(built(noisy), make_splits(noisy_data, {}), shared(), None, 2)
    assert "normalizes its own part of a batch (BatchNorm1d)" in remarks[0]
    assert "draws its own random numbers (Dropout)" in remarks[1]
    drawing = _of(lambda x: (x + torch.rand_like(x)).mean())
    remarks = check_shares(drawing, make_splits(rosenbrock_data, {}), shared(), None, 2)
    assert "another loss each time" in remarks[0]


def test_all_reasons_are_named_at_once() -> None:
    problem, data = PROBLEMS["lagrange"]
    splits = make_splits(data, {"nsim": 2})
    hooks = user_hooks_of(lambda self, batch: None, {}, {}, False)
    optimizer = {"optimizer": torch.optim.LBFGS, "trainer_kwargs": {"max_steps": 3}}
    with pytest.raises(DataError) as caught:
        check_shares(problem(), splits, shared(3, **optimizer), hooks, 3)
    for reason in ("have 2 samples for 3 processes", "AugmentedLagrangeLoss", "automatic_optimization", "LBFGS"):
        assert reason in str(caught.value)
    with pytest.raises(DataError, match=r"smallest batch \(2 samples in 2 parts\)"):
        check_shares(built(noisy), make_splits(noisy_data, {"nsim": 18}), shared(), None, 2)
    given = nmlab.from_loaders(*(DataLoader(split, 4, collate_fn=split.collate_fn) for split in rosenbrock_data(8)[:2]))
    with pytest.raises(DataError, match="batches of a DataLoader") as caught:
        check_shares(built(rosenbrock), make_splits(given, {}), shared(), None, 2)
    assert "dev:" in str(caught.value)


def test_too_small_batches_are_told_by_the_fit(runs_dir: Path) -> None:
    with pytest.raises(DataError, match="have 2 samples for 3 processes"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, shared(3), runs_dir=runs_dir, nsim=10, batch_size=2)
    with pytest.raises(FieldError, match="finds none here"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(devices=[1, 2]), runs_dir=runs_dir)
    with pytest.raises(FieldError, match="torchrun or srun"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, shared(num_nodes=2), runs_dir=runs_dir)
    assert len(nmlab.RunStore(runs_dir).runs()) == 1


# --- ends of every kind ---


def processes() -> set[int]:
    """The processes of fits: all that the warm server and what it forked have started, zombies too."""
    return {child.pid for child in psutil.Process(server()._process.pid).children(recursive=True)}


def ports() -> list[Any]:
    """What this user's processes listen on, and the zombies among them."""
    return [c.laddr for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid is not None]


class OwnError(Exception):
    """An error of the user's own."""


def breaking(how: Callable[[int], None]) -> Problem:
    """Rosenbrock's problem, with a call before each pass of a part; `how` gets the process's number."""

    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, a: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
            if torch.distributed.is_initialized() and self.training:
                how(torch.distributed.get_rank())
            return self.inner(torch.cat([a, p], 1))  # type: ignore[no-any-return]

    node = Node(Breaks(), ["a", "p"], ["x"], name="map")
    return Problem([node], PenaltyLoss([(variable("x") ** 2).minimize(name="obj")], []))


def _raises(calls: int = 30) -> Callable[[int], None]:
    made: list[int] = []

    def how(rank: int) -> None:
        made.append(rank)
        print("pass", len(made))
        if rank == 1 and len(made) > calls:
            raise OwnError("in the second process")

    return how


def test_an_exception_in_one_process_ends_all_and_is_raised(runs_dir: Path) -> None:
    before = ports()
    problem = breaking(_raises())
    with pytest.raises(OwnError, match="in the second process") as caught:
        nmlab.fit(problem, rosenbrock_data, shared(3, max_epochs=10**7), runs_dir=runs_dir)
    assert any("raised in process 1 of 3" in note for note in caught.value.__notes__)
    run = nmlab.RunStore(runs_dir).runs()[-1]
    assert run.status == "failed"
    assert run.error == "OwnError: in the second process"
    log = run.log_path.read_text(encoding="utf-8")
    for line in ("pass ", "[rank 1] pass ", "[rank 2] pass "):
        assert f"\n{line}" in log
    until(lambda: not processes())
    assert not set(ports()) - set(before)


def test_a_killed_process_ends_all_and_is_told(runs_dir: Path) -> None:
    problem = breaking(lambda rank: os.kill(os.getpid(), signal.SIGKILL) if rank == 1 else None)
    with pytest.raises(RunError, match=r"process 1 of 2 of this fit was ended by signal 9 \(SIGKILL\)"):
        nmlab.fit(problem, rosenbrock_data, shared(), runs_dir=runs_dir)
    assert nmlab.RunStore(runs_dir).runs()[-1].status == "failed"
    until(lambda: not processes())


def test_the_first_process_that_is_killed_takes_the_others_along(runs_dir: Path) -> None:
    problem = breaking(lambda rank: os.kill(os.getpid(), signal.SIGKILL) if rank == 0 else None)
    with pytest.raises(RunError, match=r"signal 9 \(SIGKILL\)"):
        nmlab.fit(problem, rosenbrock_data, shared(), runs_dir=runs_dir)
    until(lambda: not processes())


def test_a_loss_that_is_not_finite_in_one_part(runs_dir: Path) -> None:
    def data() -> Any:
        def split(name: str) -> DictDataset:
            p = torch.ones(8, 1)
            p[7] = 1e30 if name == "train" else 1.0  # its square is none of single precision
            return DictDataset({"a": torch.ones(8, 1), "p": p}, name=name)

        return three(split, 8)

    problem = breaking(lambda _rank: None)
    with pytest.raises(NonFiniteLossError) as caught:
        nmlab.fit(problem, data, shared(), runs_dir=runs_dir)
    assert caught.value.term == "obj"
    assert caught.value.run.status == "failed"


def test_pause_step_and_stop_reach_all(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    options = shared(max_epochs=10**7, tensorboard=False)
    fit = make_fit(FitRequest(problem, rosenbrock_data, options, runs_dir=runs_dir)).start()
    until(lambda: fit.run.epochs >= 2)
    assert len(processes()) == 3  # a guard, and one a device
    fit.control.pause()
    until(lambda: fit.control.paused)
    epochs = fit.run.epochs
    fit.control.step()
    until(lambda: fit.control.paused and not fit.control.stepping and fit.run.epochs > epochs)
    assert fit.run.epochs == epochs + 1
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"
    assert same(fit.run.restore(rosenbrock()).state_dict(), problem.state_dict())
    until(lambda: not processes())


def test_a_stop_ends_a_process_that_hangs(runs_dir: Path) -> None:
    def hangs(rank: int) -> None:
        while rank == 1:
            time.sleep(0.05)

    request = FitRequest(breaking(hangs), rosenbrock_data, shared(), runs_dir=runs_dir)
    fit = make_fit(request).start()
    until(lambda: fit.control.phase == "training")
    fit.control.stop()
    until(lambda: fit.done)
    assert fit.run.status == "stopped"
    until(lambda: not processes())
