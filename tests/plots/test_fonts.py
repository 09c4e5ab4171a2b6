"""Names in scripts that matplotlib's own fonts do not have."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from matplotlib.font_manager import fontManager

from nmlab.plots import Picture, Theme

NAME = "演習 حقل क्षेत्र"


@pytest.fixture
def font(tmp_path: Path) -> Iterator[str]:
    """A font of the user's that has the letters of `NAME`, as filled boxes."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 700), (500, 700), (500, 0)):
        pen.lineTo(point)
    pen.closePath()
    glyphs = {".notdef": TTGlyphPen(None).glyph(), "box": pen.glyph()}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(letter): "box" for letter in NAME})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Boxes of the user", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "boxes.ttf"
    builder.save(path)
    fonts = list(fontManager.ttflist)
    fontManager.addfont(path)
    yield "Boxes of the user"
    fontManager.ttflist[:] = fonts


@pytest.mark.parametrize("key", ["font.family", "font.sans-serif", "font.serif"])
@pytest.mark.parametrize("serif", [False, True])
def test_letters_that_dejavu_lacks_are_taken_from_the_users_font(font: str, key: str, serif: bool) -> None:
    theme = Theme(font="serif" if serif else "sans-serif")

    def png() -> bytes:
        def draw(figure: Any) -> None:
            figure.text(0.5, 0.5, NAME, fontproperties=theme.text())

        return Picture().png(draw)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        boxes = png()
        assert [warning for warning in told if "missing" in str(warning.message)] != []
        told.clear()
        settings: Any = {key: [font]}
        with matplotlib.rc_context(settings):
            assert png() != boxes
        assert told == []


def test_a_font_that_is_not_installed_is_not_asked_for() -> None:
    with matplotlib.rc_context({"font.family": ["No such font", "sans-serif"]}):
        assert Theme().text().get_family()[0] == "DejaVu Sans"
        assert not {"No such font", "sans-serif"} & set(Theme().text().get_family())
