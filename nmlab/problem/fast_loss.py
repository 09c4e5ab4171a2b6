"""A Problem's loss and terms, computed directly from the outputs of its nodes.

NeuroMANCER traverses the expression of each term in every call: it looks up the arguments of each operation in a
networkx graph, stores each intermediate value under its own key, and collects constraints in tensors that only some
losses use. On small problems this is most of a step. Here the expressions are read once, as lists of operations. The
same operations are applied to the same values in the same order, so that losses and gradients are bitwise the same.

This repeats what another package does, which may change. So each Problem is evaluated both ways once, before a fit or
on its first batch, and where values or gradients differ the Problem itself is called from then on.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

import torch
from neuromancer.constraint import Constraint, Objective, Variable
from neuromancer.loss import PenaltyLoss
from neuromancer.problem import Problem

from nmlab.problem.same_bits import difference

Values = list[Any]


def _lambdas_of(member: Any) -> Iterator[CodeType]:
    """Yield the code of the lambdas that a method or property of Variable creates."""
    function = member.fget if isinstance(member, property) else member
    constants = getattr(getattr(function, "__code__", None), "co_consts", ())
    yield from (code for code in constants if isinstance(code, CodeType) and code.co_name == "<lambda>")


_CONSTANT = frozenset(_lambdas_of(Variable.make_graph))
"""Functions that an expression has for a plain number."""

_OPERATORS = frozenset(code for member in vars(Variable).values() for code in _lambdas_of(member)) - _CONSTANT
"""NeuroMANCER's own +, -, [], …, which are deterministic."""


@dataclass(frozen=True)
class _Step:
    """One operation of an expression: the index of its result, and those of its arguments."""

    variable: Variable
    made: int
    taken: tuple[int, ...]
    same: int | None
    """Index of the result of the same operation in another term, which is used if it needs no gradient."""


@dataclass(frozen=True)
class _Expression:
    """The operations of one Variable, and its value."""

    steps: list[_Step]
    value: int

    def of(self, values: Values) -> Any:
        """Return the value of the expression, and store its intermediate values in `values`."""
        for step in self.steps:
            if step.same is not None and not getattr(values[step.same], "requires_grad", False):
                values[step.made] = values[step.same]
            else:
                values[step.made] = step.variable._func(*[values[number] for number in step.taken])
        return values[self.value]


Term = tuple[Objective | Constraint, tuple[_Expression, ...]]
"""A term and its expressions; NeuroMANCER accepts a constraint as an objective too."""


