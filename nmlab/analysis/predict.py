"""`Run.predict()`: what a trained Problem gives for new inputs, with each constraint's violation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import torch
from neuromancer.problem import Problem

from nmlab.analysis.inputs import beyond, names_of, read_inputs, tensor_of
from nmlab.analysis.trained import coverage_in, dtype_of, problem_of, trained
from nmlab.data.coverage import KeyCoverage
from nmlab.errors import DataError, FieldError
from nmlab.fields.field import unknown_name
from nmlab.fitting.dry_run import where_it_failed
from nmlab.problem.terms import terms_of
from nmlab.runs import Run

ROWS = 20
"""Largest number of rows that a prediction shows; `Prediction.frame` has all."""


@dataclass(frozen=True)
class Prediction:
    """Outputs of a trained Problem for new inputs, as returned by `Run.predict`.

    Parameters
    ----------
    inputs, outputs : mapping of str to numpy.ndarray
        Values by key, with samples along the first axis, in the units of the data.
    violations : mapping of str to numpy.ndarray
        By how much each constraint is broken, by its name, with samples along the first axis, as the Problem has it.
    warnings : tuple of str
        Where the inputs exceed what train covered.
    remarks : tuple of str
        What was left out, and what is not known.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    violations: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self.outputs:
            raise KeyError(f"{key!r} is an {unknown_name(key, list(self.outputs))}")
        return self.outputs[key]

    @property
    def frame(self) -> pd.DataFrame:
        """Outputs as a table with a column for each of their columns, and each constraint's largest violation.

        A row is a sample or, if there are outputs of several steps, a step of a sample; what has fewer steps is then
        NaN in the others, and violations are in the first.
        """
        violations = {f"{name}_violation_max": _largest(values) for name, values in self.violations.items()}
        return frame_of(self.outputs, violations)

    def _said(self) -> list[str]:
        return [*(f"⚠ {each}" for each in self.warnings), *(f"· {each}" for each in self.remarks)]

    def __repr__(self) -> str:
        frame = self.frame
        more = [f"{len(frame) - ROWS} more rows in .frame"] if len(frame) > ROWS else []
        return "\n".join([*self._said(), frame.head(ROWS).to_string(), *more])

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{escape(line)}</p>" for line in self._said())
        return said + str(self.frame.to_html(max_rows=ROWS))


