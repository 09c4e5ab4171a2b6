"""Where the time of a training goes: a row for each step of its loop, whichever profiler was asked for.

Lightning names what it does to its profiler, and nmlab names its own parts of the loop. Such sections nest; a second
counts for the innermost step alone, so that the rows add up to the time that passed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.profilers import PassThroughProfiler, Profiler

from nmlab.runs import RunWriter
from nmlab.runtime.progress import Progress
from nmlab.training.profilers import FunctionProfiler, OperatorProfiler

STEPS = (
    "load",
    "forward",
    "backward",
    "clip",
    "step",
    "metrics",
    "live plot",
    "logging",
    "checkpoint",
    "other",
)
"""The steps of the loop; 'other' is the rest: Lightning's own work, the user's callbacks, what a profiler costs."""

BESIDE = "live plot, beside"
"""What is drawn while the loop goes on, in a thread of its own."""

# The section's name, in Lightning's spelling without what stands before the dot, or nmlab's own: the step, and whether
# it is a call of the step or only a part of one.
_SECTIONS = {
    "train_dataloader_next": ("load", True),
    "val_next": ("load", True),
    "batch_to_device": ("load", False),
    "training_step": ("other", False),
    "forward": ("forward", True),
    "backward": ("backward", True),
    "configure_gradient_clipping": ("clip", True),
    "optimizer_step": ("step", True),
    "optimizer_zero_grad": ("step", False),
    "lr_scheduler_step": ("step", False),
    "metrics": ("metrics", True),
    "logging": ("logging", True),
    "log": ("logging", False),
    "best weights": ("checkpoint", False),
    "save_checkpoint": ("checkpoint", True),
    "on_save_checkpoint": ("checkpoint", False),
}

# On these the loop only hands out the work: it must wait for a step's work to know the step's time.
_WAITS: dict[str, Callable[[], object]] = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}


_NOTHING = nullcontext()


def section(trainer: Trainer, name: str) -> AbstractContextManager[Any]:
    """Name what the block does to the trainer's profiler, if there is one."""
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]  # which Lightning gives it from outside
    if type(profiler) is PassThroughProfiler:
        return _NOTHING  # in the hot loop even a context that does nothing would be felt
    return profiler.profile(f"[nmlab]{name}")  # type: ignore[no-any-return]


