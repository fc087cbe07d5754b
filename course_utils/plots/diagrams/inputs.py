"""From text to vectors: the journey of one sentence, and the three rows of each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area, shape
from course_utils.plots.theme import (
    ACCENT,
    BLUE,
    GREEN,
    GREY,
    MAIN,
    NEUTRAL,
    ORANGE,
    PALE,
    PAPER,
    VERMILLION,
    describe,
    tint,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUMBERS_SHOWN = 6  # of each vector
_CELL = 0.15  # one number of a vector, in inches
_NAMES = 1.2  # the column of names at the left of `journey`


def journey(
    text: str,
    tokens: Sequence[str],
    input_ids: Sequence[int],
    vectors: Any,
    probabilities: Mapping[str, float],
    *,
    ax: Axes | None = None,
) -> Axes:
    """What becomes of one sentence: text, tokens, ids, vectors, and at last a label.

    tokens, input_ids: of the sentence, [CLS] and [SEP] included. vectors: [seq_length,
    hidden_size], the row of each token; the first six numbers are drawn, blue where they are
    positive and orange where they are negative. probabilities: {label: probability}.
    Raises ValueError for no tokens, more than fit, numbers of tokens, ids and vectors that differ,
    or probabilities that do not sum to 1.
    Text alternative: "The sentence {text!r} becomes {n} tokens, ..., and the label {best}."
    """
    table = np.asarray(vectors, dtype=float)
    if table.ndim != 2 or not len(tokens) == len(input_ids) == len(table):
        raise ValueError(
            "expected one id and one vector for each token, vectors of shape [seq_length, "
            f"hidden_size]; got {len(tokens)} tokens, {len(input_ids)} ids and vectors of shape "
            f"{list(table.shape)}"
        )
    if not probabilities or abs(sum(probabilities.values()) - 1) > 1e-3:
        raise ValueError(
            f"expected probabilities that sum to 1, got {dict(probabilities)}, which sum to "
            f"{sum(probabilities.values()):.3f}"
        )
    texts = [
        max(pair, key=drawing.inches) for pair in zip(tokens, map(str, input_ids), strict=True)
    ]
    available = drawing.PAGE - _NAMES - drawing.MARGIN
    areas = drawing.token_areas(texts, _NAMES, 0.84, available=available, gap=0.05, least=0.34)
    bars_top = 4.36
    ax = drawing.page(bars_top + 0.26 * len(probabilities) + 0.1, ax)
    _draw_text(ax, text, areas)
    _draw_tokens_and_ids(ax, tokens, input_ids, areas)
    _draw_vectors(ax, table, areas)
    _draw_body_and_label(ax, areas, probabilities, bars_top)
    best = max(probabilities, key=lambda name: probabilities[name])
    describe(
        ax,
        f"The sentence {text!r} becomes {len(tokens)} tokens, each token an id, and each id a "
        f"vector of {table.shape[1]} numbers. BERT reads all vectors at once, and a classifier on "
        f"the vector of [CLS] answers {best} with probability {probabilities[best]:.3f}.",
    )
    return ax


def _name(ax: Axes, y: float, name: str, sizes: str = "") -> None:
    """What a row of the picture shows, at its left."""
    drawing.label(ax, 0.1, y - (0.085 if sizes else 0), name, ha="left", weight="bold")
    if sizes:
        drawing.label(ax, 0.1, y + 0.085, sizes, ha="left")


def _draw_text(ax: Axes, text: str, areas: Sequence[Area]) -> None:
    _name(ax, 0.3, "text")
    width = max(areas[-1].right - _NAMES, drawing.inches(text) + 0.2)
    if _NAMES + width > drawing.PAGE - drawing.MARGIN + 1e-6:
        raise ValueError(f"the text is too long for one line: {text!r}; take a shorter sentence")
    area = Area(_NAMES, 0.15, width, 0.3)
    drawing.panel(ax, area, NEUTRAL)
    drawing.label(ax, area.x, area.y, text)
    drawing.arrow(ax, [(area.x, area.bottom), (area.x, 0.79)])
    drawing.label(ax, area.x + 0.07, 0.6, "tokenizer", ha="left")


def _draw_tokens_and_ids(
    ax: Axes, tokens: Sequence[str], input_ids: Sequence[int], areas: Sequence[Area]
) -> None:
    _name(ax, areas[0].y, "tokens")
    _name(ax, 1.54, "input_ids", shape(1, len(tokens)))
    for token, number, area in zip(tokens, input_ids, areas, strict=True):
        drawing.token(ax, area, token)
        drawing.arrow(ax, [(area.x, area.bottom), (area.x, 1.42)])
        drawing.label(ax, area.x, 1.54, str(number))
        drawing.arrow(ax, [(area.x, 1.66), (area.x, 1.96)])
    drawing.label(ax, 0.1, 1.22, "vocabulary ↓", ha="left", color=GREY)
    drawing.label(ax, 0.1, 1.84, "table of rows ↓", ha="left", color=GREY)


def _draw_vectors(ax: Axes, table: np.ndarray, areas: Sequence[Area]) -> None:
    seq_length, hidden_size = table.shape
    shown = table[:, :_NUMBERS_SHOWN]
    bottom = 1.98 + _CELL * shown.shape[1]
    _name(ax, (1.98 + bottom) / 2, "vectors", shape(1, seq_length, hidden_size))
    for row, area in zip(shown, areas, strict=True):
        _strip(ax, row, area.x - 0.12, 1.98, scale=np.abs(shown).max())
        if hidden_size > _NUMBERS_SHOWN:
            drawing.label(ax, area.x, bottom + 0.06, "⋮")
        drawing.arrow(ax, [(area.x, bottom + 0.17), (area.x, 3.3)])


def _strip(ax: Axes, numbers: np.ndarray, left: float, top: float, *, scale: float) -> None:
    """A vector as a column of cells: blue for positive numbers, orange for negative ones, the paler
    the nearer to zero. scale: the number that gets the full colour.
    """
    for place, number in enumerate(numbers):
        share = min(1.0, abs(number) / scale) if scale else 0.0
        fill = tint(MAIN if number > 0 else ACCENT, 0.05 + 0.85 * share)
        drawing.square(ax, left, top + place * _CELL, 0.24, _CELL, fill)


def _draw_body_and_label(
    ax: Axes, areas: Sequence[Area], probabilities: Mapping[str, float], bars_top: float
) -> None:
    body = Area(_NAMES, 3.32, areas[-1].right - _NAMES, 0.3)
    drawing.box(ax, body, "BERT: every token reads all others", VERMILLION)
    first = areas[0].x
    head = Area(_NAMES, 3.86, 2.75, 0.28)
    drawing.arrow(ax, [(first, body.bottom), (first, head.top)])
    drawing.box(ax, head, "classifier: reads the row of [CLS]", GREEN)
    drawing.arrow(ax, [(first, head.bottom), (first, bars_top)])
    _name(ax, bars_top + 0.13 * len(probabilities), "label")
    for number, (name, probability) in enumerate(probabilities.items()):
        y = bars_top + 0.13 + 0.26 * number
        drawing.label(ax, _NAMES + 0.02, y, name, ha="left")
        full = 2.4
        left = _NAMES + 0.15 + max(map(drawing.inches, probabilities))
        drawing.square(ax, left, y - 0.09, full, 0.18, tint(PALE, 0.5))
        drawing.square(ax, left, y - 0.09, full * probability, 0.18, tint(GREEN, 0.7))
        drawing.label(ax, left + full + 0.08, y, f"{100 * probability:.1f} %", ha="left")


# --- three rows per token -------------------------------------------------------------------------


def stacked_embeddings(
    tokens: Sequence[str],
    input_ids: Sequence[int],
    token_type_ids: Sequence[int],
    hidden_size: int,
    *,
    rows: tuple[Any, Any, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The three rows of each token, one above the other, and their sum.

    input_ids, token_type_ids: one of each for every token; the positions are 0, 1, 2 and so on.
    rows: the rows of the token, the position and the segment table, each [seq_length, at least 1];
    their first numbers are drawn, and added up in the sum. Without them only the ids are drawn.
    Raises ValueError for no tokens, more than fit, or numbers of ids or rows that differ.
    Text alternative: "Each of {n} tokens has three ids; each id picks one row ..."
    """
    if not len(tokens) == len(input_ids) == len(token_type_ids):
        raise ValueError(
            f"expected one id of each kind for every token, got {len(tokens)} tokens, "
            f"{len(input_ids)} input_ids and {len(token_type_ids)} token_type_ids"
        )
    left = 1.7
    available = drawing.PAGE - left - 0.05
    texts = [
        max(pair, key=drawing.inches) for pair in zip(tokens, map(str, input_ids), strict=True)
    ]
    areas = drawing.token_areas(texts, left, 0.1, available=available, gap=0.05, least=0.34)
    numbers = _first_numbers(rows, len(tokens))
    height = 0.44 if numbers is None else 0.38 + _CELL * numbers.shape[-1]
    ax = drawing.page(0.62 + 4 * height + 3 * 0.3 + 0.1, ax)
    for token, area in zip(tokens, areas, strict=True):
        drawing.token(ax, area, token, NEUTRAL, shade=0.12)

    sizes = shape(len(tokens), hidden_size)
    positions = range(len(tokens))
    stack = (
        ("token_embeddings\nrows by input_ids", input_ids, BLUE, ""),
        ("position_embeddings\nrows by position_ids", positions, ORANGE, "+"),
        ("token_type_embeddings\nrows by token_type_ids", token_type_ids, GREEN, "+"),
        ("sum of the three", ["sum"] * len(tokens), NEUTRAL, "="),
    )
    for place, (name, texts, colour, sign) in enumerate(stack):
        top = 0.62 + place * (height + 0.3)
        row = [Area(area.left, top, area.width, height) for area in areas]
        _draw_row_of_cards(ax, row, list(map(str, texts)), colour, numbers, place)
        drawing.label(ax, 0.1, row[0].y, f"{name}\n{sizes}", ha="left")
        for area in row:
            drawing.label(ax, area.x, top - 0.15, sign, weight="bold")
    describe(
        ax,
        f"Each of the {len(tokens)} tokens {' '.join(tokens)} has three ids: its token, its "
        "position and its segment. Each id picks one row from its own table, and the three rows, "
        f"one above the other, are added to one vector of {hidden_size} numbers.",
    )
    return ax


