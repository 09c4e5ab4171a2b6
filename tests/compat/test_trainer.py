"""`Trainer`: NeuroMANCER's weights to the last bit, its callbacks and loggers, and nmlab's record of it."""

import _thread
import base64
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import neuromancer.trainer
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from neuromancer.callbacks import Callback
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset, StaticDataset
from neuromancer.loggers import BasicLogger, LossLogger
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP, StackedMLP
from neuromancer.modules.function_encoder import FunctionEncoder
from neuromancer.modules.solvers import GradientProjection
from neuromancer.problem import Problem
from neuromancer.system import Node
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler, WeightedRandomSampler

import nmlab
from nmlab import FieldError, NonFiniteLossError, RunError
from nmlab.data.loader import SplitsDataModule
from nmlab.data.splits import Splits
from nmlab.runtime.rng import CallersStreams
from tests.helpers.fits import built, same
from tests.helpers.problems import (
    integrator,
    integrator_data,
    noisy,
    noisy_data,
    pinn,
    pinn_data,
    projection,
    rosenbrock,
    rosenbrock_data,
    sequence,
    sequence_data,
)

Loaders = tuple[Any, Any, Any]
Given = dict[str, Any]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaders(data: Callable[..., Any] = rosenbrock_data, *sizes: int, **more: Any) -> Loaders:
    """DataLoaders of a data function's splits, of their own sizes where any are given."""
    torch.manual_seed(1)
    *splits, size = data()
    return tuple(  # type: ignore[return-value]
        DataLoader(split, sizes[number] if sizes else size, collate_fn=split.collate_fn, **more)
        for number, split in enumerate(splits)
    )


def number(value: Any) -> float:
    return float(torch.as_tensor(value).detach())


class Outcome:
    """A training by one of the two trainers, from the same weights, data and random state."""

    def __init__(self, kind: Any, builder: Any, make: Callable[[], Loaders], given: Given, use: Any = None) -> None:
        problem, data = built(builder), make()
        more = given(problem) if callable(given) else given
        torch.manual_seed(2)
        np.random.seed(2)
        self.trainer = kind(problem, *data, **{"epochs": 4, **more})
        self.best = self.trainer.train() if use is None else use(self.trainer)
        self.drawn = torch.rand(3)
        self.weights = problem.state_dict()


def both(builder: Any, make: Callable[[], Loaders], given: Any = None, use: Any = None) -> tuple[Outcome, Outcome]:
    """The same by NeuroMANCER's Trainer and by nmlab's, which must come to the same."""
    theirs = Outcome(neuromancer.trainer.Trainer, builder, make, given or {}, use)
    own = {"eval_last_batch": True}
    more = (lambda problem: given(problem) | own) if callable(given) else (given or {}) | own
    ours = Outcome(nmlab.Trainer, builder, make, more, use)  # type: ignore[arg-type]
    assert same(dict(theirs.best), dict(ours.best))
    assert same(theirs.weights, ours.weights)
    assert torch.equal(theirs.drawn, ours.drawn)
    for name in ("current_epoch", "badcount"):
        assert getattr(theirs.trainer, name) == getattr(ours.trainer, name)
    assert number(theirs.trainer.best_devloss) == number(ours.trainer.best_devloss)
    assert ours.trainer.model.training == theirs.trainer.model.training
    return theirs, ours


# --- kinds of problems ---


def frozen() -> Problem:
    problem = rosenbrock()
    problem.nodes[0].callable.linear[0].requires_grad_(False)
    return problem


def fidelities() -> Problem:
    network = StackedMLP(1, 1, n_stacked_mf_layers=2, h_sf_size=[4], h_nonlinear_sizes=[4], h_linear_sizes=[])
    fit = ((variable("y") - variable("seen")) ** 2).minimize(name="fit")
    return Problem([Node(network, ["x"], ["y"], name="stack")], PenaltyLoss([fit], []))


