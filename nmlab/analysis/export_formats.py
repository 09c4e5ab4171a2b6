"""The formats of an export: PyTorch's own (.pt2), ONNX (.onnx), and Python source with a file of weights (.py)."""

from __future__ import annotations

import re
import runpy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nmlab.errors import RunError

Loaded = Callable[[Mapping[str, torch.Tensor]], dict[str, np.ndarray]]
About = tuple[str, list[str], list[str]]
"""Title, inputs and outputs of what is exported."""


@dataclass(frozen=True)
class Format:
    """How an exported program is written into a file and read again."""

    check: Callable[[], None]
    """Raises `RunError` where a package is missing."""
    write: Callable[[Any, Path, About], list[str]]
    """Writes the file and returns the names of the outputs in it."""
    load: Callable[[Path, Sequence[str], Sequence[str]], Loaded]
    tolerance: float
    """How far the outputs may be from those of the Problem."""


def _nothing() -> None:
    pass


def _arrays(outputs: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {key: value.detach().cpu().numpy() for key, value in outputs.items()}


# --- torch.export ---


def _write_program(program: Any, path: Path, about: About) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own ways
        torch.export.save(program, path)
    return about[2]


def _load_program(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Loaded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()
    return lambda given: _arrays(module(dict(given)))


# --- Python source ---

_SOURCE = '''\
"""{title}, as plain PyTorch.

`run(inputs)` takes a dict of tensors, with samples along their first axis, and returns a dict of tensors.

    from {module} import run
    outputs = run({{{example}}})

The weights are in {weights}, which must stay beside this file. torch is all that is needed.
"""

from math import inf, nan
from pathlib import Path

import torch
from torch import device

INPUTS = {inputs!r}
OUTPUTS = {outputs!r}

_weights = torch.load(Path(__file__).with_name({weights!r}), weights_only=True)


def run(inputs):
    """Return {gives} for {takes}."""
    if missing := [key for key in INPUTS if key not in inputs]:
        raise KeyError(f"missing: {{', '.join(missing)}}")
{body}
    return dict(zip(OUTPUTS, {returned}))
'''


def _write_source(program: Any, path: Path, about: About) -> list[str]:
    title, inputs, outputs = about
    signature = program.graph_signature
    used = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    weights: dict[str, torch.Tensor] = {}
    lines: list[str] = []
    given = iter(inputs)
    for spec in signature.input_specs:
        name = spec.arg.name
        if spec.kind.name == "USER_INPUT":
            lines.append(f"{name} = inputs[{next(given)!r}]")
        elif name in used:
            held = program.constants if spec.target in program.constants else program.state_dict
            weights[name] = held[spec.target].detach().clone()
            lines.append(f"{name} = _weights[{name!r}]")
    code = [line.strip() for line in program.graph_module.code.splitlines()]
    start = next(index for index, line in enumerate(code) if line.startswith("def forward("))
    steps = [re.sub(r";  .*", "", line) for line in code[start + 1 :] if line]
    *body, last = steps
    if "self." in " ".join(body) or not last.startswith("return ") or len(signature.output_specs) != len(outputs):
        raise RunError(
            f"{title} cannot be written as source: it has parts that torch.export keeps as modules of their own, or "
            "changes buffers. Export it as .pt2."
        )
    stored = path.with_suffix(".weights.pt")
    torch.save(weights, stored)
    text = _SOURCE.format(
        title=title,
        module=path.stem,
        example=", ".join(f'"{key}": …' for key in inputs),
        weights=stored.name,
        inputs=inputs,
        outputs=outputs,
        gives=", ".join(outputs),
        takes=", ".join(inputs),
        body="\n".join(f"    {line}" for line in [*lines, *body]),
        returned=last.removeprefix("return "),
    )
    path.write_text(text, encoding="utf-8")
    return outputs


def _load_source(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Loaded:
    run = runpy.run_path(str(path))["run"]
    return lambda given: _arrays(run(dict(given)))


# --- ONNX ---

_ONNX = ("onnx", "onnxscript", "onnxruntime")


def _check_onnx() -> None:
    if missing := [package for package in _ONNX if find_spec(package) is None]:
        raise RunError(
            f"ONNX needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'nmlab[onnx]'"
        )


def _write_onnx(program: Any, path: Path, about: About) -> list[str]:
    title, inputs, outputs = about
    names = [f"{key}_out" if key in inputs else key for key in outputs]  # all names of a graph differ
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=inputs, output_names=names)
            assert made is not None
            made.save(str(path), external_data=False)
    except Exception as error:  # of many kinds, by what is in the graph
        reason = " ".join(str(error).split())[:400]
        raise RunError(f"{title} cannot be converted to ONNX: {reason}. Export it as .pt2.") from error
    return names


def _load_onnx(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Loaded:
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kept = {each.name for each in session.get_inputs()}  # one that no output depends on is not

    def run(given: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
        arrays = {key: value.numpy() for key, value in given.items() if key in kept}
        return dict(zip(outputs, session.run(list(outputs), arrays), strict=True))

    return run


FORMATS = {
    ".pt2": Format(_nothing, _write_program, _load_program, 1e-6),
    ".onnx": Format(_check_onnx, _write_onnx, _load_onnx, 1e-5),  # in the runtime's own float32
    ".py": Format(_nothing, _write_source, _load_source, 1e-6),
}
