"""`look()`: a Problem looked at: its graph as a picture, its nodes and terms as tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from neuromancer.problem import Problem

from nmlab.errors import FieldError
from nmlab.fitting.prepare import build_problem
from nmlab.plots import EITHER, Picture, Theme, draw_graph, picture_html
from nmlab.problem.formulas import expression_of, swapped_in
from nmlab.problem.graph import Part, graph_of
from nmlab.problem.terms import terms_of
from nmlab.runs.shown import html_table, shorten, text_table
from nmlab.runtime.rng import RandomStreams
from nmlab.runtime.text import number_text

if TYPE_CHECKING:
    import pandas as pd

_NODES = ["node", "what", "reads", "gives", "parameters"]
_TERMS = ["term", "kind", "expression", "weight"]


class HasProblem(Protocol):
    """What a Problem can be looked up in: a `Lab`, a `Run`."""

    @property
    def problem(self) -> Any:
        """A Problem, or a function without arguments that builds one; None where there is none here."""
        ...


def look(problem: Problem | Callable[[], Problem] | HasProblem) -> Look:
    """Return a Problem's graph, nodes, terms and parameter counts; shows itself in a notebook and as text.

    Terms are shown as what they compute, with a warning where this is not what was written, and by the names that a
    run's metrics have. The Problem is read, not run, and no `dot` is needed on the system.

    Parameters
    ----------
    problem : Problem or callable or Lab or Run
        What to look at: a NeuroMANCER `Problem`, a function without arguments that builds one, or a `Lab` or `Run`
        that has one.

    Raises
    ------
    FieldError
        Where `problem` is none of these.
    """
    found = problem if isinstance(problem, Problem) or callable(problem) else getattr(problem, "problem", None)
    if isinstance(found, Problem):
        return Look(found)
    if not callable(found):
        what = f"a {type(problem).__name__} without a Problem" if found is None else f"a {type(found).__name__}"
        wanted = "give a Problem, a function without arguments that builds one, a Lab, or a Run of this kernel"
        raise FieldError({"problem": f"{what}; {wanted}"}, subject="nmlab.look() cannot show this")
    return Look(build_problem(found, RandomStreams(0)))


class Look:
    """What `look` returns."""

    def __init__(self, problem: Problem) -> None:
        self.graph = graph_of(problem)
        """The Problem as data: parts, and the variables between them."""
        self.parameters = sum(each.numel() for each in problem.parameters() if each.requires_grad)
        """How many numbers are learnt."""
        self.fixed = sum(each.numel() for each in problem.parameters() if not each.requires_grad)
        """How many parameters are not."""
        terms = [*problem.loss.objectives, *problem.loss.constraints]
        named = zip(terms_of(problem), terms, strict=True)
        self._formulas = {term.name: (expression_of(own), swapped_in(own)) for term, own in named}

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """One row a node: what it calls, the variables that it reads and gives, how many numbers it may learn.

        A System's nodes come after it, as 'system › node'; its parameters are theirs.
        """
        import pandas as pd

        rows = [
            [self._title(part), part.what, ", ".join(part.reads), ", ".join(part.gives), part.parameters]
            for part in self.graph.parts
            if part.kind in ("node", "system")
        ]
        return pd.DataFrame(rows, columns=_NODES)

    @cached_property
    def terms(self) -> pd.DataFrame:
        """One row a term of the loss: name, kind, expression as far as it can be read, weight."""
        import pandas as pd

        rows = [
            [part.name, part.kind, self._formulas[part.name][0], part.weight]
            for part in self.graph.parts
            if part.kind in ("objective", "constraint")
        ]
        return pd.DataFrame(rows, columns=_TERMS)

    def _title(self, part: Part) -> str:
        outer = f"{self._title(self.graph.parts[part.inside])} › " if part.inside is not None else ""
        return outer + part.name

    def png(self, width: int = 720, scale: float = 1.5, theme: Theme = EITHER) -> tuple[bytes, int, int]:
        """Return the graph as a PNG, and its width and height in CSS pixels; `scale`, its pixels for each."""
        picture = Picture(width)
        png = picture.png(partial(draw_graph, graph=self.graph, theme=theme), scale=scale)
        return png, picture.width, picture.height

    @property
    def head(self) -> str:
        """The Problem in a line."""
        fixed = f", {self.fixed} fixed" if self.fixed else ""
        count = len(self.nodes), len(self.terms)
        told = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in zip(count, ("node", "term"), strict=True)]
        return f"{', '.join(told)} ({self.graph.loss}); {self.parameters} trainable parameters{fixed}"

    def alt(self) -> str:
        """Return what the picture shows as a sentence."""
        names = {index: self._title(part) for index, part in enumerate(self.graph.parts)}
        ways = dict.fromkeys((edge.source, edge.target, edge.variable) for edge in self.graph.edges)
        told = "; ".join(f"{variable} from {names[a]} to {names[b]}" for a, b, variable in [*ways][:12])
        return f"The Problem as a graph: {told}{'; and more' if len(ways) > 12 else ''}."

    @property
    def warnings(self) -> list[str]:
        """Where NeuroMANCER computes something else than was written, as a subtraction with its sides swapped."""
        remedy = "NeuroMANCER loses the order when it composes expressions; write it in another way"
        return [
            f"{name} computes {told}: {remedy}" for name, (_, swapped) in self._formulas.items() for told in swapped
        ]

    def _tables(self) -> list[tuple[list[str], list[list[str]]]]:
        nodes = [[*map(str, row)] for row in self.nodes.itertuples(index=False)]
        weight = [
            "not one number" if value != value or value is None else number_text(value) for value in self.terms.weight
        ]
        terms = [[*row[:3], told] for row, told in zip(self.terms.itertuples(index=False), weight, strict=True)]
        return [(_NODES, nodes), (_TERMS, terms)]

    def tables_html(self) -> str:
        """Return nodes and terms as HTML."""
        return "".join(html_table(head, [[*map(escape, row)] for row in rows]) for head, rows in self._tables())

    def to_html(self, width: int = 720, scale: float = 1.5, theme: Theme = EITHER) -> str:
        """Return all as HTML; parameters as for `png`."""
        png, wide, _ = self.png(width, scale, theme)
        image = picture_html(png, wide, self.alt())
        warnings = "".join(f"<p>⚠ {escape(warning)}</p>" for warning in self.warnings)
        return f"<p>{escape(self.head)}</p>{warnings}{image}{self.tables_html()}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        tables = [
            text_table([head, *([shorten(c, 100) for c in row] for row in rows)]) for head, rows in self._tables()
        ]
        return "\n\n".join([self.head, *(f"⚠ {warning}" for warning in self.warnings), *tables])