class Walk(nn.Module):
    """An Euler-Maruyama scheme with a drift that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.drift = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = x + 0.1 * self.drift(x) + 0.03 * torch.randn_like(x)
        return x


def stochastic() -> Problem:
    fit = ((variable("y") - variable("seen")) ** 2).minimize(name="fit")
    return Problem([Node(Walk(), ["x"], ["y"], name="walk")], PenaltyLoss([fit], []))


def encoder() -> Problem:
    bases = FunctionEncoder([MLP(1, 1, hsizes=[4]) for _ in range(2)])
    node = Node(bases, ["xs", "ys", "xs"], ["guess", "gram"], name="encoder")
    fit = ((variable("guess") - variable("ys")) ** 2).minimize(name="fit")
    return Problem([node], PenaltyLoss([fit], []))


def encoder_data() -> Any:
    def split(name: str) -> DictDataset:
        xs = torch.rand(6, 5, 1)
        return DictDataset({"xs": xs, "ys": torch.rand(6, 1, 1) * xs**2}, name=name)

    return split("train"), split("dev"), split("test"), 4


def mixed_integer() -> Problem:
    relaxed = Node(MLP(2, 2, hsizes=[6]), ["a", "p"], ["r"], name="map")
    rounded = Node(lambda r: r + (torch.round(r) - r).detach(), ["r"], ["x"], name="round")
    size = ((variable("x") - 1.5 * variable("p")) ** 2).minimize(name="size")
    return Problem([relaxed, rounded], PenaltyLoss([size], [10.0 * (variable("x") >= variable("a"))]))


def projected() -> Problem:
    solution = Node(MLP(2, 2, hsizes=[8]), ["a", "p"], ["x"], name="map")
    x, a, p = variable("x"), variable("a"), variable("p")
    circle = 10.0 * (x[:, [0]] ** 2 + x[:, [1]] ** 2 <= p**2)
    circle.name = "circle"
    steps = GradientProjection([circle], ["x"], ["x"], num_steps=2, step_size=0.1, name="projection")
    objective = ((1 - x[:, [0]]) ** 2 + a * (x[:, [1]] - x[:, [0]] ** 2) ** 2).minimize(name="obj")
    return Problem([solution, steps], PenaltyLoss([objective], [circle]), grad_inference=True)


def layer_data() -> Any:
    p = torch.rand(8, 1)
    return *(DictDataset({"p": p}, name=name) for name in ("train", "dev", "test")), 4


def static_data() -> Any:
    def split(name: str) -> StaticDataset:
        return StaticDataset({"a": np.random.rand(20, 1), "p": np.random.rand(20, 1)}, name=name)

    return split("train"), split("dev"), split("test"), 8


NSTEP = {f"{split}_metric": f"nstep_{split}_loss" for split in ("train", "dev", "test")}
KINDS: dict[str, tuple[Any, Callable[[], Loaders], Any]] = {
    "as it stands": (rosenbrock, loaders, {}),
    "shuffled": (rosenbrock, lambda: loaders(shuffle=True), {}),
    "drop_last": (rosenbrock, lambda: loaders(shuffle=True, drop_last=True), {}),
    "unlike sizes": (rosenbrock, lambda: loaders(rosenbrock_data, 16, 64, 7), {}),
    "dropout and batch norm": (noisy, lambda: loaders(noisy_data, shuffle=True), {}),
    "rollouts": (integrator, lambda: loaders(integrator_data), {"lr_scheduler": True}),
    "PINN": (pinn, lambda: loaders(pinn_data, shuffle=True), {}),
    "PINN alone": (
        pinn,
        lambda: (loaders(pinn_data)[0], None, None),
        {"dev_metric": "train_loss", "eval_metric": "train_loss"},
    ),
    "sequences": (sequence, lambda: loaders(sequence_data), {**NSTEP, "eval_metric": "nstep_dev_loss"}),
    "static": (rosenbrock, lambda: loaders(static_data, shuffle=True), {}),
    "partly frozen": (frozen, loaders, {}),
    "fidelities": (fidelities, lambda: loaders(noisy_data), {"multi_fidelity": True}),
    "clipped": (rosenbrock, loaders, {"clip": 0.01}),
    "SDE": (stochastic, lambda: loaders(noisy_data, shuffle=True), {}),
    "function encoder": (encoder, lambda: loaders(encoder_data, shuffle=True), {}),
    "mixed-integer": (mixed_integer, loaders, {}),
    "projected gradient": (projected, loaders, {}),
    "cvxpylayers": (projection, lambda: loaders(layer_data), {}),
    "another metric": (rosenbrock, loaders, {"train_metric": "train_objective_loss", "eval_metric": "mean_dev_loss"}),
    "a part optimized": (
        integrator,
        lambda: loaders(integrator_data),
        lambda problem: {"optimizer": torch.optim.AdamW(problem.nodes[0].nodes[0].parameters(), lr=0.01)},
    ),
    "the best is the last by max": (rosenbrock, loaders, {"eval_mode": "max"}),
    "patience": (rosenbrock, loaders, {"epochs": 40, "patience": 1, "eval_mode": "max", "warmup": 2}),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # NeuroMANCER's, for its scheduler
# cvxpylayers gives numpy tensors in a way that numpy 2 has deprecated
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_random_numbers_are_neuromancers_to_the_last_bit(kind: str) -> None:
    builder, make, more = KINDS[kind]
    theirs, ours = both(builder, make, more)
    run = ours.trainer.run
    assert run.status == "finished"
    assert run.epochs == (4 if kind != "patience" else theirs.trainer.current_epoch + 1)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 41), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 3))
def test_any_loader_gives_its_own_batches(
    samples: int, size: int, shuffle: bool, drop_last: bool, own: bool, sampler: int
) -> None:
    wide = torch.rand(samples, 3)
    data = DictDataset(
        {"x": wide[:, :1], "y": wide, "n": torch.arange(samples), "t": torch.rand(3, samples).T}, name="train"
    )
    other = DictDataset({"x": wide[:1]}, name="another")

    def make() -> DataLoader[Any]:
        more: Given = {"shuffle": shuffle}
        if sampler == 1:
            more = {"sampler": SubsetRandomSampler(range(0, samples, 2))}
        elif sampler == 2:
            more = {"sampler": WeightedRandomSampler([1.0] * samples, 7)}
        elif sampler == 3:
            more = {"sampler": list(range(samples))[::-1]}
        collate = other.collate_fn if shuffle else data.collate_fn
        generator = torch.Generator().manual_seed(3) if own else None
        return DataLoader(data, size, collate_fn=collate, drop_last=drop_last, generator=generator, **more)

    torch.manual_seed(4)
    there = make()
    expected = [*there, *there]
    after = torch.rand(1)
    torch.manual_seed(4)
    function = nmlab.from_loaders(make())
    module = SplitsDataModule(Splits(*function()), CallersStreams(0))
    loader = module.loader("train")
    found = [*loader, *loader]
    assert torch.equal(torch.rand(1), after)
    assert len(found) == len(expected)
    for mine, their in zip(found, expected, strict=True):
        assert mine["name"] == their["name"]
        assert all(torch.equal(mine[key], their[key]) and mine[key].is_contiguous() for key in "xynt")


# --- trainings that go on ---


def twice(trainer: Any) -> Any:
    trainer.train()
    trainer.optimizer.param_groups[0]["lr"] *= 0.1
    return trainer.train()


def test_a_second_training_goes_on() -> None:
    optimizer = torch.optim.Adam
    _, ours = both(
        rosenbrock,
        lambda: loaders(shuffle=True),
        lambda problem: {"optimizer": optimizer(problem.parameters(), lr=0.05)},
        twice,
    )
    assert ours.trainer.current_epoch == 8
    assert ours.trainer.run.settings["loop"]["first_epoch"] == 4
    assert ours.trainer.run.column("lr") == [pytest.approx(0.005)] * 4


def test_other_data_may_be_given_in_between() -> None:
    def use(trainer: Any) -> Any:
        trainer.train()
        trainer.train_data, trainer.dev_data, trainer.test_data = loaders(rosenbrock_data, 20, 20, 20)
        return trainer.train()

    both(rosenbrock, loaders, None, use)


def test_a_second_training_that_finds_nothing_better_keeps_the_first_ones_weights() -> None:
    def use(trainer: Any) -> Any:
        trainer.train()
        trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), lr=10.0)
        return trainer.train()

    _, ours = both(rosenbrock, loaders, None, use)
    assert "No epoch of this run was better" in (ours.trainer.run.remark or "")


def test_an_optimizer_is_used_by_two_trainers() -> None:
    """As where a control policy is trained again on longer rollouts."""

    def use(trainer: Any) -> Any:
        trainer.train()
        again = type(trainer)(trainer.model, *loaders(), optimizer=trainer.optimizer, epochs=2)
        return again.train()

    both(rosenbrock, loaders, None, use)


# --- callbacks and loggers ---


class Noted(Callback):  # type: ignore[misc]  # NeuroMANCER has no types
    """Notes what it is called with, and adds a metric of its own."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def _note(self, point: str, trainer: Any, output: Any = None) -> None:
        keys = sorted(
            key for key in output or {} if not any(part.isdigit() and len(part) > 6 for part in key.split("_"))
        )
        self.calls.append((point, trainer.current_epoch, trainer.badcount, number(trainer.best_devloss), keys))

    def begin_eval(self, trainer: Any, output: Any) -> None:
        self._note("begin_eval", trainer, output)
        with torch.no_grad():
            weights = trainer.model.nodes[0].callable.linear[0].weight
            output["eval_mse"] = (weights**2).mean()


