"""The System of a Problem as a closed or open loop: its states, its inputs, and nodes replaced by functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from neuromancer.problem import Problem
from neuromancer.system import MovingHorizon

from nmlab.data.coverage import KeyCoverage
from nmlab.errors import FieldError, RunError
from nmlab.fields.field import unknown_name

Function = Callable[..., Any]


class Loop:
    """The System of a Problem: what it steps, what it reads, and which of its nodes are the plant.

    Raises
    ------
    RunError
        If the Problem does not have exactly one System.
    """

    def __init__(self, problem: Problem, coverage: Mapping[str, KeyCoverage]) -> None:
        systems = [node for node in problem.nodes if hasattr(node, "nstep_key") and hasattr(node, "nodes")]
        if len(systems) != 1:
            names = ", ".join(str(system.name) for system in systems) or "none"
            raise RunError(f"A rollout needs a Problem with one System; this one has: {names}.")
        self.system = systems[0]
        fresh: set[str] = set()
        early: dict[str, None] = {}
        for node in self.system.nodes:
            early |= dict.fromkeys(key for key in node.input_keys if key not in fresh)
            fresh |= set(node.output_keys)
        self.states = [key for key in early if key in fresh]
        """Keys that one step hands to the next."""
        self.reads = [key for key in early if key not in fresh]
        """Keys that the steps read from the data."""
        self.plant = [node for node in self.system.nodes if set(node.output_keys) & set(self.states)]
        others = [node for node in self.system.nodes if node not in self.plant]
        self.controllers = others or self.plant
        """The nodes that another controller replaces; where there is none beside the plant, the plant itself."""
        horizon = coverage.get(self.system.nstep_key)
        steps = self.system.nsteps
        if steps is None and horizon is not None and len(horizon.shape) > 1:
            steps = horizon.shape[0]
        self.steps: int | None = None if steps is None else int(steps)
        """Number of steps in the training, if it is known."""

    def functions(self, what: str, given: Any, nodes: list[Any]) -> dict[str, Function]:
        """Return functions by the name of the node that each replaces; raises `FieldError`."""
        names = [str(node.name) for node in nodes]
        if callable(given):
            if len(nodes) != 1:
                raise FieldError({what: f"give the nodes that it replaces by name, as in {{{names[0]!r}: …}}"})
            return {names[0]: given}
        if not isinstance(given, Mapping):
            raise FieldError({what: f"a {type(given).__name__} is neither a function nor functions by node"})
        every = [str(node.name) for node in self.system.nodes]
        faults = {f"{what}[{name!r}]": unknown_name(name, every) for name in given if name not in every}
        faults |= {f"{what}[{name!r}]": "it is no function" for name, each in given.items() if not callable(each)}
        if faults:
            raise FieldError(faults)
        return dict(given)

    @contextmanager
    def replaced(self, functions: Mapping[str, Function], steps: int, starts: bool) -> Iterator[None]:
        """Let the System take so many steps with other nodes for a block; `starts`, whether its states are given."""
        nodes = list(self.system.nodes)
        before = self.system.nsteps
        init = vars(self.system).get("init")
        try:
            for index, node in enumerate(nodes):
                if str(node.name) in functions:
                    self.system.nodes[index] = _Stand(node, functions[str(node.name)])
            for module in self.system.modules():
                if isinstance(module, MovingHorizon):  # it goes on with what the training left in it
                    module.history = {key: [] for key in module.input_keys}
            self.system.nsteps = steps
            if starts:
                self.system.init = lambda data: data
            yield
        finally:
            for index, node in enumerate(nodes):
                self.system.nodes[index] = node
            self.system.nsteps = before
            if starts and init is None:
                del self.system.init
            elif starts:
                self.system.init = init


class _Stand(torch.nn.Module):
    """A function in the place of a node."""

    def __init__(self, node: Any, function: Function) -> None:
        super().__init__()
        self.input_keys, self.output_keys, self.name = list(node.input_keys), list(node.output_keys), node.name
        self._function, self._step = function, 0
        self._takes_step = "step" in _parameters(function) and "step" not in self.input_keys

    def forward(self, data: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        values = [data[key] for key in self.input_keys]
        more = {"step": self._step} if self._takes_step else {}
        self._step += 1
        given = self._function(*values, **more)
        if isinstance(given, Mapping):
            given = [given[key] for key in self.output_keys]
        parts = list(given) if isinstance(given, (tuple, list)) and len(self.output_keys) > 1 else [given]
        if len(parts) != len(self.output_keys):
            raise ValueError(f"it gave {len(parts)} values for {', '.join(self.output_keys)}")
        like, samples = values[0], len(values[0])
        found = {}
        for key, part in zip(self.output_keys, parts, strict=True):
            tensor = torch.as_tensor(part, dtype=like.dtype, device=like.device)
            if tensor.ndim != 2 or len(tensor) != samples:
                shape = "×".join(map(str, tensor.shape)) or "of a single number"
                raise ValueError(f"{key} has shape {shape}; give {samples}×columns, a row for each sample")
            found[key] = tensor
        return found


def _parameters(function: Function) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
