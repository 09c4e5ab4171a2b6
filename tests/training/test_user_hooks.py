"""A user's own training step and hooks: which are taken, how they are called, and what they do to the record."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import LightningModule
from neuromancer.problem import LitProblem
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nmlab import FieldError, LitTrainer, RunError, TrainerOptions, fit
from nmlab.problem.weights import read_weights
from nmlab.runtime import one_fit
from nmlab.training.user_hooks import user_hooks_of
from nmlab.training.user_hooks.hooks import KNOWN
from nmlab.training.user_hooks.module import StepOutputs
from tests.helpers.problems import noisy, noisy_data, rosenbrock, rosenbrock_data


def fitted(
    runs_dir: Path, epochs: int = 2, builder: Any = rosenbrock, data: Any = rosenbrock_data, **given: Any
) -> Any:
    """A LitTrainer after its fit, from weights and samples that are always the same."""
    torch.manual_seed(0)
    trainer = LitTrainer(epochs=epochs, runs_dir=runs_dir, seed=1, **given)
    trainer.fit(builder(), data)
    return trainer


def scalars(run: Any) -> set[str]:
    """Tags of the scalars among a run's events."""
    events = EventAccumulator(str(run.folder))
    events.Reload()
    return set(events.Tags()["scalars"])


def losses(trainer: Any) -> Any:
    return trainer.run.column("train_loss"), trainer.run.column("dev_loss")


# --- which are taken ---


def made(arguments: str) -> Any:
    """A function of these arguments, that returns them by name."""
    names = arguments.strip("()").replace(" ", "").split(",")
    namespace: dict[str, Any] = {}
    exec(f"def hook{arguments}: return dict({', '.join(f'{n}={n}' for n in names)})", namespace)
    return namespace["hook"]


@pytest.mark.parametrize("name", sorted(LitProblem.expected_signatures))
def test_neuromancers_signature_of_every_hook_is_taken_and_gets_lightnings_arguments(name: str) -> None:
    function = made(LitProblem.expected_signatures[name])
    hook = user_hooks_of(hooks={name: function}).hooks[name]
    module = LightningModule()
    passed = {"outputs": 1, "batch": 2, "batch_idx": 3, "loss": 4, "optimizer": 5, "checkpoint": 6}
    got = hook(module, *(passed[name] for name in lightnings(name)))
    assert got.pop("self") is module
    assert got == {name: passed.get(name, 0) for name in got}


@pytest.mark.parametrize("name", [name for name in KNOWN if not name.endswith("_step")])
def test_lightnings_signature_of_every_hook_is_taken(name: str) -> None:
    function = getattr(LightningModule, name)
    hook = user_hooks_of(hooks={name: function}).hooks[name]
    assert list(hook.takes)[: len(lightnings(name))] == lightnings(name)


def lightnings(name: str) -> list[str]:
    """What Lightning passes to a hook after the module, with one dataloader."""
    _, *parameters = inspect.signature(getattr(LightningModule, name)).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "dataloader_idx"]


@given(extra=st.integers(min_value=1, max_value=4), name=st.sampled_from(["on_train_end", "on_train_batch_end"]))
def test_other_numbers_of_arguments_are_an_error_that_says_what_is_right(extra: int, name: str) -> None:
    most = max(len(lightnings(name)), 0)
    wrong = made(f"(self, {', '.join(f'a{i}' for i in range(most + extra))})")
    with pytest.raises(FieldError, match=rf"expected {name}\(self") as caught:
        user_hooks_of(hooks={name: wrong})
    if name == "on_train_batch_end":
        assert "(self, outputs, batch, batch_idx) or on_train_batch_end(self, batch, batch_idx)" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "takes"),
    [
        ("training_step", "(model, batch, weight=0.1)", ("batch",)),
        ("training_step", "(model, batch, batch_idx=0)", ("batch", "batch_idx")),
        ("on_train_batch_end", "(self, batch, batch_idx, scale=1.0)", ("batch", "batch_idx")),
        ("on_train_batch_end", "(self, outputs, batch, batch_idx=0)", ("outputs", "batch", "batch_idx")),
        ("on_train_batch_end", "(*arguments)", ("outputs", "batch", "batch_idx")),
    ],
)
def test_defaults_of_the_users_own_are_left_alone(name: str, arguments: str, takes: tuple[str, ...]) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def hook{arguments}: pass", namespace)
    assert user_hooks_of(hooks={name: namespace["hook"]}).hooks[name].takes == takes


