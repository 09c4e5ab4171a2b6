"""A training step and hooks of the user's own, checked before anything is made and called as they were written.

A hook has the arguments that Lightning gives it, or those that NeuroMANCER's documentation does, which differ: what
NeuroMANCER asks of `on_train_batch_end` lacks the `outputs` that Lightning passes first. Which is meant is told by the
number of arguments, and by their names where two forms are equally long.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from lightning.pytorch import LightningModule
from neuromancer.problem import LitProblem

from nmlab.errors import FieldError
from nmlab.options import as_json

STEP_OF = {"train": "training_step", "dev": "validation_step", "test": "test_step"}
STEPS = tuple(STEP_OF.values())
"""Hooks that take the place of a step; what they compute is nmlab's metrics."""

_INSTEAD = (
    "backward",
    "configure_callbacks",
    "configure_gradient_clipping",
    "configure_model",
    "configure_optimizers",
    "lr_scheduler_step",
    "on_after_batch_transfer",
    "on_before_batch_transfer",
    "optimizer_step",
    "optimizer_zero_grad",
    "transfer_batch_to_device",
)
"""Hooks that take the place of Lightning's; all others run beside what nmlab does at the same point."""


def _lightnings(name: str) -> dict[str, Any]:
    """Return what Lightning passes to a hook of this name after the module: argument -> default, or no default."""
    if name in STEPS:
        return dict.fromkeys(("batch", "batch_idx"), inspect.Parameter.empty)
    _, *arguments = inspect.signature(getattr(LightningModule, name)).parameters.values()
    return {a.name: a.default for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD}


def _forms(name: str) -> list[tuple[str, ...]]:
    """Return the arguments that a hook of this name may take after the module: Lightning's forms, NeuroMANCER's."""
    full = tuple(_lightnings(name))
    forms = [full]
    if full[-1:] == ("dataloader_idx",):
        forms.append(full[:-1])
    if name in STEPS:
        forms.append(full[:1])
    if name in LitProblem.expected_signatures:
        _, *neuromancers = LitProblem.expected_signatures[name].strip("()").split(", ")
        forms.append(tuple(neuromancers))
    return list(dict.fromkeys(forms))


KNOWN = tuple(
    sorted(
        {*STEPS, *_INSTEAD, *LitProblem.expected_signatures, "prepare_data", "setup", "teardown"}
        | {name for name in dir(LightningModule) if name.startswith("on_") and callable(getattr(LightningModule, name))}
    )
)
"""All hooks that a user may give."""


@dataclass(frozen=True)
class Hook:
    """A function of the user's under a hook's name, called with those of Lightning's arguments that it takes."""

    name: str
    function: Callable[..., Any]
    takes: tuple[str, ...]
    """Names of the arguments that it takes after the module."""

    @property
    def instead(self) -> bool:
        """Whether it takes the place of Lightning's own."""
        return self.name in _INSTEAD

    def __call__(self, module: LightningModule, *arguments: Any, **keywords: Any) -> Any:
        names = _lightnings(self.name)
        given = {**names, **dict(zip(names, arguments, strict=False)), **keywords}
        return self.function(module, *(given[name] for name in self.takes))


@dataclass(frozen=True)
class UserHooks:
    """Custom training step and hooks.

    Parameters
    ----------
    hooks : mapping of str to Hook
        Functions by name of the hook.
    metrics : mapping of str to str
        For each split, the key of the Problem's output that is used as loss.
    automatic_optimization : bool, default True
        Whether Lightning steps the optimizer; otherwise the training step does.
    """

    hooks: Mapping[str, Hook] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    automatic_optimization: bool = True

    @property
    def untried(self) -> frozenset[str]:
        """Splits whose samples may not fit the Problem before the user's own functions have had them."""
        if self.hooks.keys() & {"on_before_batch_transfer", "on_after_batch_transfer", "transfer_batch_to_device"}:
            return frozenset(STEP_OF)
        return frozenset(split for split, step in STEP_OF.items() if step in self.hooks)

    def to_json(self) -> dict[str, Any]:
        """Return what a run's settings keep of them: names and sources of the functions, metrics."""
        functions = {name: as_json(hook.function) for name, hook in self.hooks.items()}
        return {
            "hooks": functions,
            "metrics": dict(self.metrics),
            "automatic_optimization": self.automatic_optimization,
        }


def user_hooks_of(
    training_step: Callable[..., Any] | None = None,
    hooks: Mapping[str, Callable[..., Any]] | None = None,
    metrics: Mapping[str, str] | None = None,
    automatic_optimization: bool = True,
) -> UserHooks:
    """Check a custom training step and custom hooks.

    Parameters
    ----------
    training_step : callable, optional
        Called with the module and a batch.
    hooks : mapping of str to callable, optional
        Functions by Lightning's names of hooks; their first argument is the module.
    metrics, automatic_optimization
        As in `UserHooks`.

    Returns
    -------
    UserHooks
        The checked functions.

    Raises
    ------
    FieldError
        If a hook is unknown or has a wrong signature; the error names all faults and the expected signatures.
    """
    faults: dict[str, str] = {}
    checked: dict[str, Hook] = {}
    if hooks is not None and not isinstance(hooks, Mapping):
        faults["custom_hooks"] = f"a {type(hooks).__name__}; give a dict such as {{'on_train_epoch_end': function}}"
        hooks = None
    for name, function in (hooks or {}).items():
        label = f"custom_hooks[{name!r}]"
        if name not in KNOWN:
            near = get_close_matches(str(name), KNOWN, 1)
            meant = f"do you mean {near[0]!r}? " if near else ""
            faults[label] = f"there is no such hook; {meant}The hooks are: {', '.join(KNOWN)}"
        elif isinstance(found := _hook(name, function), str):
            faults[label] = found
        else:
            checked[name] = found
    if training_step is not None:
        if "training_step" in checked:
            faults["custom_training_step"] = "given among custom_hooks as 'training_step' too; give one of them"
        elif isinstance(found := _hook("training_step", training_step, shown="custom_training_step"), str):
            faults["custom_training_step"] = found
        else:
            checked["training_step"] = found
    if faults:
        raise FieldError(faults)
    # without a step that does it, nothing would be trained
    automatic = automatic_optimization or "training_step" not in checked
    return UserHooks(checked, dict(metrics or {}), automatic)


def _hook(name: str, function: Any, shown: str | None = None) -> Hook | str:
    """Return a function as a hook, or what is wrong with it and what is right."""
    forms = _forms(name)
    right = " or ".join(dict.fromkeys(f"{shown or name}({', '.join(('self', *form))})" for form in forms))
    if not callable(function):
        return f"{function!r} is not a function; give {right}"
    try:
        signature = inspect.signature(function)
    except ValueError:  # built in, without one
        return Hook(name, function, forms[0])
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in positional) - 1
    most = len(positional) - 1
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        most = max(most, *map(len, forms))
    fitting = [form for form in forms if needed <= len(form) <= most]
    if not fitting or any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return f"it is called as {getattr(function, '__name__', name)}{signature}; expected {right}"
    names = tuple(p.name for p in positional[1:])
    exact = [form for form in fitting if form == names]
    # a default of the user's own, as in step(model, batch, weight=0.1), is not Lightning's to fill
    own = [form for form in fitting if form[max(needed, 0) :] == names[max(needed, 0) : len(form)]]
    fewest = fitting[:1] if most > len(positional) - 1 else sorted(fitting, key=len)
    return Hook(name, function, (exact or own or fewest)[0])
