"""Runs on several seeds: one group in the table, ★ withheld where groups overlap, tests of differences."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nmlab import Run, RunError, RunStore
from nmlab.runs import Comparison, best_of, withheld
from nmlab.runs.repeats import chance_text, spread_text

SETTINGS = {"data_function": {"name": "data", "source": "…"}, "options": {"lr": 0.1, "seed": None}, "fingerprint": "f"}


def made(store: RunStore, best: float, group: str | None = None, seed: int = 0, **settings: Any) -> Run:
    repeat = None if group is None else {"group": group}
    writer = store.create("data", {**SETTINGS, "seed": seed, "repeat": repeat, **settings})
    writer.append({"epoch": 0, "train_loss": best, "dev_loss": best})
    writer.close("finished")
    return writer.run


def groups(store: RunStore, *values: list[float]) -> list[list[Run]]:
    return [
        [
            made(store, value, f"g{number}", seed, options={"lr": number, "seed": None})
            for seed, value in enumerate(each)
        ]
        for number, each in enumerate(values)
    ]


def test_a_group_is_one_line_of_the_table_that_unfolds(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    groups(store, [1.0, 2.0, 3.0])
    made(store, 9.0)
    rows = store.runs().rows()
    assert [row["group"] and row["group"]["best"] for row in rows] == ["2.0 ± 1.0"] * 3 + [None]
    html, text = store.runs()._repr_html_(), repr(store.runs())
    assert html.count("<tr>") == 3
    assert "2.0 ± 1.0" in html
    assert "0001-data and 2 more seeds" in html
    assert "0003-data: 3" in html  # within what unfolds
    assert len(text.splitlines()) == 6


def test_the_run_that_was_repeated_is_of_the_group(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first = made(store, 1.0, seed=7)
    made(store, 2.0, str(first.uid), seed=8)
    assert len(store.runs().group(first)) == 2
    assert {row["group"]["count"] for row in store.runs().rows()} == {2}


def test_a_copied_folder_is_no_repeat(tmp_path: Path) -> None:
    import shutil

    store = RunStore(tmp_path)
    first = made(store, 1.0)
    shutil.copytree(first.folder, tmp_path / "0002-data")
    assert [row["group"] for row in store.runs().rows()] == [None, None]


@pytest.mark.parametrize(
    ("values", "overlaps"),
    [
        ([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], True),
        ([[1.0, 1.1, 1.2], [3.0, 3.1, 3.2]], False),
        ([[1.0, 2.0, 3.0], [2.5]], True),
        ([[1.0, 1.1, 1.2], [2.5]], False),
        ([[1.0], [2.0, 1.0, 0.5]], True),
        ([[1.0], [2.0]], False),
        ([[1.0, 1.1, 1.2], [9.0, 9.1], [1.2, 1.3]], True),
    ],
    ids=str,
)
def test_no_star_where_groups_overlap(values: list[list[float]], overlaps: bool, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    runs = groups(store, *values)
    best = min((run for run in runs[0]), key=lambda run: run.column("dev_loss")[0])
    assert best_of(store.runs()) == (set() if overlaps else {best.id})
    assert len(withheld(store.runs())) == overlaps
    assert ("overlap by" in repr(store.runs())) == overlaps == ("★:" in store.runs()._repr_html_())


def test_seeds_of_one_group_are_no_competition(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    groups(store, [1.0, 2.0])
    assert (best_of(store.runs()), withheld(store.runs())) == (set(), [])


def test_two_groups_are_compared_by_welchs_test(tmp_path: Path) -> None:
    a, b = groups(RunStore(tmp_path), [1.0, 1.2, 1.1, 0.9], [1.6, 1.9, 1.2, 1.4])
    comparison = Comparison(a, b)
    p = stats.ttest_ind([1.0, 1.2, 1.1, 0.9], [1.6, 1.9, 1.2, 1.4], equal_var=False).pvalue
    assert f"in {100 * p:.2g} % of such" in comparison.chance
    assert "Welch" in comparison.chance
    assert set(comparison.changes) == {"lr"}
    assert comparison.to_pandas().loc["best dev_loss"].tolist() == ["1.05 ± 0.13", "1.52 ± 0.30"]
    for shown in (repr(comparison), comparison._repr_html_()):
        assert "by chance" in shown
        assert "0001-data and 3 more seeds" in shown


def test_one_seed_each_says_little(tmp_path: Path) -> None:
    a, b = groups(RunStore(tmp_path), [1.0], [2.0, 2.1])
    assert "One seed each says little" in Comparison(a[0], b[0]).chance
    assert "With one seed on a side" in Comparison(a, b).chance
    with pytest.raises(RunError, match="empty"):
        Comparison(a, [])


def test_nothing_is_said_of_losses_that_cannot_be_compared(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    a, b = [made(store, 1.0, fingerprint="x")], [made(store, 2.0, fingerprint="y")]
    assert Comparison(a, b).chance == ""


numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6)


@given(numbers, numbers)
def test_any_values_are_told_in_words(a: list[float], b: list[float]) -> None:
    told = chance_text(a, b, "dev_loss")
    assert told.startswith("Best dev_loss: ")
    assert "nan" not in told


@given(st.floats(-1e9, 1e9), st.floats(1e-12, 1e6))
def test_a_mean_is_as_long_as_its_spread_leaves_it(mean: float, spread: float) -> None:
    told, _, more = spread_text(mean, spread).partition(" ± ")
    assert float(more) == pytest.approx(spread, rel=0.06)
    assert float(told) == pytest.approx(mean, abs=max(spread, 1e-4 * abs(mean)))


def test_no_spread_of_one_value() -> None:
    assert spread_text(0.5, None) == "0.5"
    assert statistics.stdev([1.0, 1.0]) == 0
    assert spread_text(1.0, 0.0) == "1 ± 0"
