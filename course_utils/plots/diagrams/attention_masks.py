"""Which positions each token can attend to: the three masks as squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from course_utils.plots.diagrams import drawing
from course_utils.plots.theme import GREY, MAIN, PALE, PAPER, SMALL, describe, tint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_SIDE, _LARGEST_SIDE = 0.17, 0.3  # of one cell, in inches
_GAP = 0.3  # between two masks


def _visible_pairs(kind: str, seq_length: int, prefix_length: int) -> np.ndarray:
    """Whether a query (row) can see a key (column), bool [seq_length, seq_length].

    kind: "bidirectional" (all), "causal" (itself and what stands before it), or "prefix" (the
    prefix, and what stands before it). Raises ValueError for another kind.
    """
    everything = np.ones((seq_length, seq_length), dtype=bool)
    if kind == "bidirectional":
        return everything
    if kind == "causal":
        return np.tril(everything)
    if kind == "prefix":
        in_prefix = np.arange(seq_length) < prefix_length
        return np.tril(everything) | in_prefix
    raise ValueError(f'kind must be "bidirectional", "causal" or "prefix", got {kind!r}')


def masks(
    tokens: Sequence[str], prefix_length: int | None = None, *, ax: Axes | None = None
) -> Axes:
    """The bidirectional, the causal and the prefix mask of one text, query rows by key columns.

    A filled cell means that the query attends to the key. [PAD] is hidden as a key in all three.
    prefix_length: tokens that every query sees; half of the tokens if None.
    Raises ValueError for no tokens, more than fit, or a prefix outside 1 to the number of tokens.
    Text alternative: "Three masks over {n} tokens: bidirectional, where {a} of {b} pairs ..."
    """
    if not len(tokens):
        raise ValueError("expected at least one token to draw, got none")
    prefix = max(1, len(tokens) // 2) if prefix_length is None else prefix_length
    if not 1 <= prefix <= len(tokens):
        raise ValueError(f"prefix_length must lie in [1, {len(tokens)}], got {prefix_length}")
    names = max(drawing.inches(token) for token in tokens)
    left = 0.42 + names
    side = min(_LARGEST_SIDE, (drawing.PAGE - 0.15 - left - 2 * _GAP) / 3 / len(tokens))
    if side < _LEAST_SIDE:
        raise ValueError(
            f"{len(tokens)} tokens are too many to draw three masks side by side; draw at most "
            f"{int((drawing.PAGE - 0.15 - left - 2 * _GAP) / 3 / _LEAST_SIDE)}"
        )
    width = max(side * len(tokens), 1.3)
    top = 0.72 + names
    full = left + 3 * width + 2 * _GAP + 0.15
    ax = drawing.page(top + side * len(tokens) + 0.36, ax, width=full)
    drawing.label(ax, 0.14, top + side * len(tokens) / 2, "query", rotation=90, color=GREY)

    hidden = np.array([token == "[PAD]" for token in tokens])
    counts = {}
    titles = {"bidirectional": "bidirectional", "causal": "causal", "prefix": f"prefix of {prefix}"}
    for place, (kind, title) in enumerate(titles.items()):
        visible = _visible_pairs(kind, len(tokens), prefix) & ~hidden
        counts[kind] = int(visible.sum())
        start = left + place * (width + _GAP)
        _draw_mask(ax, visible, tokens, (start, top), side, names_too=place == 0)
        middle = start + side * len(tokens) / 2
        drawing.heading(ax, middle, 0.16, title)
        drawing.label(ax, middle, 0.4, "key", color=GREY)
        said = f"{counts[kind]} of {len(tokens) ** 2} pairs"
        drawing.label(ax, middle, top + side * len(tokens) + 0.17, said)
    pairs = len(tokens) ** 2
    describe(
        ax,
        f"Three masks over the {len(tokens)} tokens {' '.join(tokens)}, queries in rows and keys "
        f"in columns. Bidirectional: {counts['bidirectional']} of {pairs} pairs are visible; "
        f"causal: {counts['causal']}, the triangle up to the diagonal; with a prefix of {prefix} "
        f"tokens that all see: {counts['prefix']}.",
    )
    return ax


def _draw_mask(
    ax: Axes,
    visible: np.ndarray,
    tokens: Sequence[str],
    corner: tuple[float, float],
    side: float,
    *,
    names_too: bool,
) -> None:
    """One square of cells, the keys named above it, and the queries at its left if asked for."""
    left, top = corner
    for row, column in np.ndindex(visible.shape):
        fill = tint(MAIN, 0.75) if visible[row, column] else PAPER
        x, y = left + column * side, top + row * side
        drawing.square(ax, x, y, side, side, fill, edge=PALE)
    for place, token in enumerate(tokens):
        middle = (place + 0.5) * side
        drawing.label(
            ax, left + middle, top - 0.06, token, rotation=90, va="bottom", fontsize=SMALL
        )
        if names_too:
            drawing.label(ax, left - 0.07, top + middle, token, ha="right")
