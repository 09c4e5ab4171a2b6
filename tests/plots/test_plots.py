"""Runs as pictures: nothing of a curve lost, nothing cut off, readable on every ground, whatever else a cell set."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from nmlab.plots import (
    Picture,
    Theme,
    alt_text,
    draw_gradient_norm,
    draw_losses,
    draw_overlay,
    draw_rate,
    draw_terms,
    panel,
    paper_figure,
    thin,
)
from nmlab.plots.axes import panels, plain
from nmlab.plots.multiples import term_states
from nmlab.plots.words import elide, tick_labels, width_of
from nmlab.runs import Run, RunStore
from tests.helpers.processes import fresh

nan, inf = math.nan, math.inf
values = st.floats(-10, 10) | st.sampled_from([nan, inf, -inf])

# --- thinning ---


@settings(max_examples=150, deadline=None)
@given(st.lists(values, max_size=200), st.integers(1, 30))
@example([1.0, inf, 5.0, 2.0], 1)
@example([1.0, *[nan] * 9, 2.0], 2)
def test_a_thinned_curve_keeps_ends_and_extremes_and_is_short(ys: list[float], columns: int) -> None:
    x, y = thin(list(range(len(ys))), ys, columns)
    assert len(x) == len(y) <= 4 * columns
    assert (np.diff(x) > 0).all()
    assert all(y[i] == ys[int(n)] or math.isnan(y[i]) for i, n in enumerate(x))
    finite = [value for value in ys if math.isfinite(value)]
    kept = [value for value in y if math.isfinite(value)]
    assert (min(kept, default=None), max(kept, default=None)) == (min(finite, default=None), max(finite, default=None))
    if ys:
        assert (x[0], x[-1]) == (0, len(ys) - 1)
    if len(ys) <= 4 * columns:
        assert len(x) == len(ys)


def test_every_spike_and_gap_of_a_long_curve_stays() -> None:
    ys = np.sin(np.linspace(0, 20, 100_000))
    ys[[777, 50_000, 99_998]] = [9.0, -9.0, 5.0]
    ys[20_000:30_000] = nan
    x, y = thin(np.arange(len(ys)), ys, 320)
    assert {9.0, -9.0, 5.0} <= set(y)
    assert len(y) > 600
    assert np.isnan(y[(x >= 20_000) & (x < 30_000)]).all()
    assert np.isnan(y).sum() >= 10


# --- runs to draw ---

Make = Callable[..., Run]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that makes a run out of its columns."""
    store = RunStore(tmp_path_factory.mktemp("runs"))

    def make(monitor: str = "dev_loss", name: str = "r", **columns: list[float]) -> Run:
        writer = store.create(name, {})
        writer.update(monitor=monitor)
        for epoch, row in enumerate(zip(*columns.values(), strict=True)):
            writer.append({"epoch": epoch, **dict(zip(columns, row, strict=True))})
        writer.close("finished")
        return writer.run

    return make


def constraint(name: str, dev: list[float], worst: float = 2.0) -> dict[str, list[float]]:
    """The columns of a constraint, whose worst sample is `worst` times the mean."""
    columns: dict[str, list[float]] = {}
    for split in ("train", "dev"):
        columns |= {
            f"{split}_{name}": [10 * value for value in dev],
            f"{split}_{name}_violation": dev,
            f"{split}_{name}_violation_max": [worst * value for value in dev],
        }
    return columns


@pytest.fixture(scope="module")
def run(run_of: Make) -> Run:
    return run_of(
        train_loss=[4.0, 2.0, 1.0],
        dev_loss=[5.0, 2.5, 3.0],
        lr=[0.1, 0.01, 0.01],
        train_cost=[3.0, 1.5, 0.5],
        dev_cost=[4.0, 2.0, 2.5],
        **constraint("$x_{max}$", [0.5, 0.1, 0.0]),
        **constraint("u_min", [0.3, 0.2, 0.1]),
    )


def drawn(run: Run | None, *earlier: Run, **options: Any) -> Any:
    axes = panel(Figure())
    draw_losses(axes, run, earlier, **options)
    axes.figure.canvas.draw()
    return axes


def curves(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines}


def legend(parent: Any) -> list[str]:
    return [text.get_text() for text in parent.get_texts()]


# --- losses ---


