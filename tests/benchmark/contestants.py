"""Who is timed: the plain loop, nmlab as a user gets it, NeuroMANCER's two trainers as they come, bare Lightning.

All make the same steps on the same batches: Adam with NeuroMANCER's betas, gradients clipped at 100, and a dev pass
an epoch.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch import Trainer as BareTrainer
from neuromancer.trainer import LitTrainer, Trainer
from torch.utils.data import DataLoader

import nmlab
from tests.benchmark.plain import batches, plain_loop, tensors_of
from tests.benchmark.problems import Case
from tests.benchmark.timing import Accelerator

PLAIN, NMLAB, LIT, OLD, FLOOR = "plain loop", "nmlab", "LitTrainer", "Trainer", "bare Lightning"
NEW = "nmlab.Trainer"

Contestant = Callable[[Any, Callable[..., Any], dict[str, int], int, Accelerator], None]
"""Called with a Problem, a data function, its keywords, the number of epochs, and 'cpu' or 'cuda'."""


def by_plain_loop(
    problem: Any, data: Callable[..., Any], kwargs: dict[str, int], epochs: int, accelerator: Accelerator
) -> None:
    train, dev, _, batch_size = data(**kwargs)
    plain_loop(problem, train, dev, batch_size, epochs, device=accelerator)


def by_nmlab(
    problem: Any, data: Callable[..., Any], kwargs: dict[str, int], epochs: int, accelerator: Accelerator
) -> None:
    """With rows, checkpoints and TensorBoard events."""
    options = nmlab.TrainerOptions(max_epochs=epochs, accelerator=accelerator)
    nmlab.fit(problem, data, options, data_kwargs=kwargs)


def by_lit_trainer(
    problem: Any, data: Callable[..., Any], kwargs: dict[str, int], epochs: int, accelerator: Accelerator
) -> None:
    LitTrainer(epochs=epochs, accelerator=accelerator, devices=1).fit(problem, data, **kwargs)


def by_trainer(
    problem: Any, data: Callable[..., Any], kwargs: dict[str, int], epochs: int, accelerator: Accelerator
) -> None:
    _by_trainer(Trainer, problem, data, kwargs, epochs, accelerator)


def by_nmlabs_trainer(
    problem: Any, data: Callable[..., Any], kwargs: dict[str, int], epochs: int, accelerator: Accelerator
) -> None:
    """With rows, checkpoints and TensorBoard events."""
    _by_trainer(nmlab.Trainer, problem, data, kwargs, epochs, accelerator)


def _by_trainer(
    kind: Any, problem: Any, data: Callable[..., Any], kwargs: dict[str, int], epochs: int, accelerator: Accelerator
) -> None:
    """With patience for all epochs: by default it leaves off after five without a better dev loss."""
    train, dev, _, batch_size = data(**kwargs)
    problem.to(accelerator)
    optimizer = torch.optim.Adam(problem.parameters(), 1e-3, betas=(0.0, 0.9))
    loaders = [DataLoader(split, batch_size=batch_size, collate_fn=split.collate_fn) for split in (train, dev)]
    kind(problem, *loaders, optimizer=optimizer, epochs=epochs, patience=epochs, device=accelerator).train()


class Bare(LightningModule):
    """As little as Lightning lets one do: the loss of a step, one log an epoch."""

    def __init__(self, problem: Any) -> None:
        super().__init__()
        self.problem = problem
        self.losses: list[torch.Tensor] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self.problem(batch)["train_loss"]  # type: ignore[no-any-return]

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        with torch.set_grad_enabled(self.problem.grad_inference):
            self.losses.append(self.problem(batch)["dev_loss"].detach())

    def on_validation_epoch_end(self) -> None:
        self.log("dev_loss", torch.stack(self.losses).mean())
        self.losses.clear()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.problem.parameters(), 1e-3, betas=(0.0, 0.9))


class Slices:
    """The plain loop's batches, as often as they are asked for."""

    def __init__(self, dataset: Any, batch_size: int, device: str) -> None:
        self._dataset, self._batch_size = dataset, batch_size
        self._tensors = tensors_of(dataset, device)

    def __len__(self) -> int:
        return -(-len(self._dataset) // self._batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return batches(self._dataset, self._tensors, self._batch_size)


BARE_SETTINGS: dict[str, Any] = {
    "gradient_clip_val": 100.0,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
"""Of a Trainer that trains as nmlab does, and nothing else."""


def by_bare_lightning(
    problem: Any, data: Callable[..., Any], kwargs: dict[str, int], epochs: int, accelerator: Accelerator
) -> None:
    train, dev, _, batch_size = data(**kwargs)
    trainer = BareTrainer(
        max_epochs=epochs,
        accelerator=accelerator,
        devices=1,
        inference_mode=False,
        **BARE_SETTINGS,
    )
    loaders: list[Any] = [Slices(split, batch_size, accelerator) for split in (train, dev)]
    trainer.fit(Bare(problem), *loaders)


CONTESTANTS: dict[str, Contestant] = {
    PLAIN: by_plain_loop,
    NMLAB: by_nmlab,
    LIT: by_lit_trainer,
    OLD: by_trainer,
    FLOOR: by_bare_lightning,
}
CLASSIC: dict[str, Contestant] = {OLD: by_trainer, NEW: by_nmlabs_trainer}
"""The classic trainers, which take turns by themselves, as nmlab fits one at a time."""
PEERS = (LIT, OLD, FLOOR)
"""Those whose failure is a finding, and not the benchmark's."""


def fit_once(name: str, case: Case, kwargs: dict[str, int], epochs: int) -> None:
    """One fit of a fresh Problem on the CPU, from the same random state."""
    torch.manual_seed(0)
    with in_a_folder():
        CONTESTANTS[name](case.problem(), case.data, kwargs, epochs, "cpu")


@contextlib.contextmanager
def in_a_folder() -> Iterator[Path]:
    """Work in a folder that goes away, with what the trainers drop there."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.chdir(folder):
        yield Path(folder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what is printed, logged and warned of."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logger.setLevel(level)
