"""What functions and values need to be there again: executed alone, the collected text gives the same objects."""

from __future__ import annotations

import functools
import json
import math
import re
import types
from collections import namedtuple
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nmlab.sources import sources_of
from tests.helpers.problems import PROBLEMS, rosenbrock
from tests.helpers.processes import ROOT

Pair = namedtuple("Pair", ["left", "right"])


class Colour(Enum):
    RED = 1


@dataclass
class Range:
    low: float = 0.0
    high: Any = None


@dataclass
class WorkedOut:
    twice: int = field(init=False, default=2)


def again(value: Any) -> Any:
    """`value` as its text makes it in an empty namespace."""
    found = json.loads(json.dumps(sources_of({"value": value})))
    assert found["missing"] == {}
    namespace: dict[str, Any] = {}
    exec("\n".join([*found["imports"], *found["definitions"]]), namespace)
    return eval(found["given"]["value"], namespace)


# --- values ---

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.just(Colour.RED),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.tuples(inner)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.builds(Range, st.floats(allow_nan=False), inner)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=8,
)


@given(plain)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert again(value) == value
    assert repr(again(value)) == repr(value)  # -0.0, True and 1


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        set(),
        frozenset({"a"}),
        frozenset(),
        complex(math.inf, -0.0),
        range(2, 9, 3),
        Path("data") / "x.csv",
        torch.float64,
        torch.device("cpu"),
        torch.Size([2, 3]),
        np.float32(0.1),
        np.int64(3),
        types.SimpleNamespace(a=[1], b={"c": torch.float32}),
        Colour,
        np,
        math.sin,
        nn.Linear,
        [len, nn.functional.relu],
        PROBLEMS["pinn"],
        list[int] | None,
        dict[str, Any],
    ],
    ids=lambda value: re.sub(r" at 0x\w+| from '.*'", "", repr(value))[:40],
)
def test_other_values_come_back(value: Any) -> None:
    found = again(value)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "kind", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
)
def test_tensors_come_back_to_the_last_bit(kind: torch.dtype) -> None:
    drawn = torch.randn(2, 3, 4, dtype=torch.float64) / 3
    for value in (drawn.to(kind), drawn.to(kind).permute(2, 0, 1), drawn.to(kind)[:0], drawn.to(kind)[0, 0, 0]):
        found = again(value)
        assert found.dtype == kind
        assert torch.equal(found, value)
        assert value.numel() == 0 or found.stride() == value.stride()


def test_tensors_that_are_trained_stay_so() -> None:
    weight, leaf = nn.Parameter(torch.rand(2)), torch.rand(2, requires_grad=True)
    assert isinstance(again(weight), nn.Parameter)
    assert again(leaf).requires_grad
    assert torch.equal(again(leaf), leaf)


