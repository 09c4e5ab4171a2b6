"""Schedules of the learning rate: by epoch and by step as in Lightning, of the right length, and in extended runs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.optim import lr_scheduler as schedulers

import nmlab
from nmlab import FieldError, Run, TrainerOptions
from nmlab.problem.weights import read_weights
from tests.benchmark.contestants import BARE_SETTINGS, Bare, Slices
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data

STEPS = 4
"""Batches of an epoch of Rosenbrock's samples."""


def fitted(runs_dir: Path, schedule: Any, callbacks: Any = (), **options: Any) -> Run:
    given = {"max_epochs": 5, "seed": 3, "lr": 0.05, "optimizer": "SGD", **options}
    made = TrainerOptions(**given, lr_scheduler=schedule, callbacks=callbacks)
    return nmlab.fit(built(rosenbrock), rosenbrock_data, made, runs_dir=runs_dir)


def lightnings(configure: Callable[[Any], Any], tmp_path: Path, **arguments: Any) -> Any:
    """The Problem that Lightning alone trains, with this dict for the scheduler of an optimizer."""

    class Scheduled(Bare):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
            return {"optimizer": optimizer, "lr_scheduler": configure(optimizer)}

        def training_step(self, batch: Any, *rest: Any) -> Any:
            loss = super().training_step(batch, *rest)
            self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["a"]))
            return loss

    torch.manual_seed(3)
    train, dev, _, batch_size = rosenbrock_data()
    loaders: list[Any] = [Slices(split, batch_size, "cpu") for split in (train, dev)]
    bare = Scheduled(built(rosenbrock))
    settings = {"max_epochs": 5, "accelerator": "cpu", **BARE_SETTINGS, **arguments}
    Trainer(**settings, default_root_dir=tmp_path).fit(bare, *loaders)
    return bare.problem


CONFIGS: dict[str, Callable[[Any], Any]] = {
    "OneCycleLR": lambda o: {"scheduler": schedulers.OneCycleLR(o, 0.1, total_steps=20), "interval": "step"},
    "CyclicLR": lambda o: {"scheduler": schedulers.CyclicLR(o, 0.01, 0.1, step_size_up=3), "interval": "step"},
    "restarts": lambda o: {"scheduler": schedulers.CosineAnnealingWarmRestarts(o, 6), "interval": "step"},
    "LambdaLR": lambda o: {
        "scheduler": schedulers.LambdaLR(o, lambda n: 1 / (n + 1)),
        "interval": "step",
        "frequency": 3,
    },
    "every other epoch": lambda o: {"scheduler": schedulers.StepLR(o, 1), "interval": "epoch", "frequency": 2},
}


@pytest.mark.parametrize("callbacks", [(), (Callback(),)], ids=["whole epochs", "batch by batch"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.filterwarnings("ignore:.*momentum")
def test_lightnings_dict_means_what_it_means_there(name: str, callbacks: Any, runs_dir: Path, tmp_path: Path) -> None:
    def sgd(parameters: Any) -> Any:
        return torch.optim.SGD(parameters, lr=0.05)

    def configure(optimizer: Any) -> Any:
        if name in ("OneCycleLR", "CyclicLR"):  # which would cycle a momentum
            optimizer.defaults["momentum"] = optimizer.param_groups[0]["momentum"] = 0.9
        return CONFIGS[name](optimizer)

    run = fitted(runs_dir, configure, callbacks, optimizer=sgd)
    assert same(
        read_weights(run.last_checkpoint_path),  # type: ignore[arg-type]
        lightnings(configure, tmp_path).state_dict(),
    )


def test_accumulated_steps_count_once(runs_dir: Path, tmp_path: Path) -> None:
    def configure(optimizer: Any) -> Any:
        return {"scheduler": schedulers.ExponentialLR(optimizer, 0.8), "interval": "step"}

    run = fitted(runs_dir, configure, trainer_kwargs={"accumulate_grad_batches": 3})
    other = lightnings(configure, tmp_path, accumulate_grad_batches=3)
    assert same(read_weights(run.last_checkpoint_path), other.state_dict())  # type: ignore[arg-type]
    spans = fitted(
        runs_dir, {"scheduler": "LinearLR", "interval": "step"}, trainer_kwargs={"accumulate_grad_batches": 3}
    )
    assert spans.status == "finished"


@pytest.mark.parametrize("callbacks", [(), (Callback(),)], ids=["whole epochs", "batch by batch"])
def test_a_plateau_follows_the_metric_that_it_is_given(callbacks: Any, runs_dir: Path) -> None:
    def plateau(optimizer: Any) -> Any:
        made = schedulers.ReduceLROnPlateau(optimizer, patience=0, threshold=1e9, factor=0.1)
        return {"scheduler": made, "monitor": "train_obj", "frequency": 2}

    run = fitted(runs_dir, plateau, callbacks)
    assert run.column("lr") == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005])
    with pytest.raises(FieldError, match=r"monitor 'val_loss' is no metric of this fit; there are: .*dev_loss"):
        fitted(runs_dir, lambda o: {"scheduler": schedulers.ReduceLROnPlateau(o), "monitor": "val_loss"}, callbacks)


