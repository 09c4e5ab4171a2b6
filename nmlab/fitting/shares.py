"""Whether several processes that share each batch take the steps that one would: found out before the first of them.

They do where the loss is a mean over samples: then its parts' losses, weighted by their samples, give the same loss and
gradient. One real batch is evaluated both ways.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem
from torch import nn

from nmlab.data.given import LoadedDataset
from nmlab.data.loader import Loader
from nmlab.data.parts import Part
from nmlab.data.splits import Batch, Splits
from nmlab.errors import DataError
from nmlab.options import TrainerOptions
from nmlab.problem.state import homes_of, preserving_state
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import forget_values
from nmlab.training.user_hooks import UserHooks
from nmlab.training.whole_epochs import supports_whole_epochs

NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm
DROPS = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout
"""Modules that do in each process what they would otherwise do over the whole batch."""

EXACT, ROUNDED = 1e-9, 1e-4
"""Relative differences that are taken for rounding, in double precision and in single."""

NORMALIZES = (
    "Each of the {} processes normalizes its own part of a batch ({}), so that their steps are not quite those of one "
    "device."
)
DRAWS = (
    "Each of the {} processes draws its own random numbers ({}), so that their steps are as good as those of one "
    "device, but not the same."
)
UNCHECKED = (
    "It was not checked that {} processes take the steps that one would: {}. They do where the loss of a batch is a "
    "mean over its samples."
)


def check_shares(
    problem: Problem, splits: Splits, options: TrainerOptions, user_hooks: UserHooks | None, ranks: int
) -> list[str]:
    """Return what is to be known of a training that several processes share.

    Parameters: `ranks`, how many. Raises `DataError` with all reasons why they would not train what one would.
    """
    faults = list(_faults(problem, splits, options, user_hooks, ranks))
    remarks: list[str] = []
    norms = _classes(problem, NORMS)
    drops = _classes(problem, DROPS)
    if norms:
        remarks.append(NORMALIZES.format(ranks, ", ".join(norms)))
    if drops:
        remarks.append(DRAWS.format(ranks, ", ".join(drops)))
    if not faults and user_hooks is not None and "train" in user_hooks.untried:
        remarks.append(UNCHECKED.format(ranks, "the training step is the user's own"))
    elif not faults:
        try:
            faults, drawn = _differences(problem, splits, ranks)
        finally:
            forget_values(problem)
        if drawn:
            remarks.append(DRAWS.format(ranks, "the same batch has another loss each time"))
            remarks.append(UNCHECKED.format(ranks, "for the same reason"))
    if faults:
        raise DataError(faults, subject=f"{ranks} devices cannot share the batches; devices=1 trains them")
    return remarks


def _classes(problem: Problem, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    return sorted({type(module).__name__ for module in problem.modules() if isinstance(module, kinds)})


def _faults(
    problem: Problem, splits: Splits, options: TrainerOptions, user_hooks: UserHooks | None, ranks: int
) -> Iterator[str]:
    """Yield what is told without a pass."""
    for name, dataset in (("train", splits.train), ("dev", splits.dev)):
        if isinstance(dataset, LoadedDataset):
            yield f"{name}: it comes as batches of a DataLoader; return a dataset and a batch_size"
    size = min(splits.batch_size, len(splits.train))
    if size < ranks:
        yield f"train: its batches have {size} sample{'s' * (size != 1)} for {ranks} processes; give larger batches"
    elif _classes(problem, NORMS):
        last = size if options.drop_last else (len(splits.train) - 1) % splits.batch_size + 1
        if min(size, last) // ranks < 2:
            smallest = f"{min(size, last)} samples in {ranks} parts"
            yield f"train: its smallest batch ({smallest}) leaves a process fewer than the 2 that a normalization needs"
    if isinstance(problem.loss, AugmentedLagrangeLoss):
        yield "AugmentedLagrangeLoss keeps a multiplier for each sample and takes all of them in one batch"
    if user_hooks is not None and not user_hooks.automatic_optimization:
        yield "a training step that optimizes by itself (automatic_optimization=False) has gradients of one part only"
    if isinstance(options.build_optimizer(problem), torch.optim.LBFGS) and not supports_whole_epochs(options):
        yield (
            "LBFGS asks for the loss several times in a step, and with callbacks, loggers, trainer_kwargs or another "
            "precision than '32-true' it gets that of one part; leave these out"
        )


def _differences(problem: Problem, splits: Splits, ranks: int) -> tuple[list[str], bool]:
    """Return how a batch's loss or gradient differs from the weighted mean of its parts', and whether it is random."""
    size = min(splits.batch_size, len(splits.train))
    shares = [Part(rank, ranks).owned(size) / size for rank in range(ranks)]
    for exact in (True, False):
        try:
            whole, again = (_values(problem, _batch(splits, size), seed, exact) for seed in (0, 1))
            if not exact or _finite(whole):
                break
        except Exception:
            if not exact:
                raise
    tolerance = EXACT if exact else ROUNDED
    if not _close(whole, again, tolerance):
        return [], True
    parts = []
    for rank in range(ranks):
        batch = _batch(splits, size, Part(rank, ranks))
        try:
            parts.append(_values(problem, batch, 0, exact))
        except Exception as error:
            samples = len(batch["index"])
            return [f"on {samples} of the {size} samples of a batch it raises {type(error).__name__}: {error}"], False
    mean = {
        name: torch.stack([share * part[name] for share, part in zip(shares, parts, strict=True)]).sum(0)
        for name in whole
    }
    faults = []
    for name in filter(None, whole):
        if not _near(whole[name], mean[name], [part[name] for part in parts], tolerance):
            values = (
                f"{float(whole[name]):.6g} on a batch of {size}, {float(mean[name]):.6g} as the mean of {ranks} parts"
            )
            faults.append(f"term {name!r} is no mean over samples: {values}")
    if not faults and not _near(whole[""], mean[""], [part[""] for part in parts], tolerance):
        faults = ["the gradient of a batch is not the mean of its parts' gradients, though the loss is"]
    return faults, False


def _batch(splits: Splits, size: int, part: Part | None = None) -> Batch:
    batch = next(iter(Loader(splits.train, size, lambda: 0, part=part)))
    return {
        key: value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value
        for key, value in batch.items()
    }


def _values(problem: Problem, batch: Batch, seed: int, exact: bool) -> dict[str, torch.Tensor]:
    """Return the values of all terms of a batch, and the gradient of the loss under ''; nothing is changed."""
    homes = homes_of(problem)
    if exact:
        homes = {
            name: (device, torch.float64 if dtype.is_floating_point else dtype)
            for name, (device, dtype) in homes.items()
        }
        batch = {key: _double(value) for key, value in batch.items()}
    with preserving_state(problem, seed, homes), torch.enable_grad(), _default_dtype(exact):
        problem.train()
        for module in problem.modules():
            if isinstance(module, (*NORMS, *DROPS)):
                module.eval()
        output: dict[str, Any] = problem(dict(batch))
        found = {
            term.name: torch.as_tensor(output[f"{batch['name']}_{term.key}"]).detach().double().mean()
            for term in terms_of(problem)
        }
        output[f"{batch['name']}_loss"].backward()
        gradients = [p.grad.reshape(-1).double() for p in problem.parameters() if p.grad is not None]
        found[""] = torch.cat(gradients) if gradients else torch.zeros(1, dtype=torch.float64)
    return found


def _double(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    return value.detach().double().requires_grad_(value.requires_grad)


@contextmanager
def _default_dtype(exact: bool) -> Iterator[None]:
    before = torch.get_default_dtype()
    if exact:
        torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _finite(values: dict[str, torch.Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in values.values())


def _close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> bool:
    return all(_near(one[name], other[name], [one[name]], tolerance) for name in one)


def _near(one: torch.Tensor, other: torch.Tensor, parts: list[torch.Tensor], tolerance: float) -> bool:
    """Return whether two values are equal but for rounding, of which sums of large parts have more."""
    if one.shape != other.shape:
        return False
    scale = max(float(one.norm()), *(float(part.norm()) for part in parts))
    return not math.isfinite(scale) or float((one - other).norm()) <= tolerance * scale
