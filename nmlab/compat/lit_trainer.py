"""`LitTrainer`: NeuroMANCER's own signature over nmlab's fit, for notebooks that exist already.

`from nmlab import LitTrainer` in place of `from neuromancer.trainer import LitTrainer` is all that changes: every fit
is also a `Run`, and what NeuroMANCER's documentation promises holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.strategies import Strategy, StrategyRegistry
from neuromancer.problem import Problem

from nmlab.compat.after_fit import AfterFit
from nmlab.compat.weight_file import best_of, weight_file
from nmlab.compat.words import called, in_words_of
from nmlab.errors import FieldError, RunError
from nmlab.fields import Field, convert, fault_of
from nmlab.fitting.request import FitRequest
from nmlab.launch.base import Fit
from nmlab.launch.fit import make_fit
from nmlab.options import TrainerOptions
from nmlab.problem.weights import PREFIX, copy_weights
from nmlab.runs import Run
from nmlab.sweeps import Sweep
from nmlab.sweeps.sweeping import Watch, sweep_over
from nmlab.training.checkpoints import save_weights
from nmlab.training.user_hooks import UserHooks, user_hooks_of
from nmlab.tuning import BatchSizeSearch, FoundLR, LRSearch

NAMES = {
    "max_epochs": "epochs",
    "gradient_clip_val": "clip",
    "optimizer": "custom_optimizer",
    "loggers": "logger",
    "lr": "hparam_config",
    "monitor": "eval_metric",
}
"""LitTrainer's names for options of nmlab that are called otherwise there."""

_BATCH_SIZE = Field("batch_size", "integer", minimum=1)