def rates(make: Callable[[Any], Any], steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05, momentum=0.9)
    scheduler, seen = make(optimizer), [0.0] * 0
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def with_momentum(parameters: Any) -> Any:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


@pytest.mark.parametrize("schedule", ["OneCycleLR", schedulers.OneCycleLR])
def test_one_cycle_by_name_spans_the_steps_of_the_fit(schedule: Any, runs_dir: Path) -> None:
    run = fitted(runs_dir, schedule, optimizer=with_momentum)
    expected = rates(lambda o: schedulers.OneCycleLR(o, 0.05, total_steps=5 * STEPS), 5 * STEPS)
    assert run.column("lr") == pytest.approx(expected[::STEPS])


def test_one_cycle_by_a_function_is_stepped_with_the_optimizer_which_is_said(runs_dir: Path) -> None:
    run = fitted(runs_dir, lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=5 * STEPS), optimizer=with_momentum)
    expected = rates(lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=5 * STEPS), 5 * STEPS)
    assert run.column("lr") == pytest.approx(expected[::STEPS])
    assert "OneCycleLR is stepped at every step" in str(run.remark)
    by_epoch = fitted(runs_dir, lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=5), optimizer=with_momentum)
    assert by_epoch.column("lr") == pytest.approx(rates(lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=5), 5))
    assert by_epoch.remark is None


@pytest.mark.parametrize("callbacks", [(), (Callback(),)], ids=["whole epochs", "batch by batch"])
def test_a_schedule_that_ends_before_the_fit_is_an_error_before_the_first_step(callbacks: Any, runs_dir: Path) -> None:
    stepped: list[int] = []

    class Counts(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            stepped.append(1)
            return super().step(closure)

    def optimizer(parameters: Any) -> Any:
        return Counts(parameters, lr=0.05, momentum=0.9)

    with pytest.raises(FieldError, match="total_steps=17, and this fit takes 20 steps"):
        fitted(runs_dir, lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=17), callbacks, optimizer=optimizer)
    assert not stepped


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=25), "does not come to its end"),
        (lambda o: schedulers.CosineAnnealingLR(o, 3), "rises again after 3"),
        (lambda o: schedulers.CosineAnnealingLR(o, 9), "does not come to its end"),
        (lambda o: schedulers.PolynomialLR(o, 2), "stays at its end after 2"),
        (lambda o: schedulers.LinearLR(o, total_iters=9), "does not come to its end"),
    ],
)
def test_a_schedule_of_another_length_is_said(schedule: Any, told: str, runs_dir: Path) -> None:
    with pytest.warns(UserWarning, match=told):
        run = fitted(runs_dir, schedule, optimizer=with_momentum)
    assert told in str(run.remark)


# --- runs that are extended ---

NAMES = ["CosineAnnealingLR", "ExponentialLR", "LinearLR", "OneCycleLR", "PolynomialLR", "StepLR"]