@dataclass(frozen=True)
class _Program:
    """All terms of a Problem, as expressions over one list of values."""

    objectives: list[Term]
    constraints: list[Term]
    inputs: list[tuple[int, str]]
    """Index and key of the values that come from the nodes or the data."""
    held: list[tuple[int, Variable]]
    """Index of the values that a Variable holds itself: trained values and tensors."""
    start: Values
    """List of values with the plain numbers filled in."""

    def of(self, problem: Problem, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what `problem(batch)` would, without the intermediate values."""
        output = self.loss(problem.step(batch))
        name = batch["name"]
        return {f"{name}_{key}": value for key, value in output.items()}

    def loss(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the loss and all terms, with the keys of NeuroMANCER's PenaltyLoss."""
        values = self.start.copy()
        for number, key in self.inputs:
            values[number] = data[key]
        for number, variable in self.held:
            values[number] = variable._value
        output: dict[str, Any] = {}
        output["objective_loss"] = objectives = self._total(self.objectives, values, output)
        output["penalty_loss"] = penalties = self._total(self.constraints, values, output)
        output["loss"] = _sum(objectives, penalties)
        return output

    def _total(self, terms: list[Term], values: Values, output: dict[str, Any]) -> Any:
        """Store the weighted terms in `output` and return their sum."""
        total: Any = 0.0
        for term, expressions in terms:
            if len(expressions) == 1:
                value = _weighted(term.weight, term.metric(expressions[0].of(values)))
            else:
                sides = [_tensor(side.of(values)) for side in expressions]
                value, distance, violation = term.comparator(*sides)
                value = _weighted(term.weight, value)
                output[term.output_keys[1]], output[term.output_keys[2]] = distance, violation
            output[term.output_keys[0]] = value
            total = _sum(total, value)
        return total


# Operations without effect, which would take time, as would their gradients, are left out.


def _weighted(weight: Any, value: Any) -> Any:
    return value if type(weight) is float and weight == 1.0 else weight * value


def _sum(one: Any, other: Any) -> Any:
    return one if type(other) is float else other if type(one) is float else one + other


def _tensor(value: Any) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.tensor(value)


@dataclass(frozen=True)
class _Verdict:
    """What a comparison found."""

    signature: list[Any]
    program: _Program
    """The one compared; as long as it lives, nothing else has the identities in the signature."""
    differs: str | None
    """The first value that was not the Problem's own, in words; None where all were."""


_verdicts: weakref.WeakKeyDictionary[Problem, _Verdict] = weakref.WeakKeyDictionary()
"""By Problem, so that each is compared once a process."""

NOT_OWN = (
    "The loss is evaluated by the Problem itself, which takes longer on small networks: not all of it is NeuroMANCER's "
    "own PenaltyLoss, Objective, Constraint and Variable."
)
DIFFERS = (
    "nmlab's fast evaluation of the loss gives another value than the Problem itself, for {}. The Problem itself is "
    "used, which takes longer on small networks. Please report this, with the version of NeuroMANCER."
)


class FastProblem:
    """Callable that returns the loss and terms of a Problem as `problem(batch)` does, without intermediate values.

    The Problem itself is called if a part is not NeuroMANCER's own: another loss, a term or Problem with another
    forward, a module with hooks; and if the comparison has shown that its values differ.

    Parameters
    ----------
    problem : neuromancer.problem.Problem
        The Problem.
    tell : callable
        Called with a text when the Problem itself is used, and whether that is a fault.
    """

    def __init__(self, problem: Problem, tell: Callable[[str, bool], object] = lambda _text, _fault: None) -> None:
        self._problem = problem
        self._tell = tell
        self._signature: list[Any] | None = []
        self._program: _Program | None = None
        self._untried: _Program | None = None

    def look(self) -> None:
        """Read the Problem's terms again if they have changed."""
        signature = _signature(self._problem)
        if signature == self._signature:
            return
        self._signature = signature
        self._program = self._untried = None
        verdict = _verdicts.get(self._problem)
        if signature is not None and verdict is not None and verdict.signature == signature:
            self._heed(verdict)
        elif signature is None or (program := _read(self._problem)) is None:
            self._tell(NOT_OWN, False)
        else:
            self._untried = program

    def compare(self, batch: dict[str, Any]) -> None:
        """Evaluate a batch both ways, unless that was done for this Problem as it is."""
        self.look()
        if (program := self._untried) is not None and self._signature is not None:
            evaluated = functools.partial(program.of, self._problem)
            verdict = _Verdict(self._signature, program, difference(self._problem, evaluated, batch))
            _verdicts[self._problem] = verdict
            self._untried = None
            self._heed(verdict)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the loss and terms of a batch, with the keys of the Problem's output."""
        if self._program is None:
            if self._untried is None:
                return self._problem(batch)  # type: ignore[no-any-return]
            self.compare(batch)  # nobody has before, or it was changed since
            return self(batch)
        return self._program.of(self._problem, batch)

    def _heed(self, verdict: _Verdict) -> None:
        if verdict.differs is None:
            self._program = verdict.program
        else:
            self._tell(DIFFERS.format(verdict.differs), True)


def _signature(problem: Problem) -> list[Any] | None:
    """Return the identities of all objects that define a program; None if the Problem itself must be called."""
    loss = problem.loss
    terms = [*loss.objectives, *loss.constraints] if type(loss) is PenaltyLoss else []
    if not terms or type(problem).forward is not Problem.forward or not _plain(problem) or not _plain(loss):
        return None
    signature: list[Any] = [id(loss)]
    for term in terms:
        if type(term) not in (Objective, Constraint) or not _plain(term):
            return None
        signature.append(id(term))
        for root in _roots(term):
            if type(root) is not Variable:
                return None
            taken_by = root._g._pred  # which its property `pred` wraps at every access
            for variable in (*root.ordered_nodes, root):
                if type(variable) is not Variable or not _plain(variable):
                    return None
                signature += id(variable), id(variable._func), variable._key, *map(id, taken_by[variable])
    return signature


def _roots(term: Objective | Constraint) -> tuple[Variable, ...]:
    return (term.var,) if isinstance(term, Objective) else (term.left, term.right)


def _plain(module: torch.nn.Module) -> bool:
    """Return whether calling a module only calls the forward of its class."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
        or module._compiled_call_impl is not None
    )


def _read(problem: Problem) -> _Program | None:
    """Return the program of a Problem's terms; None if a term reads what another one writes."""
    loss = problem.loss
    reader = _Reader()
    objectives, constraints = (
        [(term, tuple(reader.expression(root) for root in _roots(term))) for term in group]
        for group in (loss.objectives, loss.constraints)
    )
    program = _Program(
        objectives=objectives,
        constraints=constraints,
        inputs=reader.inputs,
        held=reader.held,
        start=reader.values,
    )
    written = reader.written | {key for term in loss.objectives for key in term.output_keys} | {"objective_loss"}
    return None if written & {key for _, key in reader.inputs} else program


class _Reader:
    """Assigns an index to each value of the expressions."""

    def __init__(self) -> None:
        self.values: Values = []
        self.inputs: list[tuple[int, str]] = []
        self.held: list[tuple[int, Variable]] = []
        self.written: set[str] = set()
        """Keys under which NeuroMANCER stores intermediate values."""
        self._known: dict[str | int, int] = {}
        self._firsts: dict[int, tuple[int, list[int]]] = {}

    def expression(self, root: Variable) -> _Expression:
        """Return the expression of a Variable, with the operations in NeuroMANCER's order."""
        numbers: dict[int, int] = {}
        steps = []
        for variable in (*root.ordered_nodes, root):
            number = self._source(variable)
            if number is None:
                number = self._number()
                taken = list(root._g.pred[variable])
                same, others = self._firsts.setdefault(id(variable), (number, [id(one) for one in taken]))
                shared = same != number and _is_operator(variable) and others == [id(one) for one in taken]
                numbers_taken = tuple(numbers[id(one)] for one in taken)
                steps.append(_Step(variable, number, numbers_taken, same if shared else None))
            if not variable._is_input:
                self.written.add(variable.key)
            numbers[id(variable)] = number
        return _Expression(steps, numbers[id(root)])

    def _source(self, variable: Variable) -> int | None:
        """Return the index of a value that is not the result of an operation; None for a result."""
        function: Callable[..., Any] | None = variable._func
        made = not variable._is_input and function is not None
        constant = isinstance(function, functools.partial) and getattr(function.func, "__code__", None) in _CONSTANT
        if made and not constant:
            return None
        known = variable._key if variable._is_input else id(variable)
        if known not in self._known:
            self._known[known] = number = self._number(function.args[0] if made else None)  # type: ignore[union-attr]
            if variable._is_input:
                self.inputs.append((number, variable._key))
            elif not made:
                self.held.append((number, variable))
        return self._known[known]

    def _number(self, value: Any = None) -> int:
        self.values.append(value)
        return len(self.values) - 1


def _is_operator(variable: Variable) -> bool:
    return getattr(variable._func, "__code__", None) in _OPERATORS
