"""Whether a Problem can train on batches of the sizes that an epoch has, told before the first step.

A normalization over the batch, such as BatchNorm1d, cannot train on a single sample, as the last batch of an epoch may
be.
"""

from __future__ import annotations

import torch
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem

from nmlab.data.splits import Splits
from nmlab.errors import DataError
from nmlab.fitting.dry_run import trial_fault
from nmlab.options import TrainerOptions
from nmlab.problem.state import preserving_state


def check_batch_sizes(problem: Problem, splits: Splits, source: str, options: TrainerOptions, converted: bool) -> None:
    """Run `problem` in train mode on as few samples as its batches have, up to two; nothing of it is changed.

    Parameters: `source`, the data function's name and place, for the message; `converted`, as for `dry_run`. Raises
    `DataError` where a batch is too small for it, with what helps.
    """
    samples, size = len(splits.train), splits.batch_size
    drop_last = options.drop_last or bool(getattr(splits.train, "drop_last", False))
    if options.drop_last and samples < size:
        fault = f"train: drop_last=True leaves out all of its {samples} samples, as batch_size is {size}"
        raise DataError([fault], subject=f"The Problem cannot train on what {source} returned")
    last = size if drop_last else (samples - 1) % size + 1
    alone = last == 1 and _reaches_last(options, -(-samples // size))
    norms = any(hasattr(module, "track_running_stats") for module in problem.modules())
    if isinstance(problem.loss, AugmentedLagrangeLoss) or not (alone or norms):
        return
    found: tuple[int, str] | None = None
    counts = [2] if samples > 1 else []
    for count in [*counts, 1] if alone else counts:
        with preserving_state(problem), torch.enable_grad():
            if not problem.training:
                problem.train()
            told = trial_fault(problem, splits.train, count, converted)
            if told is not None and count == 2 and size > 2:  # a term such as y[-20:] needs the real batch
                told = trial_fault(problem, splits.train, size, converted)
            if told is not None:
                found = count, told
                break
    if found is None:
        return
    count, fault = found
    if count == 2:
        told = f"train: in training {fault}"
    elif size == 1 or samples == 1:
        of = "batch_size=1" if size == 1 else "the train split has one sample"
        told = f"train: its batches are single samples ({of}), and {fault}; give larger batches"
    else:
        other = next((n for n in range(size + 1, samples) if samples % n != 1), samples)
        told = (
            f"train: its last batch is a single sample ({samples} samples, batch_size={size}), and {fault}; "
            f"give drop_last=True, or another batch_size, such as {other}"
        )
    raise DataError([told], subject=f"The Problem cannot train on what {source} returned")


def _reaches_last(options: TrainerOptions, batches: int) -> bool:
    """Whether the last batch is among those that Lightning is told to train on."""
    limit = options.trainer_kwargs.get("limit_train_batches", 1.0)
    return bool(limit >= batches if isinstance(limit, int) and not isinstance(limit, bool) else limit >= 1.0)