def _noting(point: str) -> Callable[..., None]:
    def note(self: Noted, trainer: Any, output: Any = None) -> None:
        self._note(point, trainer, output)

    return note


for _point in (
    "begin_train",
    "begin_epoch",
    "end_batch",
    "end_eval",
    "end_epoch",
    "end_train",
    "begin_test",
    "end_test",
):
    setattr(Noted, _point, _noting(_point))


def trained_and_tested(trainer: Any) -> Any:
    best = trainer.train()
    trainer.tested = trainer.test(best)
    return best


def test_callbacks_are_called_with_what_neuromancers_are() -> None:
    theirs, ours = both(
        rosenbrock, loaders, lambda _problem: {"callback": Noted(), "eval_metric": "eval_mse"}, trained_and_tested
    )
    assert ours.trainer.callback.calls == theirs.trainer.callback.calls
    assert {call[0] for call in ours.trainer.callback.calls} == {n for n in dir(Callback) if n[:4] in ("begi", "end_")}
    run = ours.trainer.run
    assert run.monitor == "eval_mse"
    assert run.best_value == pytest.approx(float(ours.trainer.best_devloss))
    assert run.metrics["eval_mse"].notna().all()


@pytest.mark.parametrize("kind", [BasicLogger, LossLogger])
def test_loggers_get_and_store_the_same(kind: Any, capsys: pytest.CaptureFixture[str], place: Path) -> None:
    printed = []

    def given(problem: Problem) -> Given:
        printed.append(capsys.readouterr().out)
        stdout = ["train_loss", "dev_loss", "mean_dev_loss", "train_objective_loss"]
        return {"logger": kind(savedir=str(place / "logged"), verbosity=1, stdout=stdout)}

    theirs, ours = both(rosenbrock, loaders, given, trained_and_tested)
    printed.append(capsys.readouterr().out)
    their_lines, our_lines = ([line.split("eltime")[0] for line in text.splitlines()] for text in printed[1:])
    assert our_lines == their_lines
    assert getattr(ours.trainer.logger, "losses", 0) == getattr(theirs.trainer.logger, "losses", 0)
    stored = torch.load(place / "logged" / "best_model_state_dict.pth", weights_only=False)
    assert same(dict(stored), dict(ours.best))


