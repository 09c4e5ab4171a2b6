"""New inputs of a trained Problem, read from a dict, a DataFrame, an array or a file, and compared with train.

Values are in the units of the data: where a file was normalised for the fit, in the units of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from neuromancer.dataset import DictDataset
from neuromancer.problem import Problem

from nmlab.analysis.outside import how_far
from nmlab.data.coverage import KeyCoverage
from nmlab.data.files import FileData, from_file
from nmlab.errors import DataError
from nmlab.fields.field import unknown_name
from nmlab.problem.graph import graph_of, keys_from_data

OWN = ("name", "epoch", "index")
"""Keys of every batch that are no inputs."""


@dataclass
class Inputs:
    """Inputs by key, one array each with samples along its first axis, in the units of the data."""

    values: dict[str, np.ndarray]
    samples: int
    remarks: list[str] = field(default_factory=list)
    """What was left out, and where the inputs exceed what train covered."""


def read_inputs(
    data: Any, problem: Problem, coverage: Mapping[str, KeyCoverage], subject: str = "These inputs cannot be used"
) -> Inputs:
    """Read inputs, and check them.

    Parameters
    ----------
    data : mapping, DataFrame, array, path-like, FileData or DictDataset
        As for `Run.predict`.
    problem : neuromancer.problem.Problem
        The Problem.
    coverage : mapping of str to KeyCoverage
        What train covered; {} if that is not known.
    subject : str, optional
        First line of an error.

    Returns
    -------
    Inputs
        The inputs.

    Raises
    ------
    DataError
        If inputs are missing, unknown, no finite numbers or of another shape; the error reports all faults.
    """
    inputs = Inputs({}, 1)
    known = list(dict.fromkeys((*coverage, *keys_from_data(problem))))
    needed = needed_by_nodes(problem)
    faults: list[str] = []
    if isinstance(data, DictDataset):
        data = {
            key: coverage[key].to_units(checked_array(value)) if key in coverage else value
            for key, value in data.datadict.items()
        }
    if isinstance(data, (str, os.PathLike, FileData)):
        given = _of_file(data, known, coverage, inputs.remarks)
    elif isinstance(data, pd.DataFrame):
        given = _of_frame(data, known, coverage, inputs.remarks)
    elif isinstance(data, Mapping):
        given = {str(key): value for key, value in data.items() if key not in OWN}
        faults += [f"{key} is an {unknown_name(key, known)}" for key in given if key not in known]
    elif len(needed) == 1 and not isinstance(data, (bytes, set)):
        given = {needed[0]: data}
    else:
        kind = f"a {type(data).__name__}"
        raise DataError(
            [f"{kind} does not say which input is which; give a dict or a DataFrame of {', '.join(needed) or known}"],
            subject=subject,
        )
    faults += [f"{key} is missing; {_expected(coverage.get(key))}" for key in needed if key not in given]
    for key, value in given.items():
        if key in known:
            try:
                inputs.values[key] = shaped(checked_array(value), coverage.get(key))
            except ValueError as error:
                faults.append(f"{key} {error}")
    lengths = {key: len(value) for key, value in inputs.values.items()}
    inputs.samples = max(lengths.values(), default=1)
    if faults := [*faults, *differing_lengths(lengths)]:
        raise DataError(faults, subject=subject)
    for key, value in inputs.values.items():
        if len(value) < inputs.samples:
            inputs.values[key] = np.repeat(value, inputs.samples, axis=0)
    return inputs


def needed_by_nodes(problem: Problem) -> list[str]:
    """Return the keys that the nodes of a Problem read from its data; those that only terms read are left out."""
    graph, given = graph_of(problem), set(keys_from_data(problem))
    read = {edge.variable for edge in graph.edges if edge.source == 0 and graph.parts[edge.target].kind == "node"}
    return [key for key in graph.parts[0].gives if key in read & given]


def tensor_of(values: np.ndarray, coverage: KeyCoverage | None, dtype: torch.dtype, device: Any) -> torch.Tensor:
    """Return values in the units of the data as the Problem gets them."""
    scaled = values if coverage is None else coverage.from_units(values)
    tensor = torch.from_numpy(np.array(scaled)).to(device, dtype)  # of a table they may be read-only
    return tensor.requires_grad_() if coverage is not None and coverage.requires_grad else tensor


def beyond(key: str, tensor: torch.Tensor, coverage: KeyCoverage) -> Iterator[str]:
    """Yield in words how the values of a key, as the Problem gets them, exceed what train covered."""
    columns = tensor.detach().cpu().double().numpy()
    columns = columns.reshape(len(columns), -1, coverage.width if len(coverage.low) > 1 else 1)
    low, high = np.array(coverage.low), np.array(coverage.high)
    units = [coverage.to_units(each) for each in (columns, low, high)] if len(low) > 1 or coverage.width == 1 else None
    shown, lows, highs = units or (columns, low, high)
    for column, name in enumerate(names_of(key, len(low))):
        below, above = columns[..., column] < low[column], columns[..., column] > high[column]
        if (below | above).any():
            span = float(lows[column]), float(highs[column])
            yield f"{name} is {how_far(shown[..., column], below, above, span)[0]}"


def names_of(key: str, width: int) -> list[str]:
    """Return the names of the columns of a key: 'x', or 'x[0]', 'x[1]'."""
    return [key] if width == 1 else [f"{key}[{column}]" for column in range(width)]


# --- the forms in which inputs are given ---


def checked_array(value: Any) -> np.ndarray:
    """Return a value as an array of floats; raises ValueError, as the end of a sentence, for anything else."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            array = array.astype(float) if array.dtype.kind == "O" else array
        if array.dtype.kind not in "biuf":
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"is no array of numbers, but {_short(value)}") from None
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"is not finite: {count} value{' is' if count == 1 else 's are'} nan or inf")
    return array.astype(np.float64) if array.dtype.kind != "f" else array


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"


