"""Colours, styles and sizes of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties, fontManager

PX = 0.75
"""Points in a CSS pixel; matplotlib's sizes are in points."""

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), which the colour-blind tell apart too; its light colours
# darkened for a white ground, its dark ones lightened for a dark one, to a contrast of 3:1 and more.
_ON_WHITE = ("#0072B2", "#D55E00", "#008A64", "#B0578D", "#9A6B00", "#2B8CC4", "#7A7A00", "#000000")
_ON_DARK = ("#4AA8E0", "#F0803C", "#1FBE90", "#DD92BB", "#E69F00", "#8CCBF0", "#F0E442", "#FFFFFF")
_ON_EITHER = (*_ON_WHITE[:-1], "#777B80")

# Lengths in widths of the line. Eight colours and five dashes are together alike only after forty curves.
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.4, 1.2, 1.4)), (0, (9, 2.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Theme:
    """Colours and font of a picture; its background is transparent.

    Parameters
    ----------
    dark : bool, optional
        True for a dark background such as JupyterLab's #111, False for white. By default None, for pictures that may
        be seen on either, as in a saved notebook: text is then grey with a contrast of 4.2:1 on both.
    font : {'sans-serif', 'serif'}, default 'sans-serif'
        DejaVu Sans or DejaVu Serif, which matplotlib includes; letters that these lack are of another installed font.
    size : float, default 12.0
        Size of the text in CSS pixels; tick labels are slightly smaller.
    black : bool, default False
        Whether text is black, as for print.
    """

    dark: bool | None = None
    font: Literal["sans-serif", "serif"] = "sans-serif"
    size: float = 12.0
    black: bool = False

    @property
    def ink(self) -> str:
        """The colour of text; its contrast to a known background is at least 4.5:1."""
        if self.black:
            return "#000000"
        return {None: "#757A81", False: "#3B4048", True: "#C9CED6"}[self.dark]

    @property
    def grid(self) -> str:
        """The colour of the grid."""
        return {None: "#80808048", False: "#DDE0E4", True: "#363B41"}[self.dark]

    @property
    def faint(self) -> str:
        """The colour of earlier runs and notes; its contrast is at least 3:1, like that of the curves."""
        return {None: "#7A7F87", False: "#8A9099", True: "#7C828B"}[self.dark]

    @property
    def curves(self) -> tuple[str, ...]:
        """Eight colours of curves."""
        return {None: _ON_EITHER, False: _ON_WHITE, True: _ON_DARK}[self.dark]

    @property
    def train(self) -> dict[str, Any]:
        """The style of curves of the train split."""
        return {"color": self.curves[0], "linestyle": DASHES[0]}

    @property
    def dev(self) -> dict[str, Any]:
        """The style of curves of the dev split."""
        return {"color": self.curves[1], "linestyle": DASHES[1]}

    @property
    def worst(self) -> dict[str, Any]:
        """The style of a split's worst sample."""
        return {"color": self.curves[3], "linestyle": DASHES[2], "width": 1.5}

    @property
    def best(self) -> str:
        """The colour of the best epoch."""
        return self.curves[2]

    def nth(self, index: int) -> dict[str, Any]:
        """Return the style of one of several curves: colour, dashes and marker, no two of the first forty alike."""
        return {
            "color": self.curves[index % len(self.curves)],
            "linestyle": DASHES[index % len(DASHES)],
            "marker": MARKERS[index % len(MARKERS)],
        }

    def text(self, scale: float = 1.0) -> FontProperties:
        """Return the font, `scale` times as large as the theme's text."""
        family = {"sans-serif": "DejaVu Sans", "serif": "DejaVu Serif"}[self.font]
        families = [family, *_fallback_families()]  # each letter is from the first font that has it
        normal: Any = dict.fromkeys(("style", "variant", "weight", "stretch"), "normal")
        return FontProperties(family=families, size=self.size * scale * PX, **normal)


_FALLBACKS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans TC", "Noto Sans KR"),
    *("Source Han Sans", "IPAexGothic", "IPAGothic", "TakaoGothic", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("Hiragino Sans", "PingFang SC", "PingFang HK", "Apple SD Gothic Neo", "Yu Gothic", "Meiryo", "MS Gothic"),
    *(
        "Microsoft YaHei",
        "SimHei",
        "Malgun Gothic",
        "NanumGothic",
        "Noto Sans Arabic",
        "Noto Naskh Arabic",
        "Geeza Pro",
    ),
    *("Noto Sans Devanagari", "Lohit Devanagari", "Kohinoor Devanagari", "Mangal", "Nirmala UI", "Noto Sans Bengali"),
    *("Noto Sans Tamil", "Noto Sans Thai", "Noto Sans Hebrew", "Segoe UI", "Arial", "FreeSans", "Droid Sans Fallback"),
    *("Arial Unicode MS", "Unifont"),
)
"""Usual fonts for scripts that DejaVu does not have."""


def _fallback_families() -> list[str]:
    """Return installed fonts for letters that DejaVu does not have, those that the user set first."""
    installed = {entry.name for entry in fontManager.ttflist}
    users = [*rcParams["font.family"], *rcParams["font.sans-serif"], *rcParams["font.serif"]]
    usual = [name for name in users if not name.startswith("DejaVu")]
    return [name for name in dict.fromkeys([*usual, *_FALLBACKS]) if name in installed]


EITHER = Theme()
"""The default theme of all drawing functions."""
