"""The Lightning Trainer of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer

from nmlab.options import TrainerOptions
from nmlab.training.checkpoints import CheckpointWriter
from nmlab.training.entry_points import known_entry_points
from nmlab.training.profile import LoopProfiler
from nmlab.training.ranks import Ranks
from nmlab.training.strategy import RankStrategy


def make_trainer(
    options: TrainerOptions,
    folder: Path,
    callbacks: list[Callback],
    files: CheckpointWriter | None,
    dev: bool,
    profiler: LoopProfiler | None,
    ranks: Ranks | None = None,
) -> Trainer:
    """Make the Lightning Trainer of one run; `dev`, whether there is a dev split; `ranks`, who shares it."""
    accelerator = options.resolved_accelerator()
    settings: dict[str, Any] = {
        "max_epochs": options.max_epochs,
        "accelerator": accelerator,
        # of several, this process trains on one
        "devices": options.resolved_devices()[:1] if accelerator == "cuda" else 1,
        "strategy": "auto",
        "precision": options.precision,
        "gradient_clip_val": options.gradient_clip_val,
        "profiler": profiler,
        "logger": list(options.loggers) or False,
        "callbacks": callbacks,
        "default_root_dir": folder,
        # the recorder is the checkpoint callback, if there is to be one, and the screen is the view's
        "enable_checkpointing": bool(callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        # Problems that need gradients for a dev pass could not have them in inference mode
        "inference_mode": False,
        "log_every_n_steps": 1,
    }
    if ranks is not None:
        settings["strategy"] = RankStrategy(ranks)
        settings["devices"] = 1 if ranks.device.index is None else [ranks.device.index]
    if not dev:
        settings["limit_val_batches"] = 0
    given = dict(options.trainer_kwargs)
    plugins = given.pop("plugins", None) or []
    plugins = plugins if isinstance(plugins, list) else [plugins]
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        # one device needs none; Lightning would look for one, and refuse what `SLURM_NTASKS=4` says of a whole hub
        plugins = [*plugins, LightningEnvironment()]
    settings["plugins"] = [*plugins, *([files] if files else [])]
    with known_entry_points():
        return Trainer(**{**settings, **given})