def test_all_faults_at_once_before_anything_is_made(runs_dir: Path) -> None:
    hooks: dict[str, Any] = {
        "on_train_epoch_ende": made("(self)"),
        "on_train_end": made("(self, batch)"),
        "backward": 3,
    }
    with pytest.raises(FieldError) as caught:
        LitTrainer(epochs=0, custom_hooks=hooks, custom_training_step=made("(model)"), runs_dir=runs_dir)
    faults = caught.value.faults
    assert set(faults) == {*(f"custom_hooks[{name!r}]" for name in hooks), "custom_training_step", "epochs"}
    assert "do you mean 'on_train_epoch_end'?" in faults["custom_hooks['on_train_epoch_ende']"]
    assert "configure_optimizers" in faults["custom_hooks['on_train_epoch_ende']"]
    assert "backward(self, loss)" in faults["custom_hooks['backward']"]
    assert "custom_training_step(self, batch)" in faults["custom_training_step"]
    assert not runs_dir.exists()


# --- hooks beside nmlab's own ---


def test_hooks_run_beside_the_record_in_both_forms(runs_dir: Path) -> None:
    heard: list[Any] = []

    def neuromancers(self: Any, batch: Any, batch_idx: Any) -> None:
        heard.append(("batch", batch["name"], batch_idx))

    def lightnings_own(self: Any, outputs: Any, batch: Any, batch_idx: Any) -> None:
        heard.append(("dev", batch["name"], batch_idx))

    def epoch_end(self: Any) -> None:
        mean = torch.stack(self.training_step_outputs).mean()
        heard.append((len(self.training_step_outputs), len(self.validation_step_outputs)))
        self.log("training_epoch_average", mean)

    hooks = {
        "on_train_batch_end": neuromancers,
        "on_validation_batch_end": lightnings_own,
        "on_train_epoch_end": epoch_end,
        "on_fit_start": lambda self: heard.append(type(self.problem).__name__),
        "on_test_epoch_end": lambda self: heard.append("test"),
    }
    trainer = fitted(runs_dir, custom_hooks=hooks)
    a_pass = [("batch", "train", i) for i in range(4)], [("dev", "dev", i) for i in range(4)]
    epoch = [*a_pass[0], *a_pass[1], (4, 4)]
    assert heard == ["Problem", *epoch, *epoch, "test"]
    assert losses(trainer) == losses(fitted(runs_dir))
    assert trainer.run.metrics.drop(columns="seconds").notna().all(axis=None)
    assert "training_epoch_average" in scalars(trainer.run)
    average = trainer.callback_metrics["training_epoch_average"].item()
    assert average == pytest.approx(torch.stack(list(trainer.lit_problem.training_step_outputs)).mean().item())


def test_step_outputs_hold_no_graphs_and_one_epoch(runs_dir: Path) -> None:
    def validation_step(self: Any, batch: Any, batch_idx: Any) -> Any:
        with torch.enable_grad():
            loss = self.problem(batch)["dev_loss"]
        assert loss.requires_grad
        self.validation_step_outputs.append({"loss": loss})
        return loss

    trainer = fitted(runs_dir, epochs=3, custom_hooks={"validation_step": validation_step})
    module = trainer.lit_problem
    assert len(module.training_step_outputs) == len(module.validation_step_outputs) == 4
    assert not any(loss.requires_grad for loss in module.training_step_outputs)
    assert not any(output["loss"].requires_grad for output in module.validation_step_outputs)
    assert losses(trainer) == losses(fitted(runs_dir, epochs=3))


def test_step_outputs_hold_no_graphs_in_a_list_of_the_users_own(runs_dir: Path) -> None:
    def start(self: Any) -> None:
        self.training_step_outputs = []

    for step in (None, doubled):
        trainer = fitted(runs_dir, custom_hooks={"on_train_epoch_start": start}, custom_training_step=step)
        assert [loss.requires_grad for loss in trainer.lit_problem.training_step_outputs] == [False] * 4


def test_step_outputs_detach_however_they_are_filled() -> None:
    loss = torch.ones((), requires_grad=True) * 2
    outputs = StepOutputs()
    outputs.append(loss)
    outputs.extend([[loss], (loss, 3)])
    outputs.insert(0, {"a": {"b": loss}})
    flat = [outputs[0]["a"]["b"], outputs[1], outputs[2][0], outputs[3][0]]
    assert not any(value.requires_grad for value in flat)
    assert outputs[3][1] == 3


