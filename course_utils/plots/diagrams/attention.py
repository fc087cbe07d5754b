"""Attention: one head from hidden states to context, and the split into heads and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from course_utils.config import BertConfig
from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area, counted, shape
from course_utils.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    NEUTRAL,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    describe,
    tint,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELL = 0.13  # inches; each cell stands for one number, and most are left out
_ROWS = 4  # tokens drawn
_WIDE, _NARROW = 8, 2  # columns drawn for hidden_size and for head_dim
_QUERY, _KEY, _VALUE = BLUE, ORANGE, GREEN
_HEAD_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)


def _grid(ax: Axes, x: float, y: float, num_rows: int, num_columns: int, colour: str) -> Area:
    """A matrix centred at its place."""
    width, height = num_columns * _CELL, num_rows * _CELL
    area = Area(x - width / 2, y - height / 2, width, height)
    drawing.matrix(ax, area, num_rows, num_columns, colour)
    return area


def _named_grid(
    ax: Axes, place: tuple[float, float], sizes: tuple[int, int], colour: str, text: str
) -> Area:
    """A matrix centred at its place, with its name and its shape above it."""
    area = _grid(ax, *place, *sizes, colour)
    _name(ax, area.x, area.top - 0.3, text)
    return area


def _name(ax: Axes, x: float, y: float, text: str) -> None:
    """Two lines: a name in bold, and a shape."""
    name, sizes = text.split("\n")
    drawing.label(ax, x, y, name, weight="bold")
    drawing.label(ax, x, y + drawing.LINE, sizes)


# --- one head -------------------------------------------------------------------------------------


def attention_head(config: BertConfig, *, ax: Axes | None = None) -> Axes:
    """One attention head on one text, as products of matrices, with the shape of each.

    hidden_states times W_Q, W_K and W_V give Q, K and V; Q Kᵀ, divided by the root of head_dim, are
    the scores; softmax makes attention_probs of each row; and these, times V, are the context.
    Biases are left out.
    Text alternative: "One attention head: hidden_states {shape} times three matrices ..."
    """
    head_dim, hidden_size = config.head_dim, config.hidden_size
    per_token = shape("seq_length", head_dim)
    ax = drawing.page(5.1, ax)
    lanes = {"Q": 1.05, "K": 2.7, "V": 4.35}
    states_name = f"hidden_states\n{shape('seq_length', hidden_size)}"
    states = _named_grid(ax, (0.75, lanes["K"]), (_ROWS, _WIDE), NEUTRAL, states_name)
    found = {}
    for (name, y), colour in zip(lanes.items(), (_QUERY, _KEY, _VALUE), strict=True):
        weight_name = f"W_{name}\n{shape(hidden_size, head_dim)}"
        weight = _named_grid(ax, (2.05, y), (_WIDE, _NARROW), colour, weight_name)
        drawing.label(ax, weight.left - 0.1, y - 0.1, "×", weight="bold")
        bus = 1.55
        start = states.right if y == states.y else bus
        drawing.arrow(ax, [(start, states.y), (bus, states.y), (bus, y), (weight.left, y)])
        found[name] = _grid(ax, 3.1, y, _ROWS, _NARROW, colour)
        # The name of K stands below it, since the arrow to the scores leaves upwards.
        name_y = y + 0.4 if name == "K" else found[name].top - 0.3
        _name(ax, found[name].x, name_y, f"{name}\n{per_token}")
        drawing.arrow(ax, [(weight.right, y), (found[name].left, y)])
    _draw_scores_and_context(ax, found, head_dim)
    describe(
        ax,
        f"One attention head: hidden_states [seq_length, {config.hidden_size}] times three "
        f"matrices [{config.hidden_size}, {head_dim}] give Q, K and V, each {per_token}. Q times K "
        f"transposed, divided by the root of {head_dim}, gives the scores [seq_length, "
        "seq_length]; softmax turns each row into attention_probs, and attention_probs times V is "
        f"the context {per_token}.",
    )
    return ax


def _draw_scores_and_context(ax: Axes, found: dict[str, Area], head_dim: int) -> None:
    """From Q, K and V to the scores, the shares of attention, and the context."""
    query, key, value = found["Q"], found["K"], found["V"]
    square = shape("seq_length", "seq_length")
    middle = (query.y + key.y) / 2 + 0.1
    scores_name = f"scores = Q Kᵀ / √{head_dim}\n{square}"
    scores = _named_grid(ax, (4.5, middle), (_ROWS, _ROWS), VERMILLION, scores_name)
    bus = 3.55
    for side, gap in ((query, -0.1), (key, 0.1)):
        y = scores.y + gap
        drawing.arrow(ax, [(side.right, side.y), (bus, side.y), (bus, y), (scores.left, y)])
    probs_name = f"attention_probs\n{square}"
    probs = _named_grid(ax, (6.15, middle), (_ROWS, _ROWS), VERMILLION, probs_name)
    drawing.arrow(ax, [(scores.right, middle), (probs.left, middle)])
    between = (scores.right + probs.left) / 2
    drawing.label(ax, between, middle - 0.11, "softmax of")
    drawing.label(ax, between, middle + 0.11, "each row")

    context = _grid(ax, 6.15, value.y, _ROWS, _NARROW, _VALUE)
    context_name = f"context = attention_probs V\n{shape('seq_length', head_dim)}"
    _name(ax, 5.85, context.bottom + 0.15, context_name)
    drawing.arrow(ax, [(value.right, value.y), (context.left, value.y)])
    drawing.arrow(ax, [(probs.x, probs.bottom), (probs.x, context.top)])


# --- heads ----------------------------------------------------------------------------------------


def heads(config: BertConfig, *, ax: Axes | None = None) -> Axes:
    """How heads are split and merged: a change of shape on the way in, the reverse on the way out.

    The columns of the query (or key, or value) are cut into one band per head; each band becomes a
    matrix of its own; after attention the contexts are laid side by side again. At most four heads
    are drawn: the first three and the last.
    Text alternative: "{n} heads: [batch_size, seq_length, hidden_size] is viewed as ..."
    """
    num_heads, head_dim = config.num_attention_heads, config.head_dim
    merged = shape("batch_size", "seq_length", config.hidden_size)
    bands = shape("batch_size", "seq_length", num_heads, head_dim)
    split = shape("batch_size", num_heads, "seq_length", head_dim)
    numbers = _heads_to_draw(num_heads)
    ax = drawing.page(3.7, ax)

    stack = _draw_stack(ax, numbers, num_heads)
    top, bottom = 0.95, 2.75
    whole = _draw_bands(ax, 1.1, top, numbers, num_heads, apart=False)
    apart = _draw_bands(ax, 3.4, top, numbers, num_heads, apart=True)
    drawing.label(ax, whole.x, whole.top - 0.16, "query, key or value", weight="bold")
    drawing.label(ax, apart.x, apart.top - 0.16, "one band per head", weight="bold")
    drawing.label(ax, whole.x, whole.bottom + 0.14, merged)
    drawing.label(ax, apart.x, apart.bottom + 0.14, bands)
    drawing.arrow(ax, [(whole.right, top), (apart.left, top)])
    drawing.label(ax, (whole.right + apart.left) / 2, top - 0.12, "view")
    drawing.arrow(ax, [(apart.right, top), (stack.left, top)])
    drawing.label(ax, (apart.right + stack.left) / 2, top - 0.12, "transpose")

    back = _draw_bands(ax, 3.4, bottom, numbers, num_heads, apart=True)
    joined = _draw_bands(ax, 1.1, bottom, numbers, num_heads, apart=False)
    drawing.label(ax, back.x, back.top - 0.16, "contexts side by side", weight="bold")
    drawing.label(ax, joined.x, joined.top - 0.16, "merged, then × W_O", weight="bold")
    drawing.label(ax, back.x, back.bottom + 0.14, bands)
    drawing.label(ax, joined.x, joined.bottom + 0.14, merged)
    drawing.arrow(ax, [(stack.left, bottom), (back.right, bottom)])
    drawing.label(ax, (back.right + stack.left) / 2, bottom - 0.12, "transpose")
    drawing.arrow(ax, [(back.left, bottom), (joined.right, bottom)])
    drawing.label(ax, (joined.right + back.left) / 2, bottom - 0.12, "flatten")
    drawing.label(ax, stack.right, 3.55, split, ha="right")
    describe(
        ax,
        f"Splitting and merging {counted(num_heads, 'head')}: {merged} is viewed as "
        f"{bands} and transposed to {split}, so that each head attends by itself. Then the "
        f"contexts are transposed and flattened back to {merged}.",
    )
    return ax


def _heads_to_draw(num_heads: int) -> list[int]:
    """Numbers of heads, from 1: all, or the first three and the last."""
    if num_heads <= 4:
        return list(range(1, num_heads + 1))
    return [1, 2, 3, num_heads]


def _draw_bands(
    ax: Axes, x: float, y: float, numbers: Sequence[int], num_heads: int, *, apart: bool
) -> Area:
    """The bands of the heads side by side, touching or apart, with dots for those left out."""
    between = 0.09 if apart else 0.0
    dots = 0.22 if num_heads > len(numbers) else 0.0
    band = _NARROW * _CELL
    width = band * len(numbers) + between * (len(numbers) - 1) + dots
    left = x - width / 2
    outline = Area(left, y - _ROWS * _CELL / 2, width, _ROWS * _CELL)
    for place, (_, colour) in enumerate(zip(numbers, _HEAD_COLOURS, strict=False)):
        if dots and place == len(numbers) - 1:
            drawing.square(
                ax, left - between, outline.top, dots + between, outline.height, tint(GREY, 0.0)
            )
            drawing.label(ax, left + (dots - between) / 2, y, "…", weight="bold")
            left += dots
        drawing.matrix(ax, Area(left, outline.top, band, outline.height), _ROWS, _NARROW, colour)
        left += band + between
    return outline


def _draw_stack(ax: Axes, numbers: Sequence[int], num_heads: int) -> Area:
    """One small matrix per head, one below the other, each with its own attention."""
    area = Area(5.2, 0.1, 1.7, 3.3)
    drawing.panel(ax, area, SKY, shade=0.1)
    pitch = 0.76
    top = area.y - pitch * len(numbers) / 2
    for place, (number, colour) in enumerate(zip(numbers, _HEAD_COLOURS, strict=False)):
        y = top + pitch * (place + 0.5)
        _grid(ax, area.left + 0.3, y, _ROWS, _NARROW, colour)
        text = f"head {number}:\nattention alone"
        drawing.label(ax, area.left + 0.58, y, text, ha="left")
        if num_heads > len(numbers) and place == len(numbers) - 2:
            drawing.label(ax, area.left + 0.3, y + pitch / 2, "⋮", weight="bold")
    return area
