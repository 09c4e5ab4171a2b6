"""One-line edits of cells that make a Problem or data: those that must be told, with how, and those that must not."""

from typing import Any

import pytest

from nmlab.identity.differences import Identity, differences, in_words, not_told
from nmlab.identity.functions import identity_of_function
from nmlab.identity.problem import identity_of_problem

from .cells import DATA, PROBLEM, run

TOLD: list[tuple[str, str, str]] = [
    # terms
    ("weight=1.0, name", "weight=0.01, name", "objective `track`: weight 1 → 0.01"),
    ("10.0 * (x <=", "11.0 * (x <=", "constraint `bound`: weight 10 → 11"),
    ("(x - 0.5) ** 2", "(x - 0.75) ** 2", "objective `track`: formula mean((x − 0.5)²) → mean((x − 0.75)²)"),
    ("(x - 0.5) ** 2", "(x - 0.5000001) ** 2", "objective `track`: formula"),
    ("(x - 0.5) ** 2", "(x - 0.5) ** 4", "objective `track`: formula mean((x − 0.5)²) → mean((x − 0.5)⁴)"),
    ("x <= LIMITS", "x >= LIMITS", "constraint `bound` LT → GT, constraint `bound`: formula x ≤ 1 → x ≥ 1"),
    ('"high": 1.0', '"high": 0.5', "constraint `bound`: formula x ≤ 1 → x ≤ 0.5"),
    ("0.25) ^ 2", "0.25) ^ 1", "constraint `action`: comparator.norm 2 → 1"),
    ("v.sum() * 0.1", "v.sum() * 0.2", "objective `follow`: metric.constants 0.1 → 0.2"),
    ("v.sum() * 0.1", "v.mean() * 0.1", "objective `follow`: metric.source"),
    ("linspace(0.0, 1.0, 30)[:, None]", "linspace(0.1, 1.0, 30)[:, None]", "objective `follow`: formula"),
    ("z[:, -1:, :]", "z[:, -2:, :]", "objective `follow`: formula"),
    ("[bound, action])", "[bound])", "constraint `action` u = 0.25, squared → none"),
    ('action.name = "action"', 'action.name = "effort"', "constraint `effort` none → u = 0.25, squared"),
    ("PenaltyLoss([", "BarrierLoss([", "loss PenaltyLoss → BarrierLoss"),
    # loops and nodes
    ("nsteps=3", "nsteps=9", "loop: nsteps 3 → 9"),
    ('["y"], ["x"], name="estimator"', '["yp"], ["x"], name="estimator"', "estimator: input keys y → yp"),
    ('name="push"', 'name="pull"', "loop: nodes"),
    ("[policy, plant, push", "[policy, push, plant", "loop: nodes"),
    # modules
    ("nonlin=nn.ReLU", "nonlin=nn.Tanh", "loop.policy ReLU → Tanh"),
    ("max=1.0", "max=2.0", "loop.policy: max 1.0 → 2.0"),
    ("blocks.MLP_bounds(2, 2, hsizes=[8, 8]", "blocks.MLP_bounds(2, 2, hsizes=[8]", "loop.policy: nhidden 2 → 1"),
    ("Dropout(0.1)", "Dropout(0.2)", "estimator: net.2.p 0.1 → 0.2"),
    ("eps=1e-5", "eps=1e-3", "estimator: net.1.eps 1e-05 → 0.001"),
    ("torch.zeros(2))", "torch.ones(2))", "estimator: mean [0.0, 0.0] → [1.0, 1.0]"),
    ("torch.ones(2), requires", "torch.zeros(2), requires", "estimator: frozen fixed [1.0, 1.0] → fixed [0.0, 0.0]"),
    ("torch.ones(2), requires_grad=False", "torch.ones(2)", "estimator: frozen fixed [1.0, 1.0] → trained 2"),
    ('"order": 2', '"order": 3', "estimator: settings"),
    ("scale = 3.0", "scale = 4.0", "class Estimator: scale 3.0 → 4.0"),
    ('x + self.settings["order"]', 'x - self.settings["order"]', "class Estimator: finished.source"),
    ("return self.finished(", "return (", "class Estimator: forward.source"),
    ("h=0.1)", "h=0.2)", "loop.tank: h 0.1 → 0.2"),
    ("integrators.RK4", "integrators.Euler", "loop.tank RK4 → Euler"),
    ("torch.tensor([0.1])", "torch.tensor([0.2])", "loop.tank: block.c fixed [0.1] → fixed [0.2]"),
    ("-self.c * x", "-self.c * x**2", "class Tank: ode_equations.source"),
    # callables
    ("coupled(0.5)", "coupled(0.6)", "loop.plant: closure a 0.5 → 0.6"),
    ("change = a * u", "change = a + u", "loop.plant: source"),
    ("GAIN = 2.0", "GAIN = 3.0", "global GAIN 2.0 → 3.0"),
    ("rate=0.1", "rate=0.2", "global damped: default rate 0.1 → 0.2"),
    ("x * (1.0 - rate)", "x * (1.1 - rate)", "global damped: constants 1.0 → 1.1"),
    ("Plant(1.5)", "Plant(1.6)", "loop.push: self.mass 1.5 → 1.6"),
    ("u / self.mass", "u * self.mass", "loop.push: source"),
    ("min=-5.0", "min=-6.0", "loop.cut"),
    ("torch.clamp, min", "torch.clip, min", "loop.cut"),
]