class LitTrainer(AfterFit):
    """Fits NeuroMANCER Problems, as NeuroMANCER's LitTrainer is documented to.

    Parameters
    ----------
    epochs : int, default 1000
        Maximum number of epochs.
    train_metric, dev_metric, test_metric : str, default "train_loss", "dev_loss", "test_loss"
        Keys of the Problem's output that are trained on and scored, with or without the batches' own prefix: for a
        SequenceDataset "train_loss" means "nstep_train_loss".
    eval_metric : str, default "dev_loss"
        Metric that decides which epoch is best: one of the record's, by NeuroMANCER's or Lightning's name for it, such
        as "training_epoch_average" or "train_loss_step", or one that a step or hook logs. Without a dev split the
        default is the train loss.
    patience : int, optional
        Epochs without improvement after which to stop; None for never.
    warmup : int, default 0
        Epochs to train before early stopping is active.
    clip : float or None, default 100.0
        Maximum norm of the gradient; not used where the training step optimizes by itself.
    custom_optimizer : torch.optim.Optimizer, optional
        Holds parameters of the Problem; default Adam with lr 1e-3 and betas (0.0, 0.9). Each fit starts from the state
        in which it was given.
    save_weights : bool, default True
        Whether the best weights are also written to a file outside the run's folder.
    weight_path : path-like, optional
        Folder of that file; None for no file, or the working directory if `weight_name` is given.
    weight_name : str, optional
        The file's name without ".ckpt", with "{epoch}" or "{dev_loss:.3f}" filled in as Lightning does, for the best
        epoch; default "{epoch}-{step}". An existing file of this name is replaced.
    devices : Any, default "auto"
        A number of GPUs, or of processes on a CPU; [i, j] for these GPUs; "auto" for all GPUs, or one process.
    strategy : str or Strategy, default "auto"
        Any of Lightning's for one device, which needs none; for several "auto", "ddp" or another name for it.
    accelerator : str, default "auto"
        "auto" is CUDA if there is one, else the CPU.
    profiler : str or Profiler, optional
        "simple", "advanced", "pytorch", or one of Lightning's profilers.
    custom_training_step : callable, optional
        Called with the module (`.problem`, `.current_epoch`, `.train_metric`, …) and a batch; returns the loss.
    custom_hooks : Mapping[str, callable], optional
        Functions by Lightning's names; their first argument is the module.
    logger : Logger or Iterable[Logger] or bool, optional
        Lightning loggers; None, True or False for nmlab's own record alone, to whose events a hook adds by
        ``self.logger``.
    hparam_config : Any, optional
        Its `learning_rate` and `batch_size` are used if there are any.
    automatic_optimization : bool, default True
        False where `custom_training_step` steps the optimizers itself.
    runs_dir : path-like, default "nmlab_runs"
        The folder in which each fit gets a run's folder.
    seed : int, optional
        Seed of all random numbers; default drawn from torch's generator, so that a preceding `torch.manual_seed` has
        its effect.
    launch : {'thread', 'process'}, default 'thread'
        Where fits run, as for `TrainerOptions`. `lit_problem` and `lit_data_module` are those of a thread alone.
    weights : Mapping[str, float], optional
        Weights of objectives and constraints by their names, as for `TrainerOptions`.

    Raises
    ------
    FieldError
        Arguments or hooks are wrong; with all faults at once.

    Examples
    --------
    >>> import nmlab
    >>> example = nmlab.gallery.get("rosenbrock")
    >>> trainer = nmlab.LitTrainer(epochs=2, seed=0)
    >>> run = trainer.fit(example.problem(), example.data_function(), nsim=50)
    >>> run.epochs
    2
    """

    def __init__(
        self,
        epochs: int = 1000,
        train_metric: str = "train_loss",
        dev_metric: str = "dev_loss",
        test_metric: str = "test_loss",
        eval_metric: str = "dev_loss",
        patience: int | None = None,
        warmup: int = 0,
        clip: float | None = 100.0,
        custom_optimizer: torch.optim.Optimizer | None = None,
        save_weights: bool = True,
        weight_path: str | os.PathLike[str] | None = None,
        weight_name: str | None = None,
        devices: Any = "auto",
        strategy: str = "auto",
        accelerator: str = "auto",
        profiler: Any = None,
        custom_training_step: Callable[..., Any] | None = None,
        custom_hooks: Mapping[str, Callable[..., Any]] | None = None,
        logger: Any = None,
        hparam_config: Any = None,
        automatic_optimization: bool = True,
        *,
        runs_dir: str | os.PathLike[str] = "nmlab_runs",
        seed: int | None = None,
        launch: Literal["thread", "process"] = "thread",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.epochs = epochs
        self.train_metric = train_metric
        self.dev_metric = dev_metric
        self.test_metric = test_metric
        self.eval_metric = eval_metric
        self.patience = patience
        self.warmup = warmup
        self.clip = clip
        self.custom_optimizer = custom_optimizer
        self.save_weights = save_weights
        self.weight_path = weight_path
        self.weight_name = weight_name
        self.devices = devices
        self.strategy = strategy
        self.accelerator = accelerator
        self.profiler = profiler
        self.custom_training_step = custom_training_step
        self.custom_hooks = dict(custom_hooks) if isinstance(custom_hooks, Mapping) else custom_hooks
        self.logger = logger
        self.hparam_config = hparam_config
        self.automatic_optimization = automatic_optimization
        self.runs_dir = runs_dir
        self.seed = seed
        self.launch = launch
        self.weights = weights
        self.callbacks: list[Any] = []
        """Callbacks of Lightning's, to which any may be appended before a fit."""
        super().__init__()
        self._checked()

    # --- fitting ---

    def fit(self, problem: Problem, data_setup_function: Callable[..., Any], **kwargs: Any) -> Run:
        """Train `problem` on the data that `data_setup_function` makes, and return the record of it.

        Afterwards the Problem holds the best weights by `eval_metric`. Starts from the weights that it holds, with a
        new trainer and optimizer state, each time.

        Parameters
        ----------
        problem : Problem
            A NeuroMANCER `Problem`.
        data_setup_function : callable
            Returns train, dev and test datasets and the batch size.
        **kwargs : Any
            Keywords of the data function.

        Returns
        -------
        Run
            The record.

        Raises
        ------
        FieldError, DataError, BusyError, NonFiniteLossError, RunError
            As for `nmlab.fit`.
        """
        options, user_hooks = self._begin(problem)
        with in_words_of(NAMES, kwargs):
            request = self._request(problem, data_setup_function, options, kwargs)
            fit = make_fit(request.replace(user_hooks=user_hooks))
            self._fit, self._run, self._problem = fit, None, problem
            try:
                return fit.run_to_end()
            finally:
                if fit.done and fit.run.epochs:
                    self._save(fit.run)

    def hyperparameter_sweep(
        self,
        problem: Problem,
        data_setup_function: Callable[..., Any],
        sweep_config: Mapping[str, Any],
        count: int | None = 10,
        project_name: str = "run_sweep",
        **kwargs: Any,
    ) -> Sweep:
        """Fit `problem` again and again with values drawn by `sweep_config`, each a run.

        Runs locally, without an account. Afterwards the Problem holds the best trial's weights, and `run` is its run.

        Parameters
        ----------
        problem : Problem
            A NeuroMANCER `Problem`.
        data_setup_function : callable
            Returns train, dev and test datasets and the batch size.
        sweep_config : Mapping[str, Any]
            What to try, in wandb's format; see `nmlab.sweep`.
        count : int or None, default 10
            Maximum number of trials.
        project_name : str, default "run_sweep"
            The sweep's name if the configuration has none.
        **kwargs : Any
            Keywords of the data function.

        Returns
        -------
        Sweep
            The trials.
        """
        options, user_hooks = self._begin(problem)

        def make_trial(request: FitRequest) -> Fit:
            self._fit = make_fit(request)
            return self._fit

        own_name = sweep_config.get("name") if isinstance(sweep_config, Mapping) else None
        name = str(own_name or project_name)
        request = self._request(problem, data_setup_function, options, kwargs)
        self._fit, self._run, self._problem = None, None, problem
        try:
            with in_words_of(NAMES, kwargs):
                request = request.replace(user_hooks=user_hooks, name=name)
                done = sweep_over(request, sweep_config, count, watch=Watch(make_fit=make_trial))
        except KeyboardInterrupt:
            if self._fit is not None and self._fit.done:
                self._keep_best(Sweep.read(name, self.runs_dir))
            raise
        self._keep_best(done)
        return done

    # --- searching before a fit ---

    def find_lr(
        self,
        problem: Problem,
        data_setup_function: Callable[..., Any],
        *,
        min_lr: float = 1e-6,
        max_lr: float = 1.0,
        num_training: int = 100,
        **kwargs: Any,
    ) -> FoundLR:
        """Find a learning rate: train a few steps with a rising rate and see where the loss falls fastest.

        Uses the steps and hooks of this LitTrainer. Everything is restored afterwards, and the next fit is the one that
        it would have been.

        Parameters
        ----------
        problem : Problem
            A NeuroMANCER `Problem`.
        data_setup_function : callable
            Returns train, dev and test datasets and the batch size.
        min_lr, max_lr : float, default 1e-6, 1.0
            The first and the last rate.
        num_training : int, default 100
            Number of steps, at least 15.
        **kwargs : Any
            Keywords of the data function.

        Returns
        -------
        FoundLR
            The rates, the losses, and a `suggestion`.
        """
        request = self._request_of_search(problem, data_setup_function, kwargs)
        with in_words_of(NAMES, kwargs):
            return LRSearch(request, min_lr=min_lr, max_lr=max_lr, num_training=num_training).run_to_end()

    def find_batch_size(
        self,
        problem: Problem,
        data_setup_function: Callable[..., Any],
        *,
        mode: Literal["power", "binsearch"] = "power",
        max_trials: int = 6,
        **kwargs: Any,
    ) -> int:
        """Find the largest batch size that fits into memory, by training a few steps with ever larger batches.

        Uses the steps and hooks of this LitTrainer, and starts from the batch size of `hparam_config` if there is one.
        Everything is restored afterwards.

        Parameters
        ----------
        problem : Problem
            A NeuroMANCER `Problem`.
        data_setup_function : callable
            Returns train, dev and test datasets and the batch size.
        mode : {"power", "binsearch"}, default "power"
            As for `nmlab.find_batch_size`.
        max_trials : int, default 6
            Number of sizes to try.
        **kwargs : Any
            Keywords of the data function.

        Returns
        -------
        int
            The batch size.
        """
        request = self._request_of_search(problem, data_setup_function, kwargs)
        with in_words_of(NAMES, kwargs):
            return BatchSizeSearch(request, mode=mode, max_trials=max_trials).run_to_end()

    # --- what was asked for ---

    def _checked(self) -> tuple[TrainerOptions, UserHooks]:
        """Return the arguments as nmlab takes them; raises `FieldError` with all faults at once."""
        faults: dict[str, str] = {}
        user_hooks, options = UserHooks(), TrainerOptions()
        metrics = {"train": self.train_metric, "dev": self.dev_metric, "test": self.test_metric}
        for split, metric in {**metrics, "eval": self.eval_metric}.items():
            if not isinstance(metric, str):
                faults[f"{split}_metric"] = f"{metric!r} is no name; give one such as 'dev_loss'"
        size = self._hparam("batch_size")
        size_fault = None if size is None else fault_of(_BATCH_SIZE, size)
        try:
            self._weight_file({})
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            where = f"{self.weight_name!r} in {self.weight_path!r}"
            faults["weight_name"] = f"{where}: {error}; give a folder, and a name such as 'best' or 'best-{{epoch}}'"
        try:
            user_hooks = user_hooks_of(
                self.custom_training_step, self.custom_hooks, metrics, self.automatic_optimization
            )
        except FieldError as error:
            faults |= error.faults
        given = {
            "max_epochs": self.epochs,
            "lr": self._hparam("learning_rate"),
            "optimizer": self.custom_optimizer,
            "patience": self.patience or None,
            "warmup": self.warmup,
            # where the training step optimizes by itself it clips by itself: Lightning refuses to
            "gradient_clip_val": self.clip if user_hooks.automatic_optimization else None,
            "monitor": self._monitor() if not faults else None,
            "accelerator": self.accelerator,
            "devices": self.devices,
            # one device needs none
            "strategy": "auto" if _is_strategy(self.strategy) and self._has_one_device() else self.strategy,
            "callbacks": self.callbacks,
            "profiler": self.profiler,
            "loggers": _loggers(self.logger),
            "seed": self.seed,
            "launch": self.launch,
            "weights": {} if self.weights is None else self.weights,
        }
        unset = {name for name in ("lr", "optimizer", "patience", "profiler", "seed", "monitor") if given[name] is None}
        try:
            options = TrainerOptions(**{name: value for name, value in given.items() if name not in unset})
            options.resolved_devices()
        except FieldError as error:
            faults |= called(NAMES, error.faults)
        if size_fault is not None:
            of_rate = [f"learning_rate: {faults['hparam_config']}"] if "hparam_config" in faults else []
            faults["hparam_config"] = "; ".join([f"batch_size: {size_fault}", *of_rate])
        if faults:
            raise FieldError(faults, "LitTrainer")
        return options, user_hooks

    def _has_one_device(self) -> bool:
        given: dict[str, Any] = {"accelerator": self.accelerator, "devices": self.devices}
        try:
            options = TrainerOptions(**given)
            return len(options.resolved_devices()) == 1
        except FieldError:  # which is told on its own
            return True

    def _begin(self, problem: Problem) -> tuple[TrainerOptions, UserHooks]:
        """Return what a fit begins with; what is wrong with it or cannot be written is to be known before it."""
        if not isinstance(problem, Problem):
            fault = f"a {type(problem).__name__}; give a Problem, which keeps the weights"
            raise FieldError({"problem": fault}, "LitTrainer")
        options, user_hooks = self._seeded()
        if (file := self._weight_file({})) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        return options, user_hooks

    def _seeded(self) -> tuple[TrainerOptions, UserHooks]:
        options, user_hooks = self._checked()
        if self.seed is None:
            options = options.replace(seed=int(torch.randint(2**31, (), device="cpu")))
        return options, user_hooks

    def _request(
        self, problem: Problem, function: Callable[..., Any], options: TrainerOptions, data_kwargs: Mapping[str, Any]
    ) -> FitRequest:
        return FitRequest(problem, function, options, data_kwargs, runs_dir=self.runs_dir, batch_size=self._batch_size)

    def _request_of_search(
        self, problem: Problem, function: Callable[..., Any], data_kwargs: Mapping[str, Any]
    ) -> FitRequest:
        """Return what the next fit will begin with, whose seed stays to be drawn."""
        with torch.random.fork_rng(devices=[]):
            options, user_hooks = self._seeded()
        return self._request(problem, function, options, data_kwargs).replace(user_hooks=user_hooks)

    def _keep_best(self, swept: Sweep) -> None:
        with suppress(RunError):  # no trial has come to a value
            self._run = swept.best
            self._save(self._run)

    def _save(self, run: Run) -> None:
        """Write the weights that the Problem holds after a run where the user wants them."""
        if (file := self._weight_file(best_of(run))) is not None and self._problem is not None:
            save_weights(copy_weights(self._problem), file, PREFIX)

    def _weight_file(self, metrics: Mapping[str, Any]) -> Path | None:
        return weight_file(self.weight_path, self.weight_name, metrics) if self.save_weights else None

    def _monitor(self) -> str | None:
        """Return nmlab's name for `eval_metric`; None for the default, which needs no dev split."""
        known = {"training_epoch_average": "train_loss", self.train_metric: "train_loss", self.dev_metric: "dev_loss"}
        metric = self.eval_metric.removeprefix("nstep_")
        metric = known.get(self.eval_metric, known.get(metric.removesuffix("_epoch"), metric))
        return None if metric == "dev_loss" else metric

    @property
    def _batch_size(self) -> int | None:
        size = self._hparam("batch_size")
        return None if size is None else convert(_BATCH_SIZE, size)

    def _hparam(self, name: str) -> Any:
        config = self.hparam_config
        return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)


def _loggers(given: Any) -> Any:
    """Return loggers as a list; nmlab's own record stands for Lightning's default ones."""
    if given is None or isinstance(given, bool):
        return ()
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)


def _is_strategy(given: Any) -> bool:
    """Whether this is a strategy of Lightning's."""
    return isinstance(given, Strategy) or given in StrategyRegistry.available_strategies()
