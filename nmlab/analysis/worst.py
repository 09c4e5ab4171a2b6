"""`Run.worst()`: the samples of a split on which a term of a run's Problem is largest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import torch
from neuromancer.constraint import Constraint
from neuromancer.dataset import DictDataset
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem

from nmlab.analysis.inputs import OWN, names_of
from nmlab.analysis.score import split_of
from nmlab.analysis.trained import coverage_in, problem_of, trained
from nmlab.data.coverage import KeyCoverage
from nmlab.data.loader import Loader
from nmlab.data.splits import Splits, make_splits
from nmlab.errors import DataError, FieldError, RunError
from nmlab.fields.field import unknown_name
from nmlab.fitting.dry_run import where_it_failed
from nmlab.problem.terms import named_terms
from nmlab.runs import Run

BATCH = 1024


@dataclass(frozen=True)
class Worst:
    """The samples on which a term is largest, as returned by `Run.worst`.

    Parameters
    ----------
    split, term : str
        The split and the term.
    frame : DataFrame
        A row per sample, the worst first, by its number in the split: the term's value, and the inputs and outputs that
        are single numbers, in the units of the data.
    samples : mapping of str to numpy.ndarray
        All that the samples and the Problem's nodes hold, by key, in the units of the data; what a System made of an
        input, under that input's key.
    total : int
        Number of samples in the split.
    """

    split: str
    term: str
    frame: pd.DataFrame
    samples: Mapping[str, np.ndarray]
    total: int
    _shown: tuple[Run, Problem, Splits]

    def figure(self, view: Callable[..., Any]) -> Any:
        """Draw a view of the Problem with these samples.

        Parameters
        ----------
        view : callable
            As for a Lab. It is called with the Problem, which holds the run's weights, and with splits of which this
            one has these samples alone; if it has a parameter `worst`, also with this object under that name.

        Returns
        -------
        matplotlib.figure.Figure
            What it returns.
        """
        run, problem, splits = self._shown
        more = {"worst": self} if "worst" in inspect.signature(view).parameters else {}
        with trained(run, problem) as whole, torch.enable_grad():
            return view(whole, splits, **more)

    @property
    def head(self) -> str:
        """What the table holds, in a line."""
        return f"{self.term}: the {len(self.frame)} largest values in the {self.total} samples of {self.split}"

    def __repr__(self) -> str:
        return f"{self.head}\n{self.frame.to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.head)}</p>{self.frame.to_html()}"


def worst(
    run: Run, split: str, term: str = "loss", n: int = 10, data: Any = None, problem: Problem | None = None
) -> Worst:
    """Return the samples on which a term is largest; documented at `Run.worst`.

    Parameters
    ----------
    run : Run
        The run.
    split : {'train', 'dev', 'test'}
        The split.
    term : str, default 'loss'
        The term.
    n : int, default 10
        Number of samples.
    data : Splits or tuple, optional
        The data, in place of those that the run's data function makes again.
    problem : neuromancer.problem.Problem, optional
        A Problem of the same shape, in place of the run's own.

    Returns
    -------
    Worst
        The samples.
    """
    names = terms_by_name(problem_of(run, problem))
    faults = {} if term in names else {"term": unknown_name(term, [*names])}
    if split not in ("train", "dev", "test"):
        faults["split"] = unknown_name(split, ["train", "dev", "test"])
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        faults["n"] = f"{n!r} is no number of samples; give an integer of at least 1"
    if faults:
        raise FieldError(faults, subject="The worst samples cannot be told")
    splits = splits_for(run, data)
    dataset, coverage = split_of(splits, split), coverage_in(run)
    with trained(run, problem) as whole, torch.set_grad_enabled(split == "train" or bool(whole.grad_inference)):
        terms, values = terms_by_name(whole)[term], list[np.ndarray]()
        given, parts = list[dict[str, np.ndarray]](), list[dict[str, np.ndarray]]()
        for batch in Loader(dataset, BATCH, lambda: 0):
            found = _stepped(whole, batch)
            values.append(np.sum([_by_sample(each, found, whole, batch, term == "loss") for each in terms], axis=0))
            given.append({key: _array(value) for key, value in batch.items() if _is_by_sample(value, batch)})
            parts.append({key: _array(value) for key, value in found.items() if _is_by_sample(value, batch)})
    every = np.concatenate(values)
    order = np.argsort(-every, kind="stable")  # NaN come last there, and are the worst
    order = np.concatenate([order[np.isnan(every[order])], order[~np.isnan(every[order])]])[:n]
    inputs, computed = (_picked(each, order) for each in (given, parts))
    samples = {key: _in_units(value, coverage.get(key)) for key, value in computed.items()}
    of_table = samples | {key: _in_units(value, coverage.get(key)) for key, value in inputs.items()}
    frame = _frame(of_table, term, every, order)
    chosen = DictDataset({key: torch.as_tensor(value) for key, value in inputs.items()}, name=split)
    shown = run, problem_of(run, problem), replace(splits, **{split: chosen})
    return Worst(split, term, frame, samples, len(every), shown)


def _picked(parts: Sequence[Mapping[str, np.ndarray]], order: np.ndarray) -> dict[str, np.ndarray]:
    """Return the samples that are asked for, of batches."""
    keys = [key for key in parts[0] if key not in OWN]
    return {key: np.concatenate([part[key] for part in parts])[order] for key in keys}


def splits_for(run: Run, data: Any = None) -> Splits:
    """Return the data of a run: those that are given, or those that its data function makes again."""
    if isinstance(data, Splits):
        return data
    if isinstance(data, (tuple, list)):
        return make_splits(lambda: data, {})
    if data is not None:
        raise FieldError({"data": f"a {type(data).__name__} is no data; give splits, or what a data function returned"})
    if run.make_data is None:
        raise RunError(f"Run {run.id} is not of this process, and its data function is not known: give data=…")
    made: Splits = run.make_data()
    return made


def terms_by_name(problem: Problem) -> dict[str, list[Any]]:
    """Return the terms of a Problem by name; 'loss' is all of them where they are added."""
    named = {known.name: [term] for known, term in named_terms(problem)}
    added = {"loss": [term for terms in named.values() for term in terms]}
    return (added if type(problem.loss) is PenaltyLoss else {}) | named


def _stepped(problem: Problem, batch: Mapping[str, Any]) -> dict[str, Any]:
    device = next(problem.parameters(), torch.empty(0, device="cpu")).device
    moved = {key: v.to(device) if isinstance(v, torch.Tensor) else v for key, v in batch.items()}
    try:
        found: dict[str, Any] = problem.step(moved)
    except Exception as error:
        raise DataError([where_it_failed(problem, moved, error)], subject="The Problem cannot take the data") from error
    return found


def _by_sample(
    term: Any, found: Mapping[str, Any], problem: Problem, batch: Mapping[str, Any], weighted: bool
) -> np.ndarray:
    """Return a term's value on each sample alone; `weighted`, as in the loss, else a constraint's largest violation."""
    samples, values = len(batch["index"]), dict(found)
    if isinstance(term, Constraint):
        sides = [torch.as_tensor(side(values)) for side in (term.left, term.right)]
        if not any(side.ndim and len(side) == samples for side in sides):
            return _one_by_one(term, problem, batch, weighted)
        comparator: Any = term.comparator
        alone = []
        for index in range(samples):
            cut = [side[index : index + 1] if side.ndim and len(side) == samples else side for side in sides]
            loss, _, violation = comparator(*cut)
            alone.append(term.weight * loss if weighted else violation.max())
        return _array(torch.stack(alone))
    value = term.var(values)
    if not value.ndim or len(value) != samples:
        return _one_by_one(term, problem, batch, weighted)
    numbers = [term.weight * term.metric(value[index : index + 1]) for index in range(samples)]
    means: np.ndarray = _array(torch.stack(numbers)).reshape(samples, -1).mean(axis=1)
    return means


def _one_by_one(term: Any, problem: Problem, batch: Mapping[str, Any], weighted: bool) -> np.ndarray:
    """Return the same of a term that does not keep the axis of samples, by a pass for each of them."""
    found = []
    for index in range(len(batch["index"])):
        one = {key: v[index : index + 1] if _is_by_sample(v, batch) else v for key, v in batch.items()}
        output = term(_stepped(problem, one))
        key = term.output_keys[2 if isinstance(term, Constraint) and not weighted else 0]
        found.append(float(output[key].detach().max()))
    return np.array(found)


def _is_by_sample(value: Any, batch: Mapping[str, Any]) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 0 and len(value) == len(batch["index"])


def _array(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array


def _in_units(value: np.ndarray, coverage: KeyCoverage | None) -> np.ndarray:
    return value if coverage is None or value.shape[-1] != coverage.width else coverage.to_units(value)


def _frame(samples: Mapping[str, np.ndarray], term: str, values: np.ndarray, order: np.ndarray) -> pd.DataFrame:
    columns: dict[str, np.ndarray] = {}
    for key, value in samples.items():
        if value.ndim < 3 or value.shape[1] == 1:
            flat = value.reshape(len(value), -1)
            columns |= {
                name: flat[:, at] for at, name in enumerate(names_of(key, flat.shape[1])) if name not in columns
            }
    columns.pop(term, None)  # the samples have it
    return pd.DataFrame({term: values[order], **columns}, index=pd.Index(order, name="sample"))
