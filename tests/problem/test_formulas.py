"""Terms as formulas."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neuromancer.constraint import Loss, variable

from nmlab.problem.formulas import expression_of, swapped_in
from tests.helpers.problems import integrator, pinn, rosenbrock, sequence

x, y = variable("x"), variable("y")


@pytest.mark.parametrize(
    ("term", "formula"),
    [
        ((x - (y - 1)).minimize(name="a"), "mean(x − (y − 1))"),
        ((x / (y * 2)).minimize(metric=torch.norm), "norm(x / (y · 2))"),
        ((-x) ** 2 <= 3, "(−x)² ≤ 3"),
        (-(x * y) <= -2, "−(x · y) ≤ −2"),
        (torch.cos(2 * x) + torch.sum(y, dim=1) >= -1.5, "cos(2 · x) + sum(y, dim=1) ≥ −1.5"),
        ((x + x)[1:, ...] ** y == torch.rand(3, 2), "(x + x)[1:, …]^y = tensor 3×2"),
        (abs(x) % 2 <= y.T, "abs(x) % 2 ≤ y.T"),
        (x[:, [0], ::2] <= torch.tensor(0.5), "x[:, [0], ::2] ≤ 0.5"),
        (variable(display_name="p") * x <= 0, "p · x ≤ 0"),
        (variable([x, y], lambda a, b: a * b, display_name="product") <= 0, "product(x, y) ≤ 0"),
        (x.grad(y) * 2 == 0, "dx/dy · 2 = 0"),
        ((x - 1.5) ** -1 <= x @ y, "(x − 1.5)^(−1) ≤ x @ y"),
        ((x == y) ^ 2, "x = y, squared"),
        (Loss(["x"], torch.mean), ""),
    ],
)
def test_a_term_reads_as_it_was_written(term: Any, formula: str) -> None:
    assert expression_of(term) == formula


def test_the_terms_of_whole_problems() -> None:
    def told(problem: Any) -> list[str]:
        return [expression_of(term) for term in (*problem.loss.objectives, *problem.loss.constraints)]

    assert told(rosenbrock()) == [
        "mean((1 − x[:, [0]])² + a · (x[:, [1]] − x[:, [0]]²)²)",
        "x[:, [0]] ≥ x[:, [1]]",
        "x[:, [0]]² + x[:, [1]]² ≤ p²",
    ]
    assert told(integrator()) == ["x = r, squared", "mean(u²)", "x ≤ 10"]
    assert told(pinn()) == ["mean((du/dx − cos(x))²)", "mean((exp(−100 · x²) · u)²)"]
    assert told(sequence()) == ["xn[:, 1:, :] = Xf, squared"]


leaves = st.sampled_from([x, y]) | st.integers(0, 9)
trees = st.recursive(leaves, lambda part: st.tuples(st.sampled_from("+-*"), part, part), max_leaves=6)


def built(tree: Any, made: Any) -> Any:
    """A tree of operations on variables, or on numbers in their place."""
    if not isinstance(tree, tuple):
        return made(tree)
    left, right = (built(part, made) for part in tree[1:])
    return {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right}[tree[0]]()


@given(trees)
@settings(deadline=None)
def test_the_formula_is_what_is_computed_and_where_this_is_not_what_was_written_that_is_told(tree: Any) -> None:
    values = {"x": 3.0, "y": 7.0}
    written = built(tree, lambda leaf: leaf) + x
    term = written.minimize(name="t")
    formula = expression_of(term).removeprefix("mean").replace("−", "-").replace("·", "*")
    computed = float(written({name: torch.tensor(value) for name, value in values.items()}))
    assert eval(formula, dict(values)) == computed
    meant = built(tree, lambda leaf: values.get(getattr(leaf, "key", ""), leaf)) + 3.0
    assert computed == meant or swapped_in(term)


def test_a_side_that_neuromancer_swaps_is_told() -> None:
    assert swapped_in((y + (x - y)).minimize(name="t")) == []
    assert swapped_in(((y + (x - y)) * 1.0).minimize(name="t")) == ["y − x, where x − y was written"]
    assert swapped_in((y * (x / y) + 1.0 <= x) ^ 2) == ["y / x, where x / y was written"]
    assert not any(swapped_in(term) for term in integrator().loss.objectives)


def test_an_input_combined_with_itself_is_no_swap() -> None:
    x, y = variable("x"), variable("y")
    for written, formula in ((x + x, "x + x"), ((x + x) + (y - x), "x + x + (y − x)"), (x * x, "x · x")):
        term = written.minimize(name="loss")
        assert swapped_in(term) == []
        assert expression_of(term) == f"mean({formula})"
