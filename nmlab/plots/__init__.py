"""Pictures of runs, Problems and data, drawn with matplotlib onto given figures, without pyplot.

A picture neither depends on the user's `rcParams` nor changes them: every property that they could set is given
explicitly.

Imports `runtime`, `problem`, `runs`.
"""

from nmlab.plots.alt import alt_text
from nmlab.plots.axes import panel
from nmlab.plots.cross import HeatMap, draw_heat, heat_figure
from nmlab.plots.curves import change_marks, draw_gradient_norm, draw_losses, draw_overlay, draw_rate, mean_curve
from nmlab.plots.graph import draw_graph
from nmlab.plots.multiples import draw_terms, term_states
from nmlab.plots.paper import paper_figure
from nmlab.plots.picture import Picture, picture_html, png_size
from nmlab.plots.preview import SampleColumn, draw_samples, samples_figure
from nmlab.plots.theme import EITHER, Theme
from nmlab.plots.thin import thin
from nmlab.plots.tuning import draw_rates, rates_figure

__all__ = [
    "EITHER",
    "HeatMap",
    "Picture",
    "SampleColumn",
    "Theme",
    "alt_text",
    "change_marks",
    "draw_gradient_norm",
    "draw_graph",
    "draw_heat",
    "draw_losses",
    "draw_overlay",
    "draw_rate",
    "draw_rates",
    "draw_samples",
    "draw_terms",
    "heat_figure",
    "mean_curve",
    "panel",
    "paper_figure",
    "picture_html",
    "png_size",
    "rates_figure",
    "samples_figure",
    "term_states",
    "thin",
]
