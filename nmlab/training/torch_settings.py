"""Settings of torch that belong to the whole process, which Lightning's Trainer changes: as the caller has them.

A Trainer switches anomaly detection off unless it is asked for, and what it is asked for (`deterministic`,
`benchmark`) stays after the fit. Here the caller's anomaly mode holds in the training, and afterwards each setting is
as it was, or as another cell has set it meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def _set_workspace(value: str | None) -> None:
    if value is None:
        os.environ.pop(WORKSPACE, None)
    else:
        os.environ[WORKSPACE] = value


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _set_benchmark(value: bool) -> None:
    torch.backends.cudnn.benchmark = value


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


_SETTINGS: list[tuple[Callable[[], Any], Callable[[Any], None]]] = [
    (_deterministic, _set_deterministic),
    (lambda: torch.backends.cudnn.benchmark, _set_benchmark),
    (lambda: os.environ.get(WORKSPACE), _set_workspace),
]
"""What a Trainer sets when it is made: how to read and how to set it."""


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


@contextmanager
def callers_torch_settings(make: Callable[[], Trainer], *, keep_anomaly: bool = True) -> Iterator[Trainer]:
    """Make a Trainer for the block, and leave torch's settings afterwards as they would be without it.

    Parameters
    ----------
    make : callable
        Makes the Trainer.
    keep_anomaly : bool, default True
        Whether the caller's anomaly mode holds in `Trainer.fit`, or that of the Trainer's own argument.
    """
    before = [get() for get, _ in _SETTINGS]
    trainer = make()
    made = [get() for get, _ in _SETTINGS]
    anomaly: tuple[bool, bool] | None = None
    run = trainer.fit_loop.run

    def run_with_callers_anomaly_mode() -> None:
        nonlocal anomaly
        torch.autograd.set_detect_anomaly(*callers)
        try:
            run()
        finally:
            anomaly = _anomaly()  # of another cell, where one has changed it

    callers = _anomaly()
    if keep_anomaly:
        trainer.fit_loop.run = run_with_callers_anomaly_mode  # type: ignore[method-assign]
    try:
        yield trainer
    finally:
        if anomaly is not None:
            torch.autograd.set_detect_anomaly(*anomaly)
        for (get, put), was, mine in zip(_SETTINGS, before, made, strict=True):
            if was != mine == get():
                put(was)