def test_train_dev_and_the_best_epoch(run: Run) -> None:
    axes = drawn(run)
    assert curves(axes) == {"train": [4.0, 2.0, 1.0], "dev": [5.0, 2.5, 3.0], "best: 2.5 in epoch 1": [2.5]}
    assert legend(axes.get_legend()) == ["train", "dev", "best: 2.5 in epoch 1"]
    assert list(axes.lines[2].get_xdata()) == [1]
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle(), "colour alone does not tell them apart"
    assert drawn(run, log=False).get_yscale() == "linear"


def test_drawing_again_replaces_what_was_there(run_of: Make, run: Run) -> None:
    axes = drawn(run)
    draw_losses(axes, run_of(train_loss=[1.0], dev_loss=[-1.0]))
    assert curves(axes) == {"train": [1.0], "dev": [-1.0], "best: −1 in epoch 0": [-1.0]}
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize("bad", [0.0, -3.0])
def test_an_axis_is_linear_where_a_loss_is_not_positive(run_of: Make, bad: float) -> None:
    assert drawn(run_of(train_loss=[1.0, bad], dev_loss=[1.0, 1.0])).get_yscale() == "linear"
    assert drawn(run_of(train_loss=[1.0, 2.0], dev_loss=[1.0, bad])).get_yscale() == "linear"
    assert drawn(run_of(train_loss=[bad, 2.0], dev_loss=[1.0, 2.0]), last=1).get_yscale() == "log", "it is not seen"


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(
    "losses",
    [[], [2.0], [0.0], [nan], [nan, nan], [1.0, nan, inf, 0.5], [-inf, 1.0], [1e-38, 3e38], [-1e308, 1e308], [5e-324],
     [1.0, 1.0 + 1e-15], [1e-300, 1e300], [1.0] * 1500],
)  # fmt: skip
def test_odd_losses_can_be_drawn(run_of: Make, losses: list[float], log: bool) -> None:
    """None, one, none finite, the greatest and least there are, and more than are drawn."""
    run = run_of(train_loss=losses, dev_loss=losses)
    axes = drawn(run, run, log=log)
    labels = curves(axes)
    assert ("train" in labels) == bool(losses)
    assert any(label.startswith("best") for label in labels) == any(map(math.isfinite, losses))
    if len(losses) == 1:
        assert axes.lines[1].get_marker() == "o" or not math.isfinite(losses[0]), "a lone point cannot be seen"
    assert alt_text(run)


def test_the_newest_epochs_fill_the_axes(run_of: Make) -> None:
    losses = [1e6, *np.linspace(2.0, 1.0, 99)]
    run = run_of(train_loss=losses, dev_loss=losses)
    axes = drawn(run, last=20)
    assert [len(line.get_xdata()) for line in axes.lines[:2]] == [20, 20]
    assert 78 < axes.get_xlim()[0] < 80 < 99 < axes.get_xlim()[1] < 101
    assert 0.9 < axes.get_ylim()[0] < 1.0 < axes.get_ylim()[1] < 1.3
    assert drawn(run).get_ylim()[1] > 1e6
    assert curves(drawn(run, last=1000)) == curves(drawn(run))


def test_without_a_run_the_axes_are_empty(run_of: Make) -> None:
    assert drawn(None).lines[:] == []
    assert drawn(None).get_legend() is None
    earlier = run_of(train_loss=[1.0, 2.0])
    assert [list(line.get_ydata()) for line in drawn(None, earlier, run_of()).lines] == [[1.0, 2.0], []]


def test_one_epoch_has_one_tick(run_of: Make) -> None:
    axes = drawn(run_of(train_loss=[1.0], dev_loss=[2.0]))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0"]


def test_earlier_runs_end_and_dip_within_the_axes(run_of: Make) -> None:
    old = run_of(train_loss=[90.0, 0.01, 5.0], dev_loss=[90.0, 0.01, 5.0])
    low, high = drawn(run_of(train_loss=[2.0, 1.5, 1.0], dev_loss=[2.0, 1.5, 1.0]), old).get_ylim()
    assert low < 0.01
    assert 5 < high < 90


