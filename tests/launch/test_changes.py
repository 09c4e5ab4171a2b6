"""Learning rate and weights of terms that change while a fit trains: the numbers of a plain loop with these changes."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import lr_scheduler as schedulers

import nmlab
from nmlab import FieldError, Run, RunStore, TrainerOptions
from nmlab.problem.weights import read_weights
from nmlab.provenance.script import script
from nmlab.runs import Comparison, best_of
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import rosenbrock, rosenbrock_data

EPOCHS = 6
CHANGES = [
    {"epoch": 2, "lr": 3e-3, "weights": {"order": 2.5}},
    {"epoch": 4, "lr": 7e-4, "weights": {"circle": 30.0, "obj": 0.5}},
]
DATA = {"nsim": 40, "batch_size": 16}


def groups(parameters: Any) -> torch.optim.Optimizer:
    """Two groups with rates of their own."""
    first, *others = parameters
    return torch.optim.Adam([{"params": [first], "lr": 0.01}, {"params": others, "lr": 0.003}])


def lambdas(optimizer: torch.optim.Optimizer) -> Any:
    return schedulers.LambdaLR(optimizer, lambda epoch: 0.9**epoch)


def sequence(optimizer: torch.optim.Optimizer) -> Any:
    warm = schedulers.LinearLR(optimizer, 0.5, total_iters=2)
    return schedulers.SequentialLR(optimizer, [warm, schedulers.ExponentialLR(optimizer, 0.8)], milestones=[3])


SCHEDULES: dict[str, Any] = {
    "none": None,
    "steps": lambda optimizer: schedulers.StepLR(optimizer, 2, 0.5),
    "exponential": lambda optimizer: schedulers.ExponentialLR(optimizer, 0.9),
    "lambdas": lambdas,
    "sequence": sequence,
}


def fitted(folder: Path, **options: Any) -> Run:
    given = {"max_epochs": EPOCHS, "seed": 4, "gradient_clip_val": 1.0, "optimizer": groups, "changes": CHANGES}
    problem = built(rosenbrock)
    return nmlab.fit(
        problem, rosenbrock_data, TrainerOptions(**{**given, **options}), runs_dir=folder, data_kwargs=DATA
    )


def plain(schedule: Callable[[Any], Any] | None) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """What a user writes without nmlab: the same steps, rates and weights changed by hand."""
    problem = built(rosenbrock)
    terms = {term.name: term for term in (*problem.loss.objectives, *problem.loss.constraints)}
    optimizer = groups(problem.parameters())
    scheduler = None if schedule is None else schedule(optimizer)
    torch.manual_seed(4)
    train, dev, _, size = rosenbrock_data(**DATA)
    base, found = 0.01, []
    for epoch in range(EPOCHS):
        for change in (each for each in CHANGES if each["epoch"] == epoch):
            lr: float = change["lr"]  # type: ignore[assignment]
            rates = {"lr", "initial_lr"}
            for group in optimizer.param_groups:
                for name in rates & group.keys():
                    group[name] = lr if group[name] == base else group[name] * (lr / base)
            for each in (scheduler, *getattr(scheduler, "_schedulers", ())):
                if each is not None and hasattr(each, "base_lrs"):
                    each.base_lrs = [lr if rate == base else rate * (lr / base) for rate in each.base_lrs]
            base = lr
            for name, weight in change["weights"].items():  # type: ignore[attr-defined]
                terms[name].weight = weight
        row = {"lr": optimizer.param_groups[0]["lr"]}
        problem.train()
        for start in range(0, len(train), size):
            batch = {key: value[start : start + size] for key, value in train.datadict.items()}
            loss = problem({**batch, "name": "train"})["train_loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(problem.parameters(), 1.0)
            optimizer.step()
        problem.eval()
        sums = 0.0
        with torch.no_grad():
            for start in range(0, len(dev), size):
                batch = {key: value[start : start + size] for key, value in dev.datadict.items()}
                sums += float(problem({**batch, "name": "dev"})["dev_loss"]) * (len(batch["a"]) / len(dev))
        found.append(row | {"dev_loss": sums})
        if scheduler is not None:
            scheduler.step()
    return found, problem.state_dict()


class Watcher(Callback):
    """For whose sake a fit goes batch by batch."""


def last_weights(run: Run) -> dict[str, torch.Tensor]:
    assert run.last_checkpoint_path is not None
    return read_weights(run.last_checkpoint_path)


@pytest.mark.parametrize(
    ("schedule", "how"), [*((name, "whole epochs") for name in SCHEDULES), ("sequence", "batch by batch")]
)
def test_changes_give_the_numbers_of_a_plain_loop_that_makes_them(schedule: str, how: str, tmp_path: Path) -> None:
    expected, weights = plain(SCHEDULES[schedule])
    callbacks = [Watcher()] if how == "batch by batch" else []
    run = fitted(tmp_path, lr_scheduler=SCHEDULES[schedule], callbacks=callbacks)
    assert run.column("lr") == [row["lr"] for row in expected]
    assert run.column("dev_loss") == pytest.approx([row["dev_loss"] for row in expected], rel=1e-12)
    assert same(last_weights(run), weights)
    assert run.changes == CHANGES
    for change in ("From epoch 2 on: lr 0.003, weight of order 2.5.", "From epoch 4 on: lr 0.0007"):
        assert change in str(run.remark)


@pytest.mark.parametrize(
    ("schedule", "done"), [("exponential", 2), ("CosineAnnealingLR", 3), ("OneCycleLR", 5), ("plateau", 4)]
)
def test_a_run_goes_on_as_if_it_had_not_been_interrupted(schedule: str, done: int, tmp_path: Path) -> None:
    known = {**SCHEDULES, "plateau": lambda made: schedulers.ReduceLROnPlateau(made, patience=0)}
    options: dict[str, Any] = {"lr_scheduler": known.get(schedule, schedule), "optimizer": None}
    whole = fitted(tmp_path, **options)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
            if trainer.current_epoch + 1 == done:
                raise KeyboardInterrupt

    short = None
    try:
        fitted(tmp_path, **options, callbacks=[Stop()])
    except KeyboardInterrupt:
        short = RunStore(tmp_path).runs()[-1]
    assert short is not None
    assert short.epochs < EPOCHS
    again = TrainerOptions(callbacks=[], lr_scheduler=options["lr_scheduler"])
    more = nmlab.fit(built(rosenbrock), rosenbrock_data, again, runs_dir=tmp_path, resume=short)
    assert rows(more).equals(rows(whole))
    assert more.best_epoch == whole.best_epoch
    assert more.best_value == pytest.approx(whole.best_value)
    assert same(more.problem.state_dict(), whole.problem.state_dict())  # type: ignore[union-attr]
    assert more.test_metrics == whole.test_metrics


def test_the_best_epoch_is_that_of_the_weights_that_hold(tmp_path: Path) -> None:
    """Ten times smaller weights make the loss smaller, and nothing better."""
    changes = [{"epoch": 3, "weights": {"order": 0.0, "circle": 0.0, "obj": 1e-3}}]
    run = fitted(tmp_path, lr=1e-12, optimizer="SGD", changes=changes, patience=9)
    losses = run.column("dev_loss")
    assert max(losses[3:]) < min(losses[:3]) / 10
    assert run.best_value == pytest.approx(losses[3])
    free = fitted(tmp_path, changes=changes, monitor="dev_obj_raw")
    assert free.best_value == min(free.column("dev_obj_raw"))


def test_a_raw_value_is_there_from_the_first_epoch_on(tmp_path: Path) -> None:
    run = fitted(tmp_path, optimizer=None)
    frame = run.metrics
    weights = [1.0] * 4 + [0.5] * 2
    assert (frame["dev_obj_raw"] * weights).to_numpy() == pytest.approx(frame["dev_obj"].to_numpy())


def test_such_a_run_is_compared_with_those_alone_in_which_the_same_changed(tmp_path: Path) -> None:
    changed, again, other = (fitted(tmp_path, optimizer=None, changes=each) for each in (CHANGES, CHANGES, ()))
    assert "they differ in what changed while it trained" in Comparison(changed, other).verdict
    assert "can be compared" in Comparison(changed, again).verdict
    assert not best_of([changed, other])


def test_its_script_makes_the_changes(tmp_path: Path) -> None:
    text = script(fitted(tmp_path, optimizer=None))
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    given = [word.value for call in calls for word in call.keywords if word.arg == "changes"]
    assert [ast.literal_eval(value) for value in given] == [CHANGES]


def test_changes_are_checked_with_all_faults_at_once(tmp_path: Path) -> None:
    wrong: list[Any] = [{"epoch": -1, "lr": 1.0}, {"epoch": 1}, {"epoch": 1, "lr": 0, "weights": {"order": -1.0}}, 5]
    with pytest.raises(FieldError) as caught:
        TrainerOptions(changes=wrong)
    assert [*caught.value.faults] == [
        "changes[0].epoch",
        "changes[1]",
        "changes[2].weights.order",
        "changes[2].lr",
        "changes[3]",
    ]
    with pytest.raises(FieldError, match=r"changes\[0\]\.weights\.ordr: not a term"):
        fitted(tmp_path, changes=[{"epoch": 1, "weights": {"ordr": 1.0}}])
    zero = {"order": 0.0, "circle": 0.0, "obj": 0.0}
    with pytest.raises(FieldError, match=r"changes\[0\]\.weights: all terms have the weight 0"):
        fitted(tmp_path, changes=[{"epoch": 1, "weights": zero}])
