"""A Problem as a graph of its parts and the variables that pass between them, as plain data.

NeuroMANCER calls the nodes of a Problem one after the other; each reads the latest values of its input keys. A System
repeats this for each step, so that outputs of its nodes become inputs of the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from neuromancer.problem import Problem
from torch import nn
from torch.nn.parameter import is_lazy

from nmlab.problem.terms import named_terms

Kind = Literal["data", "node", "system", "objective", "constraint"]


@dataclass(frozen=True)
class Part:
    """A part of a Problem."""

    name: str
    kind: Kind
    what: str
    """For a node the kind of its callable, such as 'MLP 2→20→20→2'; for a System its steps; otherwise ''."""
    parameters: int
    """Number of trainable parameters; for a System those of its nodes."""
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    inside: int | None = None
    """Index of the System to which a node belongs."""
    weight: float | None = None
    """Weight of a term in the loss; None if it is not a single number."""


@dataclass(frozen=True)
class Edge:
    """A variable that passes from one part to another; `source` and `target` are indices of parts, not of Systems."""

    source: int
    target: int
    variable: str
    again: bool = False
    """Whether it is an input of the next step of a System."""


@dataclass(frozen=True)
class ProblemGraph:
    """The parts of a Problem (first the data, then the nodes in the order of calls, then the terms) and their edges."""

    parts: tuple[Part, ...]
    edges: tuple[Edge, ...]
    loss: str
    """Class that combines the terms, such as 'PenaltyLoss'."""


def graph_of(problem: Problem) -> ProblemGraph:
    """Return `problem` as a graph."""
    found = _Found()
    given, _ = found.walk(problem.nodes, {}, None)
    for known, term in named_terms(problem):
        kind: Kind = "objective" if known.violation_key is None else "constraint"
        number = term.weight.detach() if isinstance(term.weight, torch.Tensor) else term.weight
        weight = float(number) if getattr(number, "ndim", 0) == 0 else None
        reads = tuple(dict.fromkeys(term.input_keys))
        found.add(Part(known.name, kind, "", _count(term), reads, (), weight=weight), given)
    data = Part("data", "data", "", 0, (), tuple(dict.fromkeys(e.variable for e in found.edges if e.source == 0)))
    return ProblemGraph((data, *found.parts[1:]), tuple(found.edges), type(problem.loss).__name__)


def keys_from_data(problem: Problem) -> list[str]:
    """Return the keys that a Problem must get from its data.

    What nodes of a System with an `init_func` read is left out, as that function may make it.
    """
    graph = graph_of(problem)

    def may_be_made(edge: Edge) -> bool:
        inside = graph.parts[edge.target].inside
        return inside is not None and "init_func" in graph.parts[inside].what

    read = [edge.variable for edge in graph.edges if edge.source == 0 and not may_be_made(edge)]
    return list(dict.fromkeys(read))


@dataclass
class _Found:
    """The parts and edges that are found while traversing a Problem."""

    parts: list[Part] = field(default_factory=lambda: [Part("data", "data", "", 0, (), ())])
    edges: list[Edge] = field(default_factory=list)

    def add(self, part: Part, given: dict[str, int]) -> int:
        """Add a part with edges from the parts that give its variables, or from the data; return its index."""
        index = len(self.parts)
        self.parts.append(part)
        if part.kind != "system":
            self.edges += [Edge(given.get(name, 0), index, name) for name in part.reads]
        return index

    def walk(
        self, nodes: Iterable[Any], given: dict[str, int], inside: int | None
    ) -> tuple[dict[str, int], list[tuple[str, int]]]:
        """Add nodes in the order in which they are called.

        Parameters
        ----------
        nodes : iterable
            The nodes.
        given : dict of str to int
            Index of the part that gives each variable before these nodes.
        inside : int or None
            Index of the System to which the nodes belong.

        Returns
        -------
        given : dict of str to int
            Index of the part that gives each variable after these nodes.
        early : list of (str, int)
            Variables that were read before one of these nodes gave them, each with the index of its reader.
        """
        given, fresh, early = dict(given), set[str](), list[tuple[str, int]]()
        for node in nodes:
            reads, gives = _keys(node, "input_keys"), _keys(node, "output_keys")
            name = str(getattr(node, "name", None) or type(node).__name__)
            steps = _steps(node)
            if steps is None:
                what = describe_callable(getattr(node, "callable", getattr(node, "module", node)))
                index = self.add(Part(name, "node", what, _count(node), reads, gives, inside), given)
                early += [(variable, index) for variable in reads if variable not in fresh]
                given |= dict.fromkeys(gives, index)
            else:
                index = self.add(Part(name, "system", steps, _count(node), reads, gives, inside), given)
                given, within = self.walk(node.nodes, given, index)
                back = [(variable, at) for variable, at in within if variable in gives]
                self.edges += [Edge(given[variable], at, variable, again=True) for variable, at in back]
                early += [(variable, at) for variable, at in within if variable not in fresh]
            fresh |= set(gives)
        return given, early


def _keys(node: Any, which: str) -> tuple[str, ...]:
    """Return the keys of a node in order; those of a System, which has no order, in the order of its nodes."""
    keys = getattr(node, which)
    if _steps(node) is not None:
        keys = [key for inner in node.nodes for key in _keys(inner, which) if key in keys]
    return tuple(dict.fromkeys(keys))


def describe_callable(called: Callable[..., Any]) -> str:
    """Return a short description of a node's callable: 'MLP 2→20→20→2', 'RK4 of MLP 2→8→2', 'function step'."""
    if isinstance(called, partial):
        return describe_callable(called.func)
    if not isinstance(called, nn.Module):
        name = getattr(called, "__name__", type(called).__name__)
        return "function" if name == "<lambda>" else f"function {name}"
    kind = type(called).__name__
    block = getattr(called, "block", None)
    if isinstance(block, nn.Module):  # NeuroMANCER's integrators
        return f"{kind} of {describe_callable(block)}"
    layers = list(_layers(called))
    chained = all(before[1] == after[0] for before, after in pairwise(layers))
    sizes = [layers[0][0], *(out for _, out in layers)] if layers and chained else []
    return f"{kind} {'→'.join(map(str, sizes))}".rstrip()


def _layers(module: nn.Module) -> Iterator[tuple[int, int]]:
    """Yield the input and output sizes of the innermost modules that have them, in order."""
    inner = [sizes for child in module.children() for sizes in _layers(child)]
    own = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if inner:
        yield from inner
    elif isinstance(own[0], int) and isinstance(own[1], int):
        yield own[0], own[1]


def _steps(node: Any) -> str | None:
    """Return a short description of a System's steps; None for a node that is not a System."""
    if not isinstance(getattr(node, "nodes", None), nn.ModuleList) or not hasattr(node, "nstep_key"):
        return None
    count = getattr(node, "nsteps", None)
    steps = f"steps as in {node.nstep_key}" if count is None else f"{count} step{'' if count == 1 else 's'}"
    return f"{steps}, init_func" if "init" in vars(node) else steps


def _count(module: Any) -> int:
    """Return the number of trainable parameters of a module, without those whose size is not known yet."""
    trained = (parameter for parameter in module.parameters() if parameter.requires_grad)
    return sum(parameter.numel() for parameter in trained if not is_lazy(parameter))
