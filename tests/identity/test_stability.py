"""An identity is the same in every process and after every use, and says what it cannot tell."""

import ctypes
import functools
import json
import operator
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import networkx as nx  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from neuromancer.psl.nonautonomous import TwoTank

from nmlab.identity import arrays
from nmlab.identity.arrays import SAMPLE, array_text
from nmlab.identity.differences import Identity, differences, in_words, not_told
from nmlab.identity.functions import identity_of_function, identity_of_values
from nmlab.identity.problem import identity_of_problem
from nmlab.runtime import one_fit
from tests.helpers.problems import PROBLEMS
from tests.helpers.processes import fresh

from .cells import DATA, PROBLEM, run

FUNCTIONS = ("closure", "calling", "method", "inherited", "bound", "lean")


def digests() -> dict[str, str]:
    """The digests of all Problems and data functions of the tests."""
    torch.manual_seed(0)
    found = {name: identity_of_problem(build()).digest for name, (build, _) in PROBLEMS.items()}
    found |= {f"{name}'s data": identity_of_function(data).digest for name, (_, data) in PROBLEMS.items()}
    found["cell"] = identity_of_problem(run(PROBLEM).problem).digest
    return found | {name: identity_of_function(getattr(run(DATA), name)).digest for name in FUNCTIONS}


def test_identities_are_equal_in_another_process_with_another_hash_seed() -> None:
    code = "import json\nfrom tests.identity.test_stability import digests\nprint(json.dumps(digests()))"
    there = [json.loads(fresh(code, PYTHONHASHSEED="4321").splitlines()[-1])]
    assert there == [digests()]


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_the_same_after_a_forward_pass_and_with_other_weights(name: str) -> None:
    build, data = PROBLEMS[name]
    torch.manual_seed(0)
    problem, before = build(), None
    before = identity_of_problem(problem)
    train = data()[0]
    batch = train.collate_fn([train[number] for number in range(len(train))]) | {"epoch": 0}
    batch["index"] = torch.arange(len(train))
    problem.train()(batch)
    problem.eval()
    with torch.no_grad():
        for parameter in problem.parameters():
            parameter.add_(1.0)
    assert identity_of_problem(problem) == before
    assert identity_of_problem(problem.to(torch.float64) if name == "rosenbrock" else problem) == before


def test_a_cells_problem_is_the_same_after_a_forward_pass() -> None:
    problem = run(PROBLEM).problem
    before = identity_of_problem(problem)
    estimator, loop = problem.nodes[0].callable, problem.nodes[1]
    loop({"x": torch.rand(4, 1, 2)})
    estimator(torch.rand(5, 2))
    assert estimator.seen
    assert identity_of_problem(problem) == before


def test_a_module_is_the_same_in_a_folder_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plants_of_mine.py").write_text(DATA)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / folder))
            found.append([identity_of_function(getattr(import_module("plants_of_mine"), name)) for name in FUNCTIONS])
            del sys.modules["plants_of_mine"]
    assert found[0] == found[1]
    assert [each.digest for each in found[0]] == [
        identity_of_function(getattr(run(DATA), name)).digest for name in FUNCTIONS
    ]