SILENT: list[tuple[str, str]] = [
    ("", ""),
    ("  # each step", ""),
    ("  # each step", "  # at every step"),
    ('"""Less of x."""', '"""x, damped."""'),
    ('    """Less of x."""\n', ""),
    ('    """Two layers."""\n', ""),
    ("\n\ndef damped", "\n\n\n\n\ndef damped"),
    ("return x * (1.0 - rate)", "return (x * (1.0 - rate))"),
    ("return x * (1.0 - rate)", "pass\n    return x * (1.0 - rate)"),
    ("x * (1.0 - rate)", "x \\\n        * (1.0 - rate)"),
    ("def damped(x, rate=0.1)", "def damped(x: object, rate: float = 0.1) -> object"),
    ("change = a * u\n        return damped(x) + GAIN * change", "v = a * u\n        return damped(x) + GAIN * v"),
    (
        "def plant(x, u):\n        change = a * u\n        return damped(x)",
        "def plant(state, action):\n        change = a * action\n        return damped(state)",
    ),
    ("torch.manual_seed(0)", "torch.manual_seed(7)"),
    ("problem = build()", "construct = build\nproblem = construct()"),
    ("GAIN = 2.0", "GAIN = 1.0 + 1.0"),
    ("GAIN = 2.0", "UNUSED = 1\nGAIN = 2.0"),
    ("return 1\n", "return 2\n"),
    ("def plotted", "def drawn"),
    (
        "def __init__(self, mass):\n        self.mass = mass",
        "def __init__(self, mass):\n        self.mass = 1.0 * mass",
    ),
    ('{"low": -1.0, "high": 1.0}', '{"high": 1.0, "low": -1.0}'),
    ('"order": 2, "names": ["a", "b"]', '"names": ["a", "b"], "order": 2'),
    ("from torch import nn\n", "from torch import nn\nimport math\n"),
    ("weight=1.0, name", "weight=1, name"),
]


def told(old: Identity, new: Identity) -> str:
    return in_words(differences(old, new), 99)


def test_the_tables_have_what_was_promised() -> None:
    edits = TOLD + DATA_TOLD
    assert len(edits) >= 60
    assert len(SILENT) + len(DATA_SILENT) >= 40


@pytest.fixture(scope="module")
def problem_before() -> Identity:
    return identity_of_problem(run(PROBLEM).problem)


@pytest.mark.parametrize(("old", "new", "words"), TOLD, ids=[f"{old} -> {new}" for old, new, _ in TOLD])
def test_an_edit_that_changes_the_loss_is_told(problem_before: Identity, old: str, new: str, words: str) -> None:
    after = identity_of_problem(run(PROBLEM, old, new).problem)
    assert words in told(problem_before, after)
    assert told(after, problem_before)
    if "hsizes" not in old:
        assert len(differences(problem_before, after)) <= 3, "what follows from an edit is no difference of its own"
    assert Identity.from_json(after.to_json()) == after


@pytest.mark.parametrize(("old", "new"), SILENT, ids=[f"{old} -> {new}" for old, new in SILENT])
def test_an_edit_that_changes_nothing_is_not_told(problem_before: Identity, old: str, new: str) -> None:
    after = identity_of_problem(run(PROBLEM, old, new).problem)
    assert told(problem_before, after) == ""
    assert not_told(problem_before, after) == {}