def test_a_hook_draws_from_the_fits_random_numbers(runs_dir: Path) -> None:
    def noise(drawn: list[float]) -> Any:
        return lambda self, batch, batch_idx: drawn.append(torch.rand(()).item())

    first: list[float] = []
    second: list[float] = []
    one = fitted(runs_dir, builder=noisy, data=noisy_data, custom_hooks={"on_train_batch_start": noise(first)})
    torch.rand(7)
    before = torch.get_rng_state()
    other = LitTrainer(epochs=2, runs_dir=runs_dir, seed=1, custom_hooks={"on_train_batch_start": noise(second)})
    torch.manual_seed(0)
    other.fit(noisy(), noisy_data)
    torch.set_rng_state(before)
    assert first == second
    assert len(set(first)) == len(first)
    assert losses(one) == losses(other)


# --- hooks instead of nmlab's own ---


def dev_returned(self: Any, batch: Any, batch_idx: int) -> Any:
    return self.problem(batch)[self.dev_metric] + 1


def dev_logged(self: Any, batch: Any, batch_idx: int) -> None:
    self.log("dev_loss", self.problem(batch)[self.dev_metric] + 1)


def dev_appended(self: Any, batch: Any, batch_idx: int) -> None:
    self.validation_step_outputs.append(self.problem(batch)[self.dev_metric] + 1)


@pytest.mark.parametrize("step", [dev_returned, dev_logged, dev_appended])
def test_a_validation_step_gives_the_dev_loss(step: Any, runs_dir: Path) -> None:
    trainer = fitted(runs_dir, custom_hooks={"validation_step": step})
    plain = fitted(runs_dir)
    assert trainer.run.column("dev_loss") == pytest.approx([loss + 1 for loss in plain.run.column("dev_loss")])
    assert trainer.run.column("dev_obj") == plain.run.column("dev_obj")
    assert trainer.callback_metrics["dev_loss"].item() == pytest.approx(trainer.run.column("dev_loss")[-1])


def test_what_a_hook_logs_as_dev_loss_is_the_dev_loss(runs_dir: Path) -> None:
    def end(self: Any) -> None:
        self.log("dev_loss", torch.tensor(1.0 + self.current_epoch))

    trainer = fitted(runs_dir, epochs=3, custom_hooks={"on_validation_epoch_end": end}, patience=2)
    assert trainer.run.column("dev_loss") == [1.0, 2.0, 3.0]
    assert trainer.run.best_epoch == 0
    assert trainer.callback_metrics["dev_loss"] == 3.0


def scheduled(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.problem.parameters(), lr=0.01)
    return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)}


def in_lists(self: Any) -> Any:
    made = scheduled(self)
    return [made["optimizer"]], [made["lr_scheduler"]]


def by_plateau(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.problem.parameters(), lr=0.01)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0, threshold=1e6)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "dev_loss"}}


@pytest.mark.parametrize("configure", [scheduled, in_lists, by_plateau])
def test_configure_optimizers_may_return_what_lightning_allows(configure: Any, runs_dir: Path) -> None:
    trainer = fitted(runs_dir, epochs=3, custom_hooks={"configure_optimizers": configure})
    rates = trainer.run.column("lr")
    assert rates[0] == 0.01
    assert rates[-1] == pytest.approx(0.0001)


def test_hooks_around_the_step_leave_the_fit_as_it_is(runs_dir: Path) -> None:
    called = set()

    def optimizer_step(self: Any, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any) -> None:
        called.add("optimizer_step")
        optimizer.step(closure=optimizer_closure)

    def backward(self: Any, loss: Any) -> None:
        called.add("backward")
        loss.backward()

    def clipping(self: Any, optimizer: Any, gradient_clip_val: Any, gradient_clip_algorithm: Any) -> None:
        called.add("configure_gradient_clipping")
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    hooks = {"optimizer_step": optimizer_step, "backward": backward, "configure_gradient_clipping": clipping}
    given: dict[str, Any] = {"builder": noisy, "data": noisy_data, "clip": 0.1}
    trainer = fitted(runs_dir, custom_hooks=hooks, profiler="simple", **given)
    assert called == set(hooks)
    assert losses(trainer) == losses(fitted(runs_dir, **given))