def test_without_a_logger_the_same_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []

    def given(_problem: Problem) -> Given:
        printed.append(capsys.readouterr().out)
        return {"epoch_verbose": 2, "patience": 0, "eval_mode": "max"}

    both(rosenbrock, loaders, given)
    printed.append(capsys.readouterr().out)
    assert printed[1] == printed[2]
    assert "Early stopping!!!" in printed[2]


def test_a_callback_may_change_what_is_trained_with() -> None:
    class Changing(Callback):  # type: ignore[misc]
        def end_epoch(self, trainer: Any, output: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.01)
                trainer.train_data, trainer.clip = loaders(rosenbrock_data, 50, 50, 50)[0], 1.0

    both(rosenbrock, loaders, lambda _problem: {"callback": Changing()})


# --- scores ---


def test_test_scores_all_three_and_evaluate_is_its_earlier_name() -> None:
    theirs, ours = both(rosenbrock, loaders, None, trained_and_tested)
    means = {name: value for name, value in theirs.trainer.tested.items() if name.startswith("mean_")}
    assert {name: ours.trainer.tested[name] for name in means} == means
    assert ours.trainer.evaluate(ours.best)["mean_test_loss"] == means["mean_test_loss"]
    assert ours.trainer.tested.keys() >= {"train_x", "dev_x", "test_x"}


@pytest.mark.parametrize(
    "test", [{"a": torch.ones(2, 1), "p": torch.ones(3, 1)}, [{"a": torch.ones(1)}], "the dev data"]
)
def test_test_data_are_not_looked_at_in_training(test: Any) -> None:
    def make() -> Loaders:
        train, dev, _ = loaders()
        return train, dev, dev if isinstance(test, str) else test

    both(rosenbrock, make)


def test_a_dict_is_one_batch_of_test_data() -> None:
    train, dev, _ = loaders()
    trainer = nmlab.Trainer(built(rosenbrock), train, dev, {"a": torch.ones(3, 1), "p": torch.ones(3, 1)}, epochs=1)
    assert trainer.test(trainer.train())["test_x"].shape == (3, 2)


