"""The whole BERT on one page, drawn from its config."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from course_utils.config import BertConfig
from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import counted, shape
from course_utils.plots.diagrams.model_parts import (
    BATCH,
    COLOURS,
    GROUPS,
    LENGTH,
    Sheet,
    draw_embeddings,
    draw_heads,
    draw_layer,
    draw_sequence_output,
)
from course_utils.plots.theme import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 8.45  # inches


def bert(
    config: BertConfig,
    lit: Collection[str] = (),
    *,
    num_labels: int = 2,
    ax: Axes | None = None,
) -> Axes:
    """The whole BERT from the bottom up, with the shape at every arrow: ids, three tables, their
    sum, the layers, the pooler, and the three heads.

    lit: names of parts or groups to set off (the keys of COLOURS and GROUPS); the rest is drawn
    pale. None: everything is drawn in colour. num_labels: outputs of the classifier.
    Raises ValueError for an unknown name in `lit`, or fewer than one label.
    Text alternative: "BERT with {layers} layers, from the bottom up: ids, tables, ..., heads."
    """
    names = _parts_of(lit)
    if num_labels < 1:
        raise ValueError(f"num_labels must be at least 1, got {num_labels}")
    sheet = Sheet(drawing.page(_HEIGHT, ax), config, names or frozenset(COLOURS))
    draw_embeddings(sheet)
    draw_layer(sheet)
    draw_sequence_output(sheet)
    draw_heads(sheet, num_labels)
    describe(sheet.ax, _description(config, num_labels, sorted(lit)))
    return sheet.ax


def _parts_of(lit: Collection[str]) -> frozenset[str]:
    """The parts that these names stand for."""
    if isinstance(lit, str):
        raise ValueError(
            f"lit must be a collection of names, got one text: {lit!r}; write [{lit!r}]"
        )
    found: set[str] = set()
    for name in lit:
        if name not in COLOURS and name not in GROUPS:
            raise ValueError(
                f"cannot light {name!r}: the parts are {', '.join(COLOURS)}, and the groups are "
                f"{', '.join(GROUPS)}"
            )
        found.update(GROUPS.get(name, (name,)))
    return frozenset(found)


def _description(config: BertConfig, num_labels: int, lit: Sequence[str]) -> str:
    width = config.hidden_size
    layers = counted(config.num_hidden_layers, "layer")
    heads = counted(config.num_attention_heads, "head")
    said = (
        f"BERT with {layers}, from the bottom up: input_ids, position_ids and token_type_ids each "
        f"pick rows of {width} numbers from a table; their sum passes LayerNorm and dropout, and "
        f"then every layer's self-attention ({heads} of {config.head_dim}) and feed-forward "
        f"({width} to {config.intermediate_size} and back), each followed by an addition and "
        f"LayerNorm. sequence_output {shape(BATCH, LENGTH, width)} goes to the MLM head, which "
        f"gives logits over {config.vocab_size:,} tokens; its [CLS] row goes through the pooler to "
        f"the NSP head with 2 logits, or to a classifier with {num_labels}."
    )
    return f"{said} Set off: {drawing.listed(lit)}." if lit else said
