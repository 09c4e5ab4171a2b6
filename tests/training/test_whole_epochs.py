"""Fits whose steps are epochs to Lightning: the same to the last bit as batch by batch, and as Lightning alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.profilers import SimpleProfiler

import nmlab
from nmlab import NonFiniteLossError, Run, TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.problem.weights import read_weights
from nmlab.training.whole_epochs import supports_whole_epochs
from tests.benchmark.contestants import Bare
from tests.benchmark.plain import batches
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import PROBLEMS, Returned, noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.waiting import until


class Watcher(Callback):
    """A callback, for whose sake a fit goes batch by batch; it calls `act` in the batches told."""

    def __init__(self, act: Callable[[], object] = lambda: None, epoch: int = -1, batch: int = -1) -> None:
        self._act, self._place = act, (epoch, batch)
        self.train_batches = 0

    def on_train_batch_start(self, trainer: Any, _module: Any, _batch: Any, batch_idx: int) -> None:
        self.train_batches += 1
        if (trainer.current_epoch, batch_idx) == self._place:
            self._act()


def fitted(runs_dir: Path, name: str, whole: bool, **options: Any) -> Run:
    builder, data = PROBLEMS[name]
    callbacks = () if whole else (watcher := Watcher(),)
    given = TrainerOptions(**{"max_epochs": 7, "seed": 2, "callbacks": callbacks, **options})
    assert supports_whole_epochs(given) == whole
    run = nmlab.fit(built(builder), data, given, runs_dir=runs_dir)
    assert whole or watcher.train_batches > 0
    return run


def last_weights(run: Run) -> dict[str, torch.Tensor]:
    assert run.last_checkpoint_path is not None
    return read_weights(run.last_checkpoint_path)


def assert_alike(one: Run, other: Run) -> None:
    assert one.status == other.status == "finished"
    assert rows(one).equals(rows(other))
    assert one.test_metrics == other.test_metrics
    assert one.best_epoch == other.best_epoch
    assert same(one.problem.state_dict(), other.problem.state_dict())  # type: ignore[union-attr]
    assert same(last_weights(one), last_weights(other))
    states = [torch.load(str(run.last_checkpoint_path), weights_only=True) for run in (one, other)]
    for key in ("epoch", "global_step", "lr_schedulers", "random_streams", "epochs_done"):
        assert str(states[0][key]) == str(states[1][key]), key


OPTIONS: dict[str, dict[str, Any]] = {
    "as they come": {},
    "shuffled": {"shuffle": True},
    "scheduler": {"lr_scheduler": "StepLR"},
    "plateau": {"lr_scheduler": lambda made: torch.optim.lr_scheduler.ReduceLROnPlateau(made, patience=0, factor=0.1)},
    "clipped": {"gradient_clip_val": 0.01},
    "not clipped": {"gradient_clip_val": None},
    "patience": {"patience": 1, "warmup": 2, "lr": 0.3},
    "closures": {"optimizer": lambda parameters: torch.optim.LBFGS(parameters, max_iter=3), "max_epochs": 3},
    "train loss": {"monitor": "train_loss"},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_do_what_they_do_batch_by_batch(case: str, runs_dir: Path) -> None:
    assert_alike(*(fitted(runs_dir, "odd last batch", whole, **OPTIONS[case]) for whole in (True, False)))


@pytest.mark.parametrize("name", sorted(set(PROBLEMS) - {"odd last batch"}))
def test_every_problem_learns_the_same_as_batch_by_batch(name: str, runs_dir: Path) -> None:
    assert_alike(*(fitted(runs_dir, name, whole) for whole in (True, False)))


def test_without_dev_data(runs_dir: Path) -> None:
    def no_dev() -> Returned:
        train, _, test, batch_size = rosenbrock_data()
        return train, None, test, batch_size

    alike = []
    for callbacks in ((), (Watcher(),)):
        options = TrainerOptions(max_epochs=5, seed=3, callbacks=callbacks)
        with pytest.warns(UserWarning, match="no dev split"):
            alike.append(nmlab.fit(built(rosenbrock), no_dev, options, runs_dir=runs_dir))
    assert_alike(*alike)
    assert "dev_loss" not in alike[0].columns


@pytest.mark.filterwarnings("ignore:Found 1 module")  # Lightning's, in eval mode
def test_modes_are_as_they_were_and_a_frozen_part_stays_so(runs_dir: Path) -> None:
    problem = built(noisy)
    frozen = problem.nodes[0].callable[1]
    frozen.eval()
    before = frozen.running_mean.clone()
    nmlab.fit(problem, noisy_data, TrainerOptions(max_epochs=2, seed=1), runs_dir=runs_dir)
    assert torch.equal(frozen.running_mean, before)
    assert not frozen.training
    assert problem.training


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize(("first", "then"), [(True, True), (True, False), (False, True)])
def test_a_stopped_run_goes_on_either_way(first: bool, then: bool, epoch: int, runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=6, seed=4, shuffle=True, lr_scheduler="CosineAnnealingLR")
    undisturbed = nmlab.fit(built(noisy), noisy_data, options, runs_dir=runs_dir)
    problem = built(noisy)
    begun = options if first else options.replace(callbacks=[Watcher()])
    fit = make_fit(FitRequest(problem, noisy_data, begun, runs_dir=runs_dir))

    def stop(*_: Any) -> None:
        if problem.training and fit.control.phase == "training" and fit.control.progress.epoch == epoch:
            fit.control.stop()

    problem.nodes[0].register_forward_pre_hook(stop)
    run = fit.start().wait()
    assert (run.status, run.epochs) == ("stopped", epoch)
    ended = options.replace(callbacks=[] if then else [Watcher()])
    assert_alike(undisturbed, nmlab.fit(built(noisy, 9), noisy_data, ended, resume=run, runs_dir=runs_dir))


@pytest.mark.parametrize("phase", ["training", "dev pass"])
def test_a_stop_and_a_pause_are_heeded_between_batches(phase: str, runs_dir: Path) -> None:
    builder, data = PROBLEMS["rosenbrock"]
    problem = built(builder)
    fit = make_fit(
        FitRequest(
            problem, data, TrainerOptions(max_epochs=50, seed=1), {"nsim": 100, "batch_size": 10}, runs_dir=runs_dir
        )
    )
    seen: list[Any] = []

    def look(module: Any, _arguments: Any) -> None:
        progress = fit.control.progress
        if progress.epoch == 2 and fit.control.phase == phase and progress.batch == 4:
            if not seen:
                fit.control.pause()
            seen.append((fit.control.phase, progress.batch, progress.batches, progress.fraction))

    problem.nodes[0].register_forward_pre_hook(look)
    fit.start()
    until(lambda: fit.control.paused or fit.done)
    assert not fit.done
    assert fit.control.progress.batch == 5
    fit.control.stop()
    run = fit.wait()
    assert run.status == "stopped"
    assert run.epochs == 2
    share = (2 + (4 if phase == "training" else 14) / 20) / 50
    assert seen == [(phase, 4, 10, pytest.approx(share))]


def test_a_loss_that_is_not_finite_is_told_with_its_step(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    fit = make_fit(FitRequest(problem, rosenbrock_data, TrainerOptions(max_epochs=5, seed=1), runs_dir=runs_dir))

    def spoil(_module: Any, _arguments: Any, output: Any) -> Any:
        now = fit.control.progress.epoch, fit.control.progress.batch
        spoilt = fit.control.phase == "training" and now == (2, 3)
        return {"x": output["x"] * float("nan")} if spoilt else output

    problem.nodes[0].register_forward_hook(spoil)
    with pytest.raises(NonFiniteLossError) as told:
        fit.start().wait()
    assert (told.value.epoch, told.value.step, told.value.split) == (2, 2 * 4 + 3, "train")
    assert told.value.run is fit.run
    assert (fit.run.status, fit.run.epochs) == ("failed", 2)


@pytest.mark.parametrize(
    "asked",
    [
        {"callbacks": [Watcher()]},
        {"loggers": [CSVLogger("logs")]},
        {"trainer_kwargs": {"accumulate_grad_batches": 2}},
        {"precision": "64-true"},
        {"profiler": SimpleProfiler()},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_who_may_want_single_batches_gets_them(asked: Any) -> None:
    assert supports_whole_epochs(TrainerOptions(profiler="simple", lr_scheduler="StepLR", patience=3))
    assert not supports_whole_epochs(TrainerOptions(**asked))


# --- what Lightning's own arguments mean ---


class Slices:
    """Lightning's batches of a dataset, a run's seed apart."""

    def __init__(self, dataset: Any, batch_size: int) -> None:
        self._dataset, self._batch_size = dataset, batch_size

    def __len__(self) -> int:
        return -(-len(self._dataset) // self._batch_size)

    def __iter__(self) -> Any:
        return batches(self._dataset, self._dataset.datadict, self._batch_size)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"accumulate_grad_batches": 2},
        {"limit_train_batches": 2},
        {"max_steps": 7},
        {"val_check_interval": 2},
        {"check_val_every_n_epoch": 2},
    ],
    ids=lambda arguments: next(iter(arguments), "none"),
)
def test_the_weights_are_lightnings_own(arguments: dict[str, Any], runs_dir: Path, tmp_path: Path) -> None:
    torch.manual_seed(6)
    train, dev, _, size = rosenbrock_data()
    bare = Bare(built(rosenbrock))
    settings = {
        "max_epochs": 4,
        "accelerator": "cpu",
        "gradient_clip_val": 100.0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": tmp_path,
    }
    Trainer(**{**settings, **arguments}).fit(bare, Slices(train, size), Slices(dev, size))
    options = TrainerOptions(max_epochs=4, seed=6, trainer_kwargs=arguments)
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert same(last_weights(run), bare.problem.state_dict())
