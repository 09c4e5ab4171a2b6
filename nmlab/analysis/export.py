"""`Run.export()`: a node of a trained Problem, or all of them, in a file that needs neither nmlab nor NeuroMANCER.

`torch.export` traces them once, with normalisation around them, into a graph of PyTorch's own operations. This is
saved as it is, converted to ONNX, or written as Python source with a file of weights. Each file is loaded again and
compared with the Problem before it takes its place.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from neuromancer.problem import Problem

from nmlab.analysis.export_formats import FORMATS
from nmlab.analysis.inputs import needed_by_nodes
from nmlab.analysis.predict import gives
from nmlab.analysis.trained import coverage_in, dtype_of, problem_of, trained
from nmlab.analysis.worst import splits_for
from nmlab.data.coverage import KeyCoverage
from nmlab.data.loader import first_batch
from nmlab.errors import DataError, FieldError, RunError
from nmlab.fields.field import unknown_name
from nmlab.fitting.dry_run import where_it_failed
from nmlab.problem.weights import forget_values
from nmlab.runs import Run

SAMPLES = 64
"""Number of samples on which an export is compared with the Problem."""


@dataclass(frozen=True)
class Exported:
    """A file that `Run.export` wrote."""

    path: Path
    inputs: Mapping[str, tuple[int, ...]]
    """Shape of a sample of each input."""
    outputs: tuple[str, ...]
    """Names of the outputs in the file, in the order of the node's."""
    difference: float
    """Largest difference to the outputs of the Problem, relative to their size where that is above 1."""
    samples: str
    """On which samples this was found."""
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        takes = ", ".join(f"{key} {'×'.join(map(str, ('samples', *shape)))}" for key, shape in self.inputs.items())
        lines = [f"{self.path}: {takes} → {', '.join(self.outputs)}"]
        lines.append(f"  differs from the Problem by at most {self.difference:.1g} on {self.samples}")
        return "\n".join([*lines, *(f"· {remark}" for remark in self.remarks)])


class Exportable(torch.nn.Module):
    """Nodes as a function from a dict of inputs to a dict of outputs, both in the units of the data.

    Parameters
    ----------
    module : torch.nn.Module
        A node, or a Problem.
    inputs : dict of str to torch.Tensor
        Inputs as the module gets them.
    outputs : iterable of str
        Keys of the outputs.
    scaled : mapping of str to KeyCoverage
        The scaling of the inputs and outputs that have one.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Mapping[str, torch.Tensor],
        outputs: Iterable[str],
        scaled: Mapping[str, KeyCoverage],
    ) -> None:
        super().__init__()
        self.module = module
        self._dtypes = {key: value.dtype for key, value in inputs.items()}
        self._outputs = list(outputs)
        self._scaled = {
            key: (torch.tensor(each.offset, dtype=torch.float64), torch.tensor(each.scale, dtype=torch.float64))
            for key, each in scaled.items()
        }

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the outputs by key."""
        values = dict(inputs)
        for key in values.keys() & self._scaled.keys():
            offset, scale = self._scaled[key]
            values[key] = ((values[key] - offset) / scale).to(self._dtypes[key])
        found = self.module.step(values) if isinstance(self.module, Problem) else self.module(values)
        if isinstance(found, torch.Tensor):
            found = {self._outputs[0]: found}
        outputs = {}
        for key in self._outputs:
            outputs[key] = found[key]
            if key in self._scaled:
                offset, scale = self._scaled[key]
                outputs[key] = found[key].double() * scale + offset
        return outputs


