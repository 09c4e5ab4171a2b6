"""A sweep's configuration in wandb's format: how to search, for what, and among which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge

from nmlab.errors import FieldError
from nmlab.fields import check, fields_of
from nmlab.sweeps.space import Parameter, number_in, read_parameter

NOT_MEANT_FOR_US = ("command", "controller", "description", "entity", "imageuri", "job", "program", "project")
"""wandb's keys that say how its server and agents go about it; without effect here."""


@dataclass
class Config:
    """What a configuration asks for.

    Parameters
    ----------
    method : 'random', 'grid' or 'bayes' (Optuna's TPE)
    parameters : what to try, by name
    metric : name of the metric that trials are judged by; None for the one that each fit monitors
    mode : 'min' or 'max', whether less or more of it is better; None where the configuration does not say
    target : value of the metric that ends the sweep; None for none
    name : the sweep's name, or None
    most : most trials; None for no limit
    """

    method: str = "random"
    parameters: dict[str, Parameter] = field(default_factory=dict)
    metric: str | None = None
    mode: Literal["min", "max"] | None = None
    target: float | None = None
    name: str | None = None
    most: int | None = None


def read_config(given: Any) -> tuple[Config, dict[str, str]]:
    """Return what could be read of a configuration, and all that is wrong with the rest, by key."""
    config = Config()
    faults: dict[str, str] = {}
    if not isinstance(given, Mapping):
        what = type(given).__name__
        return config, {"sweep_config": f"a {what}; give a dict such as {{'method': 'random', 'parameters': {{…}}}}"}
    keys = {key: value for key, value in given.items() if key not in NOT_MEANT_FOR_US}
    try:
        keys = check(fields_of(_config), keys)
    except FieldError as error:
        faults |= error.faults
    if "method" not in faults:
        config.method = keys["method"]
    config.name, config.most = keys.get("name"), keys.get("run_cap")
    try:
        if keys.get("metric") is not None:
            _take_metric(config, keys["metric"])
    except FieldError as error:
        faults |= {f"metric.{key}": fault for key, fault in error.faults.items()}
    parameters = keys.get("parameters")
    if not isinstance(parameters, Mapping) or not parameters:
        wrong = f"{parameters!r}; give a dict of what to try by name, such as {{'learning_rate': {{'values': […]}}}}"
        faults.setdefault("parameters", wrong)
        parameters = {}
    for name, said in parameters.items():
        if not isinstance(name, str):
            faults[f"parameters.{name}"] = "it is no name; give names as text"
            continue
        try:
            config.parameters[name] = parameter = read_parameter(name, said)
        except FieldError as error:
            faults |= error.faults
        else:
            if config.method == "grid" and parameter.weighted:
                faults[f"parameters.{name}.probabilities"] = "a grid tries all values alike; leave them out"
            elif config.method == "grid" and parameter.draws is None:
                faults[f"parameters.{name}"] = f"{said} has no end of values, and a grid tries all; give 'values'"
    return config, faults


def _take_metric(config: Config, given: Any) -> None:
    if not isinstance(given, Mapping):
        raise FieldError({"name": f"no dict: {given!r}; give {{'name': 'dev_loss', 'goal': 'minimize'}}"})
    metric = check(
        fields_of(_metric), {key: number_in(each) if key == "target" else each for key, each in given.items()}
    )
    # NeuroMANCER puts this before the names of a SequenceDataset's losses
    config.metric = metric["name"].removeprefix("nstep_")
    config.mode = {"minimize": "min", "maximize": "max"}[metric["goal"]]  # type: ignore[assignment]
    config.target = metric["target"]


def _config(
    method: Literal["random", "grid", "bayes"],
    parameters: Any,
    metric: Any = None,
    name: str | None = None,
    run_cap: Annotated[int, Ge(1)] | None = None,
    early_terminate: Any = None,
) -> None:
    """Return the keys that a configuration takes."""


def _metric(name: str, goal: Literal["minimize", "maximize"] = "minimize", target: float | None = None) -> None:
    """Return the keys that its metric takes."""
