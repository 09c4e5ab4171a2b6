"""A Problem's objectives and constraints as formulas, reconstructed from NeuroMANCER's expressions.

They show what is computed, which is not always what was written: NeuroMANCER 1.5.6 composes expressions as graphs whose
edges may be reordered, so that (y + (x - y)) * 1.0 computes y + (y - x).
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from neuromancer.constraint import Constraint, Objective, Variable
from neuromancer.gradients import gradient

from nmlab.runtime.text import typeset_number

_BINARY = {"+": (1, "+"), "-": (1, "−"), "∗": (2, "·"), "/": (2, "/"), "//": (2, "//"), "mod": (2, "%"), "@": (2, "@")}
"""NeuroMANCER's names of binary operations, with their precedence and sign."""

_POWER, _AFTER = 4, 5  # precedence of a power, and of a suffix such as [0] or .T

_COMPARED = {"lt": "≤", "gt": "≥", "eq": "="}

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def expression_of(term: Any) -> str:
    """Return the formula of a term, without its weight, such as 'mean((1 − x[:, [0]])²)' or 'x ≤ 10'.

    '' for a term that is not an expression of NeuroMANCER's variables.
    """
    if isinstance(term, Objective):
        return f"{_called(term.metric)}({_Formula(term.var).text})"
    if not isinstance(term, Constraint):
        return ""
    sides = [_Formula(side).text for side in (term.left, term.right)]
    sign = _COMPARED.get(str(term.comparator), str(term.comparator))
    return f"{sides[0]} {sign} {sides[1]}" + (", squared" if getattr(term.comparator, "norm", 1) == 2 else "")


def swapped_in(term: Any) -> list[str]:
    """Return where a term computes something other than what was written: 'y − x, where x − y was written'."""
    sides = [term.var] if isinstance(term, Objective) else []
    sides += [term.left, term.right] if isinstance(term, Constraint) else []
    found = []
    for side in sides:
        for part in (*side.ordered_nodes, side):
            if part not in part._g:  # an input that was combined with itself, as in x + x
                continue
            # a part's own graph has the order in which it was written
            written, computed = _Formula(part), _Formula(part, side)
            if written.takes != computed.takes and str(part.display_name) not in ("+", "∗"):
                found.append(f"{computed.text}, where {written.text} was written")
    return found


class _Formula:
    """The formula of one Variable, as computed in the expression `root`, by default the Variable itself."""

    def __init__(self, variable: Variable, root: Variable | None = None) -> None:
        self._graph = (variable if root is None else root)._g
        self.text = self._of(variable)[0]
        self.takes = [id(argument) for argument in self._graph.pred[variable]]
        """Identities of the arguments of the last operation, in order."""

    def _of(self, variable: Variable) -> tuple[str, int]:
        """Return a variable's formula, and the precedence of its last operation."""
        function, name = variable._func, str(variable.display_name)
        if variable._is_input:
            return str(variable._key), 9
        if function is None:
            return _held(variable), 9
        if isinstance(function, functools.partial) and not self._graph.pred[variable] and function.args:
            value = _number(function.args[0])
            return value, 3 if value.startswith("−") else 9
        taken = [self._of(argument) for argument in self._graph.pred[variable]]
        texts = [text for text, _ in taken]
        if name in _BINARY and len(taken) == 2:
            binds, sign = _BINARY[name]
            return f"{_within(taken[0], binds)} {sign} {_within(taken[1], binds + 1)}", binds
        if name == "pow" and len(taken) == 2:
            if texts[1].isdecimal():
                return f"{_within(taken[0], _AFTER)}{texts[1].translate(_SUPERSCRIPT)}", _POWER
            return f"{_within(taken[0], _AFTER)}^{_within(taken[1], _AFTER)}", _POWER
        known = inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}
        if name == "neg" and len(taken) == 1:
            return f"−{_within(taken[0], 3)}", 3
        if name == "slice" and len(taken) == 1 and "key" in known:
            return f"{_within(taken[0], _AFTER)}[{_index(known['key'])}]", 9
        if name in ("T", "mT") and len(taken) == 1:
            return f"{_within(taken[0], _AFTER)}.{name}", 9
        if function is gradient and len(taken) == 2:
            return f"d{_within(taken[0], 9)}/d{_within(taken[1], 9)}", 2
        if known.keys() >= {"func", "non_variable_args", "kwargs"}:  # a function of torch
            others = [_number(value) for value in known["non_variable_args"]]
            texts = [*others, *texts, *(f"{key}={_number(value)}" for key, value in known["kwargs"].items())]
            return f"{_called(known['func'])}({', '.join(texts)})", 9
        shown = name if variable._display_name is not None else _called(function)
        return f"{shown}({', '.join(texts)})", 9


def _within(part: tuple[str, int], binds: int) -> str:
    """Return the formula of a part, in parentheses if the operation around it has a higher precedence."""
    return part[0] if part[1] >= binds else f"({part[0]})"


def _held(variable: Variable) -> str:
    """Return the text of a value that a variable holds itself: a number, or the name of a parameter."""
    value, name = variable._value, variable._display_name
    if isinstance(value, torch.nn.Parameter):
        return str(name or "variable")
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return _number(value.item())
    if isinstance(value, torch.Tensor) and (name is None or str(name).startswith("tensor(") or str(name).isdecimal()):
        return f"tensor {'×'.join(map(str, value.shape))}"  # the name is the value or an id
    return str(name)


def _number(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {'×'.join(map(str, value.shape))}" if value.numel() > 1 else _number(value.item())
    return typeset_number(value, 6) if isinstance(value, float) else str(value).replace("-", "−", 1)


def _called(function: Any) -> str:
    if isinstance(function, functools.partial):
        return _called(function.func)
    name = str(getattr(function, "__name__", type(function).__name__))
    return "f" if name == "<lambda>" else name


def _index(key: Any) -> str:
    """Return the text in the brackets of x[…]."""
    if isinstance(key, tuple):
        return ", ".join(map(_index, key))
    if isinstance(key, slice):
        ends = ["" if end is None else str(end) for end in (key.start, key.stop)]
        return ":".join(ends + ([str(key.step)] if key.step is not None else []))
    return "…" if key is Ellipsis else str(key)
