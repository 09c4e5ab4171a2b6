"""`preview()`: data looked at before a fit: shapes, ranges, samples by split, and where dev or test lie outside train.

A network is only asked about what it has seen: where dev or test reach further than train, a good or bad score says
little of the fit. A preview keeps numbers about the data and a few samples, never the data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from neuromancer.dataset import DictDataset

from nmlab.data.loader import Loader
from nmlab.data.splits import Splits, make_splits, place_of
from nmlab.errors import DataError
from nmlab.fields import check, fields_of, takes_any_keyword
from nmlab.plots import EITHER, Picture, SampleColumn, Theme, draw_samples, picture_html, samples_figure
from nmlab.plots.paper import PaperFigure
from nmlab.runs.shown import html_table, text_table
from nmlab.runtime.rng import RandomStreams
from nmlab.runtime.text import number_text, typeset_number

WINDOWS, POINTS = 5, 300
"""Samples of a split that are drawn: of windows, and of numbers."""

COLUMNS = ["key", "column", "split", "shape", "dtype", "min", "max", "mean", "missing"]

ROWS = 60
"""Rows of the table that are shown; all are in `Preview.table`."""


class HasData(Protocol):
    """What holds a data function with its keywords: a `Lab`."""

    @property
    def data_setup_function(self) -> Callable[..., Any]:
        """The function that makes the data."""
        ...

    @property
    def data_kwargs(self) -> Mapping[str, Any]:
        """Its keywords as they stand."""
        ...

    @property
    def choices(self) -> Mapping[str, Any] | None:
        """Values that a keyword takes by name."""
        ...


def preview(
    data: Callable[..., Any] | Splits | Sequence[Any] | HasData,
    data_kwargs: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    choices: Mapping[str, Any] | None = None,
    **more_data_kwargs: Any,
) -> Preview:
    """Look at data before a fit; shows itself in a notebook as warnings, a picture and a table.

    Parameters
    ----------
    data : a `data_setup_function`, called with its keywords; a `Lab`, whose data function is called with the values
        that its form holds, and these keywords over them; what a data function returned; or `lab.splits`
    data_kwargs, **more_data_kwargs : keywords of the data function
    seed : the random numbers that a data function draws are those of a fit with this seed; yours stay as they are
    choices : values that a keyword takes by name, as for `nmlab.fit`

    Raises
    ------
    FieldError : a keyword is wrong
    DataError : what the function returned are no data sets. Numbers that a fit would refuse are told of as warnings
    """
    if not callable(data) and hasattr(data, "data_setup_function"):  # a Lab
        lab: Any = data
        data, choices = lab.data_setup_function, choices if choices is not None else lab.choices
        data_kwargs = {**lab.data_kwargs, **(data_kwargs or {})}
    if isinstance(data, Splits):
        data = [data.train, data.dev, data.test, data.batch_size]
    function = data if callable(data) else functools.partial(_the_same, data)
    kwargs = {**(data_kwargs or {}), **more_data_kwargs}
    fields, extra = fields_of(function, choices), takes_any_keyword(function)
    kwargs = check(fields, kwargs, subject=f"{place_of(function)} cannot be called", extra=extra)
    kept: list[Any] = []

    def keeping(**given: Any) -> Any:
        kept.append(function(**given))
        return kept[0]

    faults: list[str] = []
    with RandomStreams(seed):
        try:
            splits = make_splits(functools.wraps(function)(keeping) if callable(data) else keeping, kwargs)
        except DataError as error:  # what cannot be trained on may still be looked at
            if not kept or not _are_datasets(kept[0]):
                raise
            splits, faults = Splits(*kept[0]), error.faults
        whole = {split: _whole(dataset) for split, dataset in splits.items()}
    name = str(getattr(data, "__name__", "data"))
    return _looked_at(name, whole, splits.batch_size, faults)


def _the_same(returned: Any) -> Any:
    return returned


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
    """All samples of a data set, as a batch would hold them."""
    if type(dataset) is DictDataset:
        batch = dict(dataset.datadict)
    else:
        batch = next(iter(Loader(dataset, len(dataset), lambda: 0)))
        batch.pop("index", None)
    return {key: value.detach() for key, value in batch.items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True)
class Preview:
    """What data look like; shows itself in a notebook.

    Parameters: `name`, of the data; `samples`, in each split; `table`, a DataFrame with a row for each key, column and
    split: shape, dtype, min, max, mean, and how many values are missing (nan or infinite); `warnings`, what a fit would
    refuse, and where dev or test lie outside train; `columns`, some samples to draw.
    """

    name: str
    samples: Mapping[str, int]
    batch_size: Any
    table: pd.DataFrame
    warnings: tuple[str, ...]
    columns: tuple[SampleColumn, ...]

    def plot(self) -> PaperFigure:
        """Return a figure of some samples of each split."""
        return samples_figure(self.columns)

    def png(self, width: int = 720, scale: float = 1.5, theme: Theme = EITHER) -> tuple[bytes, int, int]:
        """Return some samples as a PNG, and its width and height in CSS pixels; `scale`, its pixels for each."""
        picture = Picture(width, 200)
        png = picture.png(lambda figure: draw_samples(figure, self.columns, theme=theme), scale=scale)
        return png, picture.width, picture.height

    @property
    def head(self) -> str:
        """The data in a line."""
        splits = ", ".join(f"{split} {count}" for split, count in self.samples.items())
        return f"{self.name}: {splits} samples; batch size {self.batch_size}"

    def alt(self) -> str:
        """Return what the picture shows as a sentence."""
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
        """Return the warnings as HTML; '' for none."""
        return "".join(f"<p>⚠ {escape(warning)}</p>" for warning in self.warnings)

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [number_text(v, 4) if isinstance(v, float) else str(v) for v in row] for row in self.table.head(ROWS).values
        ]
        return [*self.table.columns], rows

    def __repr__(self) -> str:
        titles, rows = self._rows()
        more = [f"{len(self.table) - ROWS} more rows in .table"] if len(self.table) > ROWS else []
        return "\n".join([self.head, *(f"⚠ {each}" for each in self.warnings), text_table([titles, *rows]), *more])

    def _repr_html_(self) -> str:
        png, width, _ = self.png()
        image = picture_html(png, width, self.alt())
        return f"<p>{escape(self.head)}</p>{self.warnings_html()}{image}{self.table_html()}"


def _looked_at(
    title: str, whole: Mapping[str, Mapping[str, torch.Tensor]], batch_size: Any, faults: Sequence[str]
) -> Preview:
    samples = {split: max((len(v) for v in tensors.values() if v.ndim), default=0) for split, tensors in whole.items()}
    starts = np.cumsum([0, *samples.values()])
    first = dict(zip(whole, map(int, starts), strict=False))
    found = list(faults)
    rows: list[dict[str, Any]] = []
    drawn: list[SampleColumn] = []
    for key in dict.fromkeys(key for tensors in whole.values() for key in tensors):
        parts = {split: _columns(tensors[key]) for split, tensors in whole.items() if key in tensors}
        if lacking := [split for split in whole if split not in parts]:
            found.append(f"{', '.join(lacking)} has no {key!r}, which {', '.join(parts)} has")
        width = max(values.shape[-1] for values in parts.values())
        for column in range(width):
            there = {split: values[..., column] for split, values in parts.items() if column < values.shape[-1]}
            for split, values in there.items():
                tensor = whole[split][key]
                shape, dtype = "×".join(map(str, tensor.shape)), str(tensor.dtype).removeprefix("torch.")
                rows.append(dict(zip(COLUMNS, (key, column, split, shape, dtype, *_span(values)), strict=True)))
            name = f"{key}[{column}]" if width > 1 else key
            found += _outside(name, there)
            if all(values.ndim <= 2 for values in there.values()):
                drawn.append(_drawn(name, there, first))
    return Preview(title, samples, batch_size, pd.DataFrame(rows, columns=COLUMNS), tuple(found), tuple(drawn))


def _columns(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as numbers, samples along its first axis and columns along its last."""
    values = tensor.cpu().to(torch.float64).numpy()
    return values.reshape(-1, 1) if values.ndim < 2 else values