def test_what_a_hook_raises_goes_through_and_the_best_weights_are_in_place(runs_dir: Path) -> None:
    def fails(self: Any) -> None:
        if self.current_epoch == 2:
            raise RuntimeError("mine")

    problem = rosenbrock()
    trainer = LitTrainer(
        epochs=9, runs_dir=runs_dir, custom_hooks={"on_train_epoch_start": fails}, weight_path=runs_dir
    )
    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(problem, rosenbrock_data)
    assert (trainer.run.status, trainer.run.epochs) == ("failed", 2)
    kept = read_weights(next(runs_dir.glob("*.ckpt")))
    assert all(torch.equal(value, kept[name]) for name, value in problem.state_dict().items())
    by_neuromancers_names = {"train_loss_step", "train_loss_epoch", "training_epoch_average"}
    assert set(trainer.callback_metrics) == {"train_loss", "dev_loss"} | by_neuromancers_names


def test_a_stop_from_a_hook_ends_the_fit_as_stopped(runs_dir: Path) -> None:
    def interrupted(self: Any, batch: Any, batch_idx: int) -> None:
        if self.current_epoch == 1:
            one_fit.current().stop()  # type: ignore[union-attr]  # there is one while a fit runs

    trainer = fitted(runs_dir, epochs=9, custom_hooks={"on_train_batch_start": interrupted})
    assert trainer.run.status == "stopped"
    assert trainer.run.epochs == 1


def test_configure_optimizers_without_an_optimizer_is_an_error(runs_dir: Path) -> None:
    with pytest.raises(FieldError, match="returned None; return an optimizer"):
        fitted(runs_dir, custom_hooks={"configure_optimizers": lambda self: None})


def test_an_interrupt_that_a_hook_raises_stops_the_fit(runs_dir: Path) -> None:
    def enough(self: Any) -> None:
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    trainer = fitted(runs_dir, epochs=9, custom_hooks={"on_train_epoch_start": enough})
    assert (trainer.run.status, trainer.run.epochs) == ("stopped", 1)


def test_hooks_at_an_epochs_end_know_its_losses(runs_dir: Path) -> None:
    heard: dict[str, list[float]] = {"dev_loss": [], "train_loss": []}

    def hook(name: str) -> Any:
        return lambda self: heard[name].append(self.trainer.callback_metrics[name].item())

    hooks = {"on_validation_epoch_end": hook("dev_loss"), "on_train_epoch_end": hook("train_loss")}
    trainer = fitted(runs_dir, custom_hooks=hooks)
    assert heard == {name: pytest.approx(trainer.run.column(name)) for name in heard}
    assert losses(trainer) == losses(fitted(runs_dir))


def test_what_a_hook_logs_can_say_which_epoch_is_best(runs_dir: Path) -> None:
    def end(self: Any) -> None:
        self.log("distance", float(abs(2 - self.current_epoch)))

    given: dict[str, Any] = {"epochs": 9, "eval_metric": "distance", "patience": 2}
    trainer = fitted(runs_dir, custom_hooks={"on_validation_epoch_end": end}, **given)
    assert trainer.run.column("distance") == [2.0, 1.0, 0.0, 1.0, 2.0]
    assert (trainer.run.best_epoch, trainer.run.best_value) == (2, 0.0)
    with pytest.raises(FieldError, match=r"eval_metric: 'distance' is no metric of this fit; there are: away, dev_c"):
        fitted(runs_dir, custom_hooks={"on_validation_epoch_end": lambda self: self.log("away", 1.0)}, **given)


def test_a_hook_without_a_logger_of_the_users_adds_to_the_runs_events(runs_dir: Path) -> None:
    def end(self: Any) -> None:
        self.logger.experiment.add_scalar("by the writer", 1.0, self.current_epoch)
        self.logger.log_metrics({"by the logger": 2.0}, step=self.current_epoch)

    run = fitted(runs_dir, custom_hooks={"on_train_epoch_end": end, "on_test_epoch_end": end}).run
    assert {"by the writer", "by the logger", "loss/dev"} <= scalars(run)
    assert not list(run.folder.glob("*.yaml"))


def test_setup_and_teardown_are_hooks(runs_dir: Path) -> None:
    called: list[str] = []
    hooks = {name: lambda self, stage: called.append(stage) for name in ("setup", "teardown")}
    assert losses(fitted(runs_dir, custom_hooks=hooks)) == losses(fitted(runs_dir))
    assert called == ["fit", "fit", "test", "test"]


