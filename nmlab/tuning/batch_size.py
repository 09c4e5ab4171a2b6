"""The search for a batch size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch.tuner.tuning import Tuner
from neuromancer.loss import AugmentedLagrangeLoss
from neuromancer.problem import Problem

from nmlab.data.loader import SplitsDataModule
from nmlab.data.splits import Splits
from nmlab.errors import FieldError, NmlabError
from nmlab.fitting.request import Builder, DataFunction, FitRequest
from nmlab.options import TrainerOptions
from nmlab.tuning.search import Probe, Search


class BatchSizeSearch(Search[int]):
    """A search for a batch size; `mode` and `max_trials` as for `find_batch_size`."""

    what = "batch size"

    def __init__(
        self, request: FitRequest, *, mode: Literal["power", "binsearch"] = "power", max_trials: int = 6
    ) -> None:
        faults = {}
        if mode not in ("power", "binsearch"):
            faults["mode"] = f"{mode!r}; give 'power' or 'binsearch'"
        if isinstance(max_trials, bool) or not isinstance(max_trials, int) or max_trials < 1:
            faults["max_trials"] = f"{max_trials!r}; give an integer of at least 1"
        if faults:
            raise FieldError(faults, subject="There can be no search for a batch size")
        super().__init__(request)
        self._mode, self._max_trials = mode, max_trials

    def _check(self, problem: Problem, splits: Splits) -> None:
        if isinstance(problem.loss, AugmentedLagrangeLoss):
            only = f"an AugmentedLagrangeLoss takes all {len(splits.train)} training samples as one batch"
            raise FieldError({"batch_size": f"{only}: there is nothing to search"})

    def _tune(self, tuner: Tuner, probe: Probe, data: SplitsDataModule) -> int:
        assert data.splits is not None
        samples, worked = len(data.splits.train), [0]
        probe.after_trial = lambda: worked.append(min(data.batch_size, samples))
        tuner.scale_batch_size(
            probe,
            datamodule=data,
            mode=self._mode,
            init_val=min(data.batch_size, samples),
            max_trials=self._max_trials,
        )
        if not max(worked):
            raise NmlabError("No batch size worked: the memory was too small for each that was tried.")
        return max(worked)  # Lightning's own answer may be one that it did not try


def find_batch_size(
    problem: Problem | Builder,
    data_setup_function: DataFunction,
    options: TrainerOptions | None = None,
    *,
    data_kwargs: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
    mode: Literal["power", "binsearch"] = "power",
    max_trials: int = 6,
    problem_kwargs: Mapping[str, Any] | None = None,
    **more_kwargs: Any,
) -> int:
    """Find the largest batch size that fits into memory, by training a few steps with ever larger batches.

    Starts from the data function's own batch size and doubles it until memory runs out, the training set is one batch,
    or `max_trials` sizes were tried. A CPU rarely runs out of memory: there the result is the last size tried. Weights,
    modes and random states are restored afterwards.

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
    mode : {"power", "binsearch"}, default "power"
        "power" only doubles; "binsearch" then searches between the last size that fit and the first that did not.
    max_trials : int, default 6
        Number of sizes to try.
    problem_kwargs : Mapping[str, Any], optional
        Keywords of the function that builds the Problem.
    **more_kwargs : Any
        Further keywords of the data function and of the builder, told apart as for `fit`.

    Returns
    -------
    int
        The largest batch size that worked.

    Raises
    ------
    FieldError
        An argument is wrong, or the loss takes the whole training set as one batch.
    BusyError
        A fit runs in this process.

    Examples
    --------
    >>> import nmlab
    >>> example = nmlab.gallery.get("rosenbrock")
    >>> nmlab.find_batch_size(example.problem, example.data_function(), nsim=40, max_trials=1) > 0
    True
    """
    request = FitRequest(problem, data_setup_function, options or TrainerOptions(), data_kwargs or {}, choices)
    request = request.replace(problem_kwargs=problem_kwargs or {}).with_loose(more_kwargs, "find_batch_size")
    return BatchSizeSearch(request, mode=mode, max_trials=max_trials).run_to_end()