def test_earlier_runs_are_behind_under_one_label_and_spoil_no_limits(run_of: Make, run: Run) -> None:
    axes = drawn(run, run_of(train_loss=[1.0] * 9, dev_loss=[7e6, *[0.5] * 8]), run_of(train_loss=[8.0]))
    *own, first, second = axes.lines
    assert [len(first.get_xdata()), list(second.get_ydata())] == [3, [8.0]]
    assert all(old.get_zorder() < line.get_zorder() for line in own for old in (first, second))
    assert legend(axes.get_legend())[-2:] == ["best: 2.5 in epoch 1", "earlier"]
    assert axes.get_ylim()[0] < 0.5 < 8.0 < axes.get_ylim()[1] < 10.0, "it can be seen where they end"


def test_the_best_by_a_metric_that_is_not_drawn_is_a_line_at_its_epoch(run_of: Make) -> None:
    run = run_of(monitor="dev_obj", train_loss=[4.0, 2.0], dev_loss=[5.0, 2.5], dev_obj=[-7.0, 3.0])
    axes = drawn(run)
    assert list(curves(axes))[-1] == "best dev_obj: −7 in epoch 0"
    assert list(axes.lines[-1].get_xdata()) == [0, 0]
    assert axes.get_ylim()[0] > 0


def test_a_run_that_goes_on_can_be_drawn(tmp_path: Path) -> None:
    """Rows come between the looks at the columns; every curve is of one look."""
    writer = RunStore(tmp_path).create("r", {})
    epochs = count()

    class Growing(Run):
        def arrays(self, name: str) -> Any:
            writer.append({"epoch": next(epochs), "train_loss": 1.0, "dev_loss": 1.0, "lr": 1.0, "dev_a": 1.0})
            return super().arrays(name)

    growing = Growing(writer.folder)
    picture = Picture()
    for draw in DRAWINGS:
        assert draw(picture, growing, Theme(), 640, 1.0).startswith(b"\x89PNG")
    assert next(epochs) > 6
    writer.close("finished")


# --- several runs, the learning rate ---


def test_runs_over_each_other_are_told_apart_by_name_and_style(run_of: Make) -> None:
    runs = [run_of(name=f"lr {n}", dev_loss=[1.0 + n] * (n + 2), train_loss=[1.0] * (n + 2)) for n in range(9)]
    axes = panel(Figure())
    draw_overlay(axes, runs)
    axes.figure.canvas.draw()
    assert [line.get_label() for line in axes.lines] == [f"{run.id[:4]} {run.name}" for run in runs]
    looks = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in axes.lines}
    assert len(looks) == 9
    draw_overlay(axes, runs[:2], "train_loss", last=1, labels=["a", "b"])
    assert curves(axes) == {"a": [], "b": [1.0]}
    assert axes.get_ylabel() == "train loss"


def test_more_runs_than_a_legend_holds_are_counted(run: Run) -> None:
    axes = panel(Figure(figsize=(5, 2.5)))
    draw_overlay(axes, [run] * 60)
    words = legend(axes.get_legend())
    left = int(words[-1].removeprefix("and ").removesuffix(" more"))
    assert len(words) - 1 + left == 60 > left > 0
    assert axes.get_position().height > 0.3


def test_the_learning_rate(run_of: Make, run: Run) -> None:
    axes = panel(Figure())
    draw_rate(axes, run)
    assert curves(axes) == {"_": [0.1, 0.01, 0.01]}
    assert (axes.get_ylabel(), axes.get_legend(), axes.get_yscale()) == ("learning rate", None, "log")
    draw_rate(axes, run, last=2, log=False)
    assert curves(axes) == {"_": [0.01, 0.01]}
    draw_rate(axes, run_of(train_loss=[1.0]))
    assert curves(axes) == {"_": []}


# --- terms ---


def terms(run: Run | None, *earlier: Run, width: int = 980, **options: Any) -> tuple[Figure, tuple[int, int]]:
    figure = Figure(figsize=(width / 96, 3), dpi=96)
    size = draw_terms(figure, run, earlier, **options)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure, size


