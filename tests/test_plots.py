"""Curves: thinned without losing an extreme, drawn onto axes that are given, never by pyplot."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from nmlab.plots import POINTS, LossPicture, draw_losses, thin
from nmlab.runs import Run, RunStore

ROOT = Path(__file__).parents[1]
nan, inf = math.nan, math.inf
values = st.floats(-10, 10) | st.sampled_from([nan, inf, -inf])


@settings(max_examples=100, deadline=None)
@given(st.lists(values, max_size=200), st.integers(2, 60))
@example([1.0, inf, 5.0, 2.0], 2)
def test_a_thinned_curve_keeps_ends_and_extremes_and_is_short(ys: list[float], points: int) -> None:
    xs = list(range(len(ys)))
    x, y = thin(xs, ys, points)
    assert len(x) == len(y) <= points + 2
    assert (np.diff(x) > 0).all()
    assert all(y[i] == ys[int(n)] or math.isnan(y[i]) for i, n in enumerate(x))
    finite = [value for value in ys if math.isfinite(value)]
    kept = [value for value in y if math.isfinite(value)]
    assert (min(kept, default=None), max(kept, default=None)) == (min(finite, default=None), max(finite, default=None))
    if ys:
        assert (x[0], x[-1]) == (0, len(ys) - 1)
    if len(ys) <= points:
        assert len(x) == len(ys)


def test_every_spike_of_a_long_curve_stays() -> None:
    ys = np.sin(np.linspace(0, 20, 100_000))
    ys[[777, 50_000, 99_998]] = [9.0, -9.0, 5.0]
    _, y = thin(range(len(ys)), ys.tolist())
    assert {9.0, -9.0, 5.0} <= set(y)
    assert 0.5 * POINTS < len(y) <= POINTS + 2


# --- drawing ---


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    """A function that makes a run out of its columns."""
    store = RunStore(tmp_path)

    def make(monitor: str = "dev_loss", **columns: list[float]) -> Run:
        writer = store.create("r", {})
        writer.update(monitor=monitor)
        for epoch, row in enumerate(zip(*columns.values(), strict=True)):
            writer.append({"epoch": epoch, **dict(zip(columns, row, strict=True))})
        writer.close("finished")
        return writer.run

    return make


def drawn(run: Run | None, *earlier: Run, log: bool = True) -> Any:
    figure = Figure()
    axes = figure.add_subplot()
    draw_losses(axes, run, earlier, log)
    figure.canvas.draw()
    return axes


def curves(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines}


def test_train_dev_and_the_best_epoch(run_of: Any) -> None:
    run = run_of(train_loss=[4.0, 2.0, 1.0], dev_loss=[5.0, 2.5, 3.0])
    axes = drawn(run)
    assert curves(axes) == {"train": [4.0, 2.0, 1.0], "dev": [5.0, 2.5, 3.0], "best: 2.5 in epoch 1": [2.5]}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train", "dev", "best: 2.5 in epoch 1"]
    assert list(axes.lines[2].get_xdata()) == [1]
    assert axes.get_yscale() == "log"
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines[:2]}) == 2
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle(), "colour alone does not tell them apart"
    assert drawn(run, log=False).get_yscale() == "linear"


def test_drawing_again_replaces_what_was_there(run_of: Any) -> None:
    axes = drawn(run_of(train_loss=[4.0, 2.0], dev_loss=[5.0, 2.5]))
    draw_losses(axes, run_of(train_loss=[1.0], dev_loss=[-1.0]))
    assert curves(axes) == {"train": [1.0], "dev": [-1.0], "best: -1 in epoch 0": [-1.0]}
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize("bad", [0.0, -3.0])
def test_an_axis_is_linear_where_a_loss_is_not_positive(run_of: Any, bad: float) -> None:
    assert drawn(run_of(train_loss=[1.0, bad], dev_loss=[1.0, 1.0])).get_yscale() == "linear"
    assert drawn(run_of(train_loss=[1.0, 2.0], dev_loss=[1.0, bad])).get_yscale() == "linear"


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(
    "losses", [[], [2.0], [0.0], [nan], [nan, nan], [1.0, nan, inf, 0.5], [-inf, 1.0], [1e-38, 3e38], [1.0] * 1500]
)
def test_odd_losses_can_be_drawn(run_of: Any, losses: list[float], log: bool) -> None:
    """None, one, none finite, and more than are drawn."""
    run = run_of(train_loss=losses, dev_loss=losses)
    axes = drawn(run, run, log=log)
    labels = curves(axes)
    assert ("train" in labels) == bool(losses)
    assert any(label.startswith("best") for label in labels) == any(map(math.isfinite, losses))
    if len(losses) == 1:
        assert axes.lines[1].get_marker() == "o", "a single point without a marker cannot be seen"
    assert LossPicture(300, 150).png(run, [run], log).startswith(b"\x89PNG")


def test_without_a_run_the_axes_are_empty(run_of: Any) -> None:
    assert drawn(None).lines[:] == []
    assert drawn(None).get_legend() is None
    earlier = run_of(train_loss=[1.0, 2.0])
    assert [list(line.get_ydata()) for line in drawn(None, earlier, run_of()).lines] == [[1.0, 2.0], []]


def test_earlier_runs_are_faint_and_behind(run_of: Any) -> None:
    run = run_of(train_loss=[4.0, 2.0], dev_loss=[5.0, 2.5])
    axes = drawn(run, run_of(train_loss=[1.0], dev_loss=[7.0]), run_of(train_loss=[8.0], monitor="train_loss"))
    *earlier, train, _, _ = axes.lines
    assert [list(line.get_ydata()) for line in earlier] == [[7.0], [8.0]]
    assert all(line.get_alpha() < 0.5 and line.get_zorder() < train.get_zorder() for line in earlier)
    assert len(axes.get_legend().get_texts()) == 3


def test_the_best_by_a_metric_that_is_not_drawn_is_a_line_at_its_epoch(run_of: Any) -> None:
    run = run_of(monitor="dev_obj", train_loss=[4.0, 2.0], dev_loss=[5.0, 2.5], dev_obj=[-7.0, 3.0])
    axes = drawn(run)
    label = "best dev_obj: -7 in epoch 0"
    assert label in curves(axes)
    assert list(axes.lines[-1].get_xdata()) == [0, 0]
    assert axes.get_ylim()[0] > 0


def test_a_run_that_goes_on_can_be_drawn(tmp_path: Path) -> None:
    """Rows come between the looks at the columns; every curve is of one look."""
    writer = RunStore(tmp_path).create("r", {})
    epoch = 0

    class Growing(Run):
        def curve(self, name: str) -> Any:
            nonlocal epoch
            writer.append({"epoch": epoch, "train_loss": 1.0, "dev_loss": 1.0})
            epoch += 1
            return super().curve(name)

    axes = drawn(Growing(writer.folder), Growing(writer.folder))
    assert epoch >= 3
    assert all(len(line.get_xdata()) == len(line.get_ydata()) for line in axes.lines)
    writer.close("finished")


def test_a_picture_is_a_png_of_its_size_kept_between_drawings(run_of: Any) -> None:
    picture = LossPicture(400, 200)
    assert picture.width == 400
    run = run_of(train_loss=[4.0, 2.0], dev_loss=[5.0, 2.5])
    first = picture.png(run)
    assert [int.from_bytes(first[start : start + 4], "big") for start in (16, 20)] == [600, 300]
    assert picture.png(None) != first
    assert picture.png(run) == first


def test_pyplot_is_never_imported(run_of: Any) -> None:
    """It would put the picture into whatever cell runs next."""
    folder = run_of(train_loss=[4.0, 2.0], dev_loss=[5.0, 2.5]).folder
    code = f"""
import sys
from nmlab.plots import LossPicture
from nmlab.runs import Run
assert LossPicture().png(Run({str(folder)!r})).startswith(b"\\x89PNG")
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
