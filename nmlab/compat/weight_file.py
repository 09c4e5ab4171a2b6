"""The file outside a run's folder into which LitTrainer writes the best weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from nmlab.runs import Run


def weight_file(folder: str | os.PathLike[str] | None, name: str | None, metrics: Mapping[str, Any]) -> Path | None:
    """Return where the weights of an epoch with these metrics go, as Lightning would name it; None for no file."""
    if folder is None and name is None:
        return None
    lightnings = ModelCheckpoint(Path(folder or "."), name)
    return Path(lightnings.format_checkpoint_name(dict(metrics)))


def best_of(run: Run) -> dict[str, Any]:
    """Return the metrics of a run's best epoch, with the steps until then."""
    best = {} if run.checkpoint_path is None else torch.load(run.checkpoint_path, map_location="cpu", weights_only=True)
    epoch = best.get("epoch", run.epochs - 1)
    row = {name: run.column(name)[epoch] for name in run.columns}
    return {**row, "epoch": epoch, "step": best.get("global_step", 0)}
