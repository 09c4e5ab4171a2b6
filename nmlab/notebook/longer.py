"""More epochs: for a run that has ended, and for one that is going on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nmlab.errors import FieldError, RunError
from nmlab.launch.fit import Fit
from nmlab.options import TrainerOptions
from nmlab.options.schedules import schedule_named
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


def change_running(fit: Fit, wanted: Mapping[str, Any]) -> None:
    """Change `max_epochs` or `patience` of a running fit from its next epoch on."""
    faults = dict.fromkeys(wanted, "only max_epochs and patience can be changed while a run goes on")
    faults = {name: fault for name, fault in faults.items() if name not in ("max_epochs", "patience")}
    values = TrainerOptions(**{name: value for name, value in wanted.items() if name not in faults})
    before = fit.request.options
    if "max_epochs" in wanted and callable(before.lr_scheduler) and schedule_named(before.lr_scheduler) is None:
        faults["max_epochs"] = (
            f"a function made the schedule for {before.max_epochs} epochs; let the run end, then give another one: "
            "lab.longer(run, lr_scheduler=…)"
        )
    if "max_epochs" in wanted and values.max_epochs < fit.control.progress.epoch + 1:
        faults["max_epochs"] = f"{values.max_epochs}, but epoch {fit.control.progress.epoch + 1} is going on"
    if "patience" in wanted and (before.patience is None or values.patience is None):
        faults["patience"] = "this run goes on without early stopping; a run that has it can be given more"
    if faults:
        raise FieldError(faults, subject=f"Run {fit.run.id} cannot be changed like this")
    if not fit.control.want(**wanted):
        raise RunError(f"Run {fit.run.id} has ended its training; lab.longer(run, epochs=…) goes on with it.")
    if "max_epochs" in wanted:
        fit.control.progress.max_epochs = wanted["max_epochs"]
