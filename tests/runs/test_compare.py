"""What is different between runs, which can be compared, which is the best, and how a table says it."""

from __future__ import annotations

import json
import math
import re
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmlab.runs import Comparison, Run, RunStore, best_of, changed_text, changes, comparable, rows

EVIL = "<img src=x onerror=alert(1)>"

ASKED: dict[str, Any] = {
    "data_function": {"name": "data", "source": "def data(nsim):\n    return nsim\n"},
    "data_kwargs": {"nsim": 100},
    "options": {"lr": 1e-3, "max_epochs": 10, "seed": None, "optimizer": None},
    "problem_source": {"name": "build", "source": "def build(): ..."},
    "fingerprint": "abc",
    "seed": 1,
    "threads": 1,
    "versions": {"torch": "2.12"},
}


def merged(asked: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`asked` with what is given within its objects instead."""
    within = {key: {**asked.get(key, {}), **value} for key, value in other.items() if isinstance(value, dict)}
    return {**asked, **other, **within}


def made(store: RunStore, values: list[float] = [1.0], state: str = "finished", mode: str = "min", **other: Any) -> Run:  # noqa: B006
    """An ended run with these dev losses that was asked for `ASKED` with `other` instead."""
    writer = store.create("data", merged(ASKED, other))
    writer.update(monitor="dev_loss", mode=mode, test_metrics={"test_loss": 0.5})
    for epoch, value in enumerate(values):
        writer.append({"epoch": epoch, "train_loss": 1.0, "dev_loss": value, "seconds": 0.25})
    writer.close(state)
    return writer.run


# --- changes ---

CHANGES: dict[str, tuple[dict[str, Any], dict[str, tuple[Any, Any]], str]] = {
    "nothing": ({}, {}, "same settings"),
    "a drawn seed": ({"seed": 2}, {}, "same settings"),
    "the machine": ({"threads": 2, "versions": {"torch": "2.13"}}, {}, "same settings"),
    "a keyword": ({"data_kwargs": {"nsim": 500}}, {"nsim": (100, 500)}, "nsim 100 → 500"),
    "a new keyword": ({"data_kwargs": {"noise": 0.1}}, {"noise": (None, 0.1)}, "noise none → 0.1"),
    "an option": ({"options": {"lr": 0.01}}, {"lr": (1e-3, 0.01)}, "lr 0.001 → 0.01"),
    "an option of a later version": ({"options": {"later": 1}}, {}, "same settings"),
    "a class": (
        {"options": {"optimizer": {"name": "torch.optim.sgd.SGD"}}},
        {"optimizer": (None, {"name": "torch.optim.sgd.SGD"})},
        "optimizer none → SGD",
    ),
    "a chosen seed": ({"seed": 2, "options": {"seed": 2}}, {"seed": (1, 2)}, "seed 1 → 2"),
    "other data": (
        {"data_function": {"name": "more", "source": "x"}},
        {"data function": ("data", "more")},
        "data function data → more",
    ),
    "edited data": (
        {"data_function": {"source": "x"}},
        {"data function's source": (ASKED["data_function"]["source"], "x")},
        "data edited",
    ),
    "an edited builder": (
        {"problem_source": {"source": "x"}},
        {"builder's source": ("def build(): ...", "x")},
        "build edited",
    ),
    "a Problem": ({"fingerprint": "xyz"}, {"Problem": ("abc", "xyz")}, "another Problem"),
    "a start": ({"starts_from": "0001-data"}, {"starts from": (None, "0001-data")}, "starts from 0001-data"),
    "long text": (
        {"data_kwargs": {"text": "a" * 60 + "b"}},
        {"text": (None, "a" * 60 + "b")},
        f"text none → {'a' * 39}…",
    ),
    "one name in both": (
        {"data_kwargs": {"lr": 5}, "options": {"lr": 1.0}},
        {"data_kwargs.lr": (None, 5), "options.lr": (1e-3, 1.0)},
        "data_kwargs.lr none → 5, options.lr 0.001 → 1.0",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_was_changed(store: RunStore, case: str) -> None:
    other, expected, text = CHANGES[case]
    before, run = made(store), made(store, **other)
    assert changes(run, before) == expected
    assert changed_text(run, before) == text
    assert changes(before, run) == {name: pair[::-1] for name, pair in expected.items()}


def test_the_full_comparison_knows_the_machine(store: RunStore) -> None:
    before, run = made(store), made(store, threads=2, versions={"torch": "2.13", "numpy": "2.4"})
    assert changes(run, before, full=True) == {
        "threads": (1, 2),
        "version of torch": ("2.12", "2.13"),
        "version of numpy": (None, "2.4"),
    }


def test_the_text_stays_short_and_says_what_alone_it_cannot_tell(store: RunStore) -> None:
    many = {f"k{index}": index for index in range(8)}
    before, run = made(store), made(store, data_kwargs=many)
    assert changed_text(run, before).endswith("k4 none → 4, and 3 more")
    assert changed_text(before, None) == "first run"
    long = [made(store, data_kwargs={"text": "a" * 60 + end}) for end in "bc"]
    assert changed_text(long[1], long[0]) == "text changed"
    assert (
        changed_text(made(store, starts_from=None), made(store, starts_from="0001-data")) == "starts from new weights"
    )


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
kwargs = st.dictionaries(st.sampled_from(["nsim", "lr", "seed", "x<y"]), json_values, max_size=3)


@settings(max_examples=40, deadline=None)
@given(kwargs, kwargs)
def test_changes_are_none_exactly_where_nothing_differs(old: dict[str, Any], new: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(folder)
        writers = [store.create("r", {**ASKED, "data_kwargs": values}) for values in (old, new)]
        a, b = (writer.run for writer in writers)
        differ = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        assert {name.removeprefix("data_kwargs.") for name in changes(b, a)} == differ
        assert "\n" not in changed_text(b, a)
        comparison = Comparison(a, b)
        assert "x<y" not in comparison._repr_html_()
        assert comparison.to_pandas().shape[1] == 2
        assert repr(comparison)
        for writer in writers:
            writer.close("finished")


# --- what the functions lean on ---


def sources(*definitions: str) -> dict[str, Any]:
    """A run's sources: its two functions and what else was defined."""
    own = ["def data(nsim):\n    return helper(nsim, steps)\n", "def build():\n    return Net(width)\n"]
    given = {"data_setup_function": "data", "problem": "build", "options.optimizer": "my_optimizer"}
    return {"given": given, "definitions": [*definitions, *own]}


HELPERS = ["scale = 2", "def helper(n, m):\n    return n * scale\n", "steps: int = 5", "width = [8, 8]", "rate = 0.1"]
OPTIMIZER = "def my_optimizer(p):\n    return SGD(p, rate)\n"


@pytest.mark.parametrize(
    ("place", "text", "expected", "said"),
    [
        (2, "steps: int = 50", {"global steps": ("5", "50")}, "global steps 5 → 50"),
        (0, "scale = 3", {"global scale": ("2", "3")}, "global scale 2 → 3"),
        (3, "width = [16]", {"global width": ("[8, 8]", "[16]")}, "global width [8, 8] → [16]"),
        (
            1,
            "def helper(n, m):\n    return scale\n",
            {"global helper": (HELPERS[1].strip(), "def helper(n, m):\n    return scale")},
            "global helper edited",
        ),
        (4, "rate = 0.5", {}, "same settings"),
    ],
)
def test_a_constant_or_helper_that_was_changed_is_a_change(
    store: RunStore, place: int, text: str, expected: dict[str, Any], said: str
) -> None:
    before = made(store, sources=sources(*HELPERS, OPTIMIZER))
    texts = [text if index == place else helper for index, helper in enumerate(HELPERS)]
    run = made(store, sources=sources(*texts, OPTIMIZER))
    assert changes(run, before) == expected
    assert changed_text(run, before) == said
    assert (comparable(run) == comparable(before)) == (not expected)


def test_helpers_of_another_data_function_say_nothing_beside_its_name(store: RunStore) -> None:
    before = made(store, sources=sources(*HELPERS))
    other = {"given": {}, "definitions": ["def lean(n):\n    return n\n", "def other(n):\n    return lean(n)\n"]}
    run = made(store, sources=other, data_function={"name": "other", "source": "def other(n):\n    return lean(n)\n"})
    assert "global lean" in changes(run, before)
    assert "global" not in changed_text(run, before)


@pytest.mark.parametrize("odd", [None, [], {}, {"definitions": 5}, {"definitions": ["(", 7, "x = 1"], "given": 3}])
def test_sources_that_are_missing_or_odd_are_no_change(store: RunStore, odd: Any) -> None:
    before, run = made(store), made(store, sources=odd)
    assert changes(run, before) == changes(made(store, sources=odd), run) == {}
    assert changes(made(store, sources={"definitions": []}), run) == {}


# --- best ---


def test_the_best_of_each_group_of_comparable_runs_is_found(store: RunStore) -> None:
    worse, best, other = made(store, [3.0, 2.0]), made(store, [5.0, 1.0, 4.0]), made(store, [0.1], fingerprint="xyz")
    failed = made(store, [0.5, math.nan], state="failed")
    assert best_of([worse, best]) == {best.id}
    assert best_of([best, worse, other, failed]) == {failed.id}
    assert best_of([worse]) == best_of([worse, other]) == set()
    high, low = made(store, [1.0], mode="max"), made(store, [0.5], mode="max")
    assert best_of([worse, best, high, low]) == {best.id, high.id}
    assert best_of([made(store, [1.0]), made(store, [1.0])]) == {f"{len(store.runs()) - 1:04d}-data"}
    empty = made(store, [math.nan])
    assert best_of([worse, empty]) == set()
    going = store.create("data", ASKED)
    going.append({"epoch": 0, "dev_loss": 0.0})
    assert best_of([worse, best, going.run]) == {best.id}
    going.close("interrupted")
    assert best_of([worse, best, going.run]) == {going.run.id}


APART: list[dict[str, Any]] = [
    {"fingerprint": "xyz"},
    {"data_function": {"name": "more"}},
    {"data_function": {"source": "x"}},
    {"data_kwargs": {"nsim": 101}},
    {"problem_source": {"source": "x"}},
    {"mode": "max"},
]


@pytest.mark.parametrize("other", APART, ids=str)
def test_runs_whose_losses_mean_something_else_are_not_comparable(store: RunStore, other: dict[str, Any]) -> None:
    run, apart = made(store), made(store, **other)
    assert comparable(run) != comparable(apart)
    assert "cannot be compared: they differ in" in Comparison(run, apart).verdict


@pytest.mark.parametrize(
    "other", [{"options": {"lr": 1.0, "max_epochs": 99}}, {"starts_from": "x"}, {"seed": 2}], ids=str
)
def test_runs_that_were_trained_otherwise_are_comparable(store: RunStore, other: dict[str, Any]) -> None:
    run, same = made(store), made(store, **other)
    assert comparable(run) == comparable(same)
    assert Comparison(run, same).verdict.startswith("Their losses can be compared: ")
    assert ("seeds differ" in Comparison(run, same).verdict) == ("seed" in other)


# --- two runs side by side ---


def test_two_runs_side_by_side(store: RunStore) -> None:
    a = made(store, [2.0, 1.0])
    source = "def data(nsim):\n    return nsim + 1\n"
    b = made(store, [0.5], data_kwargs={"nsim": 500}, data_function={"source": source}, options={"lr": 0.01})
    comparison = Comparison(a, b)
    table = comparison.to_pandas()
    assert table.columns.tolist() == [a.id, b.id]
    assert table.loc["nsim"].tolist() == [100, 500]
    assert table.loc["lr"].tolist() == [1e-3, 0.01]
    assert table.loc["best dev_loss"].tolist() == [1.0, 0.5]
    assert table.loc["best epoch"].tolist() == [1, 0]
    assert table.loc["epochs"].tolist() == [2, 1]
    assert table.loc["seconds"].tolist() == [0.5, 0.25]
    assert table.loc["test_loss"].tolist() == [0.5, 0.5]
    assert re.fullmatch(r"data #\w{6}", table.loc["data function's source"][a.id])
    assert comparison.source_diff.splitlines()[-2:] == ["-    return nsim", "+    return nsim + 1"]
    assert comparison.verdict.endswith("they differ in data function's source, data keywords.")
    assert re.search(r"^best dev_loss +1 +0\.5$", repr(comparison), re.M)
    assert "+    return nsim + 1" in repr(comparison)
    assert Comparison(a, a).changes == {}
    assert Comparison(a, a).source_diff == ""
    same = Comparison(a, a)._repr_html_()
    assert same.startswith("<p>Nothing is different.</p>")
    assert "source</summary>" not in same


def test_what_is_equal_is_folded(store: RunStore) -> None:
    page = Comparison(made(store, [2.0, 1.0]), made(store, [2.0, 0.5]))._repr_html_()
    different, _, equal = page.partition("<details>")
    assert "best dev_loss" in different
    assert "epochs" not in different
    assert "epochs" in equal


def test_a_comparison_escapes_what_users_wrote(store: RunStore) -> None:
    a = made(store)
    b = made(store, data_kwargs={EVIL: EVIL}, data_function={"name": EVIL, "source": f"# {EVIL}"})
    store.rename(b, EVIL)
    page = Comparison(a, b)._repr_html_()
    assert "<img" not in page
    assert page.count("&lt;img") >= 4
    tables = 2  # of what differs, and of what is equal
    assert page.count('<th scope="col">') == 3 * tables
    assert page.count('<th scope="row">') == page.count("<tr>") - tables
    assert "style=" not in page


# --- the table ---


def test_rows_hold_what_json_knows(store: RunStore) -> None:
    first = made(store, [2.0, math.inf])
    second = made(store, [1.0], options={"lr": 0.01}, starts_from=first.id)
    store.rename(second, "faster")
    store.annotate(second, "a note")
    writer = store.create("data", ASKED)
    writer.update(test_metrics={"test_loss": math.inf})
    writer.close("failed", {"type": "ValueError", "message": "no " * 500, "traceback": ""})
    table = rows(store.runs())
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert table[1] == {
        "id": "0002-data",
        "name": "faster",
        "data": "data",
        "changed": "lr 0.001 → 0.01, starts from 0001-data",
        "epochs": 1,
        "best": 1.0,
        "best_epoch": 0,
        "test": 0.5,
        "seconds": 0.25,
        "size": second.size,
        "status": "finished",
        "note": "a note",
        "created": second.created,
        "starts_from": "0001-data",
        "is_best": True,
        "error": None,
        "group": None,
    }
    assert [row["is_best"] for row in table] == [False, True, False]
    assert (table[2]["test"], table[2]["best"], len(table[2]["error"])) == (None, None, 300)
    frame = store.runs().to_pandas()
    assert frame["best"].tolist() == [False, True, False]
    assert frame["test_loss"].tolist() == [0.5, 0.5, math.inf]
    assert len(frame["error"][2]) > 1000
    assert rows([]) == []


def test_a_row_follows_its_run(store: RunStore) -> None:
    writer = store.create("data", ASKED)
    runs = store.runs()
    for epoch in range(3):
        writer.append({"epoch": epoch, "dev_loss": 1.0})
        assert (rows(runs)[0]["epochs"], rows(runs)[0]["status"]) == (epoch + 1, "running")
    writer.close("stopped")
    assert rows(runs)[0]["status"] == "stopped"
    store.rename(runs[0], "one")
    assert rows(runs)[0]["name"] == "one"
    again = store.reopen(runs[0])
    again.append({"epoch": 3, "dev_loss": 0.25})
    again.close("finished")
    assert [rows(look)[0]["best"] for look in (runs, store.runs())] == [0.25, 0.25]
    assert rows(runs)[0]["size"] == runs[0].size


def test_a_damaged_run_is_no_ones_predecessor(store: RunStore) -> None:
    runs = [made(store), made(store), made(store)]
    (runs[1].folder / "settings.json").write_text("{")
    assert [row["changed"] for row in rows(store.runs())] == ["first run", "", "same settings"]


def test_fifty_runs_are_a_short_page(store: RunStore) -> None:
    for index in range(50):
        made(store, [1.0 / (epoch + 1) for epoch in range(200)], data_kwargs={"nsim": index // 5}, seed=index)
    runs = store.runs()
    page = runs._repr_html_()
    assert len(page.encode()) < 25_000
    assert page.count('aria-label="best"') == 10
    assert page.count('<th scope="row">') == 50
    assert "★" in repr(runs)


def test_columns_that_say_nothing_are_not_shown(store: RunStore) -> None:
    run = made(store)
    assert '<th scope="col">name' not in store.runs()._repr_html_()
    assert "note" not in repr(store.runs())
    store.rename(run, "mine")
    store.annotate(run, "remember")
    page = store.runs()._repr_html_()
    assert "<td>mine</td>" in page
    assert "<td>remember</td>" in page