def words_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_the_worst_terms_come_first_with_how_they_stand(run_of: Make) -> None:
    run = run_of(
        dev_loss=[9.0, 8.0], dev_small=[1.0, 1.0], dev_large=[-3.0, -3.0],
        **constraint("holds", [0.0, 0.0]), **constraint("a bit", [0.2, 0.1]), **constraint("much", [0.1, 0.4]),
    )  # fmt: skip
    figure, _ = terms(run)
    assert words_of(figure)[:-1] == [
        "much", "dev violation 0.4 · worst sample 0.8",
        "a bit", "dev violation 0.1 · worst sample 0.2",
        "large", "dev −3 · 38% of the loss",
        "small", "dev 1 · 12% of the loss",
        "holds", "dev not violated",
    ]  # fmt: skip
    assert curves(figure.axes[0]) == {"train": [0.1, 0.4], "dev": [0.1, 0.4], "dev, worst sample": [0.2, 0.8]}
    assert curves(figure.axes[2]) == {"train": [], "dev": [-3.0, -3.0]}
    assert legend(figure.legends[0]) == ["train", "dev", "dev, worst sample"]


def test_a_term_that_is_not_finite_is_the_worst(run_of: Make) -> None:
    run = run_of(train_ok=[1.0, 1.0], train_bad=[1.0, nan], dev_ok=[1.0, 1.0], dev_bad=[1.0, inf])
    figure, _ = terms(run)
    assert words_of(figure)[:4] == ["bad", "dev ∞", "ok", "dev 1 · 100% of the loss"]


def test_without_a_dev_split_terms_are_judged_by_train(run_of: Make) -> None:
    columns = {name: each for name, each in constraint("c", [0.5, 0.1]).items() if name.startswith("train")}
    figure, _ = terms(run_of(train_loss=[2.0, 1.0], **columns))
    assert words_of(figure)[:2] == ["c", "train violation 0.1 · worst sample 0.2"]
    assert curves(figure.axes[0])["train, worst sample"] == [1.0, 0.2]


def test_zeros_lie_on_a_marked_line_of_a_logarithmic_axis(run_of: Make) -> None:
    figure, _ = terms(run_of(train_loss=[1.0] * 3, **constraint("c", [1.0, 0.001, 0.0])))
    axes = figure.axes[0]
    floor = curves(axes)["dev"][-1]
    assert axes.get_yscale() == "log"
    assert 0 < axes.get_ylim()[0] < floor < 0.001
    labels = {tick: label.get_text() for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    assert labels[floor] == "0"
    assert [labels[1.0], labels[0.1]] == ["1", "0.1"]
    never, _ = terms(run_of(train_loss=[1.0] * 3, **constraint("c", [0.0] * 3)))
    assert never.axes[0].get_yscale() == "linear"
    assert never.axes[0].get_ylim()[0] > -0.5


@pytest.mark.parametrize(("width", "across"), [(200, 1), (480, 1), (640, 2), (980, 3), (2000, 7)])
def test_panels_stand_side_by_side_as_the_width_allows(run_of: Make, width: int, across: int) -> None:
    many = {f"dev_objective_{n}": [1.0 + n] for n in range(100)}
    run = run_of(dev_loss=[1.0], **many)
    figure, size = terms(run, width=width)
    assert len(figure.axes) == 12
    assert words_of(figure)[-1] == "The 12 worst of 100 terms."
    assert words_of(figure)[0] == "objective_99"
    assert len({round(axes.get_position().x0, 3) for axes in figure.axes}) == across
    assert tuple(figure.get_size_inches() * 96) == pytest.approx(size)
    assert size[1] > 170 * (12 // across)


def test_before_the_first_epoch_there_are_no_terms(run_of: Make) -> None:
    for run in (None, run_of(), run_of(train_loss=[1.0])):
        figure, size = terms(run)
        assert (words_of(figure), figure.axes) == (["Terms appear after the first epoch."], [])
        assert size[1] < 60


# --- what every picture keeps to ---


def losses_png(picture: Picture, run: Run, theme: Theme, width: int, scale: float) -> bytes:
    return picture.png(lambda figure: draw_losses(panel(figure), run, [run], theme=theme), width, 300, scale)


def overlay_png(picture: Picture, run: Run, theme: Theme, width: int, scale: float) -> bytes:
    return picture.png(lambda figure: draw_overlay(panel(figure), [run] * 9, theme=theme), width, 300, scale)


def rate_png(picture: Picture, run: Run, theme: Theme, width: int, scale: float) -> bytes:
    return picture.png(lambda figure: draw_rate(panel(figure), run, theme=theme), width, 300, scale)


def terms_png(picture: Picture, run: Run, theme: Theme, width: int, scale: float) -> bytes:
    return picture.png(lambda figure: draw_terms(figure, run, [run], theme=theme, last=2), width, 300, scale)


DRAWINGS = (losses_png, overlay_png, rate_png, terms_png)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(DRAWINGS),
            st.booleans(),
            st.sampled_from([Theme(), Theme(False), Theme(True), Theme(size=15)]),
            st.sampled_from([(320, 1.0), (640, 2.0)]),
        ),
        min_size=2,
        max_size=4,
    )
)
def test_nothing_of_a_drawing_stays_in_the_next(run_of: Make, run: Run, steps: list[Any]) -> None:
    """A run restarted, another tab, theme or screen: always the picture that a new figure would give."""
    other = run_of(train_loss=[-1.0], dev_loss=[0.0], lr=[0.0], dev_other=[3.0])
    picture = Picture()
    for draw, swapped, theme, screen in steps:
        png = draw(picture, other if swapped else run, theme, *screen)
    assert png == draw(Picture(), other if swapped else run, theme, *screen)


