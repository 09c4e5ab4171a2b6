"""`LitTrainer`: the losses of NeuroMANCER's where that does what it says, and what it promises where it does not."""

import _thread
import functools
import inspect
import time
import warnings
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import neuromancer.trainer
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy
from neuromancer.constraint import variable
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.modules.blocks import MLP
from neuromancer.problem import Problem
from neuromancer.psl.nonautonomous import CSTR
from neuromancer.slim.linear import SVDLinear
from neuromancer.system import Node, System
from neuromancer.utils import load_state_dict_lightning
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import nmlab
from nmlab import DataError, FieldError, LitTrainer, RunError
from nmlab.problem.weights import load_weights, read_weights
from nmlab.provenance.script import script
from nmlab.runtime import one_fit
from tests.helpers.fits import built
from tests.helpers.problems import (
    PROBLEMS,
    Returned,
    integrator,
    integrator_data,
    projection,
    rosenbrock,
    rosenbrock_data,
    sequence,
    sequence_data,
    three,
)

EPOCHS = 4


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, in which nothing but runs may appear."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rosenbrock_96() -> Returned:
    return rosenbrock_data(nsim=96)


def ours(builder: Any, data: Any, epochs: int = EPOCHS, **given: Any) -> Any:
    trainer = LitTrainer(epochs=epochs, seed=5, **given)
    trainer.fit(built(builder), data)
    return trainer