@pytest.mark.parametrize("kind", ["float32", "float64", "int8", "bool", "complex128"])
def test_arrays_come_back_to_the_last_bit(kind: str) -> None:
    drawn = (np.random.default_rng(0).standard_normal((3, 4)) / 3).astype(kind)
    for value in (drawn, drawn.T, drawn[:0], drawn[0, 0], np.array(drawn[0, 0])):
        found = again(value)
        assert (found.dtype, found.shape, found.tobytes("A")) == (value.dtype, value.shape, value.tobytes("A"))
        assert found.flags.f_contiguous == value.flags.f_contiguous
    assert np.isnan(again(np.array([np.nan, np.inf]))[0])


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "an object object; it has no source"),
        (WorkedOut(), "a WorkedOut object; it has no source"),
        (torch.zeros(30_000), "a Tensor too large to be written here (120 kB)"),
        (np.zeros(30_000), "a ndarray too large to be written here (240 kB)"),
        ("x" * 30_000, "a str too large to be written here (30 kB)"),
        (list(range(10**6)), "a list too large to be written here (more than 20 kB)"),
        ([object()], "an object object; it has no source"),
        (
            torch.rand(2, requires_grad=True) * 2,
            "a tensor with a graph or a special layout; it has no source",
        ),
        (np.array([1, "a"], dtype=object), "an array of object; it has no source"),
        (np.random.default_rng(0), "a Generator object; it has no source"),
        (torch.nn.Linear(1, 1), "a Linear object; it has no source"),
        (functools.partial(print, object()), "an object object; it has no source"),
        ([].append, "a builtin_function_or_method object; it has no source"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_has_no_source_is_named_with_what_it_was(value: Any, what: str) -> None:
    found = sources_of({"data_kwargs.sys": value})
    assert (found["given"], found["missing"], found["definitions"]) == ({"data_kwargs.sys": "sys"}, {"sys": what}, [])


def test_objects_that_raise_at_every_touch_do_no_harm() -> None:
    class Touchy:
        def __getattribute__(self, name: str) -> Any:
            raise ValueError(name)

        def __eq__(self, other: object) -> bool:
            raise ValueError("==")

        __hash__ = None  # type: ignore[assignment]

    endless: list[Any] = []
    endless.append(endless)
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    found = sources_of({"a": Touchy(), "b": endless, "c": deep, "d": 5})
    assert set(found["missing"]) == {"a", "b", "c"}
    assert found["given"]["d"] == "5"


# --- what is typed in a notebook ---


def result(names: dict[str, Any], expression: str = "f") -> Any:
    """What the function `f` of a notebook returns when its text is executed alone."""
    found = sources_of({"f": names["f"]})
    assert found["missing"] == {}, found
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("\n".join([*found["imports"], *found["definitions"]]), namespace)
    return eval(found["given"]["f"], namespace)()


@pytest.mark.parametrize(
    "text",
    [
        "n = 5\ndef f(): return n",
        "def g(): return 7\ndef f(): return [g() for _ in range(2)]",
        "import numpy as np\nn = np.ones(2)\ndef f(a=n.sum()): return float(a + np.pi)\n",
        "from math import sqrt as root\nn = 4.0\ndef f():\n    def inner(): return root(n)\n    return inner()",
        "import concurrent.futures as _, concurrent\ndef f(): return concurrent.futures.Future.__name__",
        "n = 3\nf = lambda: (lambda y: y + n)(1)",
        "fs = [lambda: 1, lambda: 2]; f = fs[1]",
        "def make(k):\n    def inner(): return k + 1\n    return inner\nf = make(8)",
        "def late(): return f(0)\ndef f(n=2): return late() if n else 'end'",
        "def twice(g):\n    def wrapper(): return 2 * g()\n    return wrapper\n@twice\ndef f(): return 4",
        "import functools\n@functools.lru_cache\ndef g(n): return n\ndef f(): return g(3)",
        "def named(): return 'old'\nf = named",
        "def g(): return 'old'\nf = g\ndef g(): return 'new'",
        "from functools import partial\ndef g(a, b): return a, b\nf = partial(g, 1, b=[2])",
        "class A:\n    x: int = 3\nclass B(A):\n    @classmethod\n    def make(cls): return cls.x\nf = B.make",
        "class A:\n    @staticmethod\n    def make(): return 5\nf = A.make",
        "class A:\n    __hash__ = object.__hash__\n    def __eq__(self, o): return type(o).__name__=='A'\nf = A",
        "from enum import Enum\nclass E(Enum):\n    A = 1\nchosen = {'e': E.A}\ndef f(): return chosen['e'].name",
        "def check(g):\n    limit()\n    return g\ndef limit(): return top\ntop = 1\n@check\ndef f(): return 1",
        "def f():\n    '''Docs.\n  odd\n    '''\n    with open('/dev/null') as file: return file.read()",
        "from typing import Annotated as An\nN = An[int, slice]\ndef f(n: N = 2, m: 'N' = 3): return n, m",
        "from __future__ import annotations\ndef f(n: Unknown = 2): return n",
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n",
        "if True:\n    def f():\n        return '''a\n        b'''",
    ],
)  # fmt: skip
def test_a_function_of_a_notebook_is_made_again(cell: Any, text: str) -> None:
    names = cell(text)
    found = result(names)
    assert found == names["f"]()


def test_values_are_those_of_the_start_and_what_a_function_does_not_name_stays_out(cell: Any) -> None:
    names = cell("n, other = 5, 6\ndata = object()\ndef f(x): return n + x.data")
    found = sources_of({"f": names["f"]})
    names["n"] = 7
    assert found["definitions"] == ["n = 5", "def f(x): return n + x.data"]
    assert found["missing"] == {}


def test_objects_are_filled_in_under_their_own_names(cell: Any) -> None:
    names = cell("cstr = object()\ndef f(x=cstr): return cstr")
    found = sources_of({"data_setup_function": names["f"], "data_kwargs.sys": names["cstr"], "data_kwargs.f": object()})
    assert found["given"] == {"data_setup_function": "f", "data_kwargs.sys": "cstr", "data_kwargs.f": "f_"}
    assert set(found["missing"]) == {"cstr", "f_"}


def test_functions_that_were_made_of_others_are_not_taken_for_them(cell: Any) -> None:
    names = cell("import torch\ndef g(x): return x.sum()\nf = torch.vmap(g)\nexec('def h(): return 1')")
    found = sources_of({"f": names["f"], "h": names["h"]})
    assert set(found["missing"]) == {"f", "h"}
    assert found["definitions"] == []


def test_functions_of_the_users_own_modules_are_imported_from_where_they_are() -> None:
    found = sources_of({"problem": rosenbrock, "where": Path.cwd})
    root = str(ROOT)
    assert found["imports"] == ["from pathlib import Path", "from tests.helpers.problems import rosenbrock"]
    assert (found["given"], found["folders"]) == ({"problem": "rosenbrock", "where": "Path.cwd"}, {root: ["tests"]})


def test_two_things_of_one_name_are_said() -> None:
    def made(n: int) -> Any:
        def inner() -> int:
            return n

        return inner

    assert sources_of({"a": made(1), "b": made(2)})["missing"]["n"] == "two different objects have this name"
