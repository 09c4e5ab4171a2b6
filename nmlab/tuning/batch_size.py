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
from nmlab.fitting.request import Builder, DataFunction, FitRequest, all_data_kwargs
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
    **more_data_kwargs: Any,
) -> int:
    """Train a few steps with ever larger batches and return the largest size that fits into memory.

    It begins with the data function's own batch size and doubles it until memory is out, the training set is one batch,
    or `max_trials` sizes were tried. On a CPU memory hardly ever says no: there the answer is the last one tried. All
    is as before afterwards.

    Parameters
    ----------
    problem, data_setup_function, options, data_kwargs, choices, **more_data_kwargs : as for `nmlab.fit`
    mode : 'power' only doubles (default); 'binsearch' then closes in between the last that fit and the first that did
        not
    max_trials : how many sizes are tried; default 6

    Raises `FieldError` where an argument is wrong or the loss takes the whole training set only, `BusyError` where a
    fit runs, and what making the data raises in a fit.
    """
    kwargs = all_data_kwargs(data_kwargs, more_data_kwargs, "find_batch_size")
    request = FitRequest(problem, data_setup_function, options or TrainerOptions(), kwargs, choices)
    return BatchSizeSearch(request, mode=mode, max_trials=max_trials).run_to_end()