def theirs(builder: Any, data: Any, **given: Any) -> tuple[list[float], list[float]]:
    """Train and dev losses by epoch of NeuroMANCER's LitTrainer, from the same weights and samples."""
    problem, logger = built(builder), CSVLogger("theirs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and the like
        settings = {"epochs": EPOCHS, "accelerator": "cpu", "devices": 1, "save_weights": False, "logger": logger}
        trainer = neuromancer.trainer.LitTrainer(**settings | given)
        torch.manual_seed(5)
        trainer.fit(problem, data)
    rows = pd.read_csv(Path(logger.log_dir) / "metrics.csv")
    return rows["train_loss_epoch"].dropna().tolist(), rows["dev_loss"].dropna().tolist()


# --- problems of the kinds that NeuroMANCER's Lightning tutorials solve ---


def koopman() -> Problem:
    """A linear model of a nonlinear system in a space that networks map to and from; objectives `ahead`, `here`."""
    encoder = Node(MLP(2, 4, hsizes=[8], nonlin=nn.ELU), ["x0"], ["z0"], name="encoder")
    first = Node(lambda past: past[:, -1, :], ["Xp"], ["x0"], name="first")
    step, decode = nn.Linear(4, 4, bias=False), MLP(4, 2, hsizes=[8], nonlin=nn.ELU)

    class Ahead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step, self.decode = step, decode

        def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            latent = [z]
            for _ in range(3):
                latent.append(self.step(latent[-1]))
            return self.decode(torch.stack(latent[1:], dim=1)), self.decode(z)

    ahead = Node(Ahead(), ["z0"], ["predicted", "rebuilt"], name="koopman")
    forecast = 10.0 * ((variable("predicted") == variable("Xf")) ^ 2)
    forecast.update_name("ahead")
    here = (variable("rebuilt") == variable("x0")) ^ 2
    here.update_name("here")
    return Problem([first, encoder, ahead], PenaltyLoss([forecast, here], []))


ASSETS = 6


def portfolio() -> Problem:
    """Shares of assets by what they are expected to return: 2 objectives and 13 constraints."""
    node = Node(nn.Sequential(nn.Linear(ASSETS, 12), nn.ReLU(), nn.Linear(12, ASSETS)), ["mu"], ["w"], name="shares")
    w, mu = variable("w"), variable("mu")
    gain = (-(w * mu)).minimize(weight=1.0, name="gain")
    risk = (w**2).minimize(weight=0.1, name="risk")
    constraints = [10.0 * (_sum(w) <= 1.0)]
    constraints[0].update_name("budget")
    for asset in range(ASSETS):
        for name, bound in (("long", w[:, [asset]] >= 0.0), ("cap", w[:, [asset]] <= 0.5)):
            constraint = 5.0 * bound
            constraint.update_name(f"{name}_{asset}")
            constraints.append(constraint)
    return Problem([node], PenaltyLoss([gain, risk], constraints))


def _sum(w: Any) -> Any:
    total = w[:, [0]]
    for asset in range(1, ASSETS):
        total = total + w[:, [asset]]
    return total


def portfolio_data() -> Returned:
    return three(lambda name: DictDataset({"mu": torch.rand(64, ASSETS)}, name=name), 32)


def projection_data() -> Returned:
    return three(lambda name: DictDataset({"p": torch.rand(8, 1)}, name=name), 8)


LATENT, STEPS = 6, 10


class Controlled(nn.Module):
    """A Koopman operator that is stable, its singular values being at most 1, and inputs that add to its latents."""

    def __init__(self) -> None:
        super().__init__()
        self.operator = SVDLinear(LATENT, LATENT, bias=False, sigma_min=0.1, sigma_max=1.0)

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return self.operator(x) + u  # type: ignore[no-any-return]


def reactor() -> Problem:
    """NeuroMANCER's Deep Koopman model of a system with inputs; objectives `y_loss`, `onestep_loss`, `x_loss`."""
    encode, decode = (MLP(*sizes, hsizes=[16, 16], nonlin=nn.ELU) for sizes in ((2, LATENT), (LATENT, 2)))
    encode_inputs = MLP(1, LATENT, hsizes=[8], nonlin=nn.ELU)
    nodes = [
        Node(encode, ["yn"], ["x"], name="encoder_Y0"),
        Node(encode, ["Y"], ["x_latent"], name="encoder_Y"),
        Node(encode_inputs, ["U"], ["u_latent"], name="encoder_U"),
        System([Node(Controlled(), ["x", "u_latent"], ["x"], name="K")], name="Koopman", nsteps=STEPS),
        Node(decode, ["x"], ["yhat"], name="decoder"),
    ]
    seen, predicted = variable("Y"), variable("yhat")[:, :-1, :]
    latent, encoded = variable("x"), variable("x_latent")
    objectives = {
        "y_loss": 10.0 * ((predicted == seen) ^ 2),
        "onestep_loss": (predicted[:, 1, :] == seen[:, 1, :]) ^ 2,
        "x_loss": (latent[:, 1:-1, :] == encoded[:, 1:, :]) ^ 2,
    }
    for name, objective in objectives.items():
        objective.update_name(name)
    return Problem(nodes, PenaltyLoss(list(objectives.values()), []))


@functools.cache
def simulated(seed: int) -> dict[str, torch.Tensor]:
    """Windows of a stirred tank reactor's outputs and inputs, normalized, and the outputs that they begin with."""
    states = CSTR(seed=seed).simulate(nsim=300)
    scaled = {name: (states[name] - states[name].mean(0)) / states[name].std(0) for name in ("Y", "U")}
    shape = {name: values.reshape(-1, STEPS, values.shape[-1]) for name, values in scaled.items()}
    windows = {name: torch.as_tensor(values, dtype=torch.float32) for name, values in shape.items()}
    return {**windows, "yn": windows["Y"][:, :1, :]}


def reactor_data() -> Returned:
    seeds = {"train": 0, "dev": 1, "test": 2}
    return three(lambda name: DictDataset(simulated(seeds[name]), name=name), 10)


# --- the same losses as NeuroMANCER's ---


def weighted(model: Any, batch: Any) -> Any:
    factor = 1.0 if model.current_epoch < 2 else 3.0
    return factor * model.problem(batch)[model.train_metric]


def adamw(self: Any) -> Any:
    return torch.optim.AdamW(self.problem.nodes[0].parameters(), lr=0.01)


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "rosenbrock": (rosenbrock, rosenbrock_96, {}),
    "rosenbrock, clipped": (rosenbrock, rosenbrock_96, {"clip": 0.01}),
    "rosenbrock, own step": (rosenbrock, rosenbrock_96, {"custom_training_step": weighted}),
    "integrator, own optimizer": (integrator, integrator_data, {"custom_hooks": {"configure_optimizers": adamw}}),
    "koopman": (koopman, sequence_data, {"train_metric": "nstep_train_loss", "dev_metric": "nstep_dev_loss"}),
    "portfolio": (portfolio, portfolio_data, {}),
    "projection": (projection, projection_data, {}),
    "another metric": (portfolio, portfolio_data, {"train_metric": "train_objective_loss"}),
}


