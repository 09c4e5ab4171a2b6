"""All options of a fit, with Lightning's names; checked when they are given, not hours later."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict

from nmlab.fields import Field
from nmlab.options.as_json import as_json, class_stored, holds_stand_in
from nmlab.options.checks import OFFERED, SET_BY_NMLAB, checked, class_named, made_by, option_fault, option_fields
from nmlab.options.environment import trainer_kwargs_of_environment
from nmlab.options.schedules import build_schedule
from nmlab.options.together import step_together

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

Precision = Literal[
    "32-true",
    "64-true",
    "16-mixed",
    "bf16-mixed",
    "16-true",
    "bf16-true",
    "transformer-engine",
    "transformer-engine-float16",
]

SINGLE = "weights."
"""Begins the name of the weight of one term, as of an option."""


class TrainerOptions(BaseModel):
    """Options of a fit, given by keyword.

    The defaults are those of NeuroMANCER's LitTrainer, except that one device is used and that 'auto' never chooses
    MPS. The object is frozen; `replace` returns a changed copy.

    Parameters
    ----------
    max_epochs : int, default 1000
        Maximum number of epochs.
    lr : float, default 1e-3
        Learning rate. Not used if the optimizer is given as a function or an object, which sets its own.
    optimizer : str, class, callable or torch.optim.Optimizer, optional
        Optimizer; default Adam with betas (0.0, 0.9). A name or class of torch.optim, a function that takes the list of
        parameters and returns an optimizer (and sets its own learning rate), or an optimizer.
    patience : int, optional
        Epochs without improvement after which training stops; default no early stopping. The monitored metric counts.
    seed : int, optional
        Seed of all random numbers; default drawn and recorded. An integer from 0 to 2**32 - 1.
    lr_scheduler : str, class or callable, optional
        Learning rate scheduler, stepped once per epoch unless said otherwise; default a constant learning rate. Name or
        class of a scheduler in torch.optim.lr_scheduler, or function that takes the optimizer and returns a scheduler,
        or a dict of these as in Lightning, with 'scheduler', 'interval' ('epoch' or 'step') and 'frequency'. A
        scheduler given by name is set up for the length of the fit: CosineAnnealingLR, LinearLR and PolynomialLR end
        with it, ExponentialLR ends at 1 % of lr, StepLR divides lr by 10 after each third, OneCycleLR rises to lr and
        falls, step by step, ReduceLROnPlateau follows the monitored metric.
    warmup : int, default 0
        Epochs to train before early stopping is active.
    gradient_clip_val : float, default 100.0
        Maximum norm of the gradient; larger gradients are scaled down. None: no clipping.
    shuffle : bool, default False
        Whether to shuffle the training samples in each epoch.
    drop_last : bool, default False
        Whether to leave out the last batch of an epoch if it is smaller than the others, as in torch's DataLoader.
    weights : dict of str to float, default {}
        Weights of objectives and constraints by their names, in place of those that the Problem's terms have; others
        stay. 0 switches a term off: it is not part of the loss, and its raw value is recorded all the same. They hold
        for the fit, and for what its run computes. After it the terms of the Problem have their own weights again.
    changes : sequence of dict, default ()
        What changes while the fit trains, as `lab.set` does: dicts of 'epoch', from whose start on it holds (the first
        is 0), and 'lr', 'weights' or both. 'lr' is the rate from which a scheduler goes on: it changes the rates of all
        parameter groups by the same factor. The best epoch is chosen by the weights that hold: with others, what was
        best so far is scored anew, and patience and ReduceLROnPlateau begin to compare there.
    monitor : str, optional
        Metric that decides which epoch is best; default dev_loss, or train_loss without a dev split.
    mode : {'min', 'max'}, default 'min'
        Whether a lower or a higher value of the monitored metric is better.
    accelerator : {'auto', 'cpu', 'cuda', 'gpu', 'mps'}, default 'auto'
        Hardware to compute on. auto: CUDA if it is available, otherwise the CPU; MPS only if it is given by name.
    devices : int, list of int or 'auto', default 1
        How many devices share each batch: a number of GPUs, or of processes on the CPU; [0, 2] for these GPUs; 'auto'
        or -1 for all GPUs, and one process on a CPU. Several run in processes of their own, whatever `launch` says, and
        take the same steps as one but for rounding.
    num_nodes : int, default 1
        Number of machines, each with so many devices; several for scripts that torchrun or srun starts.
    strategy : str or lightning.pytorch.strategies.Strategy, default 'auto'
        How several devices share the work. 'auto', 'ddp' and Lightning's other names for it mean the same here.
    precision : str, default '32-true'
        Floating-point precision, by Lightning's names, such as '64-true' or 'bf16-mixed'.
    profiler : str or lightning.pytorch.profilers.Profiler, optional
        Measures where the training time is spent; the result is shown in the tab Profile and in run.profile.
        'simple': by step of the training loop; 'advanced': by Python function as well; 'pytorch': by operator as well,
        with a trace of a few steps. Or one of Lightning's Profiler objects, which also writes its own report.
        Default: no profiler.
    checkpoint : bool, default True
        Whether to save the best and the last state in the run's folder.
    tensorboard : bool, default True
        Whether to write TensorBoard events to the run's folder.
    num_workers : int, default 0
        Number of subprocesses that load data.
    launch : {'thread', 'process'}, default 'thread'
        Where the fit runs. 'thread': in the kernel, one fit at a time. 'process': in a process of its own, beside other
        fits, which survives a restart of the kernel and leaves the kernel alone if it crashes. The numbers are the
        same.
    keep_running : bool, default False
        Whether a process goes on without limit once its kernel has ended. Otherwise it stops after ten minutes, unless
        a Lab of the same name has taken the run over by then. A thread always ends with its kernel.
    trainer_kwargs : dict, optional
        Further arguments of Lightning's Trainer.
    callbacks : sequence of lightning.pytorch.Callback, optional
        Lightning Callback objects to add.
    loggers : sequence of lightning.pytorch.loggers.Logger, optional
        Lightning Logger objects to add.

    Raises
    ------
    FieldError
        If values are not valid; the error reports all faults, by option.

    Examples
    --------
    >>> import nmlab
    >>> options = nmlab.TrainerOptions(max_epochs=20, lr=0.01)
    >>> options
    TrainerOptions(max_epochs=20, lr=0.01)
    >>> options.replace(lr=0.1).lr
    0.1
    >>> nmlab.TrainerOptions(max_epochs=0, lr=-1.0)
    Traceback (most recent call last):
        ...
    nmlab.errors.FieldError: TrainerOptions:
      max_epochs: 0 is too small; give an integer >= 1
      lr: -1.0 is too small; give a number > 0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    max_epochs: Annotated[int, Ge(1)] = 1000
    lr: Annotated[float, Gt(0)] = 1e-3
    optimizer: Any = None
    patience: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] | None = None
    lr_scheduler: Any = None
    warmup: Annotated[int, Ge(0)] = 0
    gradient_clip_val: Annotated[float, Ge(0)] | None = 100.0
    shuffle: bool = False
    drop_last: bool = False
    weights: dict[str, float] = {}
    changes: Sequence[dict[str, Any]] = ()
    monitor: str | None = None
    mode: Literal["min", "max"] = "min"
    accelerator: Literal["auto", "cpu", "cuda", "gpu", "mps"] = "auto"
    devices: int | list[int] | str = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: Precision = "32-true"
    profiler: Any = None
    checkpoint: bool = True
    tensorboard: bool = True
    num_workers: Annotated[int, Ge(0)] = 0
    launch: Literal["thread", "process"] = "thread"
    keep_running: bool = False
    trainer_kwargs: dict[str, Any] = {}
    callbacks: Sequence[Any] = ()
    loggers: Sequence[Any] = ()

    if not TYPE_CHECKING:  # type checkers and editors read the fields above instead

        def __init__(self, **values: Any) -> None:
            # nmlab's fields have checked the values; pydantic declares and holds them, and does not check them again
            kind = type(self)
            self.__setstate__(kind.model_construct(**checked(kind, values)).__getstate__())

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if name in self.model_fields_set)

    @classmethod
    def fields(cls) -> tuple[Field, ...]:
        """Return the options as fields for a form, the most important ones first.

        In these fields `optimizer`, `lr_scheduler` and `profiler` are choices of common names; code may give more.

        Returns
        -------
        tuple of Field
            One field for each option. Its `help` is the option's description above.

        Examples
        --------
        >>> import nmlab
        >>> field = nmlab.TrainerOptions.fields()[0]
        >>> field.name, field.help
        ('max_epochs', 'Maximum number of epochs.')
        """
        return tuple(
            replace(field, kind="choice", choices=OFFERED[field.name], optional=False)
            if field.name in OFFERED
            else field
            for field in option_fields(cls)
        )

    def replace(self, **changes: Any) -> Self:
        """Return a copy of these options with some of them changed.

        Parameters
        ----------
        **changes : Any
            New values by option. ``**{"weights.x_max": 50.0}`` sets the weight of one term beside the others.

        Returns
        -------
        TrainerOptions
            The copy.

        Raises
        ------
        FieldError
            If values are not valid, as for the class itself.

        Examples
        --------
        >>> import nmlab
        >>> nmlab.TrainerOptions(max_epochs=20).replace(patience=5)
        TrainerOptions(max_epochs=20, patience=5)
        """
        single = {name: changes.pop(name) for name in [*changes] if name.startswith(SINGLE)}
        if single:
            weights = changes.get("weights", self.weights)
            changes["weights"] = {**weights, **{name.removeprefix(SINGLE): value for name, value in single.items()}}
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | changes)

    def with_environment(self) -> Self:
        """Return these options with the arguments of Lightning's Trainer that environment variables give.

        A variable such as ``PL_TRAINER_LIMIT_TRAIN_BATCHES`` adds to `trainer_kwargs` what these do not have.

        Returns
        -------
        TrainerOptions
            The options.

        Examples
        --------
        >>> import nmlab
        >>> nmlab.TrainerOptions(max_epochs=20).with_environment()
        TrainerOptions(max_epochs=20)
        """
        given = trainer_kwargs_of_environment(type(self).model_fields, SET_BY_NMLAB)
        return self.replace(trainer_kwargs={**given, **self.trainer_kwargs}) if given else self

    def resolved_accelerator(self) -> str:
        """Return the accelerator that `accelerator` stands for on this machine.

        Returns
        -------
        {'cpu', 'cuda', 'mps'}
            The accelerator.

        Raises
        ------
        FieldError
            If this machine does not have it.

        Examples
        --------
        >>> import nmlab
        >>> nmlab.TrainerOptions(accelerator="cpu").resolved_accelerator()
        'cpu'
        """
        import torch

        available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.accelerator == "auto":
            return "cuda" if available["cuda"] else "cpu"
        name = {"gpu": "cuda"}.get(self.accelerator, self.accelerator)
        if not available[name]:
            names = ", ".join(repr(other) for other, is_available in available.items() if is_available)
            fault = f"PyTorch finds no {name} device here for {self.accelerator!r}; give 'auto' or one of {names}"
            raise option_fault("accelerator", fault)
        return name

    def resolved_devices(self) -> list[int]:
        """Return the numbers of the devices that share the work on each machine: of GPUs, or of processes on a CPU.

        Returns
        -------
        list of int
            The numbers, at least one.

        Raises
        ------
        FieldError
            If this machine does not have so many, or not these.

        Examples
        --------
        >>> import nmlab
        >>> nmlab.TrainerOptions(accelerator="cpu", devices=2).resolved_devices()
        [0, 1]
        """
        import torch

        accelerator, devices = self.resolved_accelerator(), self.devices
        there = torch.cuda.device_count() if accelerator == "cuda" else 1
        everything = devices in ("auto", -1)
        wanted = devices if isinstance(devices, list) else list(range(there if everything else int(devices)))
        if accelerator == "cpu" and not isinstance(devices, list):
            return wanted
        missing = [device for device in wanted if device >= there]
        if accelerator == "cpu":
            fault = f"{devices!r} chooses GPUs, and PyTorch finds none here; give devices={len(wanted)} for the CPU"
        elif missing:
            fault = f"{devices!r}: this machine has {there} {accelerator.upper()} device{'s' * (there != 1)}"
            fault += f"; give {there} at most, or 'auto'" if not isinstance(devices, list) else ", numbered from 0"
        else:
            return wanted
        raise option_fault("devices", fault)

    def build_optimizer(self, problem: nn.Module) -> Optimizer:
        """Return the optimizer for the parameters of a Problem that require gradients.

        Parameters
        ----------
        problem : torch.nn.Module
            The Problem.

        Returns
        -------
        torch.optim.Optimizer
            The optimizer.

        Raises
        ------
        FieldError
            If no parameter requires gradients, a class cannot be called with (parameters, lr=lr), a function does not
            return an optimizer, or the optimizer holds parameters of something else than this Problem.

        Examples
        --------
        >>> import nmlab
        >>> import torch
        >>> optimizer = nmlab.TrainerOptions(optimizer="SGD", lr=0.1).build_optimizer(torch.nn.Linear(2, 1))
        >>> type(optimizer).__name__, optimizer.param_groups[0]["lr"]
        ('SGD', 0.1)
        """
        import torch

        wanted = self.optimizer
        parameters = [parameter for parameter in problem.parameters() if parameter.requires_grad]
        if not parameters:
            raise option_fault(
                "optimizer", f"{_titled(problem)} has no parameters that require gradients: nothing to train"
            )
        if isinstance(wanted, torch.optim.Optimizer):
            made = wanted
        elif wanted is None:
            made = torch.optim.Adam(parameters, lr=self.lr, betas=(0.0, 0.9))
            step_together(made)
        else:
            kind = class_named(wanted, torch.optim, torch.optim.Optimizer) if isinstance(wanted, str) else wanted
            made = made_by("optimizer", kind, parameters, {"lr": self.lr})
            if not isinstance(made, torch.optim.Optimizer):
                raise option_fault(
                    "optimizer", f"{wanted!r} returned a {type(made).__name__}; return a torch.optim.Optimizer"
                )
            if inspect.isclass(kind):
                step_together(made)
        own = {id(parameter) for parameter in problem.parameters()}
        held = [parameter for group in made.param_groups for parameter in group["params"]]
        foreign = sum(id(parameter) not in own for parameter in held)
        if foreign:
            raise option_fault(
                "optimizer",
                f"{foreign} of the {len(held)} tensors that this {type(made).__name__} holds do not belong to "
                f"{_titled(problem)}; make it from problem.parameters(), or give a name, class or function",
            )
        return made

    def build_scheduler(self, optimizer: Optimizer, steps: int = 1) -> LRScheduler | None:
        """Return the learning rate scheduler for an optimizer.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            The optimizer whose learning rate is scheduled.
        steps : int, default 1
            Steps of the optimizer in an epoch, for a scheduler that is stepped with it.

        Returns
        -------
        torch.optim.lr_scheduler.LRScheduler or None
            The scheduler; None if the options name none.

        Raises
        ------
        FieldError
            If a class cannot be called with the optimizer, or a function does not return a scheduler of it.

        Examples
        --------
        >>> import nmlab
        >>> import torch
        >>> options = nmlab.TrainerOptions(lr_scheduler="StepLR", max_epochs=30)
        >>> scheduler = options.build_scheduler(options.build_optimizer(torch.nn.Linear(2, 1)))
        >>> type(scheduler).__name__, scheduler.step_size
        ('StepLR', 10)
        """
        made = build_schedule(self, optimizer, lambda interval, frequency: self._steps(steps, interval, frequency))
        return None if made is None else made.scheduler

    def _steps(self, steps: int, interval: str, frequency: int) -> int:
        each = steps if interval == "step" else 1
        return self.max_epochs // frequency if interval == "epoch" else self.max_epochs * (each // frequency)

    def to_json(self) -> dict[str, Any]:
        """Return all options as JSON.

        A class or function becomes {'name': …} if it can be imported, otherwise {'source': …}; any other object that
        JSON cannot hold becomes {'repr': …}.

        Returns
        -------
        dict
            Values by option.

        Examples
        --------
        >>> import nmlab
        >>> import torch
        >>> nmlab.TrainerOptions(optimizer=torch.optim.SGD).to_json()["optimizer"]
        {'name': 'torch.optim.sgd.SGD'}
        """
        plain = {"weights": dict(self.weights)}  # which may have a term called as a placeholder is
        return {name: as_json(getattr(self, name)) for name in type(self).model_fields} | plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> tuple[Self, list[str]]:
        """Return options from the JSON that `to_json` returned.

        Plain values and classes of torch.optim are restored. Other values, and options that this version does not
        have, are left at their defaults.

        Parameters
        ----------
        data : mapping
            Values by option.

        Returns
        -------
        options : TrainerOptions
            The options.
        lost : list of str
            Names of the options that could not be restored.

        Raises
        ------
        FieldError
            If a value is not valid.

        Examples
        --------
        >>> import nmlab
        >>> nmlab.TrainerOptions.from_json({"max_epochs": 20, "optimizer": {"repr": "<object>"}})
        (TrainerOptions(max_epochs=20), ['optimizer'])
        """
        values, lost = {}, []
        for name, stored in data.items():
            value = class_stored(stored)
            if name in cls.model_fields and (name == "weights" or not holds_stand_in(value)):
                values[name] = value
            else:
                lost.append(name)
        return cls(**values), lost


def _titled(problem: nn.Module) -> str:
    return f"this {type(problem).__name__} with {sum(1 for _ in problem.parameters())} parameter tensors"