# --- training steps ---


def doubled(model: Any, batch: Any) -> Any:
    return 2 * model.problem(batch)[model.train_metric]


def test_a_custom_step_trains_on_what_it_returns_and_the_terms_stay(runs_dir: Path) -> None:
    trainer = fitted(runs_dir, epochs=1, custom_training_step=doubled, clip=1e-3)
    plain = fitted(runs_dir, epochs=1, clip=1e-3)
    # the gradient being clipped, twice the loss makes the same steps
    assert trainer.run.column("train_loss")[0] == pytest.approx(2 * plain.run.column("train_loss")[0], rel=1e-4)
    assert trainer.run.column("train_obj") == pytest.approx(plain.run.column("train_obj"), rel=1e-4)
    assert trainer.run.column("dev_loss") == pytest.approx(plain.run.column("dev_loss"), rel=1e-4)


def test_a_step_without_the_problem_leaves_the_terms_unknown(runs_dir: Path) -> None:
    def weights_only(model: Any, batch: Any) -> Any:
        return sum((p**2).sum() for p in model.problem.parameters())

    trainer = fitted(runs_dir, custom_training_step=weights_only)
    assert trainer.run.column("train_loss")[1] < trainer.run.column("train_loss")[0]
    assert trainer.run.metrics["train_obj"].isna().all()
    assert trainer.run.metrics["dev_obj"].notna().all()


def test_a_step_may_make_its_batch_fit_the_problem(runs_dir: Path) -> None:
    def unnamed() -> Any:
        train, dev, test, batch_size = rosenbrock_data()
        train.datadict["alpha"] = train.datadict.pop("a")
        return train, dev, test, batch_size

    def renaming(model: Any, batch: Any) -> Any:
        return model.problem({**batch, "a": batch["alpha"]})[model.train_metric]

    plain = fitted(runs_dir, train_metric="train_obj")
    trainer = fitted(runs_dir, data=unnamed, custom_training_step=renaming, train_metric="train_obj")
    assert losses(trainer) == losses(plain)
    assert trainer.run.column("train_obj") == plain.run.column("train_obj")