def test_an_optimizer_given_as_test_data_is_warned_of() -> None:
    problem = built(rosenbrock)
    train, dev, _ = loaders()
    with pytest.warns(UserWarning, match="test_data is a Adam"):
        trainer = nmlab.Trainer(problem, train, dev, torch.optim.Adam(problem.parameters()), epochs=1)
    best = trainer.train()
    with pytest.warns(UserWarning, match="cannot be scored"):
        assert "mean_dev_loss" in trainer.test(best)


# --- where nmlab departs ---


def test_the_best_epoch_is_that_of_all_samples_and_a_difference_is_said() -> None:
    def misled() -> Problem:
        """Whose last dev batch, of one sample, gets worse from the first epoch on."""
        node = Node(nn.Linear(1, 1), ["x"], ["y"], name="line")
        return Problem([node], PenaltyLoss([((variable("y") - variable("seen")) ** 2).minimize(name="fit")], []))

    x = torch.linspace(0, 1, 41).reshape(-1, 1)
    train, dev = DictDataset({"x": x, "seen": 2 * x}, name="train"), DictDataset({"x": x, "seen": 2 * x}, name="dev")
    dev.datadict["seen"] = torch.cat([2 * x[:-1], torch.full((1, 1), -1.0)])
    first, second = (DataLoader(split, 4, collate_fn=split.collate_fn) for split in (train, dev))

    def trained(**more: Any) -> Any:
        problem = built(misled)
        optimizer = torch.optim.SGD(problem.parameters(), lr=0.1)
        trainer = nmlab.Trainer(problem, first, second, optimizer=optimizer, epochs=3, **more)
        trainer.train()
        return trainer

    ours, theirs = trained(), trained(eval_last_batch=True)
    assert ours.run.monitor == "dev_loss"
    assert theirs.run.monitor == "dev_loss_last_batch"
    assert ours.run.best_epoch != theirs.run.best_epoch, "no test without a difference"
    assert f"would have kept epoch {theirs.run.best_epoch}" in (ours.run.remark or "")
    assert theirs.run.remark is None
    assert ours.run.best_value == min(ours.run.column("dev_loss"))


def unstable(problem: Problem) -> Given:
    return {"optimizer": torch.optim.SGD(problem.parameters(), lr=1e12), "clip": 1e12, "epochs": 6, "patience": 20}


def test_a_loss_that_is_not_finite_ends_the_training_unless_it_is_allowed() -> None:
    with pytest.raises(NonFiniteLossError):
        Outcome(nmlab.Trainer, rosenbrock, loaders, unstable)  # type: ignore[arg-type]
    theirs = Outcome(neuromancer.trainer.Trainer, rosenbrock, loaders, unstable)  # type: ignore[arg-type]
    ours = Outcome(nmlab.Trainer, rosenbrock, loaders, lambda problem: unstable(problem) | {"allow_nan": True})  # type: ignore[arg-type]
    assert same(theirs.weights, ours.weights)
    assert (ours.trainer.run.status, ours.trainer.current_epoch) == ("finished", theirs.trainer.current_epoch)
    assert ours.trainer.run.metrics["train_loss"].isna().any()


def test_a_seed_makes_a_training_that_leaves_the_callers_numbers() -> None:
    found = []
    for state in (1, 2):
        problem, data = built(rosenbrock), loaders(shuffle=True)
        torch.manual_seed(state)
        expected = torch.rand(2)
        torch.manual_seed(state)
        found.append(nmlab.Trainer(problem, *data, epochs=2, seed=7).train())
        assert torch.equal(torch.rand(2), expected)
    assert same(*found)


def test_the_record_keeps_where_the_callers_generator_stood() -> None:
    data = loaders(shuffle=True)
    first, again = (nmlab.Trainer(built(rosenbrock), *data, epochs=2) for _ in range(2))
    torch.manual_seed(5)
    torch.rand(3)
    best = first.train()
    stored = base64.b64decode(first.run.settings["random_state"]["torch"])
    torch.set_rng_state(torch.frombuffer(bytearray(stored), dtype=torch.uint8))
    assert same(again.train(), best)


