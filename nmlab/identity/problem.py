"""What determines a Problem's loss as a function of its trained weights and a batch."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterable
from typing import Any

import torch
from neuromancer.constraint import Constraint, Loss, Objective, Variable
from neuromancer.loss import AggregateLoss, AugmentedLagrangeLoss, BarrierLoss
from neuromancer.problem import Problem
from neuromancer.system import MovingHorizon, Node, System
from torch import nn

from nmlab.identity.differences import FORMULA, STEP, WEIGHT, Identity, inside
from nmlab.identity.reader import Reader
from nmlab.identity.texts import shortened
from nmlab.problem.formulas import expression_of
from nmlab.problem.term_weights import given_weight
from nmlab.problem.terms import steady, terms_of

_WITH_STATISTICS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)

_DERIVED: tuple[tuple[type, frozenset[str]], ...] = (
    (Problem, frozenset({"input_keys", "output_keys", "problem_graph", "check_overwrite", "nodes", "loss"})),
    (System, frozenset({"input_keys", "output_keys", "system_graph", "nodes", "name"})),
    (Node, frozenset({"input_keys", "output_keys", "name", "callable"})),
    (MovingHorizon, frozenset({"history"})),
    (AggregateLoss, frozenset({"input_keys", "output_keys", "objectives", "constraints"})),
    (AugmentedLagrangeLoss, frozenset({"lm", "mu", "penalty_best", "init"})),
    (BarrierLoss, frozenset({"barriers", "barrier"})),
    (Objective, frozenset({"input_keys", "output_keys", "name", "var", "weight"})),
    (Constraint, frozenset({"input_keys", "output_keys", "name", "key", "left", "right", "weight"})),
    (Loss, frozenset({"output_keys", "name", "weight"})),
    *((kind, frozenset({"running_mean", "running_var", "num_batches_tracked"})) for kind in _WITH_STATISTICS),
)
"""Attributes by class that are read in another way, follow from others, or are what a training changes."""


def identity_of_problem(problem: Problem) -> Identity:
    """Return what determines a Problem's loss as a function of its trained weights and a batch.

    It is the same in every process, and before and after a forward pass or a fit. Not included are the values of
    parameters that are trained, statistics of normalization layers, multipliers of an augmented Lagrangian, what
    modules assign to their own attributes in a forward pass, train or eval mode, gradients and devices. Parameters that
    are not trained (`requires_grad=False`) and all other buffers are included by value.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.

    Returns
    -------
    Identity
        Facts with readable paths; what could not be read is under `not_compared`.
    """
    trained = frozenset(id(parameter) for parameter in problem.parameters() if parameter.requires_grad)
    reader = ProblemReader(trained)
    reader.read(PROBLEM, problem)
    return reader.identity()


class ProblemReader(Reader):
    """Reads NeuroMANCER's modules too: by what they compute, and with the names of nodes and terms in the paths."""

    def read_module(self, path: str, module: torch.nn.Module) -> None:
        """Read a module as its class asks for."""
        skip = _skipped(module)
        if isinstance(module, Node):
            _read_node(self, path, module, skip)
        elif isinstance(module, AggregateLoss):
            _read_loss(self, path, module, skip)
        elif isinstance(module, Variable):
            self.note(path, _expression(self, path, module))
        else:
            self.module(path, module, skip)
        if isinstance(module, Problem):
            _read_nodes(self, path, "" if path == PROBLEM else f"{path}.", module.nodes)
            self.read("loss" if path == PROBLEM else inside(path, "loss"), module.loss)
        elif isinstance(module, System):
            _read_nodes(self, path, f"{path}.", module.nodes)


PROBLEM = "Problem"
"""The subject of a Problem's own settings."""


def _skipped(module: Any) -> frozenset[str]:
    return frozenset().union(*(names for kind, names in _DERIVED if isinstance(module, kind)))


def _read_nodes(reader: ProblemReader, path: str, prefix: str, nodes: Iterable[Any]) -> None:
    names: list[str] = []
    for node in nodes:
        name = f"{prefix}{_clean(getattr(node, 'name', None) or type(node).__name__)}"
        while name in names:
            name += "'"
        names.append(name)
        reader.read(name, node)
    reader.note(inside(path, "nodes"), shortened(", ".join(name.removeprefix(prefix) for name in names)))


def _read_node(reader: ProblemReader, path: str, node: Node, skip: frozenset[str]) -> None:
    if type(node) is not Node:
        reader.module(inside(path, "node"), node, skip)
    for name in ("input_keys", "output_keys"):
        reader.note(inside(path, name.replace("_", " ")), ", ".join(map(str, getattr(node, name))))
    reader.read(path, node.callable)


def _read_loss(reader: ProblemReader, path: str, loss: AggregateLoss, skip: frozenset[str]) -> None:
    reader.module(path, loss, skip)
    if isinstance(loss, BarrierLoss):
        names = [name for name, function in loss.barriers.items() if function is loss.barrier]
        reader.read(inside(path, "barrier"), names[0] if names else loss.barrier)
    terms = [*loss.objectives, *loss.constraints]
    names = [term.name for term in terms_of(types.SimpleNamespace(loss=loss))]
    for number, (term, name) in enumerate(zip(terms, names, strict=True)):
        kind = "objective" if number < len(loss.objectives) else "constraint"
        _read_term(reader, f"{kind} `{_clean(name)}`", term)


def _read_term(reader: ProblemReader, path: str, term: Any) -> None:
    weight = given_weight(term)
    if isinstance(weight, (int, float)) and not isinstance(weight, bool):
        reader.note(inside(path, WEIGHT), f"{float(weight)!r}".removesuffix(".0"))
    else:
        reader.read(inside(path, WEIGHT), weight)
    reader.module(path, term, _skipped(term) | {"weight", "name"})
    if isinstance(term, (Objective, Constraint)):
        sides = [term.var] if isinstance(term, Objective) else [term.left, term.right]
        exact = " | ".join(_expression(reader, path, side) for side in sides)
        digest = hashlib.sha256(exact.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        reader.note(inside(path, FORMULA), f"{shortened(steady(expression_of(term)), 200)} #{digest}")


def _expression(reader: ProblemReader, path: str, variable: Variable) -> str:
    """Return the operations of an expression, in order, with exact numbers; what is no short text becomes facts."""
    order = [*variable.ordered_nodes, variable]
    numbers = {id(each): number for number, each in enumerate(order)}
    texts = []
    for each in order:
        if each._is_input:
            texts.append(f"input {each._key!r}")
            continue
        value = each._value if each._func is None else each._func
        text = None if isinstance(value, torch.Tensor) and value.numel() > 1 else _exact(reader, value)
        if text is None:
            name = getattr(value, "__name__", "constant" if each._func is None else type(value).__name__)
            place = inside(path, f"{STEP}{len(texts) + 1} {name}")
            reader.read(place, value)
            text = "…"
        taken = [str(numbers[id(argument)]) for argument in variable._g.pred[each]]
        texts.append(f"{text} of {', '.join(taken)}" if taken else text)
    return "; ".join(texts)


def _exact(reader: ProblemReader, value: Any) -> str | None:
    if isinstance(value, torch.Tensor):
        trained = reader.trained is not None and id(value) in reader.trained
        return f"trained {tuple(value.shape)}" if trained else repr(value.detach().cpu().tolist())
    return reader.text(value)


def _clean(name: Any) -> str:
    """Return a name that can be part of a path."""
    return steady(str(name)).replace(": ", ":")
