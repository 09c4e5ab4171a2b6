"""Learning to optimise: the parametric quadratic program of `quadratic` with 20 variables and 40 constraints.

Up to twelve constraints are active at the same time.
"""

from dataclasses import replace
from functools import partial

from neuromancer.problem import Problem

from nmlab.gallery import quadratic


def quadratic_20() -> Problem:
    """Build the Problem with 20 variables.

    Returns
    -------
    Problem
        Problem with input `p` and output `x`.
    """
    return quadratic.quadratic(20)


example = replace(
    quadratic.example,
    name="quadratic_20",
    title="A parametric quadratic program, 20 variables",
    summary="With 20 variables and 40 constraints, the solution has many small affine pieces. The network’s hidden "
    "layers and the training options are the same as for 2 variables.",
    problem=quadratic_20,
    reference=partial(quadratic.reference, 20),
    tolerance={"mean gap": 0.02, "mean distance": 0.12, "worst violation": 0.02},
    why="The metrics are those for 2 variables. The tolerances are wider because the network smooths the many affine "
    "pieces and is therefore less accurate.",
)