# cvxpylayers gives numpy tensors in a way that numpy 2 has deprecated
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("case", CASES)
def test_losses_by_epoch_are_neuromancers(case: str) -> None:
    builder, data, given = CASES[case]
    trainer = ours(builder, data, **given)
    train, dev = theirs(builder, data, **given)
    assert len(dev) == EPOCHS
    assert trainer.run.column("dev_loss") == pytest.approx(dev, rel=1e-4)
    assert trainer.run.column("train_loss") == pytest.approx(train, rel=1e-4)


def test_deep_koopman_of_a_reactor_beside_a_tensorboard_of_the_users(place: Path) -> None:
    trainer = ours(reactor, reactor_data, epochs=3, logger=TensorBoardLogger(place / "mine"))
    train, dev = theirs(reactor, reactor_data, epochs=3)
    assert len(dev) == 3
    assert trainer.run.column("dev_loss") == pytest.approx(dev, rel=1e-4)
    assert trainer.run.column("train_loss") == pytest.approx(train, rel=1e-4)
    users = EventAccumulator(str(next((place / "mine").rglob("*tfevents*")).parent)).Reload()
    assert [event.value for event in users.Scalars("dev_loss")] == pytest.approx(dev, rel=1e-4)
    assert list(trainer.run.folder.glob("*tfevents*"))


def test_the_constructor_takes_what_neuromancers_does() -> None:
    def taken(kind: Any) -> dict[str, Any]:
        return {p.name: p.default for p in inspect.signature(kind).parameters.values() if p.kind != p.KEYWORD_ONLY}

    mine, their = taken(LitTrainer), taken(neuromancer.trainer.LitTrainer)
    assert list(mine) == list(their)
    assert mine == their | {"weight_path": None}  # files go there only when it is given


def test_losses_are_those_of_nmlabs_fit() -> None:
    run = nmlab.fit(built(rosenbrock), rosenbrock_data, nmlab.TrainerOptions(max_epochs=EPOCHS, seed=5))
    trainer = ours(rosenbrock, rosenbrock_data)
    assert trainer.run.metrics.drop(columns="seconds").equals(run.metrics.drop(columns="seconds"))
    assert trainer.run.test_metrics == run.test_metrics


# --- what NeuroMANCER promises ---


def test_a_custom_optimizer_of_a_part_is_used() -> None:
    problem = built(integrator)
    optimizer = torch.optim.AdamW(problem.nodes[0].parameters(), lr=0.01)
    trainer = LitTrainer(epochs=EPOCHS, seed=5, custom_optimizer=optimizer)
    trainer.fit(problem, integrator_data)
    by_hook = ours(integrator, integrator_data, custom_hooks={"configure_optimizers": adamw})
    assert trainer.run.column("dev_loss") == by_hook.run.column("dev_loss")
    assert trainer.run.column("lr") == [0.01] * EPOCHS


def test_the_problem_holds_the_best_weights_and_so_does_the_file(place: Path) -> None:
    problem = built(rosenbrock)

    def down_and_up(model: Any, batch: Any) -> Any:
        return (1 if model.current_epoch < 5 else -1) * model.problem(batch)[model.train_metric]

    trainer = LitTrainer(
        epochs=8, seed=5, custom_training_step=down_and_up, weight_path=place / "w", weight_name="best"
    )
    run = trainer.fit(problem, rosenbrock_data)
    losses = run.column("dev_loss")
    assert run.best_epoch == 4, "no test without a fit that gets worse"
    assert run.best_value == min(losses)
    weights = trainer.get_weights()
    assert all(torch.equal(value, weights[name]) for name, value in problem.state_dict().items())
    torch.manual_seed(5)
    _, dev, _, _ = rosenbrock_data()
    with torch.no_grad():
        assert problem({**dev.datadict, "name": "dev"})["dev_loss"].item() == pytest.approx(min(losses), rel=1e-4)

    files = list((place / "w").iterdir())
    assert [file.name for file in files] == ["best.ckpt"]
    by_theirs, by_ours = built(rosenbrock, 1), built(rosenbrock, 2)
    load_state_dict_lightning(by_theirs, files[0])
    load_weights(by_ours, read_weights(files[0]))
    for loaded in (by_theirs, by_ours):
        assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ({}, None),
        ({"weight_path": "w"}, "w/epoch=1-step=8.ckpt"),
        ({"weight_name": "mine"}, "mine.ckpt"),
        ({"weight_path": "w", "save_weights": False}, None),
        ({"weight_path": "~/w/", "weight_name": "best-{epoch:02d}-{lr:.3f}"}, "w/best-epoch=01-lr=0.001.ckpt"),
        ({"weight_path": "w", "weight_name": "sub/best"}, "w/sub/best.ckpt"),
    ],
)
def test_files_go_only_where_they_are_asked_for(
    given: Any, file: str | None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(place))
    ours(rosenbrock, rosenbrock_data, epochs=2, **given)
    found = [path.relative_to(place).as_posix() for path in place.rglob("*.ckpt") if "nmlab_runs" not in path.parts]
    assert found == ([] if file is None else [file])
    assert not (place / "lightning_logs").exists()


