"""Data looked at before a fit: what is told, what is drawn, and that nothing of the user's is changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from neuromancer.dataset import DictDataset, SequenceDataset
from PIL import Image

from nmlab import DataError, FieldError, Lab, TrainerOptions, preview
from nmlab.data.splits import make_splits
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from nmlab.plots import Picture, SampleColumn, Theme, draw_samples
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.randomness import users_states


def sets(**splits: torch.Tensor) -> tuple[Any, Any, Any, int]:
    """What a data function returns whose splits hold `x`."""
    made = {name: DictDataset({"x": value}, name=name) for name, value in splits.items()}
    return made["train"], made.get("dev"), made.get("test"), 4


def drawing(n: int = 20, wide: float = 1.0) -> Any:
    """Draws from all the generators that are the user's."""
    x = torch.rand(n, 2)
    x[:, 1] += float(np.random.rand())
    return sets(train=x, dev=wide * torch.rand(n, 2), test=torch.rand(n // 2, 2))


def test_shapes_and_ranges_by_key_column_and_split() -> None:
    train = torch.tensor([[0.0, 1.0], [2.0, 5.0], [1.0, 3.0]])
    seen = preview(sets(train=train, dev=train[:2], test=train[1:]))
    assert seen.samples == {"train": 3, "dev": 2, "test": 2}
    assert seen.warnings == ()
    told = seen.table.set_index(["key", "column", "split"])
    assert list(told.loc["x", 1, "train"]) == ["3×2", "float32", 1.0, 5.0, 3.0, 0]
    assert list(told.loc["x", 0, "test"]) == ["2×2", "float32", 1.0, 2.0, 1.5, 0]
    assert len(seen.table) == 6


def test_dev_and_test_outside_train_are_told_by_column_how_far_and_how_many() -> None:
    train = torch.linspace(0, 10, 11).reshape(-1, 1)
    dev = torch.tensor([[12.0], [5.0], [-1.0], [13.0]])
    assert preview(sets(train=train, dev=dev, test=train)).warnings == (
        "dev: x is up to 1 below train's minimum of 0 (10% of its range) and up to 3 above train's maximum of 10 "
        "(30% of its range), in 3 of 4 samples",
    )
    windows = torch.stack([train, 3 * train], dim=2).reshape(1, 11, 2).repeat(2, 1, 1)
    test = windows.clone()
    test[1, 4, 1] = 33
    seen = preview(sets(train=windows, dev=windows, test=test))
    assert seen.remarks == ("test: x[1] is up to 3 above train's maximum of 30 (10% of its range), in 1 of 2 samples",)
    assert seen.warnings == ()
    test[1, 4, 1] = 60
    told = preview(sets(train=windows, dev=windows, test=test)).warnings
    assert told == ("test: x[1] is up to 30 above train's maximum of 30 (100% of its range), in 1 of 2 samples",)


@pytest.mark.parametrize("draw", [np.random.Generator.uniform, np.random.Generator.normal])
def test_random_data_from_one_distribution_are_not_warned_of(draw: Any) -> None:
    """The extremes of 300 samples lie outside those of 300 others in about one of two columns."""
    rng = np.random.default_rng(0)
    train, dev, test = (torch.tensor(draw(rng, size=(300, 7))) for _ in range(3))
    seen = preview(sets(train=train, dev=dev, test=test))
    assert seen.warnings == ()
    assert len(seen.remarks) > 4
    assert "· dev: x[" in repr(seen)
    assert "<li>dev: x[" in seen._repr_html_()


def test_what_a_data_function_says_of_its_data_is_shown() -> None:
    data = sets(train=torch.ones(4, 1), dev=torch.ones(2, 1))
    data[0].remarks = ("column 'z' was left out",)
    seen = preview(data)
    assert seen.remarks == ("column 'z' was left out",)
    assert "· column 'z' was left out" in repr(seen)
    assert "<li>column &#x27;z&#x27; was left out</li>" in seen._repr_html_()


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9), st.lists(st.floats(-9, 9), min_size=1, max_size=9))
@settings(deadline=None)
def test_dev_is_told_of_just_where_it_leaves_trains_range(train: list[float], dev: list[float]) -> None:
    parts = {"train": torch.tensor(train, dtype=torch.float64), "dev": torch.tensor(dev, dtype=torch.float64)}
    seen = preview(sets(**{name: part[:, None] for name, part in parts.items()}))
    outside = sum(not min(train) <= value <= max(train) for value in dev)
    told = [*seen.warnings, *seen.remarks]
    assert len(told) == (outside > 0)
    assert all(f"in {outside} of {len(dev)} samples" in text for text in told)
    far = max([min(train) - min(dev), max(dev) - max(train)])
    assert seen.warnings or not outside or far <= 0.25 * (max(train) - min(train)) * (1 + 1e-9)


