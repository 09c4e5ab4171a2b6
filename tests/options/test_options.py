"""TrainerOptions: every fault at once, optimizers and schedulers made, and the way to JSON and back."""

from __future__ import annotations

import inspect
import json
import math
import pickle
import typing
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.strategies import DDPStrategy
from torch.optim import lr_scheduler as schedulers

from nmlab.errors import FieldError
from nmlab.fields import check
from nmlab.options import TrainerOptions, as_json, holds_stand_in
from nmlab.options.together import SAME_TO_THE_LAST_BIT, clip_together, step_together
from tests.helpers.processes import fresh


def faults_of(**values: Any) -> dict[str, str]:
    with pytest.raises(FieldError) as error:
        TrainerOptions(**values)
    assert str(error.value).startswith("TrainerOptions:\n")
    return error.value.faults


def model() -> torch.nn.Module:
    return torch.nn.Linear(2, 1)


# Values -----------------------------------------------------------------------------------------------------


def test_defaults_are_lit_trainers_with_one_device() -> None:
    options = TrainerOptions()
    assert (options.max_epochs, options.lr, options.gradient_clip_val) == (1000, 1e-3, 100.0)
    assert (options.devices, options.accelerator, options.shuffle, options.seed) == (1, "auto", False, None)


def test_options_are_found_by_name_and_frozen() -> None:
    assert "max_epochs" in inspect.signature(TrainerOptions).parameters
    with pytest.raises(ValueError, match="frozen"):
        TrainerOptions().lr = 1.0


def test_all_faults_are_named_at_once_in_the_options_order() -> None:
    faults = faults_of(lr=-1, max_epochs=0, devices=0, patince=3, optimizer="Adamm", callbacks=[3])
    assert list(faults) == ["max_epochs", "lr", "optimizer", "devices", "callbacks", "patince"]
    assert faults["max_epochs"] == "0 is too small; give an integer >= 1"
    assert "did you mean 'Adam'?" in faults["optimizer"]
    assert "did you mean 'patience'?" in faults["patince"]


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("seed", 2**32, "<= 4294967295, or None"),
        ("seed", -1, ">= 0"),
        ("patience", 0, ">= 1, or None"),
        ("warmup", -1, ">= 0"),
        ("gradient_clip_val", -1.0, ">= 0, or None"),
        ("num_workers", 0.5, "an integer"),
        ("shuffle", 1, "True or False"),
        ("mode", "least", "'min', 'max'"),
        ("accelerator", "tpu", "'auto', 'cpu', 'cuda', 'gpu', 'mps'"),
        ("precision", 8, "'32-true'"),
        ("precision", "32-ture", "'32-true'"),
        ("devices", 0, "a list of GPUs such as [0, 1], or 'auto'"),
        ("devices", -2, "a list of GPUs"),
        ("devices", True, "a list of GPUs"),
        ("devices", 2.0, "a list of GPUs"),
        ("devices", "all", "or 'auto' for all"),
        ("devices", [], "a list of GPUs"),
        ("devices", [-1], "a list of GPUs"),
        ("devices", [1, 1], "has a GPU twice"),
        ("num_nodes", 0, "an integer >= 1"),
        ("num_nodes", True, "an integer >= 1"),
        ("strategy", "fsdp", "give 'auto', 'ddp'"),
        ("strategy", 3, "give 'auto', 'ddp'"),
        ("strategy", DDPStrategy(ddp_comm_hook=print), "with ddp_comm_hook"),
        ("profiler", "fast", "'simple', 'advanced', 'pytorch'"),
        ("profiler", 3, "Profiler"),
        ("optimizer", 3, "Adam"),
        ("optimizer", "Optimizer", "Adam"),
        ("optimizer", torch.nn.Linear, "Adam"),
        ("lr_scheduler", "Cosine", "CosineAnnealingLR"),
        ("lr_scheduler", 3, "StepLR"),
        ("lr_scheduler", "LambdaLR", "lambda optimizer: LambdaLR(optimizer, lr_lambda=…)"),
        ("lr_scheduler", schedulers.CyclicLR, "CyclicLR(optimizer, base_lr=…, max_lr=…)"),
        ("callbacks", None, "a list of Lightning's Callback"),
        ("callbacks", [3], "a list of Lightning's Callback"),
        ("loggers", [3], "a list of Lightning's Logger"),
        ("trainer_kwargs", [3], "dict"),
        ("trainer_kwargs", {"max_stps": 3}, "did you mean 'max_steps'?"),
        ("trainer_kwargs", {"max_epochs": 3}, "TrainerOptions(max_epochs=…)"),
        ("trainer_kwargs", {"logger": False}, "loggers=[…] or tensorboard=False"),
        ("trainer_kwargs", {"enable_checkpointing": False}, "checkpoint=True or False"),
        ("trainer_kwargs", {"inference_mode": False}, "grad_inference"),
        ("trainer_kwargs", {"default_root_dir": "."}, "runs_dir=…"),
    ],
)
def test_a_wrong_value_is_told_what_is_right(name: str, value: Any, right: str) -> None:
    faults = faults_of(**{name: value})
    assert list(faults) == [name]
    assert right in faults[name]