def test_what_a_step_returns_beside_its_loss_comes_to_the_hooks_after_it(runs_dir: Path) -> None:
    heard: dict[str, Any] = {}

    def step(model: Any, batch: Any) -> Any:
        loss = model.problem(batch)[model.train_metric]
        return {"loss": loss, "tripled": 3.0 * loss}

    def validation_step(self: Any, batch: Any, batch_idx: int) -> Any:
        return {"loss": self.problem(batch)[self.dev_metric], "size": len(batch["a"])}

    def train_end(self: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        heard["train"] = outputs

    def dev_end(self: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        heard["dev"] = outputs

    hooks = {"validation_step": validation_step, "on_train_batch_end": train_end, "on_validation_batch_end": dev_end}
    trainer = fitted(runs_dir, custom_training_step=step, custom_hooks=hooks)
    assert heard["train"]["tripled"] == 3.0 * heard["train"]["loss"]
    assert not heard["train"]["tripled"].requires_grad
    assert set(heard["dev"]) == {"loss", "size"}
    assert losses(trainer) == losses(fitted(runs_dir))


def test_a_step_that_draws_in_some_batches_only_draws_from_the_fits_random_numbers(runs_dir: Path) -> None:
    def late(model: Any, batch: Any, batch_idx: int) -> Any:
        loss = model.problem(batch)[model.train_metric]
        return loss * (1.0 + torch.rand(())) if batch_idx == 1 else loss

    first = losses(fitted(runs_dir, custom_training_step=late))
    after = torch.rand(())
    torch.manual_seed(0)
    trainer = LitTrainer(epochs=2, runs_dir=runs_dir, seed=1, custom_training_step=late)
    problem = rosenbrock()
    assert torch.rand(()) == after
    trainer.fit(problem, rosenbrock_data)
    assert losses(trainer) == first


def test_what_steps_log_is_a_mean_where_lightning_says_so(runs_dir: Path) -> None:
    def step(model: Any, batch: Any) -> Any:
        loss = model.problem(batch)[model.train_metric]
        model.log("train_loss", loss)  # with its graph
        model.log("raw", loss, on_step=False, on_epoch=True, batch_size=len(batch["a"]))
        return loss

    def validation_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.log("number", float(batch_idx), batch_size=1)
        return self.problem(batch)[self.dev_metric]

    trainer = fitted(runs_dir, custom_training_step=step, custom_hooks={"validation_step": validation_step})
    events = EventAccumulator(str(trainer.run.folder))
    events.Reload()
    batches = len(trainer.lit_problem.validation_step_outputs) or 4
    assert [event.value for event in events.Scalars("number")] == [(batches - 1) / 2] * 2
    assert [event.value for event in events.Scalars("raw")] == pytest.approx(trainer.run.column("train_loss"), rel=1e-5)


def test_what_a_hook_logs_as_test_loss_is_the_test_loss(runs_dir: Path) -> None:
    def end(self: Any) -> None:
        self.log("test_loss", 42.0)

    assert fitted(runs_dir, custom_hooks={"on_test_epoch_end": end}).run.test_metrics["test_loss"] == 42.0


def test_a_run_with_a_step_of_its_own_is_not_resumed_without_it(runs_dir: Path) -> None:
    trainer = fitted(runs_dir, custom_training_step=doubled)
    with pytest.raises(RunError, match=r"trained with training_step.*restore"):
        fit(rosenbrock(), rosenbrock_data, TrainerOptions(max_epochs=3), runs_dir=runs_dir, resume=trainer.run)
    plain = fitted(runs_dir)
    resumed = fit(rosenbrock(), rosenbrock_data, TrainerOptions(max_epochs=3), runs_dir=runs_dir, resume=plain.run)
    assert resumed.epochs == 3


def manual(model: Any, batch: Any) -> Any:
    optimizer = model.optimizers()
    loss = model.problem(batch)[model.train_metric]
    optimizer.zero_grad()
    model.manual_backward(loss)
    torch.nn.utils.clip_grad_norm_(model.problem.parameters(), 100.0)
    optimizer.step()
    return loss


def silent(model: Any, batch: Any) -> None:
    manual(model, batch)


@pytest.mark.parametrize("step", [manual, silent])
def test_a_step_that_optimizes_by_itself_trains_as_lightning_does(step: Any, runs_dir: Path) -> None:
    trainer = fitted(runs_dir, custom_training_step=step, automatic_optimization=False)
    plain = fitted(runs_dir)
    assert losses(trainer) == losses(plain)
    weights = plain.get_weights()
    assert all(torch.equal(value, weights[name]) for name, value in trainer.get_weights().items())


def test_two_optimizers(runs_dir: Path) -> None:
    def configure(self: Any) -> Any:
        first, *rest = self.problem.parameters()
        return torch.optim.SGD([first], lr=0.01), torch.optim.Adam(rest, lr=0.001)

    def step(model: Any, batch: Any) -> Any:
        loss = model.problem(batch)[model.train_metric]
        model.manual_backward(loss)
        for optimizer in model.optimizers():
            optimizer.step()
            optimizer.zero_grad()
        return loss

    hooks = {"configure_optimizers": configure}
    trainer = fitted(runs_dir, 4, custom_hooks=hooks, custom_training_step=step, automatic_optimization=False)
    assert trainer.run.column("train_loss")[-1] < trainer.run.column("train_loss")[0]
    assert trainer.run.column("lr") == [0.01] * 4


@pytest.mark.parametrize("automatic", [True, False])
def test_a_step_without_a_loss_is_an_error_that_says_what_to_do(automatic: bool, runs_dir: Path) -> None:
    with pytest.raises(FieldError, match=r"training_step: it returned nothing; return the loss"):
        fitted(runs_dir, custom_training_step=lambda model, batch: None, automatic_optimization=automatic)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda loss: torch.stack([loss, loss]), "a loss of shape \\(2,\\); return a single number"),
        (lambda loss: loss.item(), "a loss without a gradient"),
        (lambda loss: loss.detach(), "a loss without a gradient"),
    ],
)
def test_a_loss_that_nothing_can_be_trained_on_is_an_error(changed: Any, said: str, runs_dir: Path) -> None:
    with pytest.raises(FieldError, match=f"training_step: it returned {said}"):
        fitted(runs_dir, custom_training_step=lambda model, batch: changed(doubled(model, batch)))


def test_a_loss_that_is_not_finite_is_not_blamed_on_a_term(runs_dir: Path) -> None:
    with pytest.raises(ArithmeticError, match="its term 'loss' is nan"):
        fitted(runs_dir, custom_training_step=lambda m, b: sum(p.sum() for p in m.problem.parameters()) * float("nan"))
