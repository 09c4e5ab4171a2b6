"""What holds around a call, carried into the process in which its fit runs."""

from __future__ import annotations

import linecache
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

_BACKEND = ("backend", "backend_fallback")
"""Settings of matplotlib that belong to a screen."""


@dataclass(frozen=True)
class Place:
    """Where a process looks for files and modules: taken in before anything else of a request can be read."""

    directory: str
    path: list[str]
    environment: dict[str, str]

    @classmethod
    def here(cls) -> Place:
        """Return that of this process."""
        return cls(str(Path.cwd()), list(sys.path), dict(os.environ))

    def take(self) -> None:
        """Make it that of this process."""
        os.chdir(self.directory)
        sys.path[:] = self.path
        os.environ.clear()
        os.environ.update(self.environment)


@dataclass(frozen=True)
class Surroundings:
    """Settings of torch, numpy, matplotlib and warnings in the calling thread, and sources that are in no file."""

    threads: int
    dtype: torch.dtype
    device: torch.device
    grad: bool
    inference: bool
    autocast: dict[str, torch.dtype]
    anomaly: tuple[bool, bool]
    deterministic: tuple[bool, bool]
    matmul: str
    errors: dict[str, Any]
    filters: list[Any]
    drawing: dict[Any, Any]
    sources: dict[str, list[str]]

    @classmethod
    def here(cls) -> Surroundings:
        """Return those of the calling thread."""
        return cls(
            threads=torch.get_num_threads(),
            dtype=torch.get_default_dtype(),
            device=torch.get_default_device(),
            grad=torch.is_grad_enabled(),
            inference=torch.is_inference_mode_enabled(),
            autocast={
                kind: torch.get_autocast_dtype(kind) for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)
            },
            anomaly=(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
            deterministic=(
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            matmul=torch.get_float32_matmul_precision(),
            errors=dict(np.geterr()),
            filters=list(warnings.filters),
            drawing={name: value for name, value in dict.items(matplotlib.rcParams) if name not in _BACKEND},
            sources=_sources_without_files(),
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have them hold in this process, those of a block within it."""
        torch.set_num_threads(self.threads)
        torch.set_default_dtype(self.dtype)
        torch.autograd.set_detect_anomaly(*self.anomaly)
        torch.use_deterministic_algorithms(self.deterministic[0], warn_only=self.deterministic[1])
        torch.set_float32_matmul_precision(self.matmul)
        np.seterr(**self.errors)
        warnings.filters[:] = self.filters  # type: ignore[index]  # a list, which typeshed promises less of
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that newer versions of matplotlib have renamed
            matplotlib.rcParams.update(self.drawing)
        linecache.cache.update({name: (len(lines), None, lines, name) for name, lines in self.sources.items()})
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(self.inference))
            stack.enter_context(torch.set_grad_enabled(self.grad))
            if self.device.type != "cpu":
                stack.enter_context(self.device)
            for kind, dtype in self.autocast.items():
                stack.enter_context(torch.autocast(kind, dtype))
            yield


def _sources_without_files() -> dict[str, list[str]]:
    """Return the lines of sources that were typed, as into a notebook's cells, by the names of their files."""
    entries = [(name, entry) for name, entry in list(linecache.cache.items()) if len(entry) == 4]
    return {name: list(entry[2]) for name, entry in entries if not Path(name).exists()}
