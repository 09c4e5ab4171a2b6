"""The tab "Try it": inputs of a trained Problem to move, within the ranges of train, and what it gives for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nmlab.analysis.inputs import names_of, needed_by_nodes
from nmlab.analysis.predict import Prediction, predict
from nmlab.analysis.trained import coverage_in
from nmlab.data.coverage import KeyCoverage
from nmlab.errors import NmlabError
from nmlab.runs import Run
from nmlab.runtime.text import number_text

SLIDERS = 8
"""Largest number of inputs that have sliders."""

ROWS, POINTS = 24, 200
"""Outputs and their steps, at most, that are shown."""

STEPS = 200
"""Steps of a slider."""

Tried = dict[str, Any]


def try_it(run: Run, values: Sequence[Any] | None = None) -> Tried:
    """Return sliders, and what a run's Problem gives where they stand, as the page shows it.

    Parameters
    ----------
    run : Run
        The run, with its Problem if that is known.
    values : sequence of float, optional
        Where the sliders stand; default in the middle.

    Returns
    -------
    dict
        `run`, its id; `sliders`; `outputs` and `violations`, as names with values by step; `said`, in words, where
        inputs exceed train; or `why` there is nothing to try.
    """
    tried: Tried = {"run": run.id}
    if run.problem is None:
        return tried | {"why": "The Problem of this run is not in this kernel."}
    coverage = coverage_in(run)
    keys = needed_by_nodes(run.problem)
    if why := _fault(keys, coverage):
        return tried | {"why": f"{why} In code: lab.predict(…, run={run.id!r})"}
    sliders = [slider for key in keys for slider in _sliders(key, coverage[key])]
    numbers = [float(value) for value in values or ()]
    if len(numbers) != len(sliders) or not all(map(math.isfinite, numbers)):
        numbers = [slider["value"] for slider in sliders]
    inputs, at = {}, 0
    for key in keys:
        width = coverage[key].width
        inputs[key] = np.array(numbers[at : at + width]).reshape(1, *coverage[key].shape)
        at += width
    for slider, number in zip(sliders, numbers, strict=True):
        slider["value"], slider["text"] = number, number_text(number, 4)
    try:
        found = predict(run, inputs)
    except NmlabError as error:
        return tried | {"sliders": sliders, "why": str(error)}
    code = ", ".join(f"{key!r}: {[float(f'{n:.6g}') for n in value.ravel().tolist()]}" for key, value in inputs.items())
    return tried | {
        "sliders": sliders,
        "outputs": _rows(found.outputs),
        "violations": _violations(found),
        "said": [*found.warnings, *found.remarks],
        "code": f"lab.predict({{{code}}})",
    }


def _fault(keys: Sequence[str], coverage: Mapping[str, KeyCoverage]) -> str:
    """Return why there are no sliders, or ''."""
    if missing := [key for key in keys if key not in coverage]:
        return f"The record of this run does not say what train covered of {', '.join(missing)}."
    if long := [key for key in keys if math.prod(coverage[key].shape[:-1]) > 1]:
        return f"{', '.join(long)} has many steps, which no slider can hold."
    if not keys:
        return "The Problem has no input of a single step."
    if (count := sum(coverage[key].width for key in keys)) > SLIDERS:
        return f"The Problem has {count} inputs; up to {SLIDERS} have sliders."
    return ""


def _sliders(key: str, coverage: KeyCoverage) -> list[dict[str, Any]]:
    low, high = (coverage.to_units(np.array(end)) for end in (coverage.low, coverage.high))
    found = []
    for name, least, most in zip(names_of(key, coverage.width), low.tolist(), high.tolist(), strict=True):
        middle = (least + most) / 2
        step = (most - least) / STEPS or 1.0
        ends = {
            "low": least,
            "high": most,
            "step": step,
            "lowest": number_text(least, 4),
            "highest": number_text(most, 4),
        }
        found.append({"name": name, "value": middle, **ends})
    return found


def _rows(values: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return outputs by name as numbers, one for each step, and as text."""
    found: list[dict[str, Any]] = []
    for key, value in values.items():
        by_step = value[0].reshape(-1, value.shape[-1]) if value.ndim > 1 else value.reshape(1, 1)
        for name, column in zip(names_of(key, by_step.shape[1]), by_step.T, strict=True):
            shown = column[:POINTS]
            numbers = [float(number) if math.isfinite(number) else None for number in shown]
            ends = f"{number_text(float(shown.min()), 4)} … {number_text(float(shown.max()), 4)}"
            text = number_text(float(column[0]), 4) if len(column) == 1 else ends
            found.append({"name": name, "values": numbers, "text": text})
    return found[:ROWS]


def _violations(found: Prediction) -> list[dict[str, Any]]:
    largest = {name: float(value.max()) for name, value in found.violations.items()}
    return [
        {"name": name, "broken": value > 0, "text": number_text(value, 4) if value > 0 else "not violated"}
        for name, value in largest.items()
    ]