def export(
    run: Run,
    path: str | os.PathLike[str],
    node: str | None = None,
    units: Mapping[str, str] | None = None,
    data: Any = None,
    problem: Problem | None = None,
) -> Exported:
    """Write a node of a run's Problem, or all of them, into a file; documented at `Run.export`.

    Parameters
    ----------
    run : Run
        The run.
    path : path-like
        The file; its suffix names the format.
    node : str, optional
        Name of the node; by default all.
    units : mapping of str to str, optional
        Inputs and outputs that are in the units of a key of the data.
    data : Splits or tuple, optional
        The data on which the file is compared with the Problem.
    problem : neuromancer.problem.Problem, optional
        A Problem of the same shape, in place of the run's own.

    Returns
    -------
    Exported
        What was written.
    """
    target = Path(path).absolute()
    coverage = coverage_in(run)
    own = problem_of(run, problem)
    nodes = _nodes(own)
    faults = {}
    if target.suffix not in FORMATS:
        faults["path"] = f"{target.name!r} ends in no known format; give a name that ends in {', '.join(FORMATS)}"
    if node is not None and node not in nodes:
        faults["node"] = unknown_name(node, [*nodes])
    for key, other in (units or {}).items():
        if other not in coverage:
            faults[f"units[{key!r}]"] = unknown_name(other, [*coverage])
    if not target.parent.is_dir():
        faults["folder"] = f"{target.parent} is not there; make it first"
    if faults:
        raise FieldError(faults, subject="This cannot be exported")
    file_format = FORMATS[target.suffix]
    file_format.check()
    with trained(run, problem) as whole, torch.no_grad():
        whole.cpu()
        batch, samples, remarks = _samples(run, whole, coverage, data)
        inputs, expected = _seen(whole, None if node is None else _nodes(whole)[node], batch)
        like = {key: (units or {}).get(key, key) for key in (*inputs, *expected)}
        wrong = {
            f"units[{key!r}]": f"{key} has {value.shape[-1]} columns, {like[key]} has {coverage[like[key]].width}"
            for key, value in {**inputs, **expected}.items()
            if key in (units or {}) and value.shape[-1] != coverage[like[key]].width
        } | {f"units[{key!r}]": unknown_name(key, [*like]) for key in units or {} if key not in like}
        if wrong:
            raise FieldError(wrong, subject="This cannot be exported")
        scaled = {key: coverage[other] for key, other in like.items() if other in coverage and coverage[other].scale}
        module = Exportable(whole if node is None else _nodes(whole)[node], inputs, expected, scaled).eval()
        given, wanted = _in_units(inputs, scaled), _in_units(expected, scaled)
        remarks += [
            f"{key} is as the Problem has it, scaled; units={{{key!r}: …}} would give it the units of a key of the data"
            for key in (*inputs, *expected)
            if any(each.scale for each in coverage.values()) and like[key] not in coverage
        ]
        forget_values(whole)
        program = _traced(module, given, node)
        with TemporaryDirectory(dir=target.parent, prefix=".nmlab-export-") as folder:
            aside = Path(folder) / target.name
            title = f"{'All nodes' if node is None else f'Node {node!r}'} of run {run.id}"
            names = file_format.write(program, aside, (title, list(given), list(wanted)))
            loaded = file_format.load(aside, list(given), names)
            difference = _difference(loaded(given), wanted)
            if not difference <= file_format.tolerance:
                raise RunError(
                    f"{target.name} was not written: loaded again it differs from the Problem by {difference:.2g} on "
                    f"{samples}, more than {file_format.tolerance:g}."
                )
            for written in Path(folder).iterdir():
                os.replace(written, target.parent / written.name)
    shapes = {key: tuple(value.shape[1:]) for key, value in given.items()}
    return Exported(target, shapes, tuple(names), difference, samples, tuple(remarks))


def _nodes(problem: Problem) -> dict[str, Any]:
    """Return the nodes of a Problem, and those within its Systems, by name."""
    found: dict[str, Any] = {}
    for node in problem.nodes:
        found[str(node.name)] = node
        found |= {str(inner.name): inner for inner in getattr(node, "nodes", [])}
    return found


def _samples(
    run: Run, problem: Problem, coverage: Mapping[str, KeyCoverage], data: Any
) -> tuple[dict[str, torch.Tensor], str, list[str]]:
    """Return inputs of the Problem for the comparison, and in words what they are."""
    try:
        splits = splits_for(run, data)
    except RunError:
        if data is not None or not coverage:
            raise
        generator = np.random.default_rng(0)
        batch = {}
        for key, each in coverage.items():
            low, high = np.array(each.low), np.array(each.high)
            values = low + (high - low) * generator.random((SAMPLES, *each.shape))
            batch[key] = torch.from_numpy(values).to(dtype_of(run, problem, each))
        return batch, f"{SAMPLES} random samples within the ranges of train", []
    name, dataset = list(splits.items())[-1]
    batch = {key: value for key, value in first_batch(dataset, SAMPLES).items() if isinstance(value, torch.Tensor)}
    count = len(batch.pop("index"))
    if count == 1:  # torch.export would take a single sample for the only number of them
        batch = {key: torch.cat([value, value]) for key, value in batch.items()}
    converted = {key: value.detach().to(dtype_of(run, problem, coverage.get(key))) for key, value in batch.items()}
    return converted, f"{count} samples of {name}", []


