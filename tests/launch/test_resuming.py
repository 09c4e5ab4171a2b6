"""Runs that are gone on with: on other data, after a kill at any moment, with another patience."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

import nmlab
from nmlab import Run, TrainerOptions
from nmlab.problem.weights import read_weights
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import PROBLEMS, Returned, noisy, noisy_data, rosenbrock, rosenbrock_data
from tests.helpers.processes import fresh

OPTIONS = TrainerOptions(max_epochs=4, seed=3, lr=0.02)


def scored(problem: Any, dataset: Any) -> float:
    problem.eval()
    with torch.no_grad():
        return float(problem({**dataset.datadict, "name": "dev"})["dev_loss"])


def far_data(nsim: int = 100) -> Returned:
    """Rosenbrock's with other bounds, on which every loss is larger."""
    return rosenbrock_data(nsim, 32, 20.0, 30.0)


CHANGES: dict[str, Any] = {
    "keywords": (rosenbrock_data, {"p_low": 0.01, "p_high": 0.02}, {}),
    "function": (far_data, {}, {}),
    "monitor": (rosenbrock_data, {}, {"monitor": "dev_order_violation_max"}),
    "mode": (rosenbrock_data, {}, {"mode": "max"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_on_other_data_the_best_is_scored_anew_and_the_record_says_where(change: str, runs_dir: Path) -> None:
    data, kwargs, options = CHANGES[change]
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, OPTIONS, runs_dir=runs_dir)
    before = read_weights(run.checkpoint_path)  # type: ignore[arg-type]
    given = TrainerOptions(max_epochs=7, **options)
    problem = built(rosenbrock)
    more = nmlab.fit(problem, data, given, data_kwargs=kwargs, resume=run, runs_dir=runs_dir)
    sign = -1.0 if more.mode == "max" else 1.0
    new = [sign * value for value in more.column(more.monitor)[4:]]
    assert sign * more.best_value <= min(new)  # type: ignore[operator]
    if more.best_epoch >= 4:  # type: ignore[operator]
        assert more.best_value == more.column(more.monitor)[more.best_epoch]  # type: ignore[index]
    else:
        assert same(problem.state_dict(), before)
    assert "From epoch 4 on with other" in str(more.remark)
    if change in ("keywords", "function"):
        torch.manual_seed(3)
        assert more.best_value == pytest.approx(scored(problem, data(**kwargs)[1]), rel=1e-5)
        assert [entry["epoch"] for entry in more.settings["changed"]] == [4]
    assert same(Run(more.folder).restore(built(rosenbrock, 9)).state_dict(), problem.state_dict())


def test_data_that_changed_though_nothing_tells_are_noticed(runs_dir: Path, tmp_path: Path) -> None:
    torch.save(rosenbrock_data(), tmp_path / "data.pt")

    def stored() -> Any:
        return torch.load(tmp_path / "data.pt", weights_only=False)

    run = nmlab.fit(built(rosenbrock), stored, OPTIONS, runs_dir=runs_dir)
    same_data = nmlab.fit(built(rosenbrock), stored, TrainerOptions(max_epochs=5), resume=run, runs_dir=runs_dir)
    assert "no longer" not in str(same_data.remark)
    torch.save(far_data(), tmp_path / "data.pt")
    more = nmlab.fit(built(rosenbrock), stored, TrainerOptions(max_epochs=6), resume=run, runs_dir=runs_dir)
    assert "the same weights no longer have the same" in str(more.remark)
    assert more.best_value == pytest.approx(scored(more.problem, far_data()[1]), rel=1.0)
    assert more.best_value > min(more.column("dev_loss")[:5])  # type: ignore[operator]


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_nothing_is_said_to_have_changed_where_nothing_has(name: str, runs_dir: Path) -> None:
    builder, data = PROBLEMS[name]
    run = nmlab.fit(built(builder), data, OPTIONS, runs_dir=runs_dir)
    more = nmlab.fit(built(builder, 9), data, TrainerOptions(max_epochs=6), resume=run, runs_dir=runs_dir)
    whole = nmlab.fit(built(builder), data, OPTIONS.replace(max_epochs=6), runs_dir=runs_dir)
    assert rows(more).equals(rows(whole))
    assert (more.best_epoch, more.best_value) == (whole.best_epoch, whole.best_value)
    assert "with other" not in str(more.remark)


def test_a_plateau_and_patience_begin_anew_on_other_data(runs_dir: Path) -> None:
    options = OPTIONS.replace(lr_scheduler="ReduceLROnPlateau", patience=3)
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    more = nmlab.fit(built(rosenbrock), far_data, TrainerOptions(max_epochs=9), resume=run, runs_dir=runs_dir)
    assert more.epochs > 7  # by the old best it would have ended after three more


# --- killed at any moment ---

KILLED = """
import os, sys, tempfile
from pathlib import Path
import torch
import nmlab
from nmlab import RunStore, TrainerOptions
from nmlab.runtime import files
from tests.helpers.fits import built, rows
from tests.helpers.problems import noisy, noisy_data

options = TrainerOptions(max_epochs=3, seed=11, tensorboard=False)
whole = rows(nmlab.fit(built(noisy), noisy_data, options, runs_dir=tempfile.mkdtemp()))
replace, begun = os.replace, 0
seeded = lambda: built(noisy)

def killing(at):
    left = [at]
    def one(*arguments):
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)  # as a SIGKILL would: nothing is closed, nothing written
        return replace(*arguments)
    os.replace = one

for given in (lambda: built(noisy), lambda: seeded):
    for at in range(100):
        folder = tempfile.mkdtemp()
        child = os.fork()
        if child == 0:
            killing(at)
            nmlab.fit(given(), noisy_data, options, runs_dir=folder)
            os._exit(0)
        ended = os.waitpid(child, 0)[1]
        [run] = RunStore(folder).runs()
        if ended == 0:
            break
        if run.damage:  # there are no settings yet, and nothing to go on with
            continue
        assert run.status == "interrupted", run.status
        problem = given() if run.settings["problem_source"] else built(noisy, 5)
        resumed = nmlab.fit(problem, noisy_data, TrainerOptions(max_epochs=3), resume=run, runs_dir=folder)
        assert rows(resumed).equals(whole), at
        begun += 1
print(begun)
"""


def test_a_run_killed_at_any_of_its_writes_goes_on_as_undisturbed() -> None:
    assert sys.platform == "win32" or int(fresh(KILLED).split()[-1]) > 8


# --- patience ---


class Losses(Callback):
    """Gives the dev passes these losses, whatever the Problem's are."""

    def __init__(self, losses: list[float]) -> None:
        self._losses = losses

    def on_validation_epoch_start(self, trainer: Any, module: Any) -> None:
        if not trainer.sanity_checking:
            self._module, self._next = module, self._losses.pop(0)

    def on_validation_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        for values in module.totals["dev"]._waiting:
            values[0] = torch.tensor(self._next)


@pytest.mark.parametrize(
    ("kwargs", "patience", "losses", "epochs"),
    [
        # at each dev pass without improvement: have `patience` epochs passed since the best?
        ({}, 2, [5.0, 4.0, 6.0, 6.0, 6.0], 4),
        ({"check_val_every_n_epoch": 2}, 2, [5.0, 6.0, 1.0], 4),
        ({"check_val_every_n_epoch": 2}, 3, [5.0, 6.0, 6.0, 6.0], 6),
        ({"check_val_every_n_epoch": 3}, 2, [5.0, 4.0, 6.0, 6.0], 9),
        ({"val_check_interval": 2}, 1, [5.0, 4.0, 6.0, 6.0, 6.0], 2),
    ],
)
def test_patience_counts_epochs_since_the_best_dev_pass(
    kwargs: Any, patience: int, losses: list[float], epochs: int, runs_dir: Path
) -> None:
    options = TrainerOptions(
        max_epochs=12, seed=1, patience=patience, trainer_kwargs=kwargs, callbacks=[Losses([*losses, *[9.0] * 40])]
    )
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert run.epochs == epochs


def test_patience_that_is_raised_or_new_counts_as_if_from_the_start(runs_dir: Path) -> None:
    still = TrainerOptions(max_epochs=30, lr=1e-12, optimizer="SGD", seed=1)
    ended = nmlab.fit(built(rosenbrock), rosenbrock_data, still.replace(patience=3), runs_dir=runs_dir)
    assert ended.epochs == 4
    more = nmlab.fit(built(rosenbrock), rosenbrock_data, TrainerOptions(patience=6), resume=ended, runs_dir=runs_dir)
    whole = nmlab.fit(built(rosenbrock), rosenbrock_data, still.replace(patience=6), runs_dir=runs_dir)
    assert rows(more).equals(rows(whole))
    none = nmlab.fit(built(rosenbrock), rosenbrock_data, still.replace(max_epochs=4), runs_dir=runs_dir)
    given = TrainerOptions(patience=6, max_epochs=30)
    new = nmlab.fit(built(rosenbrock), rosenbrock_data, given, resume=none, runs_dir=runs_dir)
    assert rows(new).equals(rows(whole))


@pytest.mark.filterwarnings("ignore:There is no dev split")
def test_patience_of_a_train_metric_counts_every_epoch(runs_dir: Path) -> None:
    options = TrainerOptions(
        max_epochs=9,
        seed=1,
        patience=2,
        monitor="train_loss",
        lr=1e-12,
        optimizer="SGD",
        trainer_kwargs={"check_val_every_n_epoch": 5},
    )
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert run.epochs == 3
    assert math.isnan(run.column("dev_loss")[0])
    assert nmlab.fit(built(noisy), noisy_data, OPTIONS, runs_dir=runs_dir).epochs == 4
