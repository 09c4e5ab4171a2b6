"""The loss by which an epoch is best belongs to the weights that are kept, whatever optimizers and callbacks do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelPruning, StochasticWeightAveraging, WeightAveraging
from neuromancer.constraint import variable
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem
from neuromancer.system import Node

import nmlab
from nmlab import Run, TrainerOptions
from nmlab.problem.weights import read_weights
from tests.benchmark.contestants import BARE_SETTINGS, Bare, Slices
from tests.benchmark.plain import batches
from tests.helpers.fits import built, rows, same
from tests.helpers.problems import Returned, noisy, noisy_data, rosenbrock, rosenbrock_data


def whole_batch(nsim: int = 60) -> Returned:
    """Rosenbrock's samples as one batch, without a dev split."""
    train, _, test, _ = rosenbrock_data(nsim)
    return train, None, test, nsim


def lbfgs(search: str | None) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda parameters: torch.optim.LBFGS(parameters, lr=0.5, max_iter=5, line_search_fn=search)


class ThreeTimes(torch.optim.SGD):
    """Evaluates its closure three times a step, the second time at other weights, and heeds the last gradient."""

    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            first = closure()
            for group in self.param_groups:
                for value in group["params"]:
                    value.data.add_(1e-2)
            closure()
            for group in self.param_groups:
                for value in group["params"]:
                    value.data.sub_(1e-2)
            closure()
        super().step()
        return first


def three_times(parameters: Any) -> torch.optim.Optimizer:
    return ThreeTimes(parameters, lr=1e-2)


def plain_losses(problem: Any, optimizer: Any, epochs: int, batch_size: int, clip: float | None) -> list[float]:
    """The first loss of each step, as a plain loop has it, over an epoch's samples."""
    torch.manual_seed(3)
    train, *_ = whole_batch()
    losses = []
    for _ in range(epochs):
        total = 0.0
        for batch in batches(train, train.datadict, batch_size):

            def closure(batch: Any = batch) -> torch.Tensor:
                optimizer.zero_grad()
                loss = problem(dict(batch))["train_loss"]
                loss.backward()
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_(problem.parameters(), clip)
                return loss  # type: ignore[no-any-return]

            total += float(optimizer.step(closure).detach()) * len(batch["a"])
        losses.append(total / len(train))
    return losses


@pytest.mark.parametrize("callbacks", [(), (Callback(),)], ids=["whole epochs", "batch by batch"])
@pytest.mark.parametrize("batch_size", [60, 25])
@pytest.mark.parametrize(
    ("optimizer", "clip"),
    [(lbfgs("strong_wolfe"), None), (lbfgs("strong_wolfe"), 1.0), (lbfgs(None), 1.0), (three_times, None)],
    ids=["strong Wolfe", "strong Wolfe, clipped", "no line search", "a user's"],
)
@pytest.mark.filterwarnings("ignore:There is no dev split")
def test_one_evaluation_counts_for_a_step(
    optimizer: Any, clip: float | None, batch_size: int, callbacks: Any, runs_dir: Path
) -> None:
    def data() -> Returned:
        return (*whole_batch()[:3], batch_size)

    plain, problem = built(rosenbrock), built(rosenbrock)
    losses = plain_losses(plain, optimizer(plain.parameters()), 5, batch_size, clip)
    options = TrainerOptions(max_epochs=5, seed=3, optimizer=optimizer, gradient_clip_val=clip, callbacks=callbacks)
    run = nmlab.fit(problem, data, options, runs_dir=runs_dir)
    assert run.column("train_loss") == pytest.approx(losses, rel=1e-6)
    assert same(read_weights(run.last_checkpoint_path), plain.state_dict())  # type: ignore[arg-type]


def test_an_evaluation_within_a_step_may_be_infinite(runs_dir: Path) -> None:
    """A line search that goes too far comes back."""

    class TooFar(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.enable_grad():
                first = closure()
                held = [value.detach().clone() for group in self.param_groups for value in group["params"]]
                taken = [value.grad.clone() for group in self.param_groups for value in group["params"]]
                for group in self.param_groups:
                    for value in group["params"]:
                        value.data.fill_(float("inf"))
                closure()
            values = [value for group in self.param_groups for value in group["params"]]
            for value, before, gradient in zip(values, held, taken, strict=True):
                value.data.copy_(before)
                value.grad = gradient
            super().step()
            return first

    options = TrainerOptions(max_epochs=2, seed=1, optimizer=lambda parameters: TooFar(parameters, lr=1e-3))
    assert nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir).status == "finished"