def test_every_fault_in_trainer_kwargs_is_named() -> None:
    given_kwargs = {"logger": 1, "lr": 1, "nonsense": 1, "accumulate_grad_batches": 2}
    fault = faults_of(trainer_kwargs=given_kwargs)["trainer_kwargs"]
    assert all(repr(name) in fault for name in ("logger", "lr", "nonsense"))
    assert not fault.startswith("'accumulate_grad_batches'")


@pytest.mark.parametrize(
    ("given", "taken"),
    [(2, 2), ("2", 2), ("auto", "auto"), ("-1", -1), ("0,1", [0, 1]), ("1,", [1]), ((0, 2), [0, 2])],
)
def test_devices_are_given_as_lightning_takes_them(given: Any, taken: Any) -> None:
    assert TrainerOptions(devices=given).devices == taken


@pytest.mark.parametrize("strategy", ["ddp", "ddp_notebook", "ddp_spawn", "ddp_find_unused_parameters_true"])
def test_lightnings_names_of_ddp_are_taken(strategy: str) -> None:
    assert TrainerOptions(strategy=strategy).strategy == strategy
    assert TrainerOptions(strategy=DDPStrategy(find_unused_parameters=True)).strategy == "ddp"  # type: ignore[arg-type]


def test_devices_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = {"accelerator": "cpu"}
    assert TrainerOptions(devices=3, **cpu).resolved_devices() == [0, 1, 2]  # type: ignore[arg-type]
    assert TrainerOptions(devices="auto", **cpu).resolved_devices() == [0]  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(FieldError, match="finds none here; give devices=2 for the CPU"):
        TrainerOptions(devices=[1, 2]).resolved_devices()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for everything in ("auto", -1, 2):
        assert TrainerOptions(devices=everything).resolved_devices() == [0, 1]
    assert TrainerOptions(devices=[1]).resolved_devices() == [1]
    with pytest.raises(FieldError, match="this machine has 2 CUDA devices; give 2 at most"):
        TrainerOptions(devices=4).resolved_devices()
    with pytest.raises(FieldError, match="numbered from 0"):
        TrainerOptions(devices=[2]).resolved_devices()


def test_a_list_of_devices_is_for_gpus() -> None:
    assert TrainerOptions(devices=[3]).devices == [3]
    assert TrainerOptions(devices=(3,)).devices == [3]  # type: ignore[arg-type]
    assert "devices=1" in faults_of(devices=[0], accelerator="cpu")["devices"]


def test_what_lightning_takes_is_taken() -> None:
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import CSVLogger
    from lightning.pytorch.profilers import SimpleProfiler

    callback, profiler, logger = Callback(), SimpleProfiler(), CSVLogger(".")
    options = TrainerOptions(
        callbacks=[callback],
        loggers=(logger,),
        profiler=profiler,
        trainer_kwargs={"max_steps": 5},
    )
    assert options.callbacks == (callback,)
    assert options.loggers == (logger,)
    assert options.profiler is profiler
    assert options.trainer_kwargs == {"max_steps": 5}


def test_every_precision_is_one_of_lightnings() -> None:
    from lightning.fabric.connector import _PRECISION_INPUT_STR  # type: ignore[attr-defined]  # private there

    ours = typing.get_args(TrainerOptions.model_fields["precision"].annotation)
    assert set(ours) == set(typing.get_args(_PRECISION_INPUT_STR))


@pytest.mark.parametrize(
    ("short", "whole"), [(16, "16-mixed"), ("bf16", "bf16-mixed"), (32, "32-true"), ("64", "64-true")]
)
def test_short_forms_of_a_precision(short: Any, whole: str) -> None:
    assert TrainerOptions(precision=short).precision == whole


def test_replace_checks_anew_and_keeps_the_rest() -> None:
    options = TrainerOptions(max_epochs=5, optimizer="SGD").replace(lr=2)
    assert (options.max_epochs, options.optimizer, options.lr) == (5, "SGD", 2.0)
    with pytest.raises(FieldError, match="lr: 0 is too small"):
        options.replace(lr=0)