def _first_numbers(rows: tuple[Any, Any, Any] | None, seq_length: int) -> np.ndarray | None:
    """The numbers to draw, [4, seq_length, at most 4]: of the three tables, and of their sum."""
    if rows is None:
        return None
    tables = [np.asarray(table, dtype=float) for table in rows]
    if len(tables) != 3 or any(table.ndim != 2 or len(table) != seq_length for table in tables):
        raise ValueError(
            f"expected the rows of three tables, each of shape [{seq_length}, at least 1], got "
            f"{[list(table.shape) for table in tables]}"
        )
    shown = [table[:, :4] for table in tables]
    return np.stack([*shown, sum(shown)])


def _draw_row_of_cards(
    ax: Axes,
    areas: Sequence[Area],
    texts: Sequence[str],
    colour: str,
    numbers: np.ndarray | None,
    place: int,
) -> None:
    """One card per token: the id above, and below it the first numbers of the row at this place of
    `numbers`, all rows shaded by one scale.
    """
    for token, (area, text) in enumerate(zip(areas, texts, strict=True)):
        drawing.panel(ax, area, colour, shade=0.2)
        if numbers is None:
            drawing.label(ax, area.x, area.y, text)
            continue
        drawing.label(ax, area.x, area.top + 0.16, text)
        shown = numbers[place, token]
        top = area.top + 0.31
        drawing.square(ax, area.x - 0.13, top - 0.01, 0.26, _CELL * len(shown) + 0.02, PAPER)
        _strip(ax, shown, area.x - 0.12, top, scale=np.abs(numbers).max())
