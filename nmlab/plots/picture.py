"""Pictures as PNG files: drawn repeatedly on one figure, measured, and embedded in HTML."""

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
from nmlab.runtime.quiet import quiet_drawing

COLOURS = 256
"""Number of colours of a PNG: one byte per pixel, enough for anti-aliased lines and text."""


class Picture:
    """A figure that is reused for many PNG files, and that pyplot does not know.

    Parameters
    ----------
    width : int, default 640
    height : int, default 300
        Size of the first picture in CSS pixels, unless `png` is called with another one.
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
        """Draw into the figure and return the content of a PNG file.

        Parameters
        ----------
        draw : callable
            Called with the figure, which may contain an earlier drawing. It may change the size of the figure.
        width, height : int, optional
            Size in CSS pixels, by default that of the last drawing. `self.width` and `self.height` are set to the
            resulting size.
        scale : float, default 1.0
            Pixels of the PNG per CSS pixel, such as 2 for a high-resolution screen.

        Returns
        -------
        bytes
            Content of the PNG file.
        """
        self._figure.set_dpi(96 * scale)
        self._figure.set_size_inches((width or self.width) / 96, (height or self.height) / 96)
        with quiet_drawing():
            return self._png(draw)

    def _png(self, draw: Callable[[Figure], object]) -> bytes:
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
        f'<img alt="{escape(alt)}" width="{width}" height="{round(width * rows / pixels)}" '
        f'style="max-width:100%;height:auto" src="{source}">'
    )


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG in its own pixels, as its header gives them."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height
