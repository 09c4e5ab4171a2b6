"""A Problem's loss and terms straight from its nodes' outputs.

NeuroMANCER walks each term's expression anew at every call: a networkx graph is asked for what every operation takes,
every intermediate value is kept under a key of its own, and constraints are gathered into tensors that only some losses
read. On small problems that is most of a step. Here the expressions are read once, as lists of operations; the same
operations on the same values in the same order, so that losses and gradients are the same to the last bit.

That repeats what another package does, which may do otherwise some day. So each Problem is evaluated both ways once,
before a fit or on its first batch, and where values or gradients differ the Problem itself is called from then on.
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
    """Yield the code of the lambdas that a method or property of Variable makes."""
    function = member.fget if isinstance(member, property) else member
    constants = getattr(getattr(function, "__code__", None), "co_consts", ())
    yield from (code for code in constants if isinstance(code, CodeType) and code.co_name == "<lambda>")


_CONSTANT = frozenset(_lambdas_of(Variable.make_graph))
"""What an expression holds for a plain number."""

_OPERATORS = frozenset(code for member in vars(Variable).values() for code in _lambdas_of(member)) - _CONSTANT
"""NeuroMANCER's own +, -, [], …: called twice on the same values, they give the same twice."""


@dataclass(frozen=True)
class _Step:
    """One operation of an expression: which value it makes, of which others."""

    variable: Variable
    made: int
    taken: tuple[int, ...]
    same: int | None
    """The value of the same operation in another term, which stands for this one where no gradient flows."""


@dataclass(frozen=True)
class _Expression:
    """The operations of one Variable, and its value."""

    steps: list[_Step]
    value: int

    def of(self, values: Values) -> Any:
        """Return the expression's value, and leave those that it is made of in `values`."""
        for step in self.steps:
            if step.same is not None and not getattr(values[step.same], "requires_grad", False):
                values[step.made] = values[step.same]
            else:
                values[step.made] = step.variable._func(*[values[number] for number in step.taken])
        return values[self.value]


Term = tuple[Objective | Constraint, tuple[_Expression, ...]]
"""A term and what it compares or measures; NeuroMANCER takes a constraint as objective too."""


@dataclass(frozen=True)
class _Program:
    """All terms of a Problem, as expressions over one list of values."""

    objectives: list[Term]
    constraints: list[Term]
    inputs: list[tuple[int, str]]
    """Which values come from the nodes or the data, and under which key."""
    held: list[tuple[int, Variable]]
    """Which values a Variable holds itself: trained ones and tensors."""
    start: Values
    """The plain numbers in their places."""

    def of(self, problem: Problem, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what `problem(batch)` would, without the intermediate values."""
        output = self.loss(problem.step(batch))
        name = batch["name"]
        return {f"{name}_{key}": value for key, value in output.items()}

    def loss(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the loss and all terms, by the keys of NeuroMANCER's PenaltyLoss."""
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
        """Put the terms into `output`, as weighted in the loss, and return their sum."""
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


# An operation that changes nothing still costs, and its gradient again.


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
    """Calls a Problem for its loss and terms; as `problem(batch)`, without the intermediate values.

    What is not NeuroMANCER's own (a loss of another kind, a term or Problem with another forward, a module with hooks)
    is left to the Problem itself, and so is what has been seen to differ from the Problem's own values.

    Parameters: `problem`; `tell`, called with a text where the Problem itself is used, and whether that is a fault.
    """

    def __init__(self, problem: Problem, tell: Callable[[str, bool], object] = lambda _text, _fault: None) -> None:
        self._problem = problem
        self._tell = tell
        self._signature: list[Any] | None = []
        self._program: _Program | None = None
        self._untried: _Program | None = None

    def look(self) -> None:
        """Read the Problem's terms anew if they have changed."""
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
    """Return what a program was read from, by identity; None where only the Problem itself knows what it does."""
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
            taken_by = root._g._pred  # what its property `pred` wraps at every look
            for variable in (*root.ordered_nodes, root):
                if type(variable) is not Variable or not _plain(variable):
                    return None
                signature += id(variable), id(variable._func), variable._key, *map(id, taken_by[variable])
    return signature


def _roots(term: Objective | Constraint) -> tuple[Variable, ...]:
    return (term.var,) if isinstance(term, Objective) else (term.left, term.right)


def _plain(module: torch.nn.Module) -> bool:
    """Whether calling a module is calling its class's forward and nothing else."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
        or module._compiled_call_impl is not None
    )


def _read(problem: Problem) -> _Program | None:
    """Read a Problem's terms; None where a term reads what another one writes."""
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
    """Gives every value of the expressions its number."""

    def __init__(self) -> None:
        self.values: Values = []
        self.inputs: list[tuple[int, str]] = []
        self.held: list[tuple[int, Variable]] = []
        self.written: set[str] = set()
        """Keys under which NeuroMANCER leaves intermediate values."""
        self._known: dict[str | int, int] = {}
        self._firsts: dict[int, tuple[int, list[int]]] = {}

    def expression(self, root: Variable) -> _Expression:
        """Return the operations of a Variable in NeuroMANCER's order."""
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
        """Return the number of a value that no operation makes; None for one that is made."""
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