def test_an_interrupt_returns_the_best_weights(capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupting(Callback):  # type: ignore[misc]
        def end_epoch(self, trainer: Any, output: Any) -> None:
            if trainer.current_epoch == 1:
                _thread.interrupt_main()

    problem = built(rosenbrock)
    trainer = nmlab.Trainer(problem, *loaders(), callback=Interrupting(), epochs=500)
    best = trainer.train()
    assert "Interrupted training loop." in capsys.readouterr().out
    assert trainer.run.status == "stopped"
    assert 1 < trainer.run.epochs < 500
    assert same(dict(best), problem.state_dict())


# --- the face ---


def test_the_constructor_takes_what_neuromancers_does() -> None:
    def taken(kind: Any) -> dict[str, Any]:
        return {p.name: p.default for p in inspect.signature(kind).parameters.values() if p.kind != p.KEYWORD_ONLY}

    mine, their = taken(nmlab.Trainer), taken(neuromancer.trainer.Trainer)
    assert list(mine) == list(their)
    assert type(mine.pop("callback")) is type(their.pop("callback"))
    their["train_data"] = mine["train_data"]
    assert mine == their


def test_all_wrong_arguments_are_named_at_once() -> None:
    with pytest.raises(FieldError, match=r"^Trainer:\n") as caught:
        nmlab.Trainer(
            "p", 3, epochs=0, callback="c", logger=1, optimizer="Adm", eval_mode="low", device="x", patience=-1,  # type: ignore[arg-type]
            options=nmlab.TrainerOptions(lr=1.0, max_epochs=3),
        )  # fmt: skip
    assert set(caught.value.faults) == {
        "problem", "train_data", "epochs", "callback", "logger", "optimizer", "eval_mode", "device", "patience",
        "options.lr", "options.max_epochs",
    }  # fmt: skip


def test_metrics_that_there_are_not_are_named() -> None:
    for argument in ("train_metric", "dev_metric", "eval_metric"):
        lost: Any = {argument: "lost"}
        with pytest.raises(FieldError, match=f"^Trainer:\n  {argument}: 'lost' is not in the Problem's output"):
            nmlab.Trainer(built(rosenbrock), *loaders(), epochs=1, **lost).train()


def test_the_lab_shows_the_trainers_runs_and_trains_on_its_loaders() -> None:
    trainer = nmlab.Trainer(built(rosenbrock), *loaders(shuffle=True), epochs=2, patience=3)
    with pytest.raises(RunError, match="has not trained anything yet"):
        _ = trainer.run
    trainer.train()
    lab = trainer.lab
    assert [run.id for run in lab.runs] == [trainer.run.id]
    run = lab.fit(batch_size=25)
    assert (run.epochs, run.settings["data_kwargs"]) == (2, {"batch_size": 25})
    assert run.settings["options"]["patience"] == 4
    assert run.test_metrics.keys() >= {"test_loss"}
    assert trainer.lab is lab


def test_loaders_are_data_of_a_fit() -> None:
    train, dev, _ = loaders(shuffle=True)
    runs = []
    for _ in range(2):
        options = nmlab.TrainerOptions(max_epochs=2, seed=3)
        with pytest.warns(UserWarning, match="test is the dev set"):
            runs.append(nmlab.fit(built(rosenbrock), nmlab.from_loaders(train, dev, dev), options))
    assert runs[0].column("dev_loss") == runs[1].column("dev_loss")
    sliced = nmlab.fit(built(rosenbrock), nmlab.from_loaders(*loaders()), nmlab.TrainerOptions(max_epochs=2, seed=3))
    plain = nmlab.fit(built(rosenbrock), lambda: (*(each.dataset for each in loaders()), 32), sliced_options())
    assert sliced.column("dev_loss") == plain.column("dev_loss")


def sliced_options() -> nmlab.TrainerOptions:
    return nmlab.TrainerOptions(max_epochs=2, seed=3)


def test_batches_need_no_loader() -> None:
    def make() -> Loaders:
        train, dev, test = (list(each) for each in loaders())
        return train, dev, test

    both(rosenbrock, make, None, trained_and_tested)
    assert isinstance(make()[0], Iterable)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
def test_a_problem_may_have_sparse_buffers() -> None:
    """As those of a layer that solves a convex problem."""

    def builder() -> Problem:
        problem = rosenbrock()
        problem.nodes[0].callable.register_buffer("matrix", torch.eye(3).to_sparse_csr())
        return problem

    run = nmlab.LitTrainer(epochs=2, seed=1).fit(built(builder), rosenbrock_data)
    assert run.status == "finished"
    trainer = nmlab.Trainer(built(builder), *loaders(), epochs=2)
    assert trainer.train()["nodes.0.callable.matrix"].layout == torch.sparse_csr
