"""A run that has ended trained for more epochs, and options changed of one that is going on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromancer.problem import Problem

from nmlab.errors import FieldError, RunError
from nmlab.launch.base import Fit
from nmlab.options import TrainerOptions
from nmlab.options.changes import lr_after
from nmlab.options.schedules import schedule_named
from nmlab.problem.term_weights import weight_faults
from nmlab.runs import Run
from nmlab.training.checkpoints import epochs_done


def options_for_more(run: Run, epochs: int, given: Mapping[str, Any], here: TrainerOptions) -> TrainerOptions:
    """Return the options with which a run that has ended goes on.

    Parameters: `epochs`, how many more; `given`, those that are to be other than before; `here`, the options in use,
    among which there may be those of the run that no record can hold. Raises `FieldError` where one must be given.
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise FieldError({"epochs": f"{epochs!r}; give an integer of at least 1"})
    stored, given = run.settings.get("options") or {}, dict(given)
    before, lost = TrainerOptions.from_json(stored)
    by_patience = run.status == "finished" and run.epochs < before.max_epochs and before.patience is not None
    if by_patience and int(given.get("patience") or 0) <= before.patience:  # type: ignore[operator]
        told = f"{before.patience} ended run {run.id} after {run.epochs} epochs; give a larger patience too"
        raise FieldError({"patience": told})
    described = here.to_json()
    for name in lost:  # what code gives this Lab, and gave that run, is there all the same
        if name not in given and name != "lr_scheduler" and described.get(name) == stored[name]:
            given[name] = getattr(here, name)
    return TrainerOptions(**{**given, "max_epochs": epochs_done(run) + epochs})


CHANGEABLE = ("max_epochs", "patience", "lr", "weights")
"""Options that can be changed while a run goes on."""


def change_running(fit: Fit, wanted: Mapping[str, Any]) -> None:
    """Change `max_epochs`, `patience`, `lr` or `weights` of a running fit from its next epoch on."""
    *others, last = CHANGEABLE
    told = f"only {', '.join(others)} and {last} can be changed while a run goes on"
    faults = {name: told for name in wanted if name not in CHANGEABLE}
    values = TrainerOptions()
    try:
        values = TrainerOptions(**{name: value for name, value in wanted.items() if name not in faults})
    except FieldError as error:
        faults |= error.faults
    else:
        faults |= _faults(fit, values)
    if faults:
        raise FieldError(faults, subject=f"Run {fit.run.id} cannot be changed like this")
    asked = {name: getattr(values, name) for name in wanted}
    progress = fit.control.progress
    epochs = asked.get("max_epochs", progress.max_epochs)
    none_follows = {"lr", "weights"} & asked.keys() and 0 < epochs <= progress.epoch + 1
    if none_follows or not fit.control.want(**asked):
        what = "is in its last epoch" if none_follows else "has ended its training"
        raise RunError(f"Run {fit.run.id} {what}; lab.longer(run, epochs=…) goes on with it.")
    if "max_epochs" in asked:
        progress.max_epochs = asked["max_epochs"]


def _faults(fit: Fit, values: TrainerOptions) -> dict[str, str]:
    """Return what keeps a running fit from these values, each valid in itself."""
    asked, before, faults = values.model_fields_set, fit.request.options, {}
    epoch = fit.control.progress.epoch + 1
    if "max_epochs" in asked and callable(before.lr_scheduler) and schedule_named(before.lr_scheduler) is None:
        faults["max_epochs"] = (
            f"a function made the schedule for {before.max_epochs} epochs; let the run end, then give another one: "
            "lab.longer(run, lr_scheduler=…)"
        )
    if "max_epochs" in asked and values.max_epochs < epoch:
        faults["max_epochs"] = f"{values.max_epochs}, but epoch {epoch} is going on"
    if "patience" in asked and (before.patience is None or values.patience is None):
        faults["patience"] = "this run goes on without early stopping; a run that has it can be given more"
    if "weights" in asked:
        faults |= _weight_faults(fit, values.weights)
    return faults


def _weight_faults(fit: Fit, weights: Mapping[str, float]) -> dict[str, str]:
    held = weights_now(fit)
    if isinstance(fit.problem, Problem):
        return weight_faults(fit.problem, weights, beside=held)
    there = fit.run.settings.get("terms")
    if there is None:
        return {"weights": "the Problem is not built yet; set them once the run trains"}
    faults = {}
    for name in weights:
        if name not in held:
            known = (
                "its weight is not a fixed number" if name in there else f"not a term; there are: {', '.join(there)}"
            )
            faults[f"weights.{name}"] = known
    return faults


def weights_now(fit: Fit) -> dict[str, float]:
    """Return the weights of a running fit's terms as they are now, or will be from its next epoch on."""
    return {**fit.run.term_weights_in(fit.control.progress.epoch + 1), **fit.control.wanted.get("weights", {})}


def lr_now(fit: Fit) -> float:
    """Return the base learning rate of a running fit as it is now, or will be from its next epoch on."""
    return float(fit.control.wanted.get("lr") or lr_after(fit.request.options.lr, fit.run.changes))
