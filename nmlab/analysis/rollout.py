"""`Run.rollout()`: the System of a run's Problem simulated from new states, for as many steps as wanted.

NeuroMANCER's own System takes the steps, so that previews, histories and integrators are those of the training. Nodes
are replaced for the time of it: the plant by another model, the policy by another controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from neuromancer.problem import Problem

from nmlab.analysis.inputs import beyond, checked_array, differing_lengths, shaped, tensor_of
from nmlab.analysis.loop import Function, Loop
from nmlab.analysis.predict import array_of, gives, in_units, outputs_like, violations_of
from nmlab.analysis.rollout_result import Path, Rollout
from nmlab.analysis.trained import coverage_in, dtype_of, problem_of, trained
from nmlab.data.coverage import KeyCoverage
from nmlab.errors import DataError, FieldError
from nmlab.fields.field import unknown_name
from nmlab.fitting.dry_run import where_it_failed
from nmlab.problem.graph import keys_from_data
from nmlab.problem.terms import terms_of
from nmlab.runs import Run


def rollout(
    run: Run,
    x0: Any,
    steps: int | None = None,
    inputs: Mapping[str, Any] | None = None,
    plant: Any = None,
    against: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> Rollout:
    """Simulate the System of a run's Problem; documented at `Run.rollout`.

    Parameters
    ----------
    run : Run
        The run.
    x0 : array or mapping of str to array, optional
        The initial states.
    steps : int, optional
        Number of steps.
    inputs : mapping, optional
        What the steps read from the data.
    plant : callable or mapping, optional
        Another plant.
    against : mapping, optional
        Controllers, or runs, to compare with.
    units : mapping of str to str, optional
        Outputs that are in the units of an input.
    problem : neuromancer.problem.Problem, optional
        A Problem of the same shape, in place of the run's own.

    Returns
    -------
    Rollout
        States, inputs and violations by step.
    """
    coverage = coverage_in(run)
    own = problem_of(run, problem)
    like = outputs_like(own, coverage, units)
    loop = Loop(own, coverage)
    steps = loop.steps if steps is None else steps
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise FieldError({"steps": f"{steps!r} is no number of steps; give an integer of at least 1"})
    functions = {} if plant is None else loop.functions("plant", plant, loop.plant)
    rivals: dict[str, Any] = {}
    for name, each in (against or {}).items():
        rivals[name] = each if isinstance(each, Run) else loop.functions(f"against[{name!r}]", each, loop.controllers)
    data, covered = _read(own, loop, coverage, (x0, inputs or {}, steps), like)
    remarks: list[str] = []
    if loop.steps is not None and steps > loop.steps:
        remarks.append(f"{steps} steps; in the training it was {loop.steps}")
    with trained(run, problem) as whole:
        device = next(whole.parameters(), torch.empty(0, device="cpu")).device
        batch = {
            key: tensor_of(value, covered[key], dtype_of(run, whole, covered[key]), device)
            for key, value in data.items()
        }
        warnings = [text for key, each in covered.items() if each is not None for text in beyond(key, batch[key], each)]
        starts = set(loop.states) <= data.keys()
        paths = {run.id: _path(whole, loop, batch, (functions, steps, starts))}
        for name, rival in rivals.items():
            if not isinstance(rival, Run):
                paths[name] = _path(whole, loop, batch, ({**functions, **rival}, steps, starts))
    for name, rival in rivals.items():
        if isinstance(rival, Run):
            found = rollout(rival, x0, steps, inputs, plant, None, units)
            paths[name] = next(iter(found.paths.values()))
            remarks += [f"{name}: {text}" for text in (*found.warnings, *found.remarks)]
        else:
            paths[name] = _told(paths[name], like, coverage, remarks)
    paths[run.id] = _told(paths[run.id], like, coverage, remarks)
    ordered = {name: paths[name] for name in (run.id, *rivals)}
    return Rollout(ordered, steps, tuple(loop.states), tuple(warnings), tuple(dict.fromkeys(remarks)))


def _told(path: Path, like: Mapping[str, str], coverage: Mapping[str, KeyCoverage], remarks: list[str]) -> Path:
    outputs, unscaled = in_units(path.outputs, like, coverage)
    remarks += [*unscaled, *path.remarks]
    return replace(path, outputs=outputs)


def _path(
    problem: Problem,
    loop: Loop,
    batch: Mapping[str, torch.Tensor],
    how: tuple[Mapping[str, Function], int, bool],
) -> Path:
    """Return outputs, costs and violations of one simulation."""
    remarks: list[str] = []
    with loop.replaced(*how), torch.set_grad_enabled(bool(problem.grad_inference)):
        values: dict[str, Any] = {**batch, "name": "rollout", "epoch": 0}
        for node in problem.nodes:
            if node is not loop.system and set(gives(node)) <= batch.keys():
                continue  # what it gives, such as the initial state, is given
            try:
                found = node(values)
            except KeyError as error:
                if node is not loop.system and error.args[0] not in loop.states:
                    remarks.append(
                        f"{', '.join(gives(node))} is left out: node {node.name!r} also reads {error.args[0]}"
                    )
                    continue
                raise _fault(problem, loop, values, error) from error
            except Exception as error:
                raise _fault(problem, loop, values, error) from error
            values |= {node.name: found} if isinstance(found, torch.Tensor) else found
        violations, untold = violations_of(problem, values)
        costs = {}
        for known, term in zip(terms_of(problem), problem.loss.objectives, strict=False):
            try:
                costs[known.name] = float(torch.as_tensor(term(dict(values))[term.output_keys[0]]).detach().mean())
            except KeyError as error:
                untold[known.name] = f"it also reads {error.args[0]}"
            except Exception as error:
                untold[known.name] = f"{type(error).__name__}: {error}"
    remarks += [f"{name} is not evaluated: {reason}" for name, reason in untold.items()]
    keys = dict.fromkeys(key for node in problem.nodes for key in gives(node) if key in values)
    return Path({key: array_of(values[key]) for key in keys}, violations, costs, tuple(remarks))


def _fault(problem: Problem, loop: Loop, values: dict[str, Any], error: Exception) -> DataError:
    """Return an error that names the node of the System that raised, as far as it can be told."""
    state = {key: v[:, 0] for key, v in values.items() if isinstance(v, torch.Tensor) and v.ndim > 2}
    for node in loop.system.nodes:
        try:
            state |= node({key: state[key] for key in node.input_keys})
        except Exception as at_node:
            if not isinstance(at_node, KeyError):
                shapes = ", ".join(f"{key} {'×'.join(map(str, state[key].shape))}" for key in node.input_keys)
                text = f"node {node.name!r} raised {type(at_node).__name__}: {at_node}; it got {shapes}"
                return DataError([text], subject="This cannot be simulated")
            break
    return DataError([where_it_failed(problem, dict(values), error)], subject="This cannot be simulated")


def _read(
    problem: Problem,
    loop: Loop,
    coverage: Mapping[str, KeyCoverage],
    given: tuple[Any, Mapping[str, Any], int],
    like: Mapping[str, str],
) -> tuple[dict[str, np.ndarray], dict[str, KeyCoverage | None]]:
    """Return what is given as arrays of shape (samples, steps, columns), with what train covered of each."""
    x0, inputs, steps = given
    faults: list[str] = []
    if x0 is not None and not isinstance(x0, Mapping):
        if len(loop.states) != 1:
            raise FieldError({"x0": f"give it by key; the states are: {', '.join(loop.states) or 'none'}"})
        x0 = {loop.states[0]: x0}
    known = list(dict.fromkeys((*loop.reads, *coverage, *keys_from_data(problem))))
    faults += [f"x0: {key} is an {unknown_name(key, loop.states)}" for key in x0 or {} if key not in loop.states]
    faults += [f"inputs: {key} is an {unknown_name(key, known)}" for key in inputs if key not in known]
    if x0 is not None:
        faults += [f"x0: {key} is missing" for key in loop.states if key not in x0]
    made = {key for node in problem.nodes if node is not loop.system for key in gives(node)}
    faults += [
        f"inputs: {key} is missing; give an array of {steps} steps, or a function of the step"
        for key in loop.reads
        if key not in inputs and key not in made and not ("init" in vars(loop.system) and x0 is None)
    ]
    values: dict[str, np.ndarray] = {}
    covered: dict[str, KeyCoverage | None] = {}
    for key, value in (x0 or {}).items():
        if key in loop.states:
            covered[key] = _of_step(coverage.get(like.get(key, key)), 1)
            try:
                values[key] = _states(checked_array(value), covered[key])
            except ValueError as error:
                faults.append(f"x0: {key} {error}")
    samples = max((len(value) for value in values.values()), default=1)
    for key, value in inputs.items():
        if key in known:
            own = coverage.get(key)
            rows = _rows(key, own, loop, steps)
            covered[key] = own if not rows else _of_step(own, rows[0])
            try:
                values[key] = _input(value, covered[key], rows, samples)
            except ValueError as error:
                faults.append(f"inputs: {key} {error}")
    lengths = {key: len(value) for key, value in values.items()}
    if faults := [*faults, *differing_lengths(lengths)]:
        raise DataError(faults, subject="This cannot be simulated")
    samples = max(lengths.values(), default=1)
    return {key: np.repeat(v, samples // len(v), axis=0) for key, v in values.items()}, covered


def _rows(key: str, own: KeyCoverage | None, loop: Loop, steps: int) -> tuple[int, ...]:
    """Return how many steps of an input there may be, first what the simulation needs; () for one without steps."""
    if own is not None and len(own.shape) < 2:
        return ()
    if own is None or loop.steps is None:
        return (steps,)
    needed = steps + max(own.shape[0] - loop.steps, 0)  # what it has beyond the steps, it needs beyond them
    return (needed,) if key in loop.reads else (needed, own.shape[0])  # a function of the user may read it as it was


def _of_step(coverage: KeyCoverage | None, steps: int) -> KeyCoverage | None:
    return None if coverage is None else replace(coverage, shape=(steps, coverage.width))


def _states(array: np.ndarray, coverage: KeyCoverage | None) -> np.ndarray:
    if coverage is not None:
        return shaped(array, coverage)
    array = array.reshape(1, -1) if array.ndim < 2 else array
    return array[:, None] if array.ndim == 2 else array


def _input(value: Any, coverage: KeyCoverage | None, rows: tuple[int, ...], samples: int) -> np.ndarray:
    """Return an input as an array of shape (samples, steps, columns); raises ValueError, as the end of a sentence.

    Parameters: `rows`, how many steps there may be, as `_rows` returns it.
    """
    if not rows:
        return shaped(checked_array(value), coverage)
    steps = rows[0]
    if callable(value):
        each = [checked_array(value(step)) for step in range(steps)]
        one = [row.reshape(1, -1) if row.ndim < 2 else row for row in each]
        if len({row.shape for row in one}) > 1:
            raise ValueError("has another shape in some of the steps")
        return np.stack([np.broadcast_to(row, (max(samples, len(row)), row.shape[1])) for row in one], axis=1)
    array = checked_array(value)
    width = 1 if coverage is None else coverage.width
    if array.ndim == 0:
        array = np.full((steps, width), float(array))
    if array.ndim == 1 and width == 1:
        array = array[:, None]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[1] not in rows or (coverage is not None and array.shape[2] != width):
        shape = "×".join(map(str, array.shape if np.ndim(value) > 2 else np.shape(value)))
        raise ValueError(f"has shape {shape}; give {steps} steps of {width} column{'' if width == 1 else 's'}")
    return array