def frame_of(values: Mapping[str, np.ndarray], by_sample: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return values by key, of shape (samples, columns) or (samples, steps, columns), as a table; see `Prediction`."""
    tables = {key: value.reshape(len(value), -1) if value.ndim < 3 else value for key, value in values.items()}
    tables |= {key: value.reshape(-1, 1) for key, value in by_sample.items()}
    samples = max((len(value) for value in tables.values()), default=0)
    if all(value.ndim == 2 for value in tables.values()):
        columns = {
            name: value[:, column]
            for key, value in tables.items()
            for column, name in enumerate(names_of(key, value.shape[1]))
        }
        return pd.DataFrame(columns, index=pd.RangeIndex(samples, name="sample"))
    steps = max(value.shape[1] for value in tables.values() if value.ndim > 2)
    columns = {}
    for key, value in tables.items():
        whole = value[:, None] if value.ndim == 2 else value.reshape(len(value), value.shape[1], -1)
        padded = np.full((samples, steps, whole.shape[2]), np.nan)
        padded[:, : whole.shape[1]] = whole
        columns |= {name: padded[..., at].ravel() for at, name in enumerate(names_of(key, whole.shape[2]))}
    return pd.DataFrame(
        columns, index=pd.MultiIndex.from_product([range(samples), range(steps)], names=["sample", "step"])
    )


def _largest(violation: np.ndarray) -> np.ndarray:
    largest: np.ndarray = violation.reshape(len(violation), -1).max(axis=1)
    return largest


def predict(run: Run, data: Any, units: Mapping[str, str] | None = None, problem: Problem | None = None) -> Prediction:
    """Return what a run's Problem gives for new inputs; documented at `Run.predict`.

    Parameters
    ----------
    run : Run
        The run.
    data : mapping, DataFrame, array, path-like, FileData or DictDataset
        The inputs.
    units : mapping of str to str, optional
        Outputs that are in the units of a key of the data, such as {'xn': 'X'}.
    problem : neuromancer.problem.Problem, optional
        A Problem of the same shape, in place of the run's own.

    Returns
    -------
    Prediction
        The outputs.
    """
    coverage = coverage_in(run)
    like = outputs_like(problem_of(run, problem), coverage, units)
    with trained(run, problem) as whole:
        inputs = read_inputs(data, whole, coverage)
        device = next(whole.parameters(), torch.empty(0, device="cpu")).device
        batch: dict[str, Any] = {
            key: tensor_of(value, coverage.get(key), dtype_of(run, whole, coverage.get(key)), device)
            for key, value in inputs.values.items()
        }
        warnings = [
            text for key, tensor in batch.items() if key in coverage for text in beyond(key, tensor, coverage[key])
        ]
        grad = bool(whole.grad_inference) or any(tensor.requires_grad for tensor in batch.values())
        with torch.set_grad_enabled(grad):
            outputs, violations, untold = computed(whole, batch)
    if not coverage:
        inputs.remarks.append("the record does not say what train covered: inputs were not compared with it")
    inputs.remarks += [f"the violation of {name} is not known: {reason}" for name, reason in untold.items()]
    told, unscaled = in_units(outputs, like, coverage)
    inputs.remarks += unscaled
    return Prediction(inputs.values, told, violations, tuple(warnings), tuple(inputs.remarks))


def computed(
    problem: Problem, batch: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, str]]:
    """Return the outputs of a Problem's nodes, violations by constraint, and why a violation cannot be computed.

    Raises
    ------
    DataError
        If a node cannot take the batch.
    """
    try:
        values = problem.step({**batch, "name": "prediction", "epoch": 0})
    except Exception as error:
        fault = where_it_failed(problem, dict(batch), error)
        raise DataError([fault], subject="The Problem cannot take these inputs") from error
    keys = dict.fromkeys(key for node in problem.nodes for key in gives(node) if key in values)
    violations, untold = violations_of(problem, values)
    return {key: array_of(values[key]) for key in keys}, violations, untold


def violations_of(problem: Problem, values: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return violations by constraint, and why a violation cannot be computed from these values."""
    violations, untold = {}, {}
    named = terms_of(problem)[len(problem.loss.objectives) :]
    for known, term in zip(named, problem.loss.constraints, strict=True):
        try:
            violations[known.name] = array_of(term(dict(values))[term.output_keys[2]])
        except KeyError as error:
            untold[known.name] = f"it also reads {error.args[0]}"
        except Exception as error:
            untold[known.name] = f"{type(error).__name__}: {error}"
    return violations, untold


def gives(node: Any) -> Iterator[str]:
    """Yield the keys that a node gives, those of a System in the order of its nodes."""
    inner = getattr(node, "nodes", None)
    yield from node.output_keys if inner is None else (key for each in inner for key in each.output_keys)


def array_of(tensor: Any) -> np.ndarray:
    """Return a tensor as an array."""
    array: np.ndarray = torch.as_tensor(tensor).detach().cpu().numpy()
    return array


def outputs_like(
    problem: Problem, coverage: Mapping[str, KeyCoverage], units: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the key of the data in whose units each output is, as far as that is known; raises `FieldError`."""
    outputs = list(dict.fromkeys(key for node in problem.nodes for key in gives(node)))
    faults = {}
    for key, other in (units or {}).items():
        if key not in outputs:
            faults[f"units[{key!r}]"] = f"{key!r} is an {unknown_name(key, outputs)}"
        elif other not in coverage:
            faults[f"units[{key!r}]"] = f"{other!r} is an {unknown_name(other, list(coverage))}"
    if faults:
        raise FieldError(faults)
    return {key: key for key in outputs if key in coverage} | dict(units or {})


def in_units(
    values: Mapping[str, np.ndarray], like: Mapping[str, str], coverage: Mapping[str, KeyCoverage]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return outputs in the units of the data, and which are not; raises `FieldError` where the columns differ."""
    scaled = [key for key, each in coverage.items() if each.scale]
    told, faults, remarks = {}, {}, []
    for key, value in values.items():
        own = coverage.get(like.get(key, ""))
        if own is not None and own.scale and value.shape[-1] != own.width:
            faults[f"units[{key!r}]"] = f"{key} has {value.shape[-1]} columns, {like[key]} has {own.width}"
        elif own is not None:
            told[key] = own.to_units(value)
        else:
            told[key] = value
            if scaled:
                remarks.append(
                    f"{key} is as the Problem has it, scaled; units={{{key!r}: {scaled[0]!r}}} would say that it is in "
                    f"the units of {scaled[0]}"
                )
    if faults:
        raise FieldError(faults)
    return told, remarks
