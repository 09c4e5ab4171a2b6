"""What a run goes on with that is resumed: its own options and keywords, and those given now before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nmlab.errors import FieldError, RunError
from nmlab.fitting.keywords import Keywords
from nmlab.options import TrainerOptions
from nmlab.options.changes import before as _before
from nmlab.provenance.settings import rebuild_values
from nmlab.runs import Run
from nmlab.runs.helpers import helpers_of
from nmlab.training.checkpoints import epochs_done

_LOST = "cannot be rebuilt from the run's record; give it again"


def extensions(run: Run, options: TrainerOptions) -> list[list[int]]:
    """Return epochs done, and the old and the new `max_epochs`, of each change of a run's length, this one last."""
    done, before = epochs_done(run), (run.settings.get("options") or {}).get("max_epochs")
    if not done:
        return []
    stored = [list(change) for change in run.settings.get("extended") or [] if change[0] <= done]
    return stored if before in (None, options.max_epochs) else [*stored, [done, int(before), options.max_epochs]]


def changes(run: Run, settings: Mapping[str, Any]) -> list[str]:
    """Return in words what of the data and the Problem differs in the settings that `run` goes on with."""
    before = run.settings
    found = []
    for name, called in (("data_kwargs", "data"), ("batch_size", ""), ("problem_kwargs", "Problem")):
        if before.get(name) != settings.get(name):
            old, new = before.get(name) or {}, settings.get(name) or {}
            keys = [key for key in {**old, **new} if old.get(key) != new.get(key)] if isinstance(new, dict) else []
            # an earlier version called a builder without any; another builder is told below
            if name != "problem_kwargs" or (keys and before.get(name) and settings.get(name)):
                found.append(f"{called} ({', '.join(keys)})" if keys else name)
    for name, called in (("data_function", "data function"), ("problem_source", "Problem")):
        old, new = before.get(name) or {}, settings.get(name) or {}
        if any(old.get(part) != new.get(part) for part in ("name", "source")):
            found.append(called)
    helpers = helpers_of(before), helpers_of(settings)
    differ = [name for name in {**helpers[0], **helpers[1]} if helpers[0].get(name) != helpers[1].get(name)]
    return [*found, *([f"helpers ({', '.join(differ)})"] if differ else [])]


def as_before(
    run: Run, options: TrainerOptions | None, data: Keywords, problem: Keywords, *, rebuilt: bool = False
) -> tuple[TrainerOptions, Keywords, Keywords]:
    """Return options and keywords with which `run` goes on.

    Parameters: `options`, `data`, `problem`, what is given now; of the keywords that the run has, those that a function
    does not take are left out; `rebuilt`, whether the start weights come from a builder, or from the first batch, under
    the run's seed.
    Raises `RunError` where the run cannot go on, and `FieldError` with all that does not fit.
    """
    if run.damage or run.status == "running":
        raise RunError(f"Run {run.id} cannot be resumed: {run.damage or 'it is still running'}.")
    # killed before its first weights were there, which its seed gives again
    early = rebuilt and not run.epochs and bool(run.settings.get("problem_source") or run.settings.get("lazy"))
    kept = (run.settings.get("options") or {}).get("checkpoint", True)
    if run.last_checkpoint_path is None and run.start_checkpoint_path is None and not (early and kept):
        raise RunError(f"Run {run.id} cannot be resumed: it kept no checkpoints.")
    faults: dict[str, str] = {}

    def completed(part: str, keywords: Keywords) -> Keywords:
        stored = (run.settings.get(part) or {}).items()
        known = {name: value for name, value in stored if keywords.extra or name in keywords.names}
        before, lost = rebuild_values(keywords.fields, known)
        for name in lost:
            if name not in keywords.values:
                faults[f"{part}.{name}" if name in faults else name] = _LOST
        return replace(keywords, values={**before, **keywords.values})

    data, problem = completed("data_kwargs", data), completed("problem_kwargs", problem)
    before, lost = TrainerOptions.from_json(run.settings["options"])
    given = {name: getattr(options, name) for name in options.model_fields_set} if options is not None else {}
    faults |= {f"options.{name}": _LOST for name in lost if name not in given}
    for name in ("lr", "optimizer", "lr_scheduler"):
        if name in given and name not in lost and given[name] != getattr(before, name):
            faults[f"options.{name}"] = (
                f"{given[name]!r}, but the run goes on with its optimizer as it was, {getattr(before, name)!r}; "
                "leave it out, or begin a new run from these weights"
            )
    done = epochs_done(run)
    if given.get("weights", before.weights) != before.weights:
        faults["options.weights"] = (
            f"{given['weights']!r}, but the run goes on with {before.weights!r}; leave it out, and to change weights "
            f"from epoch {done} on give changes=[{{'epoch': {done}, 'weights': …}}]"
        )
    past = [_before(options.changes, done) for options in (before, before.replace(**given)) if "changes" in given]
    if past and past[0] != past[1]:
        faults["options.changes"] = (
            f"before epoch {done}, up to which the run was trained, it had {past[0]!r}; give these too, or leave it out"
        )
    now = before.replace(**{**given, "seed": run.settings["seed"]})
    if done and now.max_epochs != before.max_epochs and "options.lr_scheduler" in faults:
        faults["options.lr_scheduler"] = (
            f"a function made it for max_epochs={before.max_epochs}, and whether it holds for {now.max_epochs} is not "
            "known; give it again: what the function makes now holds as if it had from the first epoch on"
        )
    if now.max_epochs < done:
        faults["options.max_epochs"] = f"{now.max_epochs}, but the run has {done} epochs already; give more"
    if faults:
        raise FieldError(faults, subject=f"Run {run.id} cannot be resumed like this")
    return now, data, problem