DATA_TOLD: list[tuple[str, str, str, str]] = [
    ("closure", "for_plant(1.0)", "for_plant(10.0)", "data function: closure mass 1.0 → 10.0"),
    ("closure", "offset=0.0", "offset=0.5", "data function: closure offset 0.0 → 0.5"),
    ("closure", "nsim * mass", "nsim + mass", "data function: source"),
    ("closure", "SCALE = 1.0", "SCALE = 2.0", "global SCALE 1.0 → 2.0"),
    ("closure", "math.sqrt(n)", "math.log(n)", "global helper: source"),
    ("closure", "import math\n", "import cmath as math\n", "global math module math → module cmath"),
    ("calling", "calling = Maker(0.1)", "calling = Maker(0.2)", "data function: noise 0.1 → 0.2"),
    ("calling", "arange(60.0)", "arange(1.0, 61.0)", "data function: grid changed"),
    ("calling", "return self.noise * nsim", "return self.noise + nsim", "class Maker: __call__.source"),
    ("method", "method = Maker(0.1)", "method = Maker(0.2)", "data function: self.noise 0.1 → 0.2"),
    ("method", "factor = 2", "factor = 5", "class Maker: factor 2 → 5"),
    ("method", "* n * self.factor", "+ n * self.factor", "class Maker: scaled.source"),
    ("inherited", "factor = 3", "factor = 4", "class Narrow: factor 3 → 4"),
    ("inherited", "inherited = Narrow", "inherited = Maker", "data function: self class Narrow → class Maker"),
    ("bound", "n=4", "n=5", "data function: argument n 4 → 5"),
    ("bound", "partial(helper", "partial(math.sqrt", "data function"),
    ("lean", '"a": [1, 2]', '"a": [2, 2]', "global TABLE"),
    ("lean", '"b": {3, 4}', '"b": {3, 5}', "global TABLE"),
    ("lean", "0.0, 1.0, 50", "0.0, 1.1, 50", "global NOISE changed"),
]

DATA_SILENT: list[tuple[str, str, str]] = [
    ("closure", "", ""),
    ("closure", "  # scaled", "  # by the scale"),
    ("closure", '        """The plant\'s data."""\n', ""),
    ("closure", '"""Makes n samples."""', '"""n samples."""'),
    ("closure", "first = nsim * mass\n        return helper(first)", "f = nsim * mass\n        return helper(f)"),
    ("closure", "def data(nsim=10):", "def data(nsim: int = 10) -> float:"),
    ("closure", "    return data\n", "    samples = data\n    return samples\n"),
    ("closure", "    return data\n", "    return data  # the function\n"),
    ("closure", "nsim=10", "nsim=20"),
    ("closure", "TABLE = {", "TABLE = {'c': 1, "),
    ("calling", "def shown", "def drawn"),
    ("calling", "a picture", "another picture"),
    ("calling", "factor = 2", "factor = 9"),
    ("method", "def __init__(self, noise):", "def __init__(self, noise, more=None):"),
    ("inherited", "return self.noise * n * self.factor", "return self.noise + n"),
    ("lean", '{"a": [1, 2], "b": {3, 4}}', '{"b": {4, 3}, "a": [1, 2]}'),
    ("lean", "SCALE = 1.0", "SCALE = 2.0"),
]


def of(name: str, old: str = "", new: str = "") -> Identity:
    made = run(DATA, old, new)
    return identity_of_function(getattr(made, name))


@pytest.mark.parametrize(
    ("name", "old", "new", "words"), DATA_TOLD, ids=[f"{c[0]}: {c[1]} -> {c[2]}" for c in DATA_TOLD]
)
def test_an_edit_that_changes_the_data_is_told(name: str, old: str, new: str, words: str) -> None:
    assert words in told(of(name), of(name, old, new))


@pytest.mark.parametrize(("name", "old", "new"), DATA_SILENT, ids=[f"{c[0]}: {c[1]} -> {c[2]}" for c in DATA_SILENT])
def test_an_edit_that_leaves_the_data_is_not_told(name: str, old: str, new: str) -> None:
    assert told(of(name), of(name, old, new)) == ""
    assert not_told(of(name), of(name, old, new)) == {}


def test_what_is_the_same_is_the_same_whatever_the_cell_or_module_is_called() -> None:
    here, there = run(PROBLEM), run(PROBLEM, name="my_plants")
    assert identity_of_problem(here.problem) == identity_of_problem(there.problem)
    assert identity_of_problem(here.build()).digest == identity_of_problem(here.problem).digest
    changed: Any = run(PROBLEM, "nsteps=3", "nsteps=4")
    assert identity_of_problem(changed.problem).digest != identity_of_problem(here.problem).digest
