"""`Trainer`: NeuroMANCER's classic trainer over nmlab's fit, for code that exists already.

`from nmlab import Trainer` in place of `from neuromancer.trainer import Trainer` is all that changes: the same weights,
and every training is also a `Run`.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from neuromancer.callbacks import Callback
from neuromancer.dataset import DictDataset
from neuromancer.problem import Problem
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nmlab.compat.epochs import Choice, NeuromancerEpochs
from nmlab.compat.words import called, in_words_of
from nmlab.data.from_loaders import DataFunction, from_loaders
from nmlab.data.given import LoadedDataset
from nmlab.data.loader import first_batch
from nmlab.errors import FieldError, RunError
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.options import TrainerOptions
from nmlab.options.as_json import as_json
from nmlab.problem.lazy import has_lazy
from nmlab.problem.term_weights import weighted
from nmlab.problem.terms import terms_of
from nmlab.problem.weights import copy_weights
from nmlab.runs import Run

NAMES = {"max_epochs": "epochs", "gradient_clip_val": "clip", "accelerator": "device", "devices": "device"}
"""Trainer's names for options of nmlab that are called otherwise there."""

_FREE = ("checkpoint", "tensorboard", "profiler", "weights")
"""Options that a Trainer has no argument for, and that its loop heeds."""

_POINTS = tuple(name for name in vars(Callback) if name.startswith(("begin_", "end_")))
_LOGS = ("log_weights", "log_metrics", "log_artifacts")