def test_an_attribute_of_a_users_module_is_a_global(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config_of_mine.py").write_text("mass = 1.0\nunused = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config: Any = import_module("config_of_mine")
    function = run("import config_of_mine\ndef data(): return config_of_mine.mass").data
    before = identity_of_function(function)
    config.unused = 2
    assert identity_of_function(function) == before
    config.mass = 2.0
    assert in_words(differences(before, identity_of_function(function))) == "global config_of_mine.mass 1.0 → 2.0"
    for line in ("import config_of_mine as c\n    return c.mass", "from config_of_mine import mass\n    return mass"):
        function = run(f"def data():\n    {line}").data
        before = identity_of_function(function)
        config.mass += 1.0
        assert "global config_of_mine.mass" in differences(before, identity_of_function(function))
        config.unused += 1
        assert len(differences(before, identity_of_function(function))) == 1


class Mode(Enum):
    WIDE = 1


class Slotted:
    __slots__ = ("mass",)

    def __init__(self, mass: float) -> None:
        self.mass = mass


def chain(depth: int, end: float) -> Callable[..., Any]:
    function: Callable[..., Any] = functools.partial(operator.add, end)
    for _ in range(depth):
        function = (lambda inner: lambda x: inner(x))(function)
    return function


def nested(depth: int, end: float) -> list[Any]:
    found: list[Any] = [end]
    for _ in range(depth):
        found = [found]
    return found


def circle(mass: float) -> list[Any]:
    found: list[Any] = [mass]
    found.append(found)
    return found


def tank(area: float) -> TwoTank:
    found = TwoTank()
    found.c1 = area
    return found


def scripts() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # people still have them
        return torch.jit.script(torch.nn.ReLU()), torch.jit.script(torch.nn.Tanh())


def compiled(what: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what torch itself imports for it
        return torch.compile(what)


VALUES: dict[str, tuple[Any, Any]] = {
    "an object": (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
    "slots": (Slotted(1.0), Slotted(2.0)),
    "a shared object": ([(one := Slotted(1.0)), one], [Slotted(1.0), Slotted(2.0)]),
    "a cycle": (circle(1.0), circle(2.0)),
    "deep functions": (chain(400, 1.0), chain(400, 2.0)),
    "deep lists": (nested(400, 1.0), nested(400, 2.0)),
    "a graph": (nx.path_graph(3), nx.path_graph(4)),
    "a system": (tank(0.1), tank(0.2)),
    "a generator of numbers": (np.random.default_rng(1), np.random.default_rng(2)),
    "an array": (np.arange(100.0), np.arange(100.0) + 1),
    "an array of objects": (np.array([1, "a"], dtype=object), np.array([2, "a"], dtype=object)),
    "a tensor": (torch.arange(100.0), torch.arange(100.0) + 1),
    "a sparse tensor": (torch.eye(2).to_sparse(), (2 * torch.eye(2)).to_sparse()),
    "a bfloat16": (torch.ones(20, dtype=torch.bfloat16), torch.zeros(20, dtype=torch.bfloat16)),
    "a script": scripts(),
    "a traced graph": (torch.fx.symbolic_trace(torch.nn.ReLU()), torch.fx.symbolic_trace(torch.nn.Tanh())),
    "a pattern": (re.compile("a"), re.compile("b")),
    "a bound function of C": ({"a": 1}.get, {"a": 2}.get),
    "a getter": (operator.itemgetter(1), operator.itemgetter(2)),
    "a set": ({"a", "b"}, {"a", "c"}),
    "a long text": (["a" * 500 + "b"], ["a" * 500 + "c"]),
    "many numbers": (list(range(100)), list(range(1, 101))),
    "a member": (Mode.WIDE, 1),
    "a cached function": (functools.lru_cache(lambda x: x + 1), functools.lru_cache(lambda x: x + 2)),
    "a ufunc": (np.sin, np.cos),
    "a function of torch": (torch.sin, torch.cos),
}


@pytest.mark.parametrize("what", VALUES)
def test_a_value_is_told_from_another_and_not_from_itself(what: str) -> None:
    one, other = (identity_of_values({"v": value}) for value in VALUES[what])
    assert differences(one, other)
    assert identity_of_values({"v": VALUES[what][0]}) == one
    assert not_told(one, other) == {}
    assert one.facts
    assert not any("0x" in text for text in one.facts.values())


@pytest.mark.parametrize(
    "value", [threading.Lock(), (n for n in range(3)), {Slotted(1.0)}], ids=["lock", "generator", "set"]
)
def test_what_cannot_be_read_is_said(value: Any) -> None:
    found = identity_of_values({"v": value})
    assert list(found.not_compared) == ["keyword v"]
    assert not differences(found, found)


def test_a_large_tensor_is_compared_by_a_sample_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "WHOLE", 100_000)
    large = torch.arange(50_000.0)
    found = identity_of_values({"v": large})
    assert list(found.not_compared.values()) == [f"0 MB; compared by shape, type and {SAMPLE} of 50000 values"]
    assert differences(found, identity_of_values({"v": large + 1}))
    assert array_text(large.numpy())[1] == array_text(large)[1]


def test_a_tensor_is_read_once_for_each_of_its_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = arrays._text

    def counted(*arguments: Any) -> str:
        made.append(1)
        return original(*arguments)

    monkeypatch.setattr(arrays, "_text", counted)
    tensor = torch.arange(1000.0)
    first = array_text(tensor)
    assert array_text(tensor) == first
    assert len(made) == 1
    tensor[3] = 7.0
    assert array_text(tensor) != first
    assert len(made) == 2
    key = id(tensor)
    assert key in arrays._known
    del tensor
    assert key not in arrays._known


def test_what_torch_compiles_is_what_it_was_before() -> None:
    cell = run(PROBLEM)
    before = identity_of_problem(cell.problem)
    estimator, loop = cell.problem.nodes
    estimator.callable = compiled(estimator.callable)
    plant = loop.nodes[1]
    plant.callable = compiled(plant.callable)
    assert differences(before, identity_of_problem(cell.problem)) == {}


def test_hooks_of_the_users_are_told_and_nmlabs_are_not() -> None:
    problem = run(PROBLEM).problem
    before = identity_of_problem(problem)
    network = problem.nodes[0].callable.net
    handles = [network.register_forward_hook(doubled), network.register_forward_pre_hook(lambda *_: None)]
    assert {"estimator: net.hook 1.source", "estimator: net.pre-hook 1.source"} <= set(
        differences(before, identity_of_problem(problem))
    )
    for handle in handles:
        handle.remove()
    network.register_forward_hook(one_fit.current)
    assert identity_of_problem(problem) == before


def doubled(_module: Any, _taken: Any, given: Any) -> Any:
    return 2 * given


def test_code_that_cannot_be_read_is_said() -> None:
    (cell := run(PROBLEM)).problem.nodes[1].nodes[1].callable = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)()
    found = identity_of_problem(cell.problem)
    assert list(found.not_compared) == ["loop.plant"]
    assert found.not_compared["loop.plant"] == "compiled code"


def test_a_function_that_another_python_compiled_is_not_called_different() -> None:
    now = identity_of_function(run(DATA).closure)
    other = {path: re.sub(r"#\w+ py[\d.]+", "#0123456789 py3.99", text) for path, text in now.facts.items()}
    assert not differences(now, Identity(other))
    told = not_told(now, Identity(other))
    assert set(told) == {"data function: source", "global helper: source"}
    assert "3.99" in told["data function: source"]


def test_what_a_call_changes_is_left_out_and_what_is_below_it_too() -> None:
    before = Identity({"f: a": "1", "f: log[0]": "x", "f: log": "list of 1", "g: b": "2"})
    after = Identity({"f: a": "1", "f: log[0]": "x", "f: log[1]": "y", "f: log": "list of 2", "g: b": "2"})
    settled = before.without_changes(after, "changed")
    assert settled.facts == {"f: a": "1", "g: b": "2"}
    assert settled.not_compared == {"f: log": "changed"}
    assert not differences(settled, after)
    assert in_words(differences(settled, Identity({**after.facts, "f: a": "3"}))) == "f: a 1 → 3"


def test_very_many_facts_are_kept_by_subject() -> None:
    many = {f"net: layer[{number}]": str(number) for number in range(2000)} | {"loop: nsteps": "3"}
    stored = Identity.from_json(json.loads(json.dumps(Identity(many).to_json())))
    assert stored is not None
    assert len(stored.facts) == 2
    assert not differences(stored, Identity(many))
    changed = differences(stored, Identity(many | {"net: layer[7]": "x"}))
    assert list(changed) == ["net: all facts"]
    assert list(differences(stored, Identity({"loop: nsteps": "3"}))) == ["net"]


texts = st.dictionaries(st.sampled_from(["a: x", "a: y.z", "a: y[0]", "b: x", "b: class", "c"]), st.sampled_from("12"))


@given(texts, texts)
def test_there_are_differences_exactly_where_something_differs(old: dict[str, str], new: dict[str, str]) -> None:
    one, other = Identity(old), Identity(new)
    found = differences(one, other)
    assert bool(found) == (old != new)
    assert {name: pair[::-1] for name, pair in differences(other, one).items()} == found
    assert Identity.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    "odd", [None, 3, {}, {"version": 0, "facts": {}, "not_compared": {}}, {"version": 1, "facts": 3}]
)
def test_what_is_no_identity_is_none(odd: Any) -> None:
    assert Identity.from_json(odd) is None
