"""Pre-training: what masking does to a sentence, and which rows the two heads read."""

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
    INK,
    NEUTRAL,
    PALE,
    PURPLE,
    VERMILLION,
    describe,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MASK = "[MASK]"
_NAMES = 1.38  # the column of names at the left of `one_body_two_heads`
_FATES = {  # what can become of a chosen token: its share, and what the picture says
    "masked": ("80 %", "replaced by [MASK]"),
    "random": ("10 %", "replaced by a random token"),
    "kept": ("10 %", "left as it is"),
}
# Its colour, and how strong: the three differ in print without colours, too.
_LOOKS = {"masked": (BLUE, 0.45), "random": (VERMILLION, 0.25), "kept": (GREEN, 0.1)}
_EXAMPLE = (
    "[CLS]", "the", "film", "was", "[MASK]", "[SEP]", "i", "never", "[MASK]", "again", "[SEP]",
)  # fmt: skip


def masking(
    tokens: Sequence[str],
    masked_tokens: Sequence[str],
    chosen: Sequence[int],
    *,
    ax: Axes | None = None,
) -> Axes:
    """What masking made of a sentence: its tokens, what the model reads, and the labels.

    masked_tokens: the tokens that the model reads. chosen: the positions that the loss counts; each
    has become [MASK] (80 % of them), a random token (10 %), or stayed (10 %), which is seen from
    the two rows. The other labels are -100, which the loss ignores.
    Raises ValueError for no tokens, more than fit, rows of different length, a chosen position
    outside the sentence, or a token that changed without being chosen.
    Text alternative: "Of {n} tokens, {k} are chosen: {a} replaced by [MASK], ..."
    """
    fates = _fates(tokens, masked_tokens, chosen)
    labels = [token if place in fates else "-100" for place, token in enumerate(tokens)]
    left = 1.0
    columns = zip(tokens, masked_tokens, labels, strict=True)
    widest = [max(column, key=drawing.inches) for column in columns]
    available = drawing.PAGE - left - drawing.MARGIN
    areas = drawing.token_areas(widest, left, 0.15, available=available, gap=0.05)
    ax = drawing.page(2.75, ax)
    for place, area in enumerate(areas):
        colour, shade = _LOOKS[fates[place]] if place in fates else (PALE, 0.15)
        drawing.token(ax, area, tokens[place], NEUTRAL, shade=0.08)
        below = Area(area.left, 0.85, area.width, area.height)
        drawing.arrow(ax, [(area.x, area.bottom), (area.x, below.top)])
        drawing.token(ax, below, masked_tokens[place], colour, shade=shade)
        drawing.label(ax, area.x, 1.42, labels[place], color=INK if place in fates else GREY)
    for y, name in ((areas[0].y, "tokens"), (0.985, "input_ids"), (1.42, "labels")):
        drawing.label(ax, 0.1, y, name, ha="left", weight="bold")
    _draw_fates(ax, left, list(fates.values()))
    counts = {fate: list(fates.values()).count(fate) for fate in _FATES}
    describe(
        ax,
        f"Of the {len(tokens)} tokens {' '.join(tokens)}, {len(fates)} are chosen: "
        f"{counts['masked']} replaced by [MASK], {counts['random']} by a random token, "
        f"{counts['kept']} left as they are, so that the model reads {' '.join(masked_tokens)}. "
        "The labels are the true tokens at the chosen positions, and -100, which is ignored, at "
        "all others.",
    )
    return ax


def _fates(
    tokens: Sequence[str], masked_tokens: Sequence[str], chosen: Sequence[int]
) -> dict[int, str]:
    """{chosen position: what became of its token}, by position."""
    if len(tokens) != len(masked_tokens):
        raise ValueError(
            f"expected as many masked tokens as tokens, got {len(masked_tokens)} and {len(tokens)}"
        )
    outside = [place for place in chosen if not 0 <= place < len(tokens)]
    if outside:
        raise ValueError(f"chosen positions {outside} lie outside the {len(tokens)} tokens")
    fates: dict[int, str] = {}
    for place, (before, after) in enumerate(zip(tokens, masked_tokens, strict=True)):
        if place in chosen:
            fates[place] = "masked" if after == _MASK else "kept" if after == before else "random"
        elif before != after:
            raise ValueError(
                f"the token at position {place} changed from {before!r} to {after!r}, but is not "
                f"among the chosen positions {sorted(chosen)}"
            )
    return fates


def _draw_fates(ax: Axes, left: float, found: Sequence[str]) -> None:
    """A line for each thing that can happen, with how often it did here."""
    for number, (fate, (share, what)) in enumerate(_FATES.items()):
        colour, shade = _LOOKS[fate]
        y = 1.9 + 0.27 * number
        drawing.panel(ax, Area(left, y - 0.09, 0.3, 0.18), colour, shade=shade, rounding=0.03)
        drawing.label(ax, left + 0.4, y, share, ha="left", weight="bold")
        drawing.label(ax, left + 0.85, y, what, ha="left")
        drawing.label(ax, left + 2.85, y, f"here: {found.count(fate)}", ha="left")
    drawing.label(ax, 0.1, 1.9, "chosen", ha="left", weight="bold")


