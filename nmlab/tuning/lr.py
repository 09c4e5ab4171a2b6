"""The search for a learning rate."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.tuner.tuning import Tuner
from neuromancer.problem import Problem

from nmlab.data.loader import SplitsDataModule
from nmlab.errors import FieldError
from nmlab.fitting.request import Builder, DataFunction, FitRequest
from nmlab.options import TrainerOptions
from nmlab.plots import Picture, draw_rates, panel, rates_figure
from nmlab.plots.paper import PaperFigure
from nmlab.tuning.search import Probe, Search

SKIPPED = 10
"""First steps that suggest nothing, being means of few batches; as Lightning's."""

FEWEST = SKIPPED + 5
"""Steps that a search for a learning rate has at least."""

BETA = 0.98
"""What each step leaves of the running mean of the losses; Lightning's."""


@dataclass(frozen=True)
class FoundLR:
    """What a search for a learning rate measured; shows itself as a picture in a notebook.

    Parameters: `suggestion`, the rate at which the loss fell most steeply, on a logarithmic axis; None where it never
    fell. `lrs`, the rates tried, rising; `losses`, the running mean of the training loss at each, not finite at the end
    where the training came apart.
    """

    suggestion: float | None
    lrs: tuple[float, ...]
    losses: tuple[float, ...]

    def plot(self) -> PaperFigure:
        """Return a figure of the losses over the rates, the suggestion marked."""
        return rates_figure(self.lrs, self.losses, self.suggestion)

    def _repr_png_(self) -> bytes:
        return Picture(600, 300).png(
            lambda figure: draw_rates(panel(figure), self.lrs, self.losses, self.suggestion), scale=1.5
        )

    def __repr__(self) -> str:
        tried = f"{len(self.lrs)} learning rates from {self.lrs[0]:.3g} to {self.lrs[-1]:.3g}" if self.lrs else "none"
        found = "no suggestion" if self.suggestion is None else f"suggestion={self.suggestion:.3g}"
        return f"FoundLR({found}; tried {tried})"


class LRSearch(Search[FoundLR]):
    """A search for a learning rate; `min_lr`, `max_lr` and `num_training` as for `find_lr`."""

    what = "learning rate"
    dev = False

    def __init__(
        self, request: FitRequest, *, min_lr: float = 1e-6, max_lr: float = 1.0, num_training: int = 100
    ) -> None:
        faults = {}
        if not _is_number(min_lr) or not 0 < min_lr < math.inf:
            faults["min_lr"] = f"{min_lr!r}; give a number above 0"
        if not _is_number(max_lr) or not (min_lr if "min_lr" not in faults else 0) < max_lr < math.inf:
            faults["max_lr"] = f"{max_lr!r}; give a number above min_lr"
        if not isinstance(num_training, int) or num_training < FEWEST:
            faults["num_training"] = f"{num_training!r}; give an integer of at least {FEWEST}"
        given = request.options.optimizer
        if given is not None and not isinstance(given, str) and not inspect.isclass(given):
            faults["optimizer"] = f"{given!r} sets its own learning rate; give its class or name, which take lr"
        if faults:
            raise FieldError(faults, subject="There can be no search for a learning rate")
        super().__init__(request)
        self._min_lr, self._max_lr, self._num_training = min_lr, max_lr, num_training
        self.control.progress.batches = num_training

    def _tune(self, tuner: Tuner, probe: Probe, data: SplitsDataModule) -> FoundLR:
        finder = tuner.lr_find(
            probe,
            datamodule=data,
            min_lr=self._min_lr,
            max_lr=self._max_lr,
            num_training=self._num_training,
            update_attr=False,
        )
        assert finder is not None  # as it is with fast_dev_run only
        lrs, losses = finder.results["lr"], finder.results["loss"]
        # Lightning's running mean counts one step too many, by which it begins at half of the loss
        means = [loss * (1 - BETA ** (step + 1)) / (1 - BETA**step) for step, loss in enumerate(losses, 1)]
        return FoundLR(_steepest(lrs, means), tuple(lrs[: len(means)]), tuple(means))


def _steepest(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return where the loss falls most steeply by the logarithm of the rate; None where it falls nowhere.

    By the rate itself, as Lightning has it, noise at the least rates would be steeper than any fall at large ones. And
    from one step to the next a mean of few batches is noise too, so a fall is looked at over some steps. What comes
    after the least loss is the training coming apart, and back down from where that threw it.
    """
    pairs = [pair for pair in zip(lrs, losses, strict=False) if math.isfinite(pair[1])][SKIPPED:]
    least = min(range(len(pairs)), key=lambda place: pairs[place][1], default=0)
    pairs = pairs[: least + 1]
    reach = max(len(pairs) // 16, 1)
    falls = [after[1] - before[1] for before, after in zip(pairs, pairs[2 * reach :], strict=False)]
    if not falls or min(falls) >= 0:
        return None
    return pairs[falls.index(min(falls)) + reach][0]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def find_lr(
    problem: Problem | Builder,
    data_setup_function: DataFunction,
    options: TrainerOptions | None = None,
    *,
    data_kwargs: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
    min_lr: float = 1e-6,
    max_lr: float = 1.0,
    num_training: int = 100,
    problem_kwargs: Mapping[str, Any] | None = None,
    **more_kwargs: Any,
) -> FoundLR:
    """Find a learning rate: train a few steps with a rising rate and see where the loss falls fastest.

    The rate rises from step to step by a constant factor, until `max_lr`, or until the loss has grown several times or
    is not finite [1]_. Lightning's Tuner does the training. Weights, modes and random states are restored afterwards,
    and no file is left.

    Parameters
    ----------
    problem : Problem or callable
        A NeuroMANCER `Problem`, or a function that builds one.
    data_setup_function : callable
        Returns train, dev and test datasets and the batch size.
    options : TrainerOptions, optional
        What a user may set of a fit; default ``TrainerOptions()``.
    data_kwargs : Mapping[str, Any], optional
        Keywords of the data function; every name is the data function's.
    choices : Mapping[str, Any], optional
        Values that a keyword of either function takes by name, as in ``{"sys": {"CSTR": cstr, "TwoTank": two_tank}}``.
    min_lr : float, default 1e-6
        The first rate.
    max_lr : float, default 1.0
        The last rate.
    num_training : int, default 100
        Number of steps, at least 15.
    problem_kwargs : Mapping[str, Any], optional
        Keywords of the function that builds the Problem.
    **more_kwargs : Any
        Further keywords of the data function and of the builder, told apart as for `fit`.

    Returns
    -------
    FoundLR
        The rates, the losses, and a `suggestion`; shows itself as a picture in a notebook.

    Raises
    ------
    FieldError
        An argument is wrong, or the optimizer sets its own learning rate.
    BusyError
        A fit runs in this process.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, https://arxiv.org/abs/1506.01186

    Examples
    --------
    >>> import nmlab
    >>> example = nmlab.gallery.get("rosenbrock")
    >>> found = nmlab.find_lr(example.problem, example.data_function(), nsim=100, num_training=20)
    >>> len(found.lrs) == len(found.losses)
    True
    """
    request = FitRequest(problem, data_setup_function, options or TrainerOptions(), data_kwargs or {}, choices)
    request = request.replace(problem_kwargs=problem_kwargs or {}).with_loose(more_kwargs, "find_lr")
    return LRSearch(request, min_lr=min_lr, max_lr=max_lr, num_training=num_training).run_to_end()