def differing_lengths(lengths: Mapping[str, int]) -> list[str]:
    """Return the fault of keys with different numbers of samples, of which one may hold for all; [] if they agree."""
    if len({*lengths.values(), 1}) <= 2:
        return []
    told = ", ".join(f"{key} {length}" for key, length in lengths.items())
    return [f"the numbers of samples differ: {told}; give as many of each, or one that holds for all"]


def shaped(array: np.ndarray, coverage: KeyCoverage | None) -> np.ndarray:
    """Return an array with samples first and axes as in train; raises ValueError, as the end of a sentence.

    Axes of length 1 may be left out, and the axis of samples if there is one.
    """
    if coverage is None:
        return array if array.ndim > 1 else array.reshape(-1, 1)
    shape = coverage.shape
    ones = [axis for axis, length in enumerate(shape) if length == 1]
    for left_out in range(len(ones) + 1):
        kept = [axis for axis in range(len(shape)) if axis not in ones[:left_out]]
        if array.ndim == 1 + len(kept) and _alike(array.shape[1:], [shape[axis] for axis in kept]):
            full = iter(array.shape[1:])
            own = [next(full) if axis in kept else 1 for axis in range(len(shape))]
            return array.reshape(len(array), *own)
    for left_out in range(len(ones) + 1):  # a single sample
        kept = [axis for axis in range(len(shape)) if axis not in ones[:left_out]]
        if array.ndim == len(kept) and _alike(array.shape, [shape[axis] for axis in kept]):
            full = iter(array.shape)
            return array.reshape(1, *(next(full) if axis in kept else 1 for axis in range(len(shape))))
    raise ValueError(f"has shape {_text(array.shape)}; {_expected(coverage)}")


def _alike(given: Sequence[int], trained: Sequence[int]) -> bool:
    """Return whether a shape is that of train, apart from the number of steps."""
    return all(0 not in (a, b) and (a == b or axis + 1 < len(given)) for axis, (a, b) in enumerate(zip(given, trained)))  # noqa: B905


def _text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "of a single number"


def _expected(coverage: KeyCoverage | None) -> str:
    if coverage is None:
        return "give an array with samples along its first axis"
    return f"give an array of shape {'×'.join(map(str, ('samples', *coverage.shape)))}"


def _of_frame(
    frame: pd.DataFrame, known: Sequence[str], coverage: Mapping[str, KeyCoverage], remarks: list[str]
) -> dict[str, Any]:
    there = {str(column): column for column in frame.columns}
    columns = {key: names for key in known if (names := _columns(key, coverage.get(key), there)) is not None}
    used = {name for names in columns.values() for name in names}
    if left_out := [name for name in there if name not in used]:
        remarks.append(f"left out, since they are no inputs: the columns {', '.join(left_out)}")
    rows = {key: frame[[there[name] for name in names]].to_numpy() for key, names in columns.items()}
    return _windows(rows, [(0, len(frame))], coverage, remarks)


def _columns(
    key: str, coverage: KeyCoverage | None, there: Mapping[str, object] | Sequence[str]
) -> tuple[str, ...] | None:
    """Return the names of the columns of a key among those that are there; None if they are not."""
    width = 1 if coverage is None else coverage.width
    candidates = [
        () if coverage is None else coverage.columns,
        tuple(names_of(key, width)),
        (f"{key}[0]",) * (width == 1),
    ]
    return next((names for names in candidates if names and all(name in there for name in names)), None)


def _of_file(
    data: Any, known: Sequence[str], coverage: Mapping[str, KeyCoverage], remarks: list[str]
) -> dict[str, Any]:
    if not isinstance(data, FileData):
        path = Path(data)
        there = list(FileData(path).content_of_file().columns)
        columns = {key: names for key in known if (names := _columns(key, coverage.get(key), there)) is not None}
        data = from_file(path, columns=columns) if columns else from_file(path)
    table = replace(data, initial=None).table()
    remarks += table.remarks
    rows = {key: values for key, values in table.values.items() if key in known}
    if left_out := [key for key in table.values if key not in known]:
        remarks.append(f"left out, since they are no inputs: {', '.join(left_out)}")
    return _windows(rows, table.experiments, coverage, remarks)


def _windows(
    rows: Mapping[str, np.ndarray],
    experiments: Sequence[tuple[int, int]],
    coverage: Mapping[str, KeyCoverage],
    remarks: list[str],
) -> dict[str, Any]:
    """Return samples of rows: a row each, or consecutive windows as long as the longest in train.

    Of a key that has fewer steps in train, a window's first steps are taken; also of one that is the first step of
    another.
    """
    steps = {key: coverage[key].shape[0] if key in coverage and len(coverage[key].shape) > 1 else 1 for key in rows}
    first = {key: each.first_of for key, each in coverage.items() if each.first_of in rows and key not in rows}
    longest = max(steps.values(), default=1)
    starts = [start for low, high in experiments for start in range(low, high - longest + 1, longest)]
    total = sum(high - low for low, high in experiments)
    if unused := total - longest * len(starts):
        remarks.append(f"{unused} of {total} rows fill no window of {longest} steps and are left out")
    samples: dict[str, Any] = {}
    for key, values in rows.items():
        index = np.array(starts, int)[:, None] + np.arange(steps[key])
        windows = values[index]
        samples[key] = windows if key not in coverage or len(coverage[key].shape) > 1 else windows[:, 0]
    for key, whole in first.items():
        samples[key] = rows[str(whole)][np.array(starts, int)][:, None]
    return samples