# --- two heads ------------------------------------------------------------------------------------


def one_body_two_heads(
    config: BertConfig, tokens: Sequence[str] = _EXAMPLE, *, ax: Axes | None = None
) -> Axes:
    """One BERT with both pre-training heads: the NSP head reads the row of [CLS], through the
    pooler; the MLM head reads the rows that the loss asks for, here those at [MASK].

    tokens: a pair of sentences; the first is [CLS], and one at least is [MASK].
    Raises ValueError for tokens that do not begin with [CLS] or have no [MASK], or more than fit.
    Text alternative: "{n} tokens go through one body; its [CLS] row ..., its {k} [MASK] rows ..."
    """
    places = [place for place, token in enumerate(tokens) if token == _MASK]
    if not places or tokens[0] != "[CLS]":
        raise ValueError(
            "expected tokens that begin with [CLS] and have at least one [MASK], got "
            f"{list(tokens)}"
        )
    available = drawing.PAGE - _NAMES - drawing.MARGIN
    spare = available - sum(drawing.token_widths(tokens, available))
    gap = min(0.16, spare / max(1, len(tokens) - 1))
    areas = drawing.token_areas(tokens, _NAMES, 4.0, available=available, gap=gap)
    ax = drawing.page(4.4, ax)
    layers = counted(config.num_hidden_layers, "layer")
    body = Area(_NAMES, 3.26, areas[-1].right - _NAMES, 0.42)
    drawing.box(ax, body, f"body\nembeddings and {layers}", NEUTRAL)
    drawing.label(ax, 0.1, areas[0].y, "tokens", ha="left", weight="bold")
    drawing.label(ax, 0.1, 2.55, "sequence_output", ha="left", weight="bold")
    sizes = f"[batch_size,\nseq_length, {config.hidden_size}]"
    drawing.label(ax, 0.1, 2.82, sizes, ha="left")
    for place, area in enumerate(areas):
        colour = PURPLE if place == 0 else BLUE if place in places else NEUTRAL
        asked = colour != NEUTRAL
        drawing.token(ax, area, tokens[place], colour, shade=0.25 if asked else 0.08)
        drawing.arrow(ax, [(area.x, area.top), (area.x, body.bottom)])
        row = Area(area.x - 0.1, 2.5, 0.2, 0.39)
        drawing.arrow(ax, [(area.x, body.top), (area.x, row.bottom)])
        drawing.matrix(ax, row, 3, 1, colour, 0.6 if asked else 0.2)
    _draw_nsp(ax, areas[0].x, config.hidden_size)
    _draw_mlm(ax, [areas[place].x for place in places], config)
    describe(
        ax,
        f"The {len(tokens)} tokens {' '.join(tokens)} go through one body of {layers}. The NSP "
        f"head reads the row of [CLS], through the pooler, and gives {shape('batch_size', 2)} "
        f"nsp_logits. The MLM head reads the {counted(len(places), 'row')} at [MASK] and gives "
        f"{shape('num_chosen', config.vocab_size)} mlm_logits.",
    )
    return ax


def _draw_nsp(ax: Axes, x: float, hidden_size: int) -> None:
    """From the row of [CLS] up: pooler, NSP head, two logits."""
    pooler = drawing.box(ax, Area(_NAMES, 1.55, 1.4, 0.42), "pooler\ndense, tanh", PURPLE)
    head = drawing.box(ax, Area(_NAMES, 0.72, 1.4, 0.42), "NSP head\ndense", PURPLE)
    drawing.arrow(ax, [(x, 2.5), (x, pooler.bottom)])
    drawing.label(ax, x + 0.07, 2.12, shape("batch_size", hidden_size), ha="left")
    drawing.arrow(ax, [(x, pooler.top), (x, head.bottom)])
    pooled = f"pooled_output {shape('batch_size', hidden_size)}"
    drawing.label(ax, x + 0.07, 1.34, pooled, ha="left")
    drawing.arrow(ax, [(head.x, head.top), (head.x, 0.5)])
    drawing.label(ax, head.x, 0.3, f"nsp_logits\n{shape('batch_size', 2)}")


def _draw_mlm(ax: Axes, rows: Sequence[float], config: BertConfig) -> None:
    """From the rows at [MASK] up: MLM head, one logit for each token of the vocabulary."""
    text = "MLM head\ndense, GELU, LayerNorm,\n× token_embeddings, + bias"
    head = drawing.box(ax, Area(4.2, 0.72, 2.5, 0.62), text, BLUE)
    bus = 2.25
    for x in rows:
        drawing.arrow(ax, [(x, 2.5), (x, bus), (head.x, bus)], head=False)
    drawing.arrow(ax, [(head.x, bus), (head.x, head.bottom)])
    chosen = f"chosen rows {shape('num_chosen', config.hidden_size)}"
    drawing.label(ax, head.x - 0.08, 1.8, chosen, ha="right")
    drawing.arrow(ax, [(head.x, head.top), (head.x, 0.5)])
    drawing.label(ax, head.x, 0.3, f"mlm_logits\n{shape('num_chosen', config.vocab_size)}")