@pytest.mark.parametrize("callbacks", [(), (Callback(),)], ids=["whole epochs", "batch by batch"])
@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_by_name_is_stretched_from_its_present_value(name: str, callbacks: Any, runs_dir: Path) -> None:
    run = fitted(runs_dir, name, callbacks, max_epochs=6)
    before = run.column("lr")
    more = {} if not callbacks else {"callbacks": callbacks}
    longer = nmlab.fit(
        built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=12, **more), resume=run, runs_dir=runs_dir
    )
    lrs = longer.column("lr")
    assert lrs[:6] == before
    assert lrs[6] == pytest.approx(before[-1])
    falls = -1 if name == "LinearLR" else 1
    assert all(falls * a >= falls * b - 1e-15 for a, b in pairwise(lrs[6:]))
    assert min(lrs) > 0
    assert longer.settings["extended"] == [[6, 6, 12]]
    assert "max_epochs 6 → 12" in str(longer.remark)


@pytest.mark.parametrize("name", [*NAMES, "ReduceLROnPlateau"])
def test_an_extended_run_that_is_stopped_goes_on_as_undisturbed(name: str, runs_dir: Path) -> None:
    def options(epochs: int) -> TrainerOptions:
        return TrainerOptions(max_epochs=epochs)

    def extended(*lengths: int) -> Run:
        run = fitted(runs_dir, name, max_epochs=4)
        for epochs in lengths:
            run = nmlab.fit(built(rosenbrock), rosenbrock_data, options(epochs), resume=run, runs_dir=runs_dir)
        return run

    class Stop(Callback):
        def on_train_epoch_start(self, trainer: Any, _module: Any) -> None:
            if trainer.current_epoch == 7:
                raise KeyboardInterrupt  # Lightning ends the fit, which fails

    whole = extended(10)
    begun = extended()
    with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever Lightning makes of it
        nmlab.fit(
            built(rosenbrock),
            rosenbrock_data,
            options(10).replace(callbacks=[Stop()]),
            resume=begun,
            runs_dir=runs_dir,
        )
    again = options(10).replace(callbacks=[])
    assert rows(nmlab.fit(built(rosenbrock), rosenbrock_data, again, resume=begun, runs_dir=runs_dir)).equals(
        rows(whole)
    )
    assert extended(7, 10).settings["extended"] == [[4, 4, 7], [7, 7, 10]]


def test_a_schedule_by_a_function_is_asked_about_and_holds_from_the_first_epoch_on(runs_dir: Path) -> None:
    run = fitted(runs_dir, lambda o: schedulers.CosineAnnealingLR(o, 6), max_epochs=6)
    with pytest.raises(FieldError, match=r"lr_scheduler: a function made it for max_epochs=6.*12.*give it again"):
        nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=12), resume=run, runs_dir=runs_dir)
    given = TrainerOptions(max_epochs=12, lr_scheduler=lambda o: schedulers.CosineAnnealingLR(o, 12))
    longer = nmlab.fit(built(rosenbrock), rosenbrock_data, given, resume=run, runs_dir=runs_dir)
    whole = rates(lambda o: schedulers.CosineAnnealingLR(o, 12), 12)
    assert longer.column("lr")[6:] == pytest.approx(whole[6:])


def test_without_a_schedule_an_extended_run_is_as_if_it_had_been_so_long_from_the_start(runs_dir: Path) -> None:
    run = fitted(runs_dir, None)
    longer = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(max_epochs=8), resume=run, runs_dir=runs_dir)
    assert rows(longer).equals(rows(fitted(runs_dir, None, max_epochs=8)))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"scheduler": "StepLR", "intervall": "step"}, "'intervall'"),
        ({"scheduler": "StepLR", "interval": "batch"}, "'batch'"),
        ({"scheduler": "StepLR", "frequency": 0}, "frequency is 0"),
        ({"scheduler": "Steps"}, "StepLR"),
        ({"interval": "step"}, "no 'scheduler'"),
    ],
)
def test_what_is_wrong_with_a_dict_is_told_when_it_is_given(given: Any, told: str) -> None:
    with pytest.raises(FieldError, match=f"lr_scheduler: .*{told}"):
        TrainerOptions(lr_scheduler=given)
