"""Whether this process is one of several that torchrun or srun has started for one script."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmlab.data.parts import Part

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment


@dataclass(frozen=True)
class Started:
    """The place of a process among those of a script.

    Parameters: `part`, which it is of all; `local`, its number on its machine; `environment`, Lightning's, which
    knows where they meet; `by`, what has started them.
    """

    part: Part
    local: int
    environment: ClusterEnvironment
    by: str


def started_together() -> Started | None:
    """Return the place of this process among several that were started for one script; None for one by itself.

    As Lightning's environments have it, but that a number of tasks which a job was given, as a Jupyter server on a
    cluster may be, starts none: only srun does.
    """
    if not any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS")):
        return None
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    slurm = TorchElasticEnvironment.detect() is False
    if slurm and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) < 2:
        return None
    if not slurm and not {"RANK", "WORLD_SIZE"} <= os.environ.keys():  # a name that was passed on, and no torchrun
        return None
    environment: ClusterEnvironment = SLURMEnvironment() if slurm else TorchElasticEnvironment()
    size = int(os.environ["SLURM_STEP_NUM_TASKS"]) if slurm else environment.world_size()
    if size < 2:
        return None
    return Started(
        Part(environment.global_rank(), size),
        environment.local_rank(),
        environment,
        "srun" if slurm else "torchrun",
    )
