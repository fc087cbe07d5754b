"""Every picture of the course: functions take data, draw on Axes, and return them.
Nothing is shown or saved here.
"""

from course_utils.plots.charts import heatmap, length_histogram, lines, word_map, word_weights
from course_utils.plots.results import accuracy_bars, confusion_matrix, slices
from course_utils.plots.texts import text_pieces
from course_utils.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MARKERS,
    NORMAL,
    ORANGE,
    PALE,
    PALETTE,
    PAPER,
    PURPLE,
    SKY,
    SMALL,
    VERMILLION,
    new_axes,
    style,
)
from course_utils.plots.training import training_curves

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "MARKERS",
    "NORMAL",
    "ORANGE",
    "PALE",
    "PALETTE",
    "PAPER",
    "PURPLE",
    "SKY",
    "SMALL",
    "VERMILLION",
    "accuracy_bars",
    "confusion_matrix",
    "heatmap",
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