def image_of(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_a_picture_has_the_pixels_of_the_screen(run: Run) -> None:
    picture = Picture(400, 200)
    png = picture.png(lambda figure: draw_losses(panel(figure), run), scale=1.5)
    assert image_of(png).size == (600, 300)
    assert (picture.width, picture.height) == (400, 200)
    assert image_of(losses_png(picture, run, Theme(), 500, 2.0)).size == (1000, 600)
    assert image_of(terms_png(picture, run, Theme(), 480, 1.0)).size == (480, picture.height)
    assert picture.height > 500, "a drawing may be as high as it needs"


def test_the_ground_is_transparent_and_a_picture_small(run: Run) -> None:
    for draw in DRAWINGS:
        png = draw(Picture(), run, Theme(True), 640, 2.0)
        alpha = np.asarray(image_of(png).convert("RGBA"))[..., 3]
        assert (alpha == 0).mean() > 0.7
        assert len(png) < 60_000
        assert len(image_of(png).getcolors() or []) > 15, "soft edges"


@contextmanager
def style(name: str) -> Iterator[None]:
    hostile: dict[str, Any] = {
        "font.size": 40, "text.usetex": True, "axes.facecolor": "red", "figure.facecolor": "red", "axes.grid": False,
        "xtick.minor.visible": True, "ytick.right": True, "xtick.labeltop": True, "legend.frameon": True,
        "lines.linewidth": 9, "axes.formatter.limits": (0, 0), "axes.unicode_minus": False, "font.family": "serif",
        "legend.facecolor": "red", "figure.autolayout": True, "axes.xmargin": 0.5,
        "axes.titlelocation": "right", "figure.dpi": 300, "xaxis.labellocation": "right", "text.antialiased": False,
    }  # fmt: skip
    drawn_by_hand: dict[str, Any] = {"path.sketch": (1, 100, 2), "path.effects": [], "text.color": "red"}
    styles: Any = {"hostile": hostile, "xkcd": drawn_by_hand, **matplotlib.style.library}
    with rc_context(styles[name]):
        yield


@pytest.mark.parametrize("name", ["hostile", "xkcd", "fivethirtyeight"])
@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_users_style_changes_nothing_and_stays(run: Run, draw: Any, name: str) -> None:
    expected = draw(Picture(), run, Theme(), 400, 1.0)
    with style(name):
        before = dict(matplotlib.rcParams)
        assert draw(Picture(), run, Theme(), 400, 1.0) == expected
        assert dict(matplotlib.rcParams) == before


names = st.text("abcxyz_$^{}\\ \n#%äΩ日🙂W", min_size=1, max_size=60)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(names, min_size=1, max_size=5),
    st.integers(280, 1000),
    st.integers(-40, 30),
    st.sampled_from([1.0, 1.000001, 1000.0]),
)
@example(["W" * 60], 280, -20, 1.000001)
@example(["a" * 40, "b" * 40, "c" * 40], 320, -7, 1.0)
def test_nothing_is_cut_off(run_of: Make, names: list[str], width: int, power: int, spread: float) -> None:
    """Whatever the names and however large the numbers, all words lie within the picture, and no glyph is missed."""
    each = [10.0**power, 10.0**power * spread, 10.0**power]
    columns = {f"dev_{index}{name.strip()}": each for index, name in enumerate(names)}
    run = run_of(train_loss=each, dev_loss=each, lr=each, **columns, **constraint("c", each))
    for draw in (
        lambda figure: draw_losses(panel(figure), run, [run]),
        lambda figure: draw_rate(panel(figure), run, log=False),
        lambda figure: draw_overlay(panel(figure), [run] * len(names), labels=names),
        lambda figure: draw_terms(figure, run),
    ):
        figure = Figure(figsize=(width / 96, 3), dpi=96)
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        plain(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        for text in figure.findobj(Text):
            if text.get_visible() and text.get_text():
                box = text.get_window_extent()
                assert -1 <= box.x0 <= box.x1 <= figure.bbox.x1 + 1, text
                assert -1 <= box.y0 <= box.y1 <= figure.bbox.y1 + 1, text


def luminance(colour: str) -> float:
    """As WCAG 2.2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [None, False, True])
def test_colours_can_be_seen_on_their_grounds(dark: bool | None) -> None:
    theme = Theme(dark)
    for ground in {None: ["#fff", "#111"], False: ["#fff"], True: ["#111"]}[dark]:
        assert contrast(theme.ink, ground) >= (4.2 if dark is None else 4.5)
        assert all(contrast(colour, ground) >= 3 for colour in (*theme.curves, theme.faint, theme.best))


def test_forty_runs_look_different() -> None:
    looks = [(look["color"], str(look["linestyle"])) for look in map(Theme().nth, range(40))]
    assert len(set(looks)) == 40
    assert len({look["marker"] for look in map(Theme().nth, range(7))}) == 7


def test_pyplot_is_never_imported(run: Run) -> None:
    """It would put the picture into whatever cell runs next."""
    code = f"""
import sys
from nmlab.plots import Picture, draw_losses, draw_terms, panel, paper_figure
from nmlab.runs import Run
run = Run({str(run.folder)!r})
assert Picture().png(lambda figure: draw_losses(panel(figure), run)).startswith(b"\\x89PNG")
assert Picture().png(lambda figure: draw_terms(figure, run)).startswith(b"\\x89PNG")
assert paper_figure(run)._repr_png_()
print("matplotlib.pyplot" in sys.modules)
"""
    assert fresh(code).split() == ["False"]


# --- words ---


@given(st.floats(1e-12, 1e12), st.integers(1, 9))
def test_numbers_at_an_axis_are_told_apart(start: float, steps: int) -> None:
    values = [float(f"{start * (1 + step / 1000):.6g}") for step in range(steps)]
    assert len(set(tick_labels(values))) == len(set(values))


@given(names, st.floats(5, 300))
def test_a_name_is_elided_in_its_middle_to_the_width_there_is(name: str, width: float) -> None:
    font = Theme().text()
    short = elide(name, font, width)
    assert width_of(short, font) <= width or short == "…"
    if "…" not in short:
        assert len(short) == len(" ".join(name.split()))
    long = elide("constraint_of_the_first_room_upper", font, 150)
    assert long.startswith("constr")
    assert long.endswith("upper")


def test_a_picture_in_a_sentence(run_of: Make, run: Run) -> None:
    assert alt_text(run) == "Losses by epoch: train 1, dev 3 after 3 epochs; best dev 2.5 in epoch 1."
    assert alt_text(run, "rate") == "Learning rate by epoch: 0.01 after 3 epochs, 0.1 at first."
    assert alt_text(run, "terms") == (
        "Terms by epoch after 3 epochs, the worst first: "
        "u_min: dev violation 0.1 · worst sample 0.2; $x_{max}$: dev not violated; cost: dev 2.5 · 45% of the loss."
    )
    falling = run_of(train_loss=[float(n) for n in range(50, 0, -1)])
    assert alt_text(falling) == "Losses by epoch: train 1 after 50 epochs, falling."
    rising = run_of(dev_loss=[1.0, 1.0, 1.1, 1.2])
    assert ", rising;" in alt_text(rising)
    assert ", level;" in alt_text(run_of(dev_loss=[1.0] * 9))
    assert alt_text(run_of()) == "No epoch has finished yet."
    assert alt_text(run_of(dev_loss=[1.0]), "rate") == "The learning rate was not recorded."
    several = alt_text([run, rising] * 4)
    assert several.startswith(f"dev loss of 8 runs by epoch. {run.id[:4]} r: 3 after 3 epochs; ")
    assert several.endswith("; and 3 more.")


# --- figures for papers ---


def test_a_figure_for_a_paper(run: Run, tmp_path: Path) -> None:
    figure = paper_figure([run, run], labels=["ours ($x$)", "theirs"])
    assert tuple(figure.get_size_inches()) == pytest.approx((3.4, 2.108))
    assert image_of(figure._repr_png_()).convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    with style("ggplot"):
        before = dict(matplotlib.rcParams)
        figure.savefig(tmp_path / "f.pdf")
        figure.savefig(tmp_path / "f.svg")
        assert dict(matplotlib.rcParams) == before
    assert b"/Subtype /Type3" not in (tmp_path / "f.pdf").read_bytes(), "publishers refuse Type 3 fonts"
    assert b"/Type0" in (tmp_path / "f.pdf").read_bytes()
    assert "ours ($x$)</text>" in (tmp_path / "f.svg").read_text("utf-8")
    one = paper_figure(run, "train_loss", width=7, height=3, log=False, serif=True)
    assert tuple(one.get_size_inches()) == (7, 3)
    assert one.axes[0].get_yscale() == "linear"
    assert one.axes[0].yaxis.label.get_color() == "#000000"
    assert "DejaVu Serif" in one.axes[0].yaxis.label.get_fontname()


def test_a_figure_of_what_is_not_there_says_all_that_is_wrong(run: Run) -> None:
    with pytest.raises(ValueError, match=r"no run has a metric 'loss'; there are: .*dev_loss.*; 1 labels for 2 runs"):
        paper_figure([run, run], "loss", labels=["a"])
    with pytest.raises(ValueError, match="no run to draw"):
        paper_figure([])


def test_runs_on_several_seeds_are_a_mean_with_a_band(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for number, losses in enumerate(([4.0, 2.0, 1.0], [2.0, 1.0], [9.0, 9.0])):
        writer = store.create("data", {"seed": number, "repeat": {"group": "g"} if number < 2 else None})
        for epoch, loss in enumerate(losses):
            writer.append({"epoch": epoch, "train_loss": loss, "dev_loss": loss})
        writer.close("finished")
    axes = panel(Figure())
    draw_overlay(axes, store.runs())
    mean, single = axes.lines
    assert mean.get_label() == "0001 data, mean of 2 seeds"
    assert np.array(mean.get_ydata(), float).tolist() == [3.0, 1.5, 1.0]
    assert np.array(single.get_ydata(), float).tolist() == [9.0, 9.0]
    (band,) = axes.collections
    corners: Any = band.get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(3 + 2**0.5)
    assert corners[:, 0].max() == 1  # one seed alone has no spread
    draw_overlay(axes, store.runs(), labels=["a", "b", "c"])
    assert (len(axes.lines), len(axes.collections)) == (3, 0)


def test_changes_of_a_run_are_marked_and_said_and_a_term_of_weight_zero_says_so(tmp_path: Path) -> None:
    changes = [{"epoch": 2, "lr": 1e-4}, {"epoch": 3, "weights": {"a": 0.0}}]
    settings = {"term_weights": {"a": 2.0, "b": 1.0}, "options": {"changes": changes, "gradient_clip_val": 1.0}}
    writer = RunStore(tmp_path).create("changed", settings)
    for epoch in range(5):
        norms = {"lr": 0.1, "grad_norm": 0.5, "grad_norm_max": 2.0, "grad_clipped": 0.25}
        terms = {"dev_a": 2.0 * (epoch < 3), "dev_b": 1.0, "dev_a_raw": 1.0}
        writer.append({"epoch": epoch, "train_loss": 3.0, "dev_loss": 3.0, **norms, **terms})
    writer.close("finished")
    run = writer.run
    figure = Figure()
    rate, norm = panels(figure, 2)
    draw_rate(rate, run, part=(0, 2))
    draw_gradient_norm(norm, run, part=(1, 2))
    for axes in (rate, norm):
        labels = [str(line.get_label()) for line in axes.lines]
        assert {"lr 0.0001", "weight of a 0"} <= {*labels}
    assert {"mean", "largest", "clipped at 1"} <= {str(line.get_label()) for line in norm.lines}
    assert "lr 0.0001 from epoch 2 on" in alt_text(run, "rate")
    assert "25% of its steps clipped" in alt_text(run, "rate")
    states = {state.name: state.words for state in term_states(run)}
    assert states["a"] == "not in the loss (weight 0) · dev 1 without weight"
    assert set(states) == {"a", "b"}
