"""`preview()`: shapes, ranges and samples of data before a fit, with warnings where dev or test exceed train.

A network cannot be expected to extrapolate: where dev or test exceed the range of train far or often, a score says
little about the fit. A few values just outside are what chance gives. A preview stores statistics and a few samples,
not the data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from neuromancer.dataset import DictDataset

from nmlab.analysis.outside import outside_train
from nmlab.data.loader import Loader
from nmlab.data.splits import Splits, make_splits, place_of
from nmlab.errors import DataError
from nmlab.fields import check, fields_of, takes_any_keyword
from nmlab.plots import EITHER, Picture, SampleColumn, Theme, draw_samples, picture_html, samples_figure
from nmlab.plots.paper import PaperFigure
from nmlab.runs.shown import html_table, text_table
from nmlab.runtime.pyplot import own_pyplot
from nmlab.runtime.reporting import own_reporting
from nmlab.runtime.rng import RandomStreams
from nmlab.runtime.text import number_text, typeset_number

WINDOWS, POINTS = 5, 300
"""Samples drawn of each split, for windows of several steps and for single numbers."""

COLUMNS = ["key", "column", "split", "shape", "dtype", "min", "max", "mean", "missing"]

ROWS = 60
"""Maximum number of table rows that are shown; `Preview.table` has all."""


class HasData(Protocol):
    """An object that has a data function with its keywords, such as a `Lab`."""

    @property
    def data_setup_function(self) -> Callable[..., Any]:
        """The function that makes the data."""
        ...

    @property
    def data_kwargs(self) -> Mapping[str, Any]:
        """Its current keywords."""
        ...

    @property
    def choices(self) -> Mapping[str, Any] | None:
        """Named values of keywords, as for `nmlab.fit`."""
        ...


def preview(
    data: Callable[..., Any] | Splits | Sequence[Any] | HasData,
    data_kwargs: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    choices: Mapping[str, Any] | None = None,
    **more_data_kwargs: Any,
) -> Preview:
    """Show shapes, ranges and some samples of data before a fit.

    Parameters
    ----------
    data : callable or Lab or Splits or tuple
        A `data_setup_function`, which is called with the keywords below; a `Lab`, whose data function is called with
        the values of its form, overridden by the keywords below; the values returned by a data function; or
        `lab.splits`.
    data_kwargs : mapping, optional
        Keywords of the data function.
    seed : int, default 0
        Seed of the random numbers that the data function draws, as in a fit. Your own random state is not changed.
    choices : mapping, optional
        Named values of keywords, as for `nmlab.fit`.
    **more_data_kwargs : Any
        Further keywords of the data function.

    Returns
    -------
    Preview
        The description. A notebook shows it as warnings, a picture and a table; `print` shows it as text.

    Raises
    ------
    FieldError
        If a keyword is invalid.
    DataError
        If the function does not return data sets. Values that a fit would refuse only cause warnings.

    Examples
    --------
    >>> import nmlab
    >>> import torch
    >>> from neuromancer.dataset import DictDataset
    >>> def data(nsim: int = 4):
    ...     p = torch.linspace(0, 1, nsim).reshape(-1, 1)
    ...     return DictDataset({"p": p}, name="train"), DictDataset({"p": 2 * p}, name="dev"), None, nsim
    >>> nmlab.preview(data, nsim=3)
    data: train 3, dev 3 samples; batch size 3
    ⚠ dev: p is up to 1 above train's maximum of 1 (100% of its range), in 1 of 3 samples
    key  column  split  shape  dtype    min  max  mean  missing
    p    0       train  3×1    float32  0    1    0.5   0
    p    0       dev    3×1    float32  0    2    1     0
    """
    if not callable(data) and hasattr(data, "data_setup_function"):  # a Lab
        lab: Any = data
        data, choices = lab.data_setup_function, choices if choices is not None else lab.choices
        data_kwargs = {**lab.data_kwargs, **(data_kwargs or {})}
    if isinstance(data, Splits):
        data = [data.train, data.dev, data.test, data.batch_size]
    function = data if callable(data) else functools.partial(_returned, data)
    kwargs = {**(data_kwargs or {}), **more_data_kwargs}
    fields, extra = fields_of(function, choices), takes_any_keyword(function)
    kwargs = check(fields, kwargs, subject=f"{place_of(function)} cannot be called", extra=extra)
    results: list[Any] = []

    def recorded(**given: Any) -> Any:
        results.append(function(**given))
        return results[0]

    faults: list[str] = []
    with RandomStreams(seed), own_pyplot(), own_reporting():
        try:
            splits = make_splits(functools.wraps(function)(recorded) if callable(data) else recorded, kwargs)
        except DataError as error:  # data that cannot be trained on can still be shown
            if not results or not _are_datasets(results[0]):
                raise
            splits, faults = Splits(*results[0]), error.faults
        whole = {split: _whole(dataset) for split, dataset in splits.items()}
    name = str(getattr(data, "__name__", "data"))
    return _described(name, whole, splits, faults)


def _returned(data: Any) -> Any:
    return data


def _are_datasets(returned: Any) -> bool:
    return (
        isinstance(returned, (tuple, list))
        and len(returned) == 4
        and all(
            isinstance(each, torch.utils.data.Dataset) or (each is None and at) for at, each in enumerate(returned[:3])
        )
        and all(len(each) for each in returned[:3] if each is not None)
    )


def _whole(dataset: Any) -> dict[str, torch.Tensor]:
    """Return all samples of a data set as one batch."""
    if type(dataset) is DictDataset:
        batch = dict(dataset.datadict)
    else:
        batch = next(iter(Loader(dataset, len(dataset), lambda: 0)))
        batch.pop("index", None)
    return {key: value.detach() for key, value in batch.items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True)
class Preview:
    """Statistics and some samples of data, as returned by `preview`.

    Parameters
    ----------
    name : str
        Name of the data function.
    samples : mapping of str to int
        Number of samples in each split.
    batch_size : int
        Number of samples per batch.
    table : DataFrame
        One row for each key, column and split, with shape, dtype, min, max, mean and the number of missing values
        (NaN or infinite).
    warnings : tuple of str
        What a fit would refuse, and where dev or test exceed the range of train by far or often.
    columns : tuple of SampleColumn
        Samples to draw.
    remarks : tuple of str
        What the data function says of how it made the data, such as what was left out of a file, and where dev or test
        exceed the range of train by little and rarely.
    """

    name: str
    samples: Mapping[str, int]
    batch_size: Any
    table: pd.DataFrame
    warnings: tuple[str, ...]
    columns: tuple[SampleColumn, ...]
    remarks: tuple[str, ...] = ()

    def plot(self) -> PaperFigure:
        """Return some samples of each split as a figure on white."""
        return samples_figure(self.columns)

    def png(self, width: int = 720, scale: float = 1.5, theme: Theme = EITHER) -> tuple[bytes, int, int]:
        """Return some samples of each split as a PNG.

        Parameters
        ----------
        width : int, default 720
            Width in CSS pixels.
        scale : float, default 1.5
            Pixels of the PNG per CSS pixel.
        theme : Theme, default EITHER
            Colours and sizes.

        Returns
        -------
        png : bytes
            Content of the PNG file.
        width, height : int
            Size in CSS pixels.
        """
        picture = Picture(width, 200)
        png = picture.png(lambda figure: draw_samples(figure, self.columns, theme=theme), scale=scale)
        return png, picture.width, picture.height

    @property
    def head(self) -> str:
        """Name, numbers of samples and batch size in one line."""
        splits = ", ".join(f"{split} {count}" for split, count in self.samples.items())
        return f"{self.name}: {splits} samples; batch size {self.batch_size}"

    def alt(self) -> str:
        """Return a description of the picture, for use as alternative text."""
        spans = self.table[self.table["split"] == "train"].head(5)
        ranges = (
            f"{row.key}[{row.column}] {typeset_number(row.min)} to {typeset_number(row.max)}"
            for row in spans.itertuples()
        )
        return f"Samples by split of {self.head}. Ranges in train: {'; '.join(ranges)}."

    def table_html(self) -> str:
        """Return the table as HTML."""
        titles, rows = self._rows()
        more = f"<p>{len(self.table) - ROWS} more rows in .table</p>" if len(self.table) > ROWS else ""
        return html_table(titles, [[*map(escape, row)] for row in rows]) + more

    def warnings_html(self) -> str:
        """Return the warnings and remarks as HTML."""
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in self.remarks)
        warnings = "".join(f"<p>⚠ {escape(warning)}</p>" for warning in self.warnings)
        return warnings + (f"<ul>{remarks}</ul>" if remarks else "")

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [number_text(v, 4) if isinstance(v, float) else str(v) for v in row] for row in self.table.head(ROWS).values
        ]
        return [*self.table.columns], rows

    def _said(self) -> list[str]:
        return [*(f"⚠ {each}" for each in self.warnings), *(f"· {each}" for each in self.remarks)]

    def __repr__(self) -> str:
        titles, rows = self._rows()
        more = [f"{len(self.table) - ROWS} more rows in .table"] if len(self.table) > ROWS else []
        return "\n".join([self.head, *self._said(), text_table([titles, *rows]), *more])

    def _repr_html_(self) -> str:
        png, width, _ = self.png()
        image = picture_html(png, width, self.alt())
        return f"<p>{escape(self.head)}</p>{self.warnings_html()}{image}{self.table_html()}"


def _described(
    title: str, whole: Mapping[str, Mapping[str, torch.Tensor]], splits: Splits, faults: Sequence[str]
) -> Preview:
    samples = {split: max((len(v) for v in tensors.values() if v.ndim), default=0) for split, tensors in whole.items()}
    starts = np.cumsum([0, *samples.values()])
    first = dict(zip(whole, map(int, starts), strict=False))
    found, slight = list(faults), list[str]()
    rows: list[dict[str, Any]] = []
    drawn: list[SampleColumn] = []
    for key in dict.fromkeys(key for tensors in whole.values() for key in tensors):
        parts = {split: _arranged(tensors[key]) for split, tensors in whole.items() if key in tensors}
        if lacking := [split for split in whole if split not in parts]:
            found.append(f"{', '.join(lacking)} has no {key!r}, which {', '.join(parts)} has")
        width = max(values.shape[-1] for values in parts.values())
        for column in range(width):
            there = {
                split: _numbers(values[..., column]) for split, values in parts.items() if column < values.shape[-1]
            }
            spans = {split: _span(values) for split, values in there.items()}
            for split in there:
                tensor = whole[split][key]
                shape, dtype = "×".join(map(str, tensor.shape)), str(tensor.dtype).removeprefix("torch.")
                rows.append(dict(zip(COLUMNS, (key, column, split, shape, dtype, *spans[split]), strict=True)))
            name = f"{key}[{column}]" if width > 1 else key
            for text, much in outside_train(name, there, spans):
                (found if much else slight).append(text)
            if all(values.ndim <= 2 for values in there.values()):
                drawn.append(_drawn(name, there, first))
    table = pd.DataFrame(rows, columns=COLUMNS)
    if splits.unscored:
        found.append(f"the test split would not be scored: {splits.unscored}")
    remarks = (*splits.remarks, *slight)
    return Preview(title, samples, splits.batch_size, table, tuple(found), tuple(drawn), remarks)


def _arranged(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the CPU, samples along its first axis and columns along its last."""
    return tensor.cpu().reshape(-1, 1) if tensor.ndim < 2 else tensor.cpu()


