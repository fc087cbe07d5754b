"""Every picture of the course: functions take data, draw on Axes, and return them.
Nothing is shown or saved here.

Charts of numbers are here; drawings of mechanisms are in `course_utils.plots.diagrams`. Each
picture carries a text alternative that follows from its data: `ax.figure.get_label()`.
"""

from course_utils.plots import diagrams
from course_utils.plots.charts import heatmap, length_histogram, lines, word_weights
from course_utils.plots.results import accuracy_bars, confusion_matrix, slices
from course_utils.plots.texts import text_pieces
from course_utils.plots.theme import (
    ACCENT,
    BAD,
    BLUE,
    GOOD,
    GREY,
    INK,
    MAIN,
    NEUTRAL,
    NORMAL,
    PALE,
    PALETTE,
    PAPER,
    SKY,
    SMALL,
    SOFT,
    VERMILLION,
    describe,
    ink,
    new_axes,
    style,
)
from course_utils.plots.training import training_curves
from course_utils.plots.word_maps import word_map

__all__ = [
    "ACCENT",
    "BAD",
    "BLUE",
    "GOOD",
    "GREY",
    "INK",
    "MAIN",
    "NEUTRAL",
    "NORMAL",
    "PALE",
    "PALETTE",
    "PAPER",
    "SKY",
    "SMALL",
    "SOFT",
    "VERMILLION",
    "accuracy_bars",
    "confusion_matrix",
    "describe",
    "diagrams",
    "heatmap",
    "ink",
    "length_histogram",
    "lines",
    "new_axes",
    "slices",
    "style",
    "text_pieces",
    "training_curves",
    "word_map",
    "word_weights",
]