def test_repr_shows_what_was_given_only() -> None:
    assert repr(TrainerOptions(max_epochs=5)) == "TrainerOptions(max_epochs=5)"


def test_the_users_dict_stays_the_users() -> None:
    given_kwargs = {"max_steps": 5}
    options = TrainerOptions(trainer_kwargs=given_kwargs)
    given_kwargs["max_steps"] = 6
    assert options.trainer_kwargs == {"max_steps": 5}


def test_options_survive_pickling() -> None:
    options = TrainerOptions(max_epochs=5, devices=[1])
    assert pickle.loads(pickle.dumps(options)) == options


# Fields for a form ------------------------------------------------------------------------------------------


def test_fields_come_in_the_order_that_matters_each_with_help() -> None:
    fields = TrainerOptions.fields()
    assert [field.name for field in fields[:5]] == ["max_epochs", "lr", "optimizer", "patience", "seed"]
    assert {field.name for field in fields} == set(TrainerOptions.model_fields)
    assert all(field.help for field in fields)
    assert not any(field.required for field in fields)


def test_everything_a_form_offers_is_well_as_label_and_as_value() -> None:
    for field in TrainerOptions.fields():
        for label, value in (field.choices or {}).items():
            assert check([field], {field.name: label}) == {field.name: value}
            for either in (label, value):
                options: dict[str, Any] = {field.name: either}
                assert getattr(TrainerOptions(**options), field.name) == value


def test_the_defaults_pass_through_a_form_unchanged() -> None:
    assert TrainerOptions(**check(TrainerOptions.fields(), {})).to_json() == TrainerOptions().to_json()


# Optimizers and schedulers ----------------------------------------------------------------------------------


def test_betas_hold_only_where_no_optimizer_is_given() -> None:
    assert TrainerOptions(lr=0.1).build_optimizer(model()).defaults["betas"] == (0.0, 0.9)
    assert TrainerOptions(optimizer="Adam").build_optimizer(model()).defaults["betas"] == (0.9, 0.999)


def own_sgd(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    assert isinstance(parameters, list)
    return torch.optim.SGD(parameters, lr=3.0)


@pytest.mark.parametrize(
    ("optimizer", "kind", "lr"),
    [
        (None, torch.optim.Adam, 0.1),
        ("adamw", torch.optim.AdamW, 0.1),
        (torch.optim.SGD, torch.optim.SGD, 0.1),
        (own_sgd, torch.optim.SGD, 3.0),
        (partial(torch.optim.SGD, lr=2.0, momentum=0.9), torch.optim.SGD, 2.0),
    ],
)
def test_an_optimizer_by_name_class_or_function(optimizer: Any, kind: type, lr: float) -> None:
    problem = model()
    made = TrainerOptions(lr=0.1, optimizer=optimizer).build_optimizer(problem)
    assert type(made) is kind
    assert made.param_groups[0]["lr"] == lr
    assert [id(p) for p in made.param_groups[0]["params"]] == [id(p) for p in problem.parameters()]


def test_an_instance_is_taken_if_it_holds_this_problems_parameters() -> None:
    problem = torch.nn.Sequential(model(), model())
    whole, part = (
        torch.optim.SGD(problem.parameters(), lr=1.0),
        torch.optim.SGD(problem[0].parameters(), lr=1.0),
    )
    assert TrainerOptions(optimizer=whole).build_optimizer(problem) is whole
    assert TrainerOptions(optimizer=part).build_optimizer(problem) is part
    with pytest.raises(FieldError, match=r"optimizer: 2 of the 4 tensors .* not belong to this Linear"):
        TrainerOptions(optimizer=whole).build_optimizer(problem[0])


def test_frozen_parameters_are_left_out() -> None:
    problem = model()
    bias = typing.cast(torch.nn.Parameter, problem.bias)
    bias.requires_grad_(False)
    (group,) = TrainerOptions().build_optimizer(problem).param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(problem.weight)]
    with pytest.raises(FieldError, match="nothing to train"):
        TrainerOptions().build_optimizer(torch.nn.Tanh())


class WithoutRate(torch.optim.SGD):
    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=1.0)


def test_what_makes_no_optimizer_says_so() -> None:
    with pytest.raises(FieldError, match="returned a list"):
        TrainerOptions(optimizer=lambda parameters: parameters).build_optimizer(model())
    with pytest.raises(FieldError, match=r"WithoutRate\(…, lr=0.001\) failed"):
        TrainerOptions(optimizer=WithoutRate).build_optimizer(model())