def _numbers(column: torch.Tensor) -> np.ndarray:
    """Return a column as an array of floating-point numbers, without a copy if it has them in NumPy's precisions."""
    known = column.dtype in (torch.float32, torch.float64)
    return (column if known else column.to(torch.float64)).numpy()


def _span(values: np.ndarray) -> tuple[float, float, float, int]:
    """Return minimum, maximum and mean of the finite values, and the number of others."""
    there = np.isfinite(values)
    finite = values if there.all() else values[there]
    if not finite.size:
        return np.nan, np.nan, np.nan, values.size
    mean = float(finite.mean(dtype=np.float64))
    return float(finite.min()), float(finite.max()), mean, values.size - finite.size


def _drawn(name: str, parts: Mapping[str, np.ndarray], first: Mapping[str, int]) -> SampleColumn:
    """Return some samples of a column, numbered consecutively over the splits from `first` on."""
    points = all(values.ndim == 1 or values.shape[1] == 1 for values in parts.values())
    curves: list[tuple[str, Any]] = []
    for split, values in parts.items():
        shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), POINTS if points else WINDOWS)).astype(int))
        picked = np.where(np.isfinite(values[shown]), values[shown], np.nan)
        if points:
            curves.append((split, (first[split] + shown.astype(float), picked.ravel())))
        else:
            curves += [(split, (np.arange(window.size, dtype=float), window.ravel())) for window in picked]
    return SampleColumn(name, tuple(curves), points)
