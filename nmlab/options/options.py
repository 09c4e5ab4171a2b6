"""Everything that a user may set of a fit, in Lightning's spelling, checked at once and not hours later."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic import Field as Option

from nmlab.fields import Field, fields_of_model
from nmlab.options.as_json import as_json, class_stored, holds_stand_in
from nmlab.options.checks import OFFERED, SCHEDULER_ARGUMENTS, checked, class_named, option_fault
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


class TrainerOptions(BaseModel):
    """How to fit; all by keyword, the defaults as LitTrainer's, except for one device and CUDA before MPS.

    Raises
    ------
    FieldError
        With all faults at once, by option.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    max_epochs: Annotated[int, Ge(1)] = Option(default=1000, description="Most epochs to train.")
    lr: Annotated[float, Gt(0)] = Option(
        default=1e-3,
        description="Learning rate. An optimizer that code makes by a function or as an object sets its own.",
    )
    optimizer: Any = Option(
        default=None,
        description="Default: Adam with betas (0.0, 0.9). Name or class of an optimizer in torch.optim, function of "
        "the list of parameters that returns an optimizer (and sets its own learning rate), or an optimizer.",
    )
    patience: Annotated[int, Ge(1)] | None = Option(
        default=None,
        description="Epochs without improvement of the monitor after which to stop. Default: never.",
    )
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] | None = Option(
        default=None, description="Seed of all random numbers. Default: one is drawn and recorded."
    )
    lr_scheduler: Any = Option(
        default=None,
        description="How the learning rate falls, stepped each epoch. Name or class of a scheduler in "
        "torch.optim.lr_scheduler, or function of the optimizer that returns one. By name they span the fit: "
        "CosineAnnealingLR and PolynomialLR end with it, ExponentialLR ends at 1 % of lr, StepLR divides lr by 10 at "
        "each third, ReduceLROnPlateau follows the monitor.",
    )
    warmup: Annotated[int, Ge(0)] = Option(default=0, description="Epochs before patience counts.")
    gradient_clip_val: Annotated[float, Ge(0)] | None = Option(
        default=100.0,
        description="Largest norm of the gradient; larger ones are scaled down. None: no clipping.",
    )
    shuffle: bool = Option(default=False, description="Whether to shuffle the training samples in each epoch.")
    monitor: str | None = Option(
        default=None,
        description="Metric that says which epoch is best. Default: dev_loss, or train_loss without dev split.",
    )
    mode: Literal["min", "max"] = Option(default="min", description="Whether less or more of the monitor is better.")
    accelerator: Literal["auto", "cpu", "cuda", "gpu", "mps"] = Option(
        default="auto",
        description="Where to compute; auto: CUDA if there is one, else CPU; MPS only by name.",
    )
    devices: int | list[int] = Option(default=1, description="One device: 1, or [i] to choose GPU i.")
    num_nodes: int = Option(default=1, description="Number of machines; 1 today.")
    strategy: str = Option(default="auto", description="How several devices share the work; 'auto' today.")
    precision: Precision = Option(default="32-true", description="Floating-point precision, by Lightning's names.")
    profiler: Any = Option(
        default=None,
        description="Where the training's time goes, told in the tab Profile and run.profile. 'simple': by step of the "
        "loop; 'advanced': by Python function too; 'pytorch': by operator too, with a trace of a few steps. Or one of "
        "Lightning's Profiler objects, which also reports as ever.",
    )
    checkpoint: bool = Option(
        default=True, description="Whether to keep the best and the last state in the run's folder."
    )
    tensorboard: bool = Option(default=True, description="Whether to write TensorBoard events into the run's folder.")
    num_workers: Annotated[int, Ge(0)] = Option(default=0, description="Processes that load data beside the fit.")
    trainer_kwargs: dict[str, Any] = Option(default={}, description="Further arguments of Lightning's Trainer.")
    callbacks: Annotated[Sequence[Any], AfterValidator(tuple)] = Option(
        default=(), description="Lightning's Callback objects to add."
    )
    loggers: Annotated[Sequence[Any], AfterValidator(tuple)] = Option(
        default=(), description="Lightning's Logger objects to add."
    )

    if not TYPE_CHECKING:  # type checkers and editors read the fields above instead

        def __init__(self, **values: Any) -> None:
            super().__init__(**checked(type(self), values))

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if name in self.model_fields_set)

    @classmethod
    def fields(cls) -> tuple[Field, ...]:
        """Return the options as fields for a form, those that matter first.

        `optimizer`, `lr_scheduler` and `profiler` are choices of common names here; code may give more.
        """
        return tuple(
            replace(field, kind="choice", choices=OFFERED[field.name], optional=False)
            if field.name in OFFERED
            else field
            for field in fields_of_model(cls)
        )

    def replace(self, **changes: Any) -> Self:
        """Return these options with some changed, checked anew; raises FieldError like the class itself."""
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | changes)

    def resolved_accelerator(self) -> str:
        """Return 'cuda', 'cpu' or 'mps': what to compute on; FieldError where this machine has none."""
        import torch

        here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.accelerator == "auto":
            return "cuda" if here["cuda"] else "cpu"
        name = {"gpu": "cuda"}.get(self.accelerator, self.accelerator)
        if not here[name]:
            there = ", ".join(repr(other) for other, is_here in here.items() if is_here)
            fault = f"PyTorch finds no {name} device here for {self.accelerator!r}; give 'auto' or one of {there}"
            raise option_fault("accelerator", fault)
        return name

    def build_optimizer(self, problem: nn.Module) -> Optimizer:
        """Return the optimizer of a Problem's parameters that require gradients.

        Raises FieldError where there are none, a class cannot be made from (parameters, lr=lr), a function
        returns no optimizer, or the optimizer holds parameters that are not this Problem's.
        """
        import torch

        given = self.optimizer
        parameters = [parameter for parameter in problem.parameters() if parameter.requires_grad]
        if not parameters:
            raise option_fault(
                "optimizer", f"{_titled(problem)} has no parameters that require gradients: nothing to train"
            )
        if isinstance(given, torch.optim.Optimizer):
            made = given
        elif given is None:
            made = torch.optim.Adam(parameters, lr=self.lr, betas=(0.0, 0.9))
            step_together(made)
        else:
            kind = class_named(given, torch.optim, torch.optim.Optimizer) if isinstance(given, str) else given
            made = _made("optimizer", kind, parameters, {"lr": self.lr})
            if not isinstance(made, torch.optim.Optimizer):
                raise option_fault(
                    "optimizer", f"{given!r} returned a {type(made).__name__}; return a torch.optim.Optimizer"
                )
            if inspect.isclass(kind):
                step_together(made)
        own = {id(parameter) for parameter in problem.parameters()}
        held = [parameter for group in made.param_groups for parameter in group["params"]]
        strange = sum(id(parameter) not in own for parameter in held)
        if strange:
            raise option_fault(
                "optimizer",
                f"{strange} of the {len(held)} tensors that this {type(made).__name__} holds are not of "
                f"{_titled(problem)}; make it from problem.parameters(), or give a name, class or function",
            )
        return made

    def build_scheduler(self, optimizer: Optimizer) -> LRScheduler | None:
        """Return the scheduler of an optimizer's learning rate, None where none is wanted.

        Raises FieldError where a class cannot be made, or a function returns no scheduler of this optimizer.
        """
        from torch.optim import lr_scheduler as schedulers

        given = self.lr_scheduler
        if given is None:
            return None
        kind = class_named(given, schedulers, schedulers.LRScheduler) if isinstance(given, str) else given
        name = getattr(kind, "__name__", "")
        arguments = SCHEDULER_ARGUMENTS[name](self) if name in SCHEDULER_ARGUMENTS else {}
        made = _made("lr_scheduler", kind, optimizer, arguments)
        if not isinstance(made, schedulers.LRScheduler) or made.optimizer is not optimizer:
            fault = f"{given!r} returned a {type(made).__name__}; return an LRScheduler of its argument"
            raise option_fault("lr_scheduler", fault)
        return made

    def to_json(self) -> dict[str, Any]:
        """Return all options as JSON; what is no JSON becomes {'name': …}, {'source': …} or {'repr': …}."""
        return {name: as_json(getattr(self, name)) for name in type(self).model_fields}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> tuple[Self, list[str]]:
        """Return the options that `to_json` wrote, and the names of those that could not be rebuilt.

        JSON and classes of torch.optim come back; the rest, and options that this version does not know, is
        named and left at its default. Raises FieldError where a value is wrong.
        """
        values, lost = {}, []
        for name, stored in data.items():
            value = class_stored(stored)
            if name in cls.model_fields and not holds_stand_in(value):
                values[name] = value
            else:
                lost.append(name)
        return cls(**values), lost


def _made(name: str, maker: Any, argument: Any, keywords: dict[str, Any]) -> Any:
    """What a class makes of the argument and the keywords, or a function of the argument alone."""
    if not inspect.isclass(maker):
        return maker(argument)
    make: Any = maker
    try:
        return make(argument, **keywords)
    except (TypeError, ValueError) as error:
        called = ", ".join(["…", *(f"{key}={value!r}" for key, value in keywords.items())])
        raise option_fault(
            name, f"{maker.__name__}({called}) failed: {error}; give a function that makes it"
        ) from error


def _titled(problem: nn.Module) -> str:
    return f"this {type(problem).__name__} with {sum(1 for _ in problem.parameters())} parameter tensors"