def test_what_a_fit_would_refuse_is_told_and_still_shown() -> None:
    train = torch.rand(5, 2)
    train[1, 0], train[2, 0], train[3, 1] = torch.nan, torch.inf, -torch.inf
    seen = preview(sets(train=train, dev=torch.full((3, 2), torch.nan)))
    assert seen.warnings[0] == "train_data is not finite in 'x': 3 values are nan or inf"
    assert list(seen.table["missing"]) == [2, 3, 1, 3]
    assert np.isfinite(seen.table.loc[0, "max"])
    assert "3 values are nan or inf" in repr(seen)
    assert seen.png()


def test_what_are_no_data_sets_is_an_error_that_names_the_function() -> None:
    def wrong(n: int = 3) -> Any:
        return 1, 2

    def gone() -> Any:
        raise SystemExit(3)

    with pytest.raises(DataError, match=r"wrong \(.*test_preview.py:\d+\) returned(.|\n)*it returned 2 values"):
        preview(wrong)
    with pytest.raises(DataError, match=r"gone \(.*returned no data(.|\n)*sys.exit"):
        preview(gone)
    with pytest.raises(DataError, match="dev_data is a Tensor"):
        preview((DictDataset({"x": torch.rand(3, 1)}, name="train"), torch.rand(3), None, 2))
    with pytest.raises(FieldError, match="m: unknown name"):
        preview(wrong, m=3)
    with pytest.raises(FieldError, match="'three' is not an integer"):
        preview(wrong, {"n": "three"})