def _span(values: np.ndarray) -> tuple[float, float, float, int]:
    """The least, the greatest, the mean of the finite values, and how many are not finite."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.nan, np.nan, np.nan, values.size
    return float(finite.min()), float(finite.max()), float(finite.mean()), values.size - finite.size


def _outside(what: str, parts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Say how far dev and test lie outside train, and how many of their samples."""
    if "train" not in parts or not np.isfinite(parts["train"]).any():
        return
    low, high, *_ = _span(parts["train"])
    for split, values in parts.items():
        each = values.reshape(len(values), -1)
        with np.errstate(invalid="ignore"):
            below, above = ((each < low) & np.isfinite(each)), ((each > high) & np.isfinite(each))
        count = int((below | above).any(axis=1).sum())
        if not count:
            continue
        found = []
        sides = (("below", "minimum", below, low, np.min), ("above", "maximum", above, high, np.max))
        for side, end, beyond, border, reach in sides:
            if beyond.any():
                far = abs(float(reach(each[beyond])) - border)
                share = f" ({far / (high - low):.0%} of its range)" if high > low else ""
                found.append(f"up to {typeset_number(far)} {side} train's {end} of {typeset_number(border)}{share}")
        yield f"{split}: {what} is {' and '.join(found)}, in {count} of {len(each)} samples"


def _drawn(name: str, parts: Mapping[str, np.ndarray], first: Mapping[str, int]) -> SampleColumn:
    """Some samples of a column; `first`, the number of each split's first sample, where all are counted on."""
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