def rates(epochs: int, **options: Any) -> list[float]:
    """The learning rate of each epoch, and the one after the last."""
    made = TrainerOptions(max_epochs=epochs, lr=1.0, optimizer="SGD", **options)
    optimizer = made.build_optimizer(model())
    scheduler = made.build_scheduler(optimizer)
    assert scheduler is not None
    lrs = [optimizer.param_groups[0]["lr"]]
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        lrs.append(optimizer.param_groups[0]["lr"])
    return lrs


def test_schedulers_by_name_span_the_fit() -> None:
    assert rates(7, lr_scheduler="ExponentialLR")[-1] == pytest.approx(0.01)
    assert rates(7, lr_scheduler="cosineannealinglr")[-1] == pytest.approx(0.0)
    assert rates(6, lr_scheduler="StepLR") == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001])
    assert rates(3, lr_scheduler=lambda o: schedulers.LambdaLR(o, lambda e: 1 / (e + 1))) == pytest.approx(
        [1, 1 / 2, 1 / 3, 1 / 4]
    )


def test_a_class_means_the_same_as_its_name() -> None:
    assert rates(7, lr_scheduler=schedulers.ExponentialLR) == rates(7, lr_scheduler="ExponentialLR")


def test_a_plateau_follows_the_mode() -> None:
    optimizer = TrainerOptions().build_optimizer(model())
    assert TrainerOptions().build_scheduler(optimizer) is None
    made = TrainerOptions(lr_scheduler="ReduceLROnPlateau", mode="max").build_scheduler(optimizer)
    assert isinstance(made, schedulers.ReduceLROnPlateau)
    assert made.mode == "max"


def test_a_function_must_return_a_scheduler_of_this_optimizer() -> None:
    optimizer, other = (TrainerOptions().build_optimizer(model()) for _ in range(2))
    for function in (lambda _: 3, lambda _: schedulers.ConstantLR(other)):
        with pytest.raises(FieldError, match=r"lr_scheduler: .* return an LRScheduler"):
            TrainerOptions(lr_scheduler=function).build_scheduler(optimizer)


# Where to compute -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accelerator", "cuda", "mps", "resolved"),
    [
        ("auto", True, False, "cuda"),
        ("auto", False, True, "cpu"),
        ("auto", False, False, "cpu"),
        ("gpu", True, True, "cuda"),
        ("cuda", True, False, "cuda"),
        ("cpu", True, True, "cpu"),
        ("mps", False, True, "mps"),
        ("gpu", False, True, None),
        ("cuda", False, False, None),
        ("mps", True, False, None),
    ],
)
def test_auto_is_cuda_or_cpu_and_mps_only_by_name(
    accelerator: Any, cuda: bool, mps: bool, resolved: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    options = TrainerOptions(accelerator=accelerator)
    if resolved is None:
        with pytest.raises(FieldError, match="accelerator: PyTorch finds no"):
            options.resolved_accelerator()
    else:
        assert options.resolved_accelerator() == resolved


# JSON -------------------------------------------------------------------------------------------------------


def test_json_and_classes_of_torch_come_back() -> None:
    options = TrainerOptions(
        max_epochs=3,
        optimizer=torch.optim.SGD,
        lr_scheduler=schedulers.StepLR,
        devices=[1],
        trainer_kwargs={"limit_train_batches": 0.5},
    )
    again, lost = TrainerOptions.from_json(json.loads(json.dumps(options.to_json(), allow_nan=False)))
    assert lost == []
    assert again == options.replace(**{name: getattr(options, name) for name in TrainerOptions.model_fields})
    assert again.optimizer is torch.optim.SGD


def test_what_cannot_be_rebuilt_is_named_and_said() -> None:
    options = TrainerOptions(
        max_epochs=3,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=7.0),
        lr_scheduler=partial(schedulers.StepLR, step_size=3),
        trainer_kwargs={"plugins": [own_sgd]},
    )
    data = json.loads(json.dumps(options.to_json(), allow_nan=False))
    assert "torch.optim.SGD(parameters, lr=7.0)" in data["optimizer"]["source"]
    assert "StepLR" in data["lr_scheduler"]["repr"]
    assert data["trainer_kwargs"]["plugins"][0]["name"].endswith("own_sgd")
    again, lost = TrainerOptions.from_json(data | {"of_the_future": 3})
    assert lost == ["optimizer", "lr_scheduler", "trainer_kwargs", "of_the_future"]
    assert (again.max_epochs, again.optimizer, again.trainer_kwargs) == (3, None, {})