def test_random_states_stay_and_the_data_are_those_of_a_fit_with_the_seed(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = users_states()
    one, again, other = (preview(drawing, wide=2, seed=seed) for seed in (1, 1, 2))
    assert users_states() == before
    assert one.table.equals(again.table)
    assert not one.table.equals(other.table)
    fit = make_fit(
        FitRequest(rosenbrock(), rosenbrock_data, TrainerOptions(seed=7, max_epochs=1), {"nsim": 40}, runs_dir=tmp_path)
    )
    fit.start().wait()
    assert fit.splits is not None
    assert preview(fit.splits).table.equals(preview(rosenbrock_data, nsim=40, seed=7).table)


def test_every_kind_of_dataset_is_seen_as_its_batches_are() -> None:
    series = {"X": np.random.default_rng(0).normal(size=(40, 2))}
    splits = [SequenceDataset(series, nsteps=4, name=name) for name in ("train", "dev", "test")]
    seen = preview((*splits, 4))
    assert {*seen.table["key"]} == {"Xp", "Xf"}
    assert list(seen.table["shape"].unique()) == ["9×4×2"]
    assert seen.samples["train"] == 9


def test_splits_of_a_lab_are_taken_as_they_are() -> None:
    splits = make_splits(drawing, {})
    seen = preview(splits)
    assert seen.samples == {"train": 20, "dev": 20, "test": 10}
    assert seen.batch_size == 4
    kept = splits.train.datadict["x"].clone()
    seen.png()
    assert torch.equal(splits.train.datadict["x"], kept)


def test_keys_that_are_not_in_every_split() -> None:
    train = DictDataset({"x": torch.ones(3, 1), "y": torch.ones(3)}, name="train")
    dev = DictDataset({"x": torch.ones(2, 1)}, name="dev")
    seen = preview((train, dev, None, 2))
    assert seen.warnings == ("dev has no 'y', which train has",)


# --- the picture ---


def drawn(columns: Any, width: int = 720, theme: Theme = Theme()) -> Figure:  # noqa: B008 - it is frozen
    kept: list[Figure] = []

    def draw(figure: Figure) -> None:
        draw_samples(figure, columns, theme=theme)
        kept.append(figure)

    Picture(width, 100).png(draw)
    return kept[0]


def test_windows_are_lines_by_step_and_rows_points_by_sample() -> None:
    windows = torch.rand(30, 8, 2)
    columns = preview(sets(train=windows, dev=windows[:3], test=windows[:1])).columns
    figure = drawn(columns)
    assert [len(axes.lines) for axes in figure.axes] == [5 + 3 + 1] * 2
    first, last = figure.axes[0].lines[0], figure.axes[1].lines[8]
    assert np.allclose(np.asarray(first.get_ydata()), windows[0, :, 0])
    assert np.allclose(np.asarray(last.get_ydata()), windows[0, :, 1])
    assert [text.get_text() for text in figure.texts] == ["x[0] by step", "x[1] by step"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "dev", "test"]

    rows = preview(sets(train=torch.rand(1000, 1), dev=torch.rand(10, 1))).columns
    train, dev = drawn(rows).axes[0].lines
    assert len(np.asarray(train.get_xdata())) == 300
    assert list(np.asarray(dev.get_xdata())) == list(range(1000, 1010))
    assert (train.get_linestyle(), train.get_marker(), dev.get_marker()) == ("None", "o", "s")


def test_many_columns_are_drawn_in_part_and_told() -> None:
    seen = preview(sets(train=torch.rand(4, 30), dev=torch.rand(4, 30)))
    figure = drawn(seen.columns)
    assert len(figure.axes) == 12
    assert figure.texts[-1].get_text() == "The first 12 of 30 columns."
    assert repr(seen).endswith("rows: .table") is (len(seen.table) > 60)
    assert drawn(()).texts[0].get_text() == "There is nothing to draw."


@pytest.mark.parametrize("dark", [None, False, True])
def test_a_users_style_changes_no_pixel_and_nothing_lies_outside(dark: bool | None) -> None:
    seen = preview(sets(train=1e6 * torch.rand(9, 5, 2), dev=torch.rand(3, 5, 2)))
    theme = Theme(dark=dark)
    plainly = seen.png(300, theme=theme)
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red", "text.usetex": True}):
        assert seen.png(300, theme=theme) == plainly
    png, width, height = plainly
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    assert image.size == (round(width * 1.5), round(height * 1.5))
    alpha = np.asarray(image)[..., 3]
    assert not alpha[:, [0, -1]].any()
    assert not alpha[[0, -1]].any()
    assert alpha.any()


def test_it_shows_itself_in_a_notebook_and_as_a_figure(tmp_path: Path) -> None:
    seen = preview(drawing, n=30, wide=3)
    html = seen._repr_html_()
    assert html.count("<img ") == 1
    assert 'alt="Samples by split of drawing: train 30, dev 30, test 15 samples' in html
    assert "⚠ dev: x[0] is up to" in html
    assert repr(seen).startswith("drawing: train 30, dev 30, test 15 samples; batch size 4\n⚠ dev: x[0]")
    seen.plot().savefig(tmp_path / "samples.pdf")
    assert (tmp_path / "samples.pdf").stat().st_size > 1000
    assert isinstance(seen.columns[0], SampleColumn)


def test_a_lab_is_previewed_with_what_its_form_holds(tmp_path: Path) -> None:
    def chosen(n: int = 20, wide: Any = 1.0) -> Any:
        return drawing(n, wide)

    lab = Lab(rosenbrock, chosen, data_kwargs={"n": 12}, choices={"wide": {"far": 3.0, "near": 1.0}}, runs_dir=tmp_path)
    seen = preview(lab, wide="far", seed=5)
    assert seen.table.equals(preview(chosen, n=12, wide=3.0, seed=5).table)
    assert not seen.table.equals(preview(chosen, n=12, wide=1.0, seed=5).table)