@pytest.mark.parametrize("metric", ["train_loss", "nstep_train_loss", "train_fit", "train_objective_loss"])
def test_metrics_with_and_without_the_batches_prefix(metric: str) -> None:
    trainer = ours(sequence, sequence_data, train_metric=metric, eval_metric="nstep_dev_loss")
    assert trainer.run.column("train_loss") == ours(sequence, sequence_data).run.column("train_loss")
    assert trainer.run.monitor == "dev_loss"
    assert trainer.lit_problem.train_metric.startswith("nstep_train_")


def test_a_custom_step_reads_the_metric_by_either_name() -> None:
    trainer = ours(sequence, sequence_data, custom_training_step=weighted, epochs=2)
    assert trainer.run.column("train_loss") == ours(sequence, sequence_data, epochs=2).run.column("train_loss")


def test_another_metric_is_monitored_and_scored() -> None:
    given: dict[str, Any] = {f"{split}_metric": f"{split}_gain" for split in ("train", "dev", "test")}
    trainer = ours(portfolio, portfolio_data, eval_metric="dev_gain", **given)
    run = trainer.run
    assert run.column("dev_loss") == pytest.approx(run.column("dev_gain"))
    assert run.test_metrics["test_loss"] == pytest.approx(run.test_metrics["test_gain"])
    assert run.monitor == "dev_loss"


def test_metrics_that_there_are_not_are_named_at_once() -> None:
    with pytest.raises(FieldError) as caught:
        ours(rosenbrock, rosenbrock_data, train_metric="train_los", dev_metric="loss_dev")
    assert list(caught.value.faults) == ["train_metric", "dev_metric"]
    assert "train_loss, " in str(caught.value) or "train_obj" in str(caught.value)
    with pytest.raises(FieldError, match="'dev_los' is no metric of this fit; there are: epoch, train_loss, dev_loss"):
        ours(rosenbrock, rosenbrock_data, eval_metric="dev_los")


def test_a_wrong_dataset_name_is_an_exception_that_says_what_is_right() -> None:
    def misnamed() -> Returned:
        train, dev, test, batch_size = rosenbrock_data()
        dev.name = "val"
        return train, dev, test, batch_size

    with pytest.raises(DataError, match=r"dev_data is named 'val'.*name='dev'"):
        ours(rosenbrock, misnamed)


def test_without_dev_data_the_train_loss_is_monitored_and_it_is_said() -> None:
    def no_dev() -> Returned:
        train, _, test, batch_size = rosenbrock_data()
        return train, None, test, batch_size

    with pytest.warns(UserWarning, match="no dev split"):
        trainer = ours(rosenbrock, no_dev, weight_path="w", patience=2)
    assert trainer.run.monitor == "train_loss"
    assert len(list(Path("w").iterdir())) == 1
    assert "test_loss" in trainer.run.test_metrics


def test_a_second_fit_is_fresh_on_the_weights_the_problem_holds() -> None:
    problem = built(rosenbrock)
    optimizer = torch.optim.Adam(problem.parameters(), lr=0.01)
    trainer = LitTrainer(epochs=EPOCHS, seed=5, custom_optimizer=optimizer)
    first = trainer.fit(problem, rosenbrock_data)
    held = {name: value.clone() for name, value in problem.state_dict().items()}
    second = trainer.fit(problem, rosenbrock_data)
    assert first.id != second.id
    assert second.epochs == EPOCHS
    assert min(second.column("dev_loss")) < min(first.column("dev_loss"))

    again = built(rosenbrock, 3)
    again.load_state_dict(held)
    fresh = torch.optim.Adam(again.parameters(), lr=0.01)
    third = LitTrainer(epochs=EPOCHS, seed=5, custom_optimizer=fresh).fit(again, rosenbrock_data)
    assert third.column("train_loss") == second.column("train_loss")


