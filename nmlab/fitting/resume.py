"""What a run goes on with that is resumed: its own options and keywords, and those given now before them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nmlab.errors import FieldError, RunError
from nmlab.fields import Field
from nmlab.options import TrainerOptions
from nmlab.provenance.settings import rebuild_values
from nmlab.runs import Run
from nmlab.training.checkpoints import epochs_done

_LOST = "cannot be rebuilt from the run's record; give it again"


def as_before(
    run: Run, fields: Iterable[Field], options: TrainerOptions | None, kwargs: Mapping[str, Any]
) -> tuple[TrainerOptions, dict[str, Any]]:
    """Return options and data keywords with which `run` goes on.

    Parameters: `fields`, of the data function; `options`, `kwargs`, what is given now.
    Raises `RunError` where the run cannot go on, and `FieldError` with all that does not fit.
    """
    if run.damage or run.status == "running":
        raise RunError(f"Run {run.id} cannot be resumed: {run.damage or 'it is still running'}.")
    if run.last_checkpoint_path is None and run.start_checkpoint_path is None:
        raise RunError(f"Run {run.id} cannot be resumed: it kept no checkpoints.")
    stored, lost_kwargs = rebuild_values(fields, run.settings["data_kwargs"])
    before, lost = TrainerOptions.from_json(run.settings["options"])
    given = {name: getattr(options, name) for name in options.model_fields_set} if options is not None else {}
    faults = {name: _LOST for name in lost_kwargs if name not in kwargs}
    faults |= {f"options.{name}": _LOST for name in lost if name not in given}
    for name in ("lr", "optimizer", "lr_scheduler"):
        if name in given and name not in lost and given[name] != getattr(before, name):
            faults[f"options.{name}"] = (
                f"{given[name]!r}, but the run goes on with its optimizer as it was, {getattr(before, name)!r}; "
                "leave it out, or begin a new run from these weights"
            )
    now = before.replace(**{**given, "seed": run.settings["seed"]})
    done = epochs_done(run)
    if now.max_epochs < done:
        faults["options.max_epochs"] = f"{now.max_epochs}, but the run has {done} epochs already; give more"
    if faults:
        raise FieldError(faults, subject=f"Run {run.id} cannot be resumed like this")
    return now, {**stored, **kwargs}