def loss_of(problem: Any, split: str, dataset: Any) -> float:
    problem.train(split == "train")
    with torch.no_grad():
        return float(problem({**dataset.datadict, "name": split})[f"{split}_loss"])


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize("callbacks", [(), (Callback(),)], ids=["whole epochs", "batch by batch"])
@pytest.mark.filterwarnings("ignore:There is no dev split")
def test_with_one_step_an_epoch_the_best_train_loss_is_that_of_the_weights(
    callbacks: Any, epochs: int, runs_dir: Path
) -> None:
    problem = built(rosenbrock)
    options = TrainerOptions(max_epochs=epochs, seed=3, optimizer=lbfgs("strong_wolfe"), callbacks=callbacks)
    run = nmlab.fit(problem, whole_batch, options, runs_dir=runs_dir)
    torch.manual_seed(3)
    train, *_ = whole_batch()
    assert run.best_value == pytest.approx(loss_of(problem, "train", train), rel=1e-6)
    assert run.best_value < min(run.column("train_loss"))  # type: ignore[operator]  # the last step's weights are the best
    assert same(Run(run.folder).restore(built(rosenbrock, 9)).state_dict(), problem.state_dict())
    assert "before each step" in str(run.remark)
    more = options.replace(max_epochs=epochs + 3)
    longer = nmlab.fit(problem, whole_batch, more, resume=run, runs_dir=runs_dir)
    whole = nmlab.fit(built(rosenbrock), whole_batch, more, runs_dir=runs_dir)
    assert rows(longer).equals(rows(whole))
    assert (longer.best_epoch, longer.best_value) == (whole.best_epoch, whole.best_value)


@pytest.mark.filterwarnings("ignore:There is no dev split")
def test_with_one_step_an_epoch_a_worse_step_is_not_kept(runs_dir: Path) -> None:
    problem = built(rosenbrock)
    options = TrainerOptions(max_epochs=6, seed=3, optimizer="SGD", lr=0.5, gradient_clip_val=1.0)
    run = nmlab.fit(problem, whole_batch, options, runs_dir=runs_dir)
    torch.manual_seed(3)
    assert run.best_value == pytest.approx(loss_of(problem, "train", whole_batch()[0]), rel=1e-6)


# --- callbacks that average weights, or change them at the end ---


class Swaps(Callback):
    """A user's own: every dev pass is of weights that are half of the present ones."""

    def _scale(self, module: Any, by: float) -> None:
        for value in module.problem.parameters():
            value.data.mul_(by)

    def on_validation_start(self, _trainer: Any, module: Any) -> None:
        self._scale(module, 0.5)

    def on_validation_end(self, _trainer: Any, module: Any) -> None:
        self._scale(module, 2.0)


CALLBACKS: dict[str, Callable[[], Callback]] = {
    "SWA": lambda: StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=2, annealing_epochs=2),
    "EMA": lambda: EMAWeightAveraging(decay=0.9),
    "average": WeightAveraging,
    "pruning": lambda: ModelPruning("l1_unstructured", amount=0.3),
    "a user's": Swaps,
}


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize(("builder", "data"), [(rosenbrock, rosenbrock_data), (noisy, noisy_data)])
@pytest.mark.filterwarnings("ignore:.*weights that a callback left")
def test_the_weights_that_are_scored_are_kept(name: str, builder: Any, data: Any, runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=6, seed=3, lr=1e-2, callbacks=[CALLBACKS[name]()])
    problems = [built(builder), built(builder)]
    runs = [nmlab.fit(problem, data, options, runs_dir=runs_dir) for problem in problems]
    torch.manual_seed(3)
    dev = data()[1]
    for run, problem in zip(runs, problems, strict=True):
        assert run.best_value == pytest.approx(loss_of(problem, "dev", dev), rel=1e-5)
        restored: Any = Run(run.folder).restore(built(builder, 9))
        assert run.best_value == pytest.approx(loss_of(restored, "dev", dev), rel=1e-5)
    assert rows(runs[0]).equals(rows(runs[1])), "the same object begins every run as it was given"


