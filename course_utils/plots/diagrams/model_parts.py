"""The parts of a BERT, each drawn at its place on the page of `model.bert`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_utils.config import BertConfig
from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area, counted, shape
from course_utils.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    INK,
    NEUTRAL,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILLION,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The parts that can be set off, from the bottom up, each with its colour.
COLOURS = {
    "token_embeddings": BLUE,
    "position_embeddings": ORANGE,
    "token_type_embeddings": GREEN,
    "embedding_norm": NEUTRAL,
    "attention_mask": NEUTRAL,
    "attention": VERMILLION,
    "attention_norm": NEUTRAL,
    "feed_forward": SKY,
    "feed_forward_norm": NEUTRAL,
    "pooler": PURPLE,
    "mlm": BLUE,
    "nsp": PURPLE,
    "classifier": GREEN,
}
# Names for several parts at once.
GROUPS = {
    "embeddings": (
        "token_embeddings",
        "position_embeddings",
        "token_type_embeddings",
        "embedding_norm",
    ),
    "encoder": ("attention", "attention_norm", "feed_forward", "feed_forward_norm"),
    "heads": ("mlm", "nsp", "classifier"),
}

# Places in inches, from the upper left corner.
_STREAM = 2.69  # x of the arrow that runs from the sum of the embeddings to sequence_output
_TIED = 0.13  # x of the line from the token table to the MLM head
_COLUMNS = {  # left edge and width of the four inputs, and of the tables above them
    "token": (0.26, 1.58),
    "position": (1.90, 1.58),
    "token_type": (3.54, 1.76),
    "attention_mask": (5.36, 1.58),
}
BATCH, LENGTH = "batch_size", "seq_length"


@dataclass(frozen=True)
class Sheet:
    """What every part needs to draw itself: where, which sizes, and whether it is set off."""

    ax: Axes
    config: BertConfig
    lit: frozenset[str]

    def box(self, part: str, area: Area, text: str) -> Area:
        """A box of this part, in its colour or pale."""
        return drawing.box(self.ax, area, text, COLOURS[part], lit=part in self.lit)

    def arrow(self, part: str, points: Sequence[tuple[float, float]], **options: Any) -> None:
        """An arrow that belongs to this part."""
        drawing.arrow(self.ax, points, GREY if part in self.lit else PALE, **options)

    def label(self, part: str, x: float, y: float, text: str, **options: Any) -> None:
        """A text of this part, with its left end at x."""
        colour = INK if part in self.lit else GREY
        drawing.label(self.ax, x, y, text, **{"ha": "left", "color": colour, **options})


# --- embeddings -----------------------------------------------------------------------------------


def draw_embeddings(sheet: Sheet) -> None:
    """The ids, the three tables, and the sum of the rows that they pick."""
    config = sheet.config
    width = config.hidden_size
    one_per_token = shape(BATCH, LENGTH)
    per_token = f"{BATCH},\n{LENGTH}, {width}"
    columns = (
        ("token", f"input_ids\n{one_per_token}", config.vocab_size, f"[{per_token}]"),
        (
            "position",
            f"position_ids\n{shape(LENGTH)}",
            config.max_position_embeddings,
            shape(LENGTH, width),
        ),
        (
            "token_type",
            f"token_type_ids\n{one_per_token}",
            config.type_vocab_size,
            f"[{per_token}]",
        ),
    )
    sum_y = 6.72
    for name, ids, num_rows, rows in columns:
        part = f"{name}_embeddings"
        left, wide = _COLUMNS[name]
        below = sheet.box(part, Area(left, 7.92, wide, 0.42), ids)
        table = sheet.box(part, Area(left, 7.28, wide, 0.42), f"{part}\n{shape(num_rows, width)}")
        sheet.arrow(part, [(below.x, below.top), (below.x, table.bottom)])
        _draw_way_to_the_sum(sheet, part, table, sum_y)
        sheet.label(part, table.x + 0.07, 7.05, rows)
    norm = "embedding_norm"
    colour = GREY if norm in sheet.lit else PALE
    drawing.circle(sheet.ax, _STREAM, sum_y, "+", colour)
    sheet.arrow(norm, [(_STREAM, sum_y - 0.11), (_STREAM, 6.43)])
    sheet.box(norm, Area(_STREAM - 0.9, 6.15, 1.8, 0.28), "LayerNorm, dropout")


def _draw_way_to_the_sum(sheet: Sheet, part: str, table: Area, sum_y: float) -> None:
    """From the top of a table up, and then sideways to the circle."""
    radius = 0.11
    if abs(table.x - _STREAM) < radius:
        points = [(table.x, table.top), (_STREAM, sum_y + radius)]
    else:
        side = -radius if table.x < _STREAM else radius
        points = [(table.x, table.top), (table.x, sum_y), (_STREAM + side, sum_y)]
    sheet.arrow(part, points)


# --- a layer --------------------------------------------------------------------------------------


def draw_layer(sheet: Sheet) -> None:
    """One layer in a frame that says how many there are; the mask comes in from the right."""
    config = sheet.config
    states = shape(BATCH, LENGTH, config.hidden_size)
    probs = shape(BATCH, config.num_attention_heads, LENGTH, LENGTH)
    frame = Area(_STREAM - 2.39, 2.98, 4.78, 2.72)
    encoder_is_lit = bool(sheet.lit & set(GROUPS["encoder"]))
    edge = GREY if encoder_is_lit else PALE
    for offset in (0.12, 0.06, 0.0):  # the layers above, seen behind the first one
        sheet_behind = Area(frame.left + offset, frame.top - offset, frame.width, frame.height)
        drawing.panel(sheet.ax, sheet_behind, edge)
    layers = counted(config.num_hidden_layers, "layer")
    drawing.heading(
        sheet.ax,
        frame.right - 0.08,
        3.16,
        layers,
        ha="right",
        color=INK if encoder_is_lit else GREY,
    )

    attention = Area(_STREAM - 1.86, 4.80, 3.72, 0.62)
    heads = f"{counted(config.num_attention_heads, 'head')}, head_dim {config.head_dim}"
    sheet.box("attention", attention, f"self-attention\n{heads}, dropout\nattention_probs {probs}")
    middle = Area(_STREAM - 1.86, 3.62, 3.72, 0.44)
    wide = shape(BATCH, LENGTH, config.intermediate_size)
    sheet.box("feed_forward", middle, f"feed-forward\ndense, GELU {wide}, dense")

    _draw_sublayer(sheet, "attention", attention, start=6.15, norm_top=4.34)
    _draw_sublayer(sheet, "feed_forward", middle, start=4.34, norm_top=3.14)
    sheet.label("embedding_norm", _STREAM + 0.07, 5.89, f"hidden_states {states}")
    sheet.label("attention_norm", _STREAM + 0.07, 4.21, states)
    _draw_mask(sheet, attention)


def _draw_sublayer(sheet: Sheet, part: str, area: Area, *, start: float, norm_top: float) -> None:
    """The stream into a sub-layer and past it, and the addition and LayerNorm after it."""
    norm = sheet.box(
        f"{part}_norm", Area(_STREAM - 1.2, norm_top, 2.4, 0.28), "dropout, add, LayerNorm"
    )
    below = "embedding_norm" if part == "attention" else "attention_norm"
    sheet.arrow(below if below in sheet.lit else part, [(_STREAM, start), (_STREAM, area.bottom)])
    sheet.arrow(part, [(_STREAM, area.top), (_STREAM, norm.bottom)])
    # The residual connection: what went in is added to what comes out.
    fork, lane = area.bottom + 0.14, _STREAM - 2.12
    way_past = [(_STREAM, fork), (lane, fork), (lane, norm.y), (norm.left, norm.y)]
    sheet.arrow(f"{part}_norm", way_past)


def _draw_mask(sheet: Sheet, attention: Area) -> None:
    left, wide = _COLUMNS["attention_mask"]
    part = "attention_mask"
    mask = sheet.box(part, Area(left, 7.92, wide, 0.42), f"{part}\n{shape(BATCH, LENGTH)}")
    corner = (mask.x, attention.y)
    sheet.arrow(part, [(mask.x, mask.top), corner, (attention.right, attention.y)])
    sheet.label(part, mask.x, attention.y - 0.28, "0 hides [PAD]\nfrom every query", ha="center")


# --- above the layers -----------------------------------------------------------------------------


def draw_sequence_output(sheet: Sheet) -> None:
    """What leaves the last layer, up to where the ways to the heads part."""
    part = "feed_forward_norm"
    if part not in sheet.lit and sheet.lit & {"pooler", "mlm"}:
        part = "mlm" if "mlm" in sheet.lit else "pooler"
    states = shape(BATCH, LENGTH, sheet.config.hidden_size)
    sheet.arrow(part, [(_STREAM, 3.14), (_STREAM, 2.58)], head=False)
    sheet.label(part, _STREAM + 0.07, 2.72, f"sequence_output {states}")


def draw_heads(sheet: Sheet, num_labels: int) -> None:
    """The MLM head on all rows; the pooler on the first one, with two heads on it."""
    config = sheet.config
    fork, pooler_x = 2.58, 4.80
    outputs = (
        (
            "mlm",
            Area(0.30, 0.86, 2.4, 0.62),
            "MLM head\ndense, GELU, LayerNorm,\n× token_embeddings, + bias",
            f"mlm_logits\n{shape(BATCH, LENGTH, config.vocab_size)}",
        ),
        ("nsp", Area(3.00, 0.86, 1.7, 0.42), "NSP head\ndense", f"nsp_logits\n{shape(BATCH, 2)}"),
        (
            "classifier",
            Area(4.95, 0.86, 1.8, 0.42),
            "classifier\ndropout, dense",
            f"logits\n{shape(BATCH, num_labels)}",
        ),
    )
    areas = {}
    for part, area, text, logits in outputs:
        areas[part] = sheet.box(part, area, text)
        sheet.arrow(part, [(area.x, area.top), (area.x, 0.66)])
        sheet.label(part, area.x, 0.48, logits, ha="center")
    mlm = areas["mlm"]
    sheet.arrow("mlm", [(_STREAM, fork), (mlm.x, fork), (mlm.x, mlm.bottom)])
    sheet.label("mlm", mlm.x + 0.07, 2.03, "all rows")
    _draw_tied_line(sheet, mlm)

    pooler = sheet.box("pooler", Area(pooler_x - 1.1, 1.80, 2.2, 0.42), "pooler\ndense, tanh")
    sheet.arrow("pooler", [(_STREAM, fork), (pooler_x, fork), (pooler_x, pooler.bottom)])
    width = config.hidden_size
    first_row = f"row of [CLS] {shape(BATCH, width)}"
    sheet.label("pooler", pooler_x + 0.07, 2.40, first_row)
    for part in ("nsp", "classifier"):
        x = areas[part].x
        points = [(pooler_x, pooler.top), (pooler_x, 1.58), (x, 1.58), (x, areas[part].bottom)]
        sheet.arrow(part, points)
    sheet.label("pooler", pooler_x + 0.07, 1.70, f"pooled_output {shape(BATCH, width)}")
    _draw_purposes(sheet, areas)


def _draw_tied_line(sheet: Sheet, mlm: Area) -> None:
    """The MLM head multiplies by the table that the tokens were looked up in."""
    left, _ = _COLUMNS["token"]
    points = [(left, 7.49), (_TIED, 7.49), (_TIED, mlm.y), (mlm.left, mlm.y)]
    colour = BLUE if "mlm" in sheet.lit else PALE
    drawing.arrow(sheet.ax, points, colour, dashed=True)
    sheet.label("mlm", _TIED + 0.07, 1.75, "the same table\n(tied weights)")


def _draw_purposes(sheet: Sheet, areas: dict[str, Area]) -> None:
    """Which heads are there in pre-training, and which in fine-tuning."""
    for purpose, first, last in (
        ("pre-training", "mlm", "nsp"),
        ("fine-tuning", "classifier", "classifier"),
    ):
        left, right = areas[first].left, areas[last].right
        lit = bool(sheet.lit & {first, last})
        drawing.rule(sheet.ax, left, right, 0.28, GREY if lit else PALE)
        drawing.label(sheet.ax, (left + right) / 2, 0.15, purpose, color=INK if lit else GREY)