def test_data_keywords_and_a_seed_before_the_fit() -> None:
    runs = []
    for seed in (1, 1, 2):
        problem = built(rosenbrock)
        torch.manual_seed(seed)
        runs.append(LitTrainer(epochs=1).fit(problem, rosenbrock_data, nsim=40, batch_size=20))
    assert runs[0].settings["data_kwargs"].items() >= {"nsim": 40, "batch_size": 20}.items()
    assert runs[0].column("dev_loss") == runs[1].column("dev_loss") != runs[2].column("dev_loss")


@pytest.mark.parametrize(("kind", "size"), [(dict, 48), (SimpleNamespace, np.int64(48))])
def test_hyperparameters_of_a_configuration_hold(kind: Any, size: Any) -> None:
    trainer = ours(rosenbrock, rosenbrock_96, hparam_config=kind(learning_rate=0.02, batch_size=size), weight_path="w")
    assert trainer.run.column("lr") == [0.02] * EPOCHS
    assert trainer.lit_data_module.batch_size == 48
    assert next(Path("w").iterdir()).name.endswith(f"-step={2 * (trainer.run.best_epoch + 1)}.ckpt")


@pytest.mark.parametrize(
    ("metric", "monitor"),
    [
        ("training_epoch_average", "train_loss"),
        ("train_loss_epoch", "train_loss"),
        ("dev_loss_epoch", "dev_loss"),
        ("nstep_dev_loss", "dev_loss"),
        ("train_loss_step", "train_loss_step"),
    ],
)
def test_the_best_epoch_is_chosen_by_neuromancers_and_lightnings_names(metric: str, monitor: str) -> None:
    run = ours(rosenbrock, rosenbrock_data, epochs=2, eval_metric=metric, patience=2).run
    assert run.monitor == monitor
    assert run.best_value == min(run.column(monitor))


def test_callbacks_of_lightnings_may_be_appended() -> None:
    seen: list[int] = []
    trainer = LitTrainer(epochs=2, seed=5)
    trainer.callbacks.append(LambdaCallback(on_train_epoch_end=lambda own, _module: seen.append(own.current_epoch)))
    trainer.fit(built(rosenbrock), rosenbrock_data)
    assert seen == [0, 1]


@pytest.mark.parametrize("strategy", ["auto", "ddp", "ddp_notebook", "fsdp", DDPStrategy()])
def test_one_device_takes_any_strategy(strategy: Any) -> None:
    assert LitTrainer(epochs=1, strategy=strategy, devices=1)._checked()[0].strategy == "auto"
    if strategy != "fsdp":
        assert LitTrainer(epochs=1, strategy=strategy, devices=2, accelerator="cpu")._checked()[0].devices == 2
    else:
        with pytest.raises(FieldError, match="shares each batch"):
            LitTrainer(epochs=1, strategy=strategy, devices=2, accelerator="cpu")


def test_an_accelerator_that_is_not_there_is_said_by_the_constructor() -> None:
    missing = next(name for name in ("mps", "cuda") if not getattr(torch, name).is_available())
    with pytest.raises(FieldError, match=rf"^LitTrainer:\n  accelerator: PyTorch finds no {missing} device"):
        LitTrainer(accelerator=missing)


def test_patience_counts_after_warmup() -> None:
    def worse(self: Any) -> None:
        self.log("dev_loss", float(self.current_epoch))

    hooks = {"on_validation_epoch_end": worse}
    trainer = ours(rosenbrock, rosenbrock_data, epochs=20, patience=2, warmup=3, custom_hooks=hooks)
    assert trainer.run.epochs == 3 + 1 + 2


def test_what_a_fit_leaves() -> None:
    trainer = LitTrainer(epochs=2)
    with pytest.raises(RunError, match="has not fitted anything yet"):
        trainer.get_weights()
    problem = built(rosenbrock)
    assert trainer.fit(problem, rosenbrock_data) is trainer.run
    assert trainer.lit_problem.problem is trainer.lit_problem.get_problem() is problem
    assert trainer.current_epoch == 2
    last = {name: trainer.run.column(name)[-1] for name in ("train_loss", "dev_loss")}
    logged = {n: v.item() for n, v in trainer.callback_metrics.items()}
    assert {name: logged[name] for name in last} == pytest.approx(last)
    means = {"train_loss_epoch", "training_epoch_average"}
    assert logged.keys() == {*last, *means, "train_loss_step"}
    assert {logged[name] for name in means} == {logged["train_loss"]}
    assert trainer.global_step == 2 * 4
    assert trainer.max_epochs == 2
    assert trainer.logged_metrics["dev_loss"].item() == pytest.approx(last["dev_loss"])
    (tested,), (validated,) = trainer.test(), trainer.validate()
    assert tested == pytest.approx(trainer.run.test_metrics)
    assert validated["dev_loss"] == pytest.approx(trainer.run.best_value)
    trainer.save_checkpoint(Path("mine") / "held.ckpt")
    other = built(rosenbrock, 1)
    load_state_dict_lightning(other, Path("mine") / "held.ckpt")
    assert all(torch.equal(value, problem.state_dict()[name]) for name, value in other.state_dict().items())


