"""Drawings of the course's mechanisms: architecture, data flow, and shapes.

Each function takes data or a config, draws on Axes of its own (or on those that it is given), and
returns them; nothing is shown or saved. Its text alternative is `ax.figure.get_label()`. Sizes come
from the config and numbers from the data, so that a drawing cannot drift from the code.
"""

from course_utils.plots.diagrams.attention import attention_head, heads
from course_utils.plots.diagrams.attention_masks import masks
from course_utils.plots.diagrams.batches import head_and_tail, padding
from course_utils.plots.diagrams.comparing import mcnemar_table
from course_utils.plots.diagrams.inputs import journey, stacked_embeddings
from course_utils.plots.diagrams.layers import layer_norm_placement
from course_utils.plots.diagrams.model import bert
from course_utils.plots.diagrams.pretraining import masking, one_body_two_heads
from course_utils.plots.diagrams.runs import saved_state, schedule
from course_utils.plots.diagrams.words import longest_match, skip_gram_window

__all__ = [
    "attention_head",
    "bert",
    "head_and_tail",
    "heads",
    "journey",
    "layer_norm_placement",
    "longest_match",
    "masking",
    "masks",
    "mcnemar_table",
    "one_body_two_heads",
    "padding",
    "saved_state",
    "schedule",
    "skip_gram_window",
    "stacked_embeddings",
]