class Trainer:
    """Trains a NeuroMANCER Problem on DataLoaders, with the arguments, defaults and weights of NeuroMANCER's Trainer.

    Parameters
    ----------
    problem : Problem
        What is trained.
    train_data : torch.utils.data.DataLoader
        Batches of the training data; any iterable of dicts.
    dev_data : torch.utils.data.DataLoader, optional
        Batches of the dev data. Without, the best epoch is chosen by the train loss.
    test_data : Any, optional
        Batches of the test data, or a dict of tensors; looked at in `test` alone.
    optimizer : torch.optim.Optimizer, optional
        Default Adam with lr 0.01 and betas (0.0, 0.9). Its state goes on from one `train` to the next.
    logger : Any, optional
        One of `neuromancer.loggers`, or what has `log_weights`, `log_metrics` and `log_artifacts`. Without, a line is
        printed an epoch.
    callback : Callback, optional
        Of `neuromancer.callbacks`.
    lr_scheduler : bool, default False
        Whether the learning rate is halved after 100 epochs without a lower mean train loss.
    epochs : int, default 1000
        Maximum number of epochs of a `train`.
    epoch_verbose : int, default 1
        Epochs between two printed lines.
    patience : int, default 5
        Training stops once more than so many epochs since the best one, after the warmup, were no better.
    warmup : int, default 0
        Epochs of which patience does not count any.
    train_metric, dev_metric, test_metric : str, default "train_loss", "dev_loss", "test_loss"
        Keys of the Problem's output that are trained on and scored.
    eval_metric : str, default "dev_loss"
        Key of the output by which the best epoch is chosen; may be one that a callback adds.
    eval_mode : {"min", "max"}, default "min"
        Whether a lower or a higher value is better.
    clip : float, default 100.0
        Maximum norm of the gradients of all parameters of the Problem.
    multi_fidelity : bool, default False
        Whether each node's ``callable.get_alpha_loss()`` is added to the train loss.
    device : str or torch.device, default "cpu"
        Where the Problem and its batches are during a training.
    runs_dir : path-like, default "nmlab_runs"
        The folder in which each training gets a run's folder.
    seed : int, optional
        Seed of all random numbers of a training, which then leaves the caller's as they were. Default: the caller's own
        generators go on, as with NeuroMANCER's Trainer; the record keeps where they stood.
    name : str, optional
        The runs' name; default "trainer".
    options : TrainerOptions, optional
        `checkpoint`, `tensorboard`, `profiler` and `weights`; `test` uses these weights too.
    eval_last_batch : bool, default False
        Whether the best epoch is chosen by the last batch's value of `eval_metric`, as NeuroMANCER's Trainer does, in
        place of the mean over all samples.
    allow_nan : bool, default False
        Whether to train on where a loss is no longer finite, as NeuroMANCER's Trainer does.

    Raises
    ------
    FieldError
        Arguments are wrong; with all faults at once.

    Examples
    --------
    >>> import nmlab
    >>> from torch.utils.data import DataLoader
    >>> example = nmlab.gallery.get("rosenbrock")
    >>> train, dev, test, size = example.data_function()(nsim=50)
    >>> loaders = [DataLoader(data, size, collate_fn=data.collate_fn) for data in (train, dev, test)]
    >>> trainer = nmlab.Trainer(example.problem(), *loaders, epochs=2, epoch_verbose=10)
    >>> best = trainer.train()  # doctest: +ELLIPSIS
    epoch: 0  train_loss: ...
    >>> trainer.run.epochs
    2
    >>> float(trainer.test(best)["mean_test_loss"]) > 0
    True
    """

    def __init__(
        self,
        problem: Problem,
        train_data: Any,
        dev_data: Any = None,
        test_data: Any = None,
        optimizer: torch.optim.Optimizer | None = None,
        logger: Any = None,
        callback: Any = Callback(),  # noqa: B008 - as there; it has no state
        lr_scheduler: bool = False,
        epochs: int = 1000,
        epoch_verbose: int = 1,
        patience: int = 5,
        warmup: int = 0,
        train_metric: str = "train_loss",
        dev_metric: str = "dev_loss",
        test_metric: str = "test_loss",
        eval_metric: str = "dev_loss",
        eval_mode: Literal["min", "max"] = "min",
        clip: float | None = 100.0,
        multi_fidelity: bool = False,
        device: str | torch.device = "cpu",
        *,
        runs_dir: str | os.PathLike[str] = "nmlab_runs",
        seed: int | None = None,
        name: str | None = None,
        options: TrainerOptions | None = None,
        eval_last_batch: bool = False,
        allow_nan: bool = False,
    ) -> None:
        self.model = problem
        self.train_data = train_data
        self.dev_data = dev_data
        self.test_data = test_data
        self.logger = logger
        self.callback = callback
        self.epochs = epochs
        self.epoch_verbose = epoch_verbose
        self.patience = patience
        self.warmup = warmup
        self.train_metric = train_metric
        self.dev_metric = dev_metric
        self.test_metric = test_metric
        self.eval_metric = eval_metric
        self.eval_mode = eval_mode
        self.clip = clip
        self.multi_fidelity = multi_fidelity
        self.device = device
        self.runs_dir = runs_dir
        self.seed = seed
        self.name = name
        self.options = options
        self.eval_last_batch = eval_last_batch
        self.allow_nan = allow_nan
        self.optimizer: Any = optimizer
        self._checked(optimizer)
        if optimizer is None:
            self.optimizer = torch.optim.Adam(problem.parameters(), 0.01, betas=(0.0, 0.9))
        self.lr_scheduler = (
            ReduceLROnPlateau(self.optimizer, mode="min", factor=0.5, patience=100) if lr_scheduler else None
        )
        self.current_epoch = 0
        self.badcount = 0
        self.best_devloss: Any = np.finfo(np.float32).max if eval_mode == "min" else 0.0
        # lazy modules have no weights to copy yet
        self.best_model: dict[str, torch.Tensor] = {} if has_lazy(problem) else copy_weights(problem)
        self.last_output: dict[str, Any] = {}
        """The output of the last epoch, as the callback had it."""
        self._fit: Fit | None = None
        self._lab: Any = None
        if test_data is not None and not _can_be_scored(test_data):
            warnings.warn(
                f"test_data is a {type(test_data).__name__}, which test() cannot score; was it meant for another "
                "argument, as in Trainer(…, optimizer=optimizer)?",
                stacklevel=2,
            )
        if logger is not None:
            logger.log_weights(problem)

    # --- training ---

    def train(self) -> dict[str, torch.Tensor]:
        """Train the Problem, record it as a run, and return the best weights by `eval_metric`, which it then holds.

        A second call goes on: epochs are counted on, optimizer, scheduler and best weights are those of before. An
        interrupt (Ctrl-C, ■) ends the training with the best weights so far.

        Returns
        -------
        dict[str, torch.Tensor]
            The Problem's best state dict.

        Raises
        ------
        FieldError, DataError, BusyError, NonFiniteLossError, RunError
            As for `nmlab.fit`.
        """
        self.callback.begin_train(self)
        homes = {value: value.device for value in self.model.parameters()}
        begun = False
        try:
            with in_words_of(NAMES, trainer="Trainer"):
                fit = make_fit(self._request())
                self._fit, self._lab, begun = fit, None, True
                if fit.run_to_end().status == "stopped":
                    print("Interrupted training loop.")
        except KeyboardInterrupt:
            print("Interrupted training loop.")
        finally:
            for value, home in homes.items():
                value.data = value.data.to(home)
            if begun and self.best_model:
                self.model.load_state_dict(self.best_model)
                self.model.eval()
        self.callback.end_train(self, self.last_output)
        if self.logger is not None:
            self.logger.log_artifacts(
                {"best_model_state_dict.pth": self.best_model, "best_model.pth": self.model},
            )
        return self.best_model

    def test(self, best_model: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Load weights into the Problem, and score them on train, dev and test data.

        Parameters
        ----------
        best_model : Mapping[str, torch.Tensor]
            The weights, as `train` returns them.

        Returns
        -------
        dict[str, Any]
            ``mean_<metric>`` of each of the three, the mean over batches, and the Problem's outputs for the last batch
            of each.
        """
        self.model.load_state_dict(dict(best_model), strict=False)
        self.model.eval()
        output: dict[str, Any] = {}
        weights = {} if self.options is None else self.options.weights
        with torch.set_grad_enabled(bool(self.model.grad_inference)), weighted(self.model, weights):
            self.callback.begin_test(self)
            for split in ("train", "dev", "test"):
                data, metric = getattr(self, f"{split}_data"), getattr(self, f"{split}_metric")
                if data is None:
                    continue
                if not _can_be_scored(data):
                    warnings.warn(f"{split}_data is a {type(data).__name__}, which cannot be scored.", stacklevel=2)
                    continue
                losses = []
                for batch in _batches_of(data):
                    moved = {k: v.to(self.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
                    outputs = self.model(moved)
                    losses.append(outputs[metric])
                output = {**output, f"mean_{metric}": torch.mean(torch.stack(losses)), **outputs}
        self.callback.end_test(self, output)
        if self.logger is not None:
            self.logger.log_metrics({f"best_{key}": value for key, value in output.items()})
        return output

    def evaluate(self, best_model: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Do the same as `test`, by its earlier name.

        Parameters
        ----------
        best_model : Mapping[str, torch.Tensor]
            The weights, as `train` returns them.

        Returns
        -------
        dict[str, Any]
            As for `test`.
        """
        return self.test(best_model)

    # --- nmlab's own ---

    @property
    def run(self) -> Run:
        """The record of the last training."""
        if self._fit is None:
            raise RunError("This Trainer has not trained anything yet; call train().")
        return self._fit.run

    @property
    def data_setup_function(self) -> DataFunction:
        """The data as a fit takes them."""
        return from_loaders(self.train_data, self.dev_data, self.test_data, finite=not self.allow_nan)

    @property
    def run_name(self) -> str:
        """The name of the runs, and of the Lab over them."""
        return self.name or "trainer"

    @property
    def fit_options(self) -> TrainerOptions:
        """Options by which nmlab's own loop comes nearest to this Trainer's; those of its Lab.

        An optimizer of the same kind is made anew for each run; all of its parameters have the first group's settings.
        """
        group: dict[str, Any] = self.optimizer.param_groups[0]
        kind: Any = type(self.optimizer)
        known = inspect.signature(kind).parameters
        settings = {key: value for key, value in group.items() if key in known and key not in ("params", "lr")}
        return self._checked(None).replace(
            optimizer=partial(kind, lr=group["lr"], **settings),
            lr=float(group["lr"]),
            lr_scheduler=None if self.lr_scheduler is None else partial(ReduceLROnPlateau, factor=0.5, patience=100),
            patience=int(self.patience) + 1,
            warmup=int(self.warmup),
            mode=self.eval_mode,
        )

    @property
    def lab(self) -> Any:
        """A Lab over the same Problem, data and options, whose bench shows this Trainer's runs; `Lab.from_trainer`."""
        if self._lab is None:
            self._lab = import_module("nmlab").Lab.from_trainer(self)  # the notebook's room is below this one
        return self._lab

    def is_better(self, value: Any, other: Any) -> bool:
        """Return whether a value of `eval_metric` is better than another one.

        Parameters
        ----------
        value, other : Any
            The values.

        Returns
        -------
        bool
            Whether the first one is.
        """
        return bool(value < other if self.eval_mode == "min" else value > other)

    def settings(self) -> dict[str, Any]:
        """Return the arguments as a run's record keeps them.

        Returns
        -------
        dict[str, Any]
            Those arguments that are no option of the run; others than numbers and texts by name or repr.
        """
        names = (
            "patience warmup train_metric dev_metric eval_metric eval_mode clip multi_fidelity eval_last_batch "
            "allow_nan"
        )
        own = {name: type(getattr(self, name)).__name__ for name in ("logger", "callback", "lr_scheduler")}
        first = {"first_epoch": self.current_epoch, "device": str(self.device)}
        return {**first, **own, **{name: as_json(getattr(self, name)) for name in names.split()}}

    # --- what was asked for ---

    def _checked(self, optimizer: Any) -> TrainerOptions:
        """Return the arguments as options; raises `FieldError` with all faults at once."""
        faults: dict[str, str] = {}
        if not isinstance(self.model, Problem):
            faults["problem"] = f"a {type(self.model).__name__}; give a Problem"
        if not isinstance(self.train_data, Iterable) and not hasattr(self.train_data, "__getitem__"):
            faults["train_data"] = f"a {type(self.train_data).__name__}; give a DataLoader"
        if self.dev_data is not None and not _can_be_scored(self.dev_data):
            faults["dev_data"] = f"a {type(self.dev_data).__name__}; give a DataLoader or None"
        for name, kind, points in (("callback", "a Callback", _POINTS), ("logger", "a logger", _LOGS)):
            value = getattr(self, name)
            missing = [point for point in points if not callable(getattr(value, point, None))]
            if missing and not (name == "logger" and value is None):
                faults[name] = f"a {type(value).__name__} without {', '.join(missing)}; give {kind} of NeuroMANCER's"
        if self.eval_mode not in ("min", "max"):
            faults["eval_mode"] = f"{self.eval_mode!r}; give 'min' or 'max'"
        for name in ("patience", "warmup"):
            if not isinstance(value := getattr(self, name), (int, float)) or value < 0:
                faults[name] = f"{value!r} is no number of epochs; give one of at least 0"
        if not isinstance(self.epoch_verbose, int) or self.epoch_verbose < 1:
            faults["epoch_verbose"] = f"{self.epoch_verbose!r} is no number of epochs; give one of at least 1"
        given = self.options or TrainerOptions()
        for name in sorted(given.model_fields_set - set(_FREE)):
            instead = (
                f"give Trainer({NAMES.get(name, name)}=…)" if hasattr(self, NAMES.get(name, name)) else "leave it out"
            )
            faults[f"options.{name}"] = f"not an option of this loop; {instead}"
        options, wanted = TrainerOptions(), self._options(given, optimizer)
        try:
            wanted |= _device_options(self.device)
        except (RuntimeError, TypeError) as error:
            faults["device"] = f"{self.device!r}: {error}"
        try:
            options = TrainerOptions(**wanted)
            options.resolved_accelerator()
        except FieldError as error:
            faults |= called(NAMES, error.faults)
        if faults:
            raise FieldError(faults, "Trainer")
        return options

    def _options(self, given: TrainerOptions, optimizer: Any) -> dict[str, Any]:
        wanted = {name: getattr(given, name) for name in given.model_fields_set & set(_FREE)}
        wanted |= {"max_epochs": self.epochs, "gradient_clip_val": self.clip, "seed": self.seed, "optimizer": optimizer}
        return wanted

    def _request(self) -> FitRequest:
        options = self._checked(self.optimizer)
        if self.dev_data is None and self.eval_metric == self.dev_metric != self.train_metric:
            warnings.warn("There is no dev_data: the best epoch is chosen by the train loss.", stacklevel=3)
            self.eval_metric = self.train_metric
        names = {
            split: str(first_batch(LoadedDataset(data)).get("name"))
            for split, data in (("train", self.train_data), ("dev", self.dev_data))
            if data is not None
        }
        choice = self._choice(names)
        return FitRequest(
            self.model,
            from_loaders(self.train_data, self.dev_data, finite=not self.allow_nan),
            options.replace(monitor=choice.monitor, mode=self.eval_mode),
            runs_dir=self.runs_dir,
            name=self.run_name,
            lab=self.run_name,
            loop=NeuromancerEpochs(self, choice, names),
        )

    def _choice(self, names: Mapping[str, str]) -> Choice:
        """Return by what the best epoch is chosen: a metric of the record where it is one, or a value of the output."""
        known = {
            f"{name}_{key}": (split, metric)
            for split, name in names.items()
            for key, metric in (("loss", "loss"), *((term.key, term.name) for term in terms_of(self.model)))
        }
        # where both are called alike, that of the dev data is the last in the output
        known |= {getattr(self, f"{split}_metric"): (split, "loss") for split in names}
        found = known.get(self.eval_metric)
        if found is None:
            return Choice(self.eval_metric, None)
        column = "_".join(found)
        return Choice(f"{column}_last_batch", None) if self.eval_last_batch else Choice(column, found)


def _device_options(given: Any) -> dict[str, Any]:
    device = torch.device(given)
    chosen = {"devices": [device.index]} if device.type == "cuda" and device.index is not None else {}
    return {"accelerator": device.type, **chosen}


def _can_be_scored(data: Any) -> bool:
    """Whether these can be batches: a DataLoader, another iterable of dicts, or a dict of tensors."""
    return isinstance(data, Iterable) and not isinstance(data, (str, bytes, torch.nn.Module))


def _batches_of(data: Any) -> Iterable[dict[str, Any]]:
    """Return the batches of what was given; a dict of tensors is one."""
    if not isinstance(data, Mapping):
        return data  # type: ignore[no-any-return]
    tensors = {key: torch.as_tensor(value) for key, value in data.items() if not isinstance(value, str)}
    return [{**tensors, "name": data.get("name", DictDataset(tensors, name="test").name)}]
