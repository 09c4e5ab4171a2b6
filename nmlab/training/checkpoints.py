"""Writes checkpoints atomically, and at a limited rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO

from nmlab.runs import Run
from nmlab.runtime.files import atomic_write
from nmlab.training.callbacks import storable


def _at_once(_path: Path, write: Callable[[], object]) -> None:
    write()


class CheckpointWriter(CheckpointIO):
    """Checkpoint files for Lightning: written atomically, loaded without executing code.

    Parameters
    ----------
    every : mapping of Path to float
        Minimum seconds between two writes of a path. In between, a copy of the newest checkpoint is held in memory
        until `flush`. Other paths are written immediately.
    keep : callable, default: call it
        Takes a path and a function that writes it, and calls that now or later.
    """

    def __init__(
        self, every: Mapping[Path, float], keep: Callable[[Path, Callable[[], object]], None] = _at_once
    ) -> None:
        self._every = dict(every)
        self._written: dict[Path, float] = {}
        self._held: dict[Path, dict[str, Any]] = {}
        self._keep = keep
        self._told: set[str] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        if checkpoint.get("callbacks"):
            checkpoint = {**checkpoint, "callbacks": storable(checkpoint["callbacks"], self._told)}
        if path not in self._every:
            _write(checkpoint, path)
            return
        # a copy: the tensors in it go on being trained
        self.hold(path, _copy(checkpoint))

    def hold(self, path: Path, checkpoint: dict[str, Any]) -> None:
        """Hold a checkpoint, whose tensors do not change any more, and write what is due."""
        self._held[path] = checkpoint
        now = time.perf_counter()
        # a rarely saved one is written when it is due, not at its next save
        due = [held for held in self._held if now - self._written.get(held, -math.inf) >= self._every[held]]
        # together with all that are written more often: after a kill, `best` is never older than `last`
        for held in sorted(self._held, key=self._every.__getitem__):
            if any(self._every[held] <= self._every[other] for other in due):
                self.flush(held)

    def flush(self, path: Path | None = None) -> None:
        """Write the held checkpoint of `path`, or of all paths."""
        for held in [path] if path is not None else list(self._held):
            if held in self._held:
                self._keep(held, partial(_write, self._held.pop(held), held))
                self._written[held] = time.perf_counter()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        content: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return content

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def _write(checkpoint: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)  # a run's folder that is gone, as with a disk, must not be made anew elsewhere
    with atomic_write(path) as aside:
        try:
            torch.save(dict(checkpoint), aside)
        except RuntimeError as error:  # as torch has it where a disk is full
            raise OSError(f"torch could not write {path.name}: {error}") from error


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if kind is list or kind is tuple:
        return kind([_copy(item) for item in value])
    if isinstance(value, dict):
        copied = copy(value)  # of its own kind: a Counter or defaultdict is not made from pairs
        for key, item in value.items():
            copied[key] = _copy(item)
        return copied
    return value


def save_weights(weights: Mapping[str, torch.Tensor], path: Path, prefix: str) -> None:
    """Write weights alone as a checkpoint that Lightning and NeuroMANCER's `load_state_dict_lightning` can read."""
    _write(weights_content(weights, prefix), path)


def weights_content(weights: Mapping[str, torch.Tensor], prefix: str, **more: float) -> dict[str, Any]:
    """Return the content of a checkpoint of weights, without what a training goes on with."""
    return {"state_dict": {prefix + name: value for name, value in weights.items()}, **more}


def epochs_done(run: Run) -> int:
    """Return after how many epochs a run is resumed; 0 if it has no last checkpoint."""
    last = run.last_checkpoint_path
    return 0 if last is None else int(torch.load(last, weights_only=True)["epochs_done"])
