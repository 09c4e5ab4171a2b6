"""The parametric quadratic program with 20 variables and 40 constraints, of which up to a dozen hold it at once."""

from dataclasses import replace
from functools import partial

from neuromancer.problem import Problem

from nmlab.gallery import quadratic


def quadratic_20() -> Problem:
    """Build a network from the two parameters p to the 20 variables x."""
    return quadratic.quadratic(20)


example = replace(
    quadratic.example,
    name="quadratic_20",
    title="A parametric quadratic program, 20 variables",
    summary="With 20 variables and 40 constraints the answer’s linear pieces are many and small. Network and "
    "training are those for 2 variables.",
    problem=quadratic_20,
    reference=partial(quadratic.reference, 20),
    tolerance={"mean gap": 0.02, "mean distance": 0.12, "worst violation": 0.02},
    why="As for 2 variables; with so many pieces the network cuts their corners and stays a little further away.",
)