def test_an_optimizer_instance_leaves_its_repr() -> None:
    optimizer = torch.optim.SGD(model().parameters(), lr=1.0)
    assert "SGD" in TrainerOptions(optimizer=optimizer).to_json()["optimizer"]["repr"]


@pytest.mark.parametrize("name", ["torch.optim.Optimizer.step", "torch.optim.adam.torch.hub.load", "torch.optim.sys"])
def test_only_optimizers_and_schedulers_are_looked_up(name: str) -> None:
    options, lost = TrainerOptions.from_json({"optimizer": {"name": name}})
    assert (options.optimizer, lost) == (None, ["optimizer"])


def test_a_stored_value_that_is_wrong_is_an_error() -> None:
    with pytest.raises(FieldError, match="max_epochs"):
        TrainerOptions.from_json({"max_epochs": 0})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=7), inner),
)


@given(JSON)
def test_json_stays_as_it_is(value: Any) -> None:
    assert as_json(value) == value
    assert not holds_stand_in(as_json(value))


@given(st.sampled_from(["name", "source", "repr"]), JSON)
def test_a_users_dict_is_never_taken_for_a_stand_in(key: str, value: Any) -> None:
    assert as_json([{key: value}]) != [{key: value}]
    assert holds_stand_in(as_json([{key: value}]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {1}, object(), len])
def test_whatever_it_is_json_comes_out(value: Any) -> None:
    assert json.dumps(as_json(value), allow_nan=False)
    assert holds_stand_in(as_json(value))


def test_plain_options_load_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from nmlab.options import TrainerOptions; TrainerOptions(max_epochs=3).to_json();"
        "print(*{'torch', 'lightning', 'numpy'} & {*sys.modules})"
    )
    assert fresh(code).split() == []


# --- steps of all parameters together ---


def learnt(make: Any, foreach: bool, **settings: Any) -> list[torch.Tensor]:
    """What an optimizer makes of some tensors by sixty gradients of very different size."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(size)) for size in ((40, 2), (40,), (33, 40), (7,), (1,))]
    optimizer = make(parameters, lr=1e-2, **settings)
    assert all(group["foreach"] is None for group in optimizer.param_groups)
    if foreach:
        step_together(optimizer)
        assert all(group["foreach"] for group in optimizer.param_groups)
    for _ in range(60):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter) * 10.0 ** float(torch.randn(()))
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("name", SAME_TO_THE_LAST_BIT)
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"momentum": 0.9}], ids=str)
def test_steps_together_learn_the_same_bits(name: str, settings: dict[str, float]) -> None:
    make = getattr(torch.optim, name)
    if settings.keys() - inspect.signature(make).parameters.keys():
        settings = {}
    both = (learnt(make, foreach, **settings) for foreach in (False, True))
    assert all(map(torch.equal, *both))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([None, 1e-30, 1e-3, 1.0, 1e3, math.inf, math.nan]))),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1e-3, 1.0, 100.0, 1e30]),
)
def test_gradients_clipped_together_are_the_same_bits(
    made: list[tuple[int, float | None]], last: torch.dtype, most: float
) -> None:
    kinds = [torch.float32] * (len(made) - 1) + [last]
    sizes = [size for size, _ in made]
    ours, theirs = ([torch.zeros(*shape, dtype=kind) for *shape, kind in zip(sizes, kinds, strict=False)] for _ in "ab")
    for one, other, (_, scale) in zip(ours, theirs, made, strict=True):
        if scale is not None:
            one.grad = torch.randn_like(one) * scale
            other.grad = one.grad.clone()
    if made:
        clip_together(torch.optim.SGD([{"params": ours[:2]}, {"params": ours[2:]}]), most)
        torch.nn.utils.clip_grad_norm_(theirs, most)
    for one, other in zip(ours, theirs, strict=True):
        if one.grad is None or other.grad is None:
            assert one.grad is other.grad
        else:
            assert torch.equal(one.grad.nan_to_num(7.0), other.grad.nan_to_num(7.0))


def test_an_optimizer_of_the_users_own_steps_as_it_was_made() -> None:
    net = model()
    for own in (torch.optim.Adam(net.parameters()), lambda parameters: torch.optim.Adam(parameters)):
        made = TrainerOptions(optimizer=own).build_optimizer(net)
        assert made.param_groups[0]["foreach"] is None
    for named in (None, "AdamW", torch.optim.SGD):
        assert TrainerOptions(optimizer=named).build_optimizer(net).param_groups[0]["foreach"]
    assert TrainerOptions(optimizer="NAdam").build_optimizer(net).param_groups[0]["foreach"] is None