def _seen(
    problem: Problem, node: Any, batch: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return inputs and outputs of a node, at its first call, or of the whole Problem."""
    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []

    def look(module: Any, given: tuple[Any, ...], found: Any) -> None:
        named = {node.name: found} if isinstance(found, torch.Tensor) else found
        inputs = {key: given[0][key].clone() for key in module.input_keys if key in given[0]}
        seen.append((inputs, {key: named[key].clone() for key in gives(module) if key in named}))

    hook = None if node is None else node.register_forward_hook(look)
    try:
        with torch.set_grad_enabled(bool(problem.grad_inference)):
            values = problem.step({**batch, "name": "export", "epoch": 0})
    except Exception as error:
        raise DataError([where_it_failed(problem, dict(batch), error)], subject="This cannot be exported") from error
    finally:
        if hook is not None:
            hook.remove()
    if node is not None:
        if not seen:
            raise RunError(f"Node {node.name!r} cannot be exported: the Problem never calls it.")
        return seen[0]
    inputs = dict(batch)
    for key in [key for key in batch if key not in needed_by_nodes(problem)]:  # targets, or what an init_func reads
        with suppress(Exception), torch.set_grad_enabled(bool(problem.grad_inference)):
            problem.step({**{name: value for name, value in inputs.items() if name != key}, "name": "export"})
            del inputs[key]
    keys = dict.fromkeys(key for each in problem.nodes for key in gives(each) if key in values)
    return inputs, {key: values[key].detach() for key in keys}


def _in_units(values: Mapping[str, torch.Tensor], scaled: Mapping[str, KeyCoverage]) -> dict[str, torch.Tensor]:
    return {
        key: torch.from_numpy(scaled[key].to_units(value.detach().double().numpy()))
        if key in scaled
        else value.detach()
        for key, value in values.items()
    }


def _traced(module: Exportable, inputs: dict[str, torch.Tensor], node: str | None) -> Any:
    shapes = {"inputs": {key: {0: torch.export.Dim("samples")} for key in inputs}}
    errors: list[Exception] = []
    for as_numbers in (True, False):
        try:
            with warnings.catch_warnings(), _numbers(module) if as_numbers else nullcontext():
                warnings.simplefilter("ignore")  # about torch's own ways
                return torch.export.export(module, (inputs,), dynamic_shapes=shapes)
        except Exception as error:  # of many kinds, by what is in the node
            errors.append(error)
    what = "The Problem" if node is None else f"Node {node!r}"
    reason = " ".join([line for line in str(errors[-1]).splitlines() if line.strip()][:3]) or type(errors[-1]).__name__
    raise RunError(f"{what} cannot be exported, as torch.export cannot trace it: {reason}") from errors[-1]


@contextmanager
def _numbers(whole: torch.nn.Module) -> Iterator[None]:
    """Have Python numbers in place of parameters that are single numbers, for a block.

    NeuroMANCER's SoftExponential, the activation of its networks by default, chooses its formula by such a parameter,
    which torch.export cannot trace. An export has fixed weights, so that the choice is fixed too.
    """
    changed = []
    for module in whole.modules():
        own = dict(module.named_parameters(recurse=False))
        if any(parameter.ndim == 0 for parameter in own.values()):
            changed.append((module, own))
            for name, parameter in own.items():
                if parameter.ndim == 0:
                    delattr(module, name)
                    setattr(module, name, parameter.item())
    try:
        yield
    finally:
        for module, own in changed:  # all of them, for their order
            for name in own:
                delattr(module, name)
            for name, parameter in own.items():
                module.register_parameter(name, parameter)


def _difference(found: Mapping[str, np.ndarray], wanted: Mapping[str, torch.Tensor]) -> float:
    """Return the largest difference, relative to the outputs where these are above 1; infinite for other shapes."""
    largest = 0.0
    for value, (_, expected) in zip(found.values(), wanted.items(), strict=True):
        reference = expected.detach().cpu().double().numpy()
        if value.shape != reference.shape:
            return float("inf")
        size = max(1.0, float(np.abs(reference).max(initial=0.0)))
        largest = max(largest, float(np.abs(value - reference).max(initial=0.0)) / size)
    return largest