def test_the_record_keeps_the_users_functions() -> None:
    trainer = ours(rosenbrock, rosenbrock_data, epochs=1, custom_training_step=weighted, train_metric="train_obj")
    stored = trainer.run.settings["customs"]["hooks"]["training_step"]
    assert stored == {"name": f"{__name__}.weighted"}
    # of which a script has only the options, and says so
    said = " ".join(script(trainer.run).replace("#", "").split())
    assert (
        "customized the training, which this script does not contain: training_step, train_metric='train_obj'." in said
    )


def test_loggers_of_lightning_get_the_metrics(place: Path) -> None:
    ours(rosenbrock, rosenbrock_data, logger=[CSVLogger("csv"), TensorBoardLogger("tb")])
    rows = pd.read_csv(next(place.joinpath("csv").rglob("metrics.csv")))
    assert rows["dev_loss"].notna().sum() == EPOCHS
    assert np.isfinite(rows["dev_obj"].dropna()).all()
    assert list(place.joinpath("tb").rglob("events.out.*"))


def test_wandbs_logger_gets_the_losses_without_account_or_network(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    logger = WandbLogger(offline=True, save_dir=place)
    try:
        run = ours(rosenbrock, rosenbrock_data, epochs=2, logger=logger).run
        last = {name: logger.experiment.summary[name] for name in ("train_loss", "dev_loss")}
        assert last == pytest.approx({name: run.column(name)[-1] for name in last})
    finally:
        logger.experiment.finish()
        import_module("wandb").teardown()  # its own process
    assert list(place.rglob("offline-run-*/*.wandb"))


def test_arguments_are_called_by_lit_trainers_names_in_errors() -> None:
    with pytest.raises(FieldError) as caught:
        LitTrainer(epochs=-1, clip=-1, custom_optimizer="Adm", devices=0, strategy="dpd", logger="x", eval_metric=3)  # type: ignore[arg-type]
    names = {"epochs", "clip", "custom_optimizer", "devices", "strategy", "logger", "eval_metric"}
    assert set(caught.value.faults) == names
    with pytest.raises(FieldError) as caught:
        LitTrainer(weight_name="best-{epoch", hparam_config={"batch_size": 0, "learning_rate": -1})
    assert "best-{epoch}" in caught.value.faults["weight_name"]
    assert "batch_size: 0 is too small" in caught.value.faults["hparam_config"]
    assert "learning_rate: -1 is too small" in caught.value.faults["hparam_config"]
    assert not list(Path().iterdir())


def test_what_a_fit_finds_wrong_is_called_by_lit_trainers_names_too() -> None:
    trainer = LitTrainer(epochs=1, custom_optimizer=torch.optim.Adam(built(rosenbrock).parameters()))
    other = built(rosenbrock, 1)
    with pytest.raises(FieldError, match=r"^LitTrainer:\n  custom_optimizer: 4 of the 4 tensors"):
        trainer.fit(other, rosenbrock_data)
    with pytest.raises(FieldError, match="eval_metric: 'test_loss' is no metric of this fit"):
        ours(rosenbrock, rosenbrock_data, eval_metric="test_loss")
    with pytest.raises(FieldError) as caught:
        LitTrainer().find_lr(other, lambda lr=1: rosenbrock_data(), lr="x", num_training=20)
    assert list(caught.value.faults) == ["lr"], "a keyword of the data function"
    with pytest.raises(FieldError, match="problem: a function; give a Problem"):
        LitTrainer().fit(rosenbrock, rosenbrock_data)


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_kind_of_problem_trains(name: str) -> None:
    builder, data = PROBLEMS[name]
    assert ours(builder, data, epochs=2).run.status == "finished"


# --- sweeps ---


def test_a_sweep_makes_a_run_a_trial_with_the_users_steps_and_keeps_the_best() -> None:
    config = {
        "method": "grid",
        "parameters": {"learning_rate": {"values": [1e-5, 0.01]}, "batch_size": {"values": [20, 40]}},
    }
    trainer = LitTrainer(epochs=2, seed=5, custom_training_step=weighted, weight_name="swept")
    problem = built(rosenbrock)
    done = trainer.hyperparameter_sweep(problem, rosenbrock_data, config, count=4, nsim=80)
    assert len(done.runs) == 4
    assert {run.settings["data_kwargs"]["nsim"] for run in done.runs} == {80}
    assert all("training_step" in run.settings["customs"]["hooks"] for run in done.runs)
    assert trainer.run.id == done.best.id
    best = read_weights(Path("swept.ckpt"))
    assert all(torch.equal(value, best[name]) for name, value in trainer.get_weights().items())
    assert trainer.run.best_value == min(min(run.column("dev_loss")) for run in done.runs)


def test_an_interrupted_sweep_keeps_the_best_trial(place: Path) -> None:
    problem = built(rosenbrock)

    def interrupted(nsim: int) -> Returned:
        if nsim == 40:
            _thread.interrupt_main()
            while (running := one_fit.current()) is not None and not running.stopping:
                time.sleep(0.01)
        return rosenbrock_data(nsim)

    trainer = LitTrainer(epochs=1, seed=5, weight_name="swept")
    config = {"method": "grid", "parameters": {"nsim": {"values": [20, 30, 40]}}}
    with pytest.raises(KeyboardInterrupt):
        trainer.hyperparameter_sweep(problem, interrupted, config)
    swept = nmlab.Sweep.read("run_sweep")
    assert [run.status for run in swept.runs] == ["finished", "finished", "stopped"]
    assert trainer.run.id == swept.best.id
    kept = read_weights(Path("swept.ckpt"))
    assert all(torch.equal(value, kept[name]) for name, value in problem.state_dict().items())


# --- searches before a fit ---


def test_a_search_takes_the_trainers_own_steps_and_leaves_the_next_fit_as_it_was(place: Path) -> None:
    def thrice(model: Any, batch: Any) -> Any:
        return 3.0 * model.problem(batch)[model.train_metric]

    problem = built(rosenbrock)
    weights = {name: value.clone() for name, value in problem.state_dict().items()}
    trainer = LitTrainer(epochs=1, weight_path="w", custom_training_step=thrice)
    torch.manual_seed(7)
    found = trainer.find_lr(problem, rosenbrock_data, min_lr=1e-4, max_lr=0.1, num_training=20, nsim=80)
    size = trainer.find_batch_size(problem, rosenbrock_data, max_trials=2, nsim=80, batch_size=16)
    plain = LitTrainer().find_lr(problem, rosenbrock_data, min_lr=1e-4, max_lr=0.1, num_training=20, nsim=80)
    assert (found.lrs[0], found.lrs[-1]) == pytest.approx((1e-4, 0.1), rel=0.5)
    assert found.losses[0] == pytest.approx(3.0 * plain.losses[0], rel=1e-4)
    assert size == 32
    assert all(torch.equal(value, weights[name]) for name, value in problem.state_dict().items())
    assert list(place.iterdir()) == []

    searched = trainer.fit(problem, rosenbrock_data)
    again = built(rosenbrock)
    torch.manual_seed(7)
    unsearched = LitTrainer(epochs=1, custom_training_step=thrice).fit(again, rosenbrock_data)
    assert searched.column("train_loss") == unsearched.column("train_loss")


def test_a_search_for_a_batch_size_begins_with_the_configurations() -> None:
    trainer = LitTrainer(seed=5, hparam_config={"batch_size": 10})
    assert trainer.find_batch_size(built(rosenbrock), rosenbrock_data, mode="binsearch", max_trials=1) == 10


def test_a_search_for_a_learning_rate_needs_an_optimizer_that_takes_one() -> None:
    problem = built(rosenbrock)
    trainer = LitTrainer(custom_optimizer=torch.optim.Adam(problem.parameters()))
    with pytest.raises(FieldError, match="give its class or name") as caught:
        trainer.find_lr(problem, rosenbrock_data, num_training=1)
    assert list(caught.value.faults) == ["num_training", "custom_optimizer"]