@pytest.mark.parametrize("name", ["SWA", "EMA", "average"])
def test_averages_are_lightnings_own(name: str, runs_dir: Path, tmp_path: Path) -> None:
    """What Lightning alone ends with is what the last row, or the score after it, is of."""
    torch.manual_seed(6)
    train, dev, _, batch_size = rosenbrock_data()
    loaders: list[Any] = [Slices(split, batch_size, "cpu") for split in (train, dev)]
    bare = Bare(built(rosenbrock))
    callbacks = [CALLBACKS[name]()]
    settings = {"max_epochs": 5, "accelerator": "cpu", **BARE_SETTINGS}
    Trainer(**settings, default_root_dir=tmp_path, callbacks=callbacks).fit(bare, *loaders)
    seen: list[Any] = []

    class Ends(Callback):
        def on_train_end(self, _trainer: Any, module: Any) -> None:
            seen.append({key: value.clone() for key, value in module.problem.state_dict().items()})

    options = TrainerOptions(max_epochs=5, seed=6, callbacks=[CALLBACKS[name](), Ends()])
    nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    assert same(seen[0], bare.problem.state_dict())


def test_a_resumed_run_with_averages_ends_where_the_undisturbed_would_have(runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=6, seed=3, lr=1e-2, callbacks=[EMAWeightAveraging(decay=0.9)])
    whole = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    half = nmlab.fit(built(rosenbrock), rosenbrock_data, options.replace(max_epochs=3), runs_dir=runs_dir)
    more = nmlab.fit(built(rosenbrock, 9), rosenbrock_data, options, resume=half, runs_dir=runs_dir)
    assert rows(more).equals(rows(whole))
    assert same(more.problem.state_dict(), whole.problem.state_dict())  # type: ignore[union-attr]


class Uncopyable(torch.nn.Module):
    """A node's function that no deep copy can be made of, as one with a solver or a lock in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.lock = threading.Lock()

    def forward(self, a: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([a, p], -1))  # type: ignore[no-any-return]


def uncopyable() -> Problem:
    size = (variable("x") ** 2).minimize(name="size")
    return Problem([Node(Uncopyable(), ["a", "p"], ["x"], name="map")], PenaltyLoss([size], []))


@pytest.mark.parametrize("name", ["SWA", "EMA"])
def test_a_problem_that_cannot_be_copied_is_averaged_all_the_same(name: str, runs_dir: Path) -> None:
    problem = built(uncopyable)
    options = TrainerOptions(max_epochs=4, seed=3, callbacks=[CALLBACKS[name]()])
    with pytest.warns(UserWarning, match="cannot be copied as a whole .*shares everything else"):
        run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=runs_dir)
    torch.manual_seed(3)
    assert run.best_value == pytest.approx(loss_of(problem, "dev", rosenbrock_data()[1]), rel=1e-5)


class Holds(Callback):
    """Its state is no plain data."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def state_dict(self) -> dict[str, Any]:
        return {"held": self.held}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.held = state_dict["held"]


class Custom:
    pass


@pytest.mark.parametrize("held", [threading.Lock(), Custom(), {"deep": [Custom()]}], ids=["lock", "object", "nested"])
def test_a_state_that_no_checkpoint_can_hold_is_left_out_and_said(held: Any, runs_dir: Path) -> None:
    options = TrainerOptions(max_epochs=2, seed=3, callbacks=[Holds(held)])
    with pytest.warns(UserWarning, match=r"state of .*Holds .*(a checkpoint cannot keep|cannot be copied)"):
        run = nmlab.fit(built(rosenbrock), rosenbrock_data, options, runs_dir=runs_dir)
    with pytest.warns(UserWarning, match=r"state of .*Holds"):
        longer = nmlab.fit(
            built(rosenbrock), rosenbrock_data, options.replace(max_epochs=4), resume=run, runs_dir=runs_dir
        )
    whole = TrainerOptions(max_epochs=4, seed=3)
    assert rows(longer).equals(rows(nmlab.fit(built(rosenbrock), rosenbrock_data, whole, runs_dir=runs_dir)))


def test_lightnings_callbacks_that_are_tried_here_are_those_that_change_weights() -> None:
    known = {"StochasticWeightAveraging", "EMAWeightAveraging", "WeightAveraging", "ModelPruning"}
    assert known <= set(lightning_callbacks.__all__)
