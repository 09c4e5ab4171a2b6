"""`look()`: a Problem as a graph, with its nodes and terms as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from neuromancer.problem import Problem
from torch.nn.parameter import is_lazy

from nmlab.analysis.trained import weighted_as_in
from nmlab.data.splits import place_of
from nmlab.errors import FieldError
from nmlab.fields import check
from nmlab.fitting.keywords import Keywords
from nmlab.fitting.prepare import build_problem
from nmlab.plots import EITHER, Picture, Theme, draw_graph, picture_html
from nmlab.problem.formulas import expression_of, swapped_in
from nmlab.problem.graph import Part, graph_of
from nmlab.problem.lazy import lazy_modules
from nmlab.problem.terms import named_terms
from nmlab.runs import Run
from nmlab.runs.shown import html_table, shorten, text_table
from nmlab.runtime.rng import RandomStreams
from nmlab.runtime.text import number_text

if TYPE_CHECKING:
    import pandas as pd

_NODES = ["node", "what", "reads", "gives", "parameters"]
_TERMS = ["term", "kind", "expression", "weight"]


class HasProblem(Protocol):
    """An object that has a Problem, such as a `Lab` or a `Run`."""

    @property
    def problem(self) -> Any:
        """A Problem, or a function that builds one; None if it is not available."""
        ...


def look(
    problem: Problem | Callable[..., Problem] | HasProblem, problem_kwargs: Mapping[str, Any] | None = None
) -> Look:
    """Show the graph, nodes, terms and parameter counts of a Problem.

    Terms are shown as the expressions that they compute, under the names that metrics of a run have. There is a warning
    where NeuroMANCER computes something else than was written. The Problem is not evaluated.

    Parameters
    ----------
    problem : Problem or callable or Lab or Run
        A NeuroMANCER Problem, a function that builds one, or a `Lab` or `Run` that has one.
    problem_kwargs : mapping of str to Any, optional
        Keywords of the function; default its own defaults, or the values of the Lab's form.

    Returns
    -------
    Look
        The description. A notebook shows it as a graph with two tables; `print` shows it as text.

    Raises
    ------
    FieldError
        If `problem` is none of these, or a keyword is wrong.

    Examples
    --------
    >>> import nmlab
    >>> import torch
    >>> from neuromancer.constraint import variable
    >>> from neuromancer.loss import PenaltyLoss
    >>> from neuromancer.problem import Problem
    >>> from neuromancer.system import Node
    >>> model = Node(torch.nn.Linear(1, 1), ["p"], ["x"], name="model")
    >>> problem = Problem([model], PenaltyLoss([variable("x").minimize(name="size")], []))
    >>> nmlab.look(problem)
    1 node, 1 term (PenaltyLoss); 2 trainable parameters
    <BLANKLINE>
    node   what        reads  gives  parameters
    model  Linear 1→1  p      x      2
    <BLANKLINE>
    term  kind       expression  weight
    size  objective  mean(x)     1
    """
    found = problem if isinstance(problem, Problem) or callable(problem) else getattr(problem, "problem", None)
    if isinstance(found, Problem) and isinstance(problem, Run):
        with weighted_as_in(problem, found):
            return Look(found)
    if isinstance(found, Problem):
        if problem_kwargs:
            raise FieldError({"problem_kwargs": "this Problem is built already; give the function that builds it"})
        return Look(found)
    if not callable(found):
        what = f"a {type(problem).__name__} without a Problem" if found is None else f"a {type(found).__name__}"
        wanted = "give a Problem, a function that builds one, a Lab, or a Run of this kernel"
        raise FieldError({"problem": f"{what}; {wanted}"}, subject="nmlab.look() cannot show this")
    given = {**getattr(problem, "problem_kwargs", {}), **(problem_kwargs or {})}
    keywords, subject = Keywords.of(found), f"{place_of(found)} cannot be called"
    values = check(keywords.fields, given, subject=subject, extra=keywords.extra)
    return Look(build_problem(found, RandomStreams(0), values))


class Look:
    """Graph, nodes, terms and parameter counts of a Problem, as returned by `look`.

    Parameters
    ----------
    problem : Problem
        The NeuroMANCER Problem.

    Attributes
    ----------
    graph : ProblemGraph
        The parts of the Problem and the variables that connect them.
    parameters : int
        Number of trainable parameters.
    fixed : int
        Number of parameters that are not trainable.
    lazy : int
        Number of modules that get their parameters with the first batch, which are not counted.
    nodes, terms : DataFrame
        One row per node, and one row per term of the loss.
    warnings : list of str
        Terms for which NeuroMANCER computes something else than was written.
    """

    def __init__(self, problem: Problem) -> None:
        self.graph = graph_of(problem)
        sized = [each for each in problem.parameters() if not is_lazy(each)]
        self.parameters = sum(each.numel() for each in sized if each.requires_grad)
        self.fixed = sum(each.numel() for each in sized if not each.requires_grad)
        self.lazy = sum(1 for _ in lazy_modules(problem))
        self._formulas = {term.name: (expression_of(own), swapped_in(own)) for term, own in named_terms(problem)}

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """One row per node: what it calls, the variables that it reads and returns, its number of parameters.

        The nodes of a System follow it, named 'system › node'; its parameters are those of its nodes.
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
        """One row per term of the loss: name, kind, expression as far as it can be read, weight."""
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
        """Return the graph as a PNG.

        Parameters
        ----------
        width : int, default 720
            Width in CSS pixels; the picture is wider if the graph needs more space.
        scale : float, default 1.5
            Pixels of the PNG per CSS pixel.
        theme : Theme, default EITHER
            Colours and sizes.

        Returns
        -------
        png : bytes
            Content of the PNG file.
        width, height : int
            Size in CSS pixels.
        """
        picture = Picture(width)
        png = picture.png(partial(draw_graph, graph=self.graph, theme=theme), scale=scale)
        return png, picture.width, picture.height

    @property
    def head(self) -> str:
        """The counts of nodes, terms and parameters in one line."""
        fixed = f", {self.fixed} fixed" if self.fixed else ""
        count = len(self.nodes), len(self.terms)
        counts = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in zip(count, ("node", "term"), strict=True)]
        more = f", more with the first batch in {self.lazy} lazy module{'' if self.lazy == 1 else 's'}"
        waiting = more if self.lazy else ""
        return f"{', '.join(counts)} ({self.graph.loss}); {self.parameters} trainable parameters{fixed}{waiting}"

    def alt(self) -> str:
        """Return a description of the graph, for use as alternative text."""
        names = {index: self._title(part) for index, part in enumerate(self.graph.parts)}
        ways = dict.fromkeys((edge.source, edge.target, edge.variable) for edge in self.graph.edges)
        edges = "; ".join(f"{variable} from {names[a]} to {names[b]}" for a, b, variable in [*ways][:12])
        return f"The Problem as a graph: {edges}{'; and more' if len(ways) > 12 else ''}."

    @property
    def warnings(self) -> list[str]:
        """Terms for which NeuroMANCER computes something else than was written, such as a subtraction in reverse."""
        remedy = "NeuroMANCER loses the order of operands when it composes expressions; rewrite the expression"
        return [
            f"{name} computes {computed}: {remedy}"
            for name, (_, swapped) in self._formulas.items()
            for computed in swapped
        ]

    def tables(self) -> list[tuple[list[str], list[list[str]]]]:
        """Return titles and rows, as text, of the tables of nodes and terms."""
        nodes = [[*map(str, row)] for row in self.nodes.itertuples(index=False)]
        weight = [
            "not one number" if value != value or value is None else number_text(value) for value in self.terms.weight
        ]
        terms = [[*row[:3], told] for row, told in zip(self.terms.itertuples(index=False), weight, strict=True)]
        return [(_NODES, nodes), (_TERMS, terms)]

    def tables_html(self) -> str:
        """Return the tables of nodes and terms as HTML."""
        return "".join(html_table(head, [[*map(escape, row)] for row in rows]) for head, rows in self.tables())

    def to_html(self, width: int = 720, scale: float = 1.5, theme: Theme = EITHER) -> str:
        """Return graph and tables as HTML; the parameters are those of `png`."""
        png, wide, _ = self.png(width, scale, theme)
        image = picture_html(png, wide, self.alt())
        warnings = "".join(f"<p>⚠ {escape(warning)}</p>" for warning in self.warnings)
        return f"<p>{escape(self.head)}</p>{warnings}{image}{self.tables_html()}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        tables = [text_table([head, *([shorten(c, 100) for c in row] for row in rows)]) for head, rows in self.tables()]
        return "\n\n".join([self.head, *(f"⚠ {warning}" for warning in self.warnings), *tables])
