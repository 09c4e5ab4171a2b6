"""A figure that becomes a PNG, again and again."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from html import escape
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nmlab.plots.axes import plain

COLOURS = 256
"""Colours of a PNG: one byte a pixel, and enough for the soft edges of lines and text."""


class Picture:
    """A figure of its own, kept between drawings and never known to pyplot, that becomes a PNG.

    Parameters: `width`, `height` in CSS pixels, where `png` is not told others.
    """

    def __init__(self, width: int = 640, height: int = 300) -> None:
        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / 96, height / 96), dpi=96, facecolor="none", edgecolor="none")
        self._figure.set_layout_engine("none")
        self._canvas = FigureCanvasAgg(self._figure)

    def png(
        self,
        draw: Callable[[Figure], object],
        width: int | None = None,
        height: int | None = None,
        scale: float = 1.0,
    ) -> bytes:
        """Return what `draw` draws into the figure as a PNG file's bytes.

        Parameters
        ----------
        draw : draws into the figure it is given, over or instead of what it drew before; may set the figure's height
        width, height : in CSS pixels; those of the last drawing by default. Afterwards `self.width` and `self.height`
        scale : device pixels of a CSS pixel, such as 2 on a dense screen
        """
        self._figure.set_dpi(96 * scale)
        self._figure.set_size_inches((width or self.width) / 96, (height or self.height) / 96)
        draw(self._figure)
        plain(self._figure)
        self.width, self.height = (round(float(side) * 96) for side in self._figure.get_size_inches())
        self._canvas.draw()  # type: ignore[no-untyped-call]  # typed elsewhere in matplotlib, not here
        image = Image.fromarray(np.asarray(self._canvas.buffer_rgba()))  # type: ignore[no-untyped-call]
        file = BytesIO()
        image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(file, "png")
        return file.getvalue()


def picture_html(png: bytes, width: int, alt: str) -> str:
    """Return a PNG as an `<img>` that contains it, no wider than its surroundings.

    Parameters
    ----------
    png : bytes
        Content of a PNG file.
    width : int
        Width in CSS pixels; the height follows from the picture.
    alt : str
        Description of the picture for readers who do not see it.
    """
    pixels, rows = png_size(png)
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return (
        f"<img alt='{escape(alt, quote=True)}' width='{width}' height='{round(width * rows / pixels)}' "
        f"style='max-width:100%;height:auto' src='{source}'>"
    )


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG in its own pixels, as its header gives them."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height
