"""Progress, pause, step and stop of a run: acknowledged at once, and without a trace in what it learns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

import nmlab
from nmlab import TrainerOptions
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.runtime import one_fit
from tests.helpers.clock import Clock
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.waiting import until


@pytest.fixture
def runs_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "runs"
    if (left := one_fit.current()) is not None:  # by a test that failed
        left.stop()
        until(lambda: one_fit.current() is None)


def waits_after(fit: Fit, epochs: int) -> None:
    until(lambda: fit.control.paused and fit.run.epochs == epochs)


def test_a_run_that_is_paused_and_stepped_is_the_undisturbed_run(runs_dir: Path) -> None:
    """With dropout, BatchNorm and shuffling, whose random numbers and statistics go on where they were."""
    options = TrainerOptions(max_epochs=5, seed=2, shuffle=True)
    fit = make_fit(FitRequest(built(noisy), noisy_data, options, runs_dir=runs_dir))
    fit.control.step()
    fit.start()
    for epochs in (1, 2, 3):
        waits_after(fit, epochs)
        torch.rand(3)  # a cell's own
        fit.control.step()
    fit.control.pause()
    until(lambda: fit.control.paused)
    fit.control.resume()
    run = fit.wait()
    plain = nmlab.fit(built(noisy), noisy_data, options, runs_dir=runs_dir)
    assert rows(run).equals(rows(plain))
    assert run.test_metrics == plain.test_metrics
    assert same(run.problem.state_dict(), plain.problem.state_dict())  # type: ignore[union-attr]


def test_a_pause_within_an_epoch_and_a_stop_out_of_it(runs_dir: Path) -> None:
    class Pause(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if (trainer.current_epoch, trainer.global_step) == (2, 9):
                fit.control.pause()

    fit = make_fit(
        FitRequest(
            built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=9, callbacks=[Pause()]), runs_dir=runs_dir
        )
    ).start()
    until(lambda: fit.control.paused)
    assert fit.control.phase == "training"
    assert fit.control.progress.batch == 1
    # all that a machine which goes away now would need is on disk
    last = fit.run.last_checkpoint_path
    assert last is not None
    assert torch.load(last, weights_only=True)["epochs_done"] >= 1
    fit.control.stop()
    assert fit.wait().status == "stopped"
    assert fit.run.epochs == 2


def test_a_pause_at_an_epochs_end_leaves_all_of_it_on_disk(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=4, seed=5)
    fit = make_fit(FitRequest(built(noisy), noisy_data, options, runs_dir=runs_dir))
    fit.control.step()
    fit.start()
    for epochs in (1, 2, 3):
        waits_after(fit, epochs)
        assert torch.load(fit.run.last_checkpoint_path, weights_only=True)["epochs_done"] == epochs  # type: ignore[arg-type]
        fit.control.step()
    assert fit.wait().status == "finished"  # a step into the last epoch waits for nobody


def test_a_pause_counts_in_no_time(runs_dir: Path, clock: Clock) -> None:
    clock.tick = 1e-3
    fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=3), runs_dir=runs_dir))
    fit.control.pause()
    began = clock()
    fit.start()
    until(lambda: fit.control.paused)
    fit.control.step()
    waits_after(fit, 1)
    pace = fit.control.progress.samples_per_second
    clock.sleep(500.0)
    assert fit.control.progress.samples_per_second == pace
    fit.control.resume()
    run = fit.wait()
    assert 0.0 < run.seconds < clock() - began - 500.0


def test_pause_and_stop_act_within_a_long_dev_pass_that_is_seen_to_move(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    network = problem.nodes[0].callable

    def slow(*_: Any) -> None:
        if not network.training:
            time.sleep(0.01)

    network.register_forward_pre_hook(slow)

    def much_dev(nsim: int = 400) -> Any:
        train, *_ = rosenbrock_data(4)
        return train, *rosenbrock_data(nsim)[1:3], 4

    fit = make_fit(FitRequest(problem, much_dev, TrainerOptions(max_epochs=2), runs_dir=runs_dir)).start()
    until(lambda: fit.control.phase == "dev pass" and fit.control.progress.batch > 1)
    assert fit.control.progress.batches == 100
    moved = [fit.control.progress.fraction]
    for _ in range(3):
        until(lambda: fit.control.progress.fraction > moved[-1])
        moved.append(fit.control.progress.fraction)
    assert moved[-1] < 0.5
    fit.control.pause()
    assert fit.control.pausing
    until(lambda: fit.control.paused)
    fit.control.stop()
    assert fit.control.stopping
    assert fit.wait().status == "stopped"
    assert fit.control.progress.batch < 100  # and not at the end of the pass


def test_progress_only_grows_through_epochs_with_and_without_a_dev_pass(runs_dir: Path) -> None:
    seen: list[float] = []

    class Look(Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            seen.append(fit.control.progress.fraction)

        on_validation_batch_start: Any = on_train_batch_start
        on_validation_end: Any = on_train_batch_start
        on_train_epoch_end: Any = on_train_batch_start

    for more in ({}, {"check_val_every_n_epoch": 2}, {"val_check_interval": 2}, {"limit_val_batches": 1}):
        seen.clear()
        options = TrainerOptions(max_epochs=4, callbacks=[Look()], trainer_kwargs=more)
        fit = make_fit(FitRequest(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir))
        fit.start().wait()
        assert seen == sorted(seen), more
        assert seen[-1] == 1.0