class LoopProfiler(Profiler):
    """Times the steps of the training loop, and forwards all calls to the profiler that was asked for.

    The test pass after training and pauses are not included.

    Parameters
    ----------
    asked : {'simple', 'advanced', 'pytorch'} or Profiler
        The profiler; a Profiler object of Lightning works and reports as usual.
    progress : Progress
        Progress of the fit, whose clock stops during a pause.
    writer : RunWriter
        Stores the profile.
    device : {'cpu', 'cuda', 'mps'}
        Device of the fit.
    whole : bool, default False
        Whether one step of Lightning is a whole epoch.
    """

    def __init__(
        self, asked: str | Profiler, progress: Progress, writer: RunWriter, device: str, whole: bool = False
    ) -> None:
        super().__init__()
        self._kind = asked if isinstance(asked, str) else type(asked).__name__
        self._progress = progress
        self._writer = writer
        self._device = device
        self._wait = _WAITS.get(device)
        self._own: FunctionProfiler | OperatorProfiler | None = None
        if asked == "advanced":
            self._own = FunctionProfiler()
        elif asked == "pytorch":
            self._own = OperatorProfiler(writer.profile("steps.pt.trace.json"), device)
        self._inner = asked if isinstance(asked, Profiler) else self._own or PassThroughProfiler()
        if hasattr(self._inner, "_lightning_module"):
            self._lightning_module = None  # that of an earlier fit, which may be gone
        self._going = False
        self._here = "other"
        self._since = 0.0
        self._open: list[tuple[str, str, float]] = []  # sections: name, the step around it, when it began
        self._seconds = dict.fromkeys(STEPS, 0.0)
        self._calls = dict.fromkeys(STEPS, 0)
        self._sections: dict[str, tuple[int, float]] = {}  # calls and seconds of each, what lies within it included
        self._known: dict[str, tuple[str | None, bool]] = {}
        if whole:  # Lightning then fetches no batch, but all of them
            self._known["[_TrainingEpochLoop].train_dataloader_next"] = ("load", False)

    # --- what Lightning calls ---

    @property
    def _lightning_module(self) -> Any:
        return getattr(self._inner, "_lightning_module", None)

    @_lightning_module.setter
    def _lightning_module(self, module: Any) -> None:
        self._inner._lightning_module = module  # type: ignore[attr-defined]  # Lightning's own PyTorchProfiler reads it

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        self._inner.setup(stage, local_rank, log_dir)
        if stage == "fit":
            self._since, self._going = self._progress.clock(), True

    # What the other profiler does at a section's ends counts for the step around it.

    def start(self, action_name: str) -> None:
        self._inner.start(action_name)
        if self._going:
            step, call = self._known.get(action_name) or self._know(action_name)
            step = step or self._here
            self._calls[step] += int(call and step != self._here)
            self._open.append((action_name, self._here, self._enter(step)))

    def stop(self, action_name: str) -> None:
        self._leave(action_name)
        self._inner.stop(action_name)

    def summary(self) -> str:
        return str(self._inner.summary())

    def describe(self) -> None:
        self.finish()
        self._inner.describe()

    def teardown(self, stage: str | None) -> None:
        self._inner.teardown(stage)

    def __del__(self) -> None:
        pass  # Lightning's base calls teardown here, which is the inner one's own to do

    # --- steps ---

    def _know(self, name: str) -> tuple[str | None, bool]:
        """Return the step of a section, None for that around it, and whether it is a call of the step."""
        what = name.removeprefix("[nmlab]") if name.startswith("[nmlab]") else name.rpartition(".")[2]
        users = name.startswith("[Callback]") and what not in _SECTIONS
        self._known[name] = known = _SECTIONS.get(what, ("other" if users else None, False))
        return known

    def _enter(self, step: str) -> float:
        """Count the time since the last step for that one, and from now on for `step`; returns the time."""
        if step != self._here and self._wait is not None:
            try:
                self._wait()
            except RuntimeError:  # the device fails from now on, which the loop's own next call of it tells
                self._wait = None
        now = self._progress.clock()
        self._seconds[self._here] += now - self._since
        self._since, self._here = now, step
        return now

    def _leave(self, section: str) -> None:
        """Go back to the step around a section; an error may have left others open within it."""
        begun = any(name == section for name, _, _ in self._open)
        while begun and self._open:
            name, around, began = self._open.pop()
            calls, seconds = self._sections.get(name, (0, 0.0))
            self._sections[name] = calls + 1, seconds + self._enter(around) - began
            if name == section:
                break

    # --- the end ---

    def finish(self) -> None:
        """Write what the fit's profile holds; without effect after the first time.

        What goes wrong is a warning: the weights that were trained are worth more than where their time went.
        """
        if not self._going:
            return
        self._going = False
        try:
            if self._open:
                self._leave(self._open[0][0])
            self._enter("other")
            found: dict[str, Any] = {}
            report = ""
            if self._own is not None:
                self._inner = PassThroughProfiler()
                found, report = self._own.result()
            details = {"profiler": self._kind, "device": self._device, **self._steps(), **found}
            self._writer.keep_profile(details, self._report(details) + report)
        except Exception as error:
            warnings.warn(f"The profile could not be saved: {type(error).__name__}: {error}", stacklevel=2)

    def _steps(self) -> dict[str, Any]:
        drawn, beside = list(self._progress.drawn), list(self._progress.drawn_beside)
        # the clock stood still while the loop waited for these
        self._seconds["live plot"], self._calls["live plot"] = sum(drawn), len(drawn)
        total = sum(self._seconds.values())
        steps = [_row(step, self._calls[step], self._seconds[step], total) for step in STEPS]
        if beside:
            steps.append({**_row(BESIDE, len(beside), sum(beside), total), "share": None})
        return {"seconds": total, "epochs": [self._progress.first_epoch, self._progress.epoch], "steps": steps}

    def _report(self, details: dict[str, Any]) -> str:
        lines = [f"Profile of run {self._writer.run.id}: {details['seconds']:.3f} s of training on {self._device}", ""]
        lines += [_HEAD.format("step", "calls", "seconds", "mean ms", "share %")]
        for row in details["steps"]:
            share = "" if row["share"] is None else f"{row['share']:.2f}"
            numbers = (f"{row['seconds']:.4f}", "" if row["mean_ms"] is None else f"{row['mean_ms']:.4f}", share)
            lines.append(_HEAD.format(row["step"], row["calls"] or "", *numbers))
        lines += ["", "Sections as Lightning and nmlab name them, what lies within them included", ""]
        lines += [_HEAD.format("section", "calls", "seconds", "mean ms", "share %")]
        for name, (calls, seconds) in sorted(self._sections.items(), key=lambda section: -section[1][1]):
            row = _row(name, calls, seconds, details["seconds"])
            numbers = (f"{seconds:.4f}", f"{row['mean_ms']:.4f}", f"{row['share']:.2f}")
            lines.append(_HEAD.format(name, calls, *numbers))
        return "\n".join(lines) + "\n"


_HEAD = "{:<80} {:>10} {:>12} {:>12} {:>10}"


def _row(step: str, calls: int, seconds: float, total: float) -> dict[str, Any]:
    share = 100 * seconds / total if total else 0.0
    mean = 1e3 * seconds / calls if calls else None
    return {"step": step, "calls": calls, "seconds": seconds, "mean_ms": mean, "share": share}
