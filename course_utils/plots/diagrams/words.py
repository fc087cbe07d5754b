"""Words: how WordPiece cuts one, and which neighbours skip-gram reads."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area, counted
from course_utils.plots.theme import (
    BAD,
    GOOD,
    GREY,
    INK,
    MAIN,
    NEUTRAL,
    PALE,
    PURPLE,
    describe,
    ink,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PREFIX = "##"  # what a piece within a word starts with
_UNKNOWN = "[UNK]"
_LETTER = 0.24  # inches
_LINE = 0.25
_MOST_TRIES = 40


def longest_match(word: str, vocab: Collection[str], *, ax: Axes | None = None) -> Axes:
    """How WordPiece cuts one word, try by try: from the left, the longest piece that the vocabulary
    has, then the longest that continues it, and so on.

    vocab: the tokens; a piece within a word starts with ##. If no piece fits at some place, the
    whole word is [UNK].
    Raises ValueError for an empty word or one with white space, or more tries than fit (40).
    Text alternative: "WordPiece cuts {word!r} from the left in {n} tries: ..."
    """
    if not word or word.split() != [word]:
        raise ValueError(f"expected one word without white space, got {word!r}")
    tries = _tries(word, vocab)
    if len(tries) > _MOST_TRIES or len(word) * _LETTER > 4.6:
        raise ValueError(
            f"{word!r} has {len(word)} letters and takes {len(tries)} tries; at most "
            f"{int(4.6 / _LETTER)} letters and {_MOST_TRIES} tries can be drawn"
        )
    pieces = [piece for _, _, piece, found in tries if found]
    if not tries[-1][3]:
        pieces = [_UNKNOWN]
    left = 0.2
    right = left + _LETTER * len(word)
    answer = right + 0.5 + max(drawing.inches(piece) for _, _, piece, _ in tries)
    width = max(answer + 0.5, left + sum(map(drawing.inches, pieces)) + 0.3 * len(pieces) + 0.8)
    ax = drawing.page(0.68 + _LINE * len(tries) + 0.5, ax, width=max(3.0, width))
    for place, letter in enumerate(word):
        area = Area(left + place * _LETTER, 0.12, _LETTER, drawing.TOKEN_HEIGHT)
        drawing.token(ax, area, letter, NEUTRAL, shade=0.1)
    drawing.label(ax, right + 0.2, 0.255, "in the vocabulary?", ha="left", weight="bold")
    for number, (start, end, piece, found) in enumerate(tries):
        y = 0.63 + _LINE * number
        area = Area(left + start * _LETTER, y - 0.08, _LETTER * (end - start), 0.16)
        drawing.panel(ax, area, GOOD if found else PALE, shade=0.6, rounding=0.03)
        drawing.label(ax, right + 0.2, y, piece, ha="left", color=INK if found else GREY)
        said, colour = ("yes", ink(GOOD)) if found else ("no", GREY)
        weight = "bold" if found else "normal"
        drawing.label(ax, answer, y, said, ha="left", color=colour, weight=weight)
    _draw_pieces(ax, pieces, left, 0.68 + _LINE * len(tries))
    looked_up = [f"{piece} {'yes' if found else 'no'}" for _, _, piece, found in tries]
    describe(
        ax,
        f"WordPiece cuts {word!r} from the left into the longest pieces of the vocabulary, in "
        f"{len(tries)} tries: {', '.join(looked_up)}. The result is {' '.join(pieces)}.",
    )
    return ax


def _tries(word: str, vocab: Collection[str]) -> list[tuple[int, int, str, bool]]:
    """Every piece that is looked up, in order: (start, end, piece, whether it was found)."""
    tries: list[tuple[int, int, str, bool]] = []
    start = 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = (_PREFIX if start else "") + word[start:end]
            tries.append((start, end, piece, piece in vocab))
            if piece in vocab:
                break
        else:
            return tries
        start = end
    return tries


def _draw_pieces(ax: Axes, pieces: Sequence[str], left: float, top: float) -> None:
    """The result, in boxes."""
    drawing.label(ax, left, top + 0.135, "result", ha="left", weight="bold")
    colour = BAD if pieces == [_UNKNOWN] else GOOD
    areas = drawing.token_areas(pieces, left + 0.6, top, available=drawing.PAGE)
    for area, piece in zip(areas, pieces, strict=True):
        drawing.token(ax, area, piece, colour)


# --- skip-gram ------------------------------------------------------------------------------------


def skip_gram_window(
    tokens: Sequence[str], center: int, window: int, *, ax: Axes | None = None
) -> Axes:
    """The context of one word: the tokens at most `window` positions away, each a pair with it.

    center: the position of the word. At the ends of the text the window is cut.
    Raises ValueError for no tokens, more than fit, a centre outside them, or a window below 1.
    Text alternative: "With a window of {window}, {word!r} makes {n} pairs: ..."
    """
    areas = drawing.token_areas(
        tokens, 0.15, 0.5, available=drawing.PAGE - 0.3, gap=0.1, least=0.36
    )
    if not 0 <= center < len(tokens):
        raise ValueError(f"center must lie in [0, {len(tokens)}), got {center}")
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    first, last = max(0, center - window), min(len(tokens) - 1, center + window)
    context = [place for place in range(first, last + 1) if place != center]
    pairs = [f"({tokens[center]}, {tokens[place]})" for place in context]
    lines = _in_lines(pairs, drawing.PAGE - 1.0)
    longest = max((drawing.inches(line) for line in lines), default=0.0)
    width = max(3.4, areas[-1].right + 0.15, math.ceil(10 * (0.85 + longest)) / 10)
    below = areas[center].bottom
    top = below + 0.45 + 0.12 * window
    ax = drawing.page(top + drawing.LINE * len(lines) + 0.05, ax, width=width)

    frame = Area(areas[first].left - 0.06, 0.42, areas[last].right - areas[first].left + 0.12, 0.43)
    drawing.panel(ax, frame, GREY, dashed=True)
    said = f"window: {window} on each side"
    half = drawing.inches(said) / 2 + 0.1
    middle = min(max(areas[center].x, half), width - half)
    drawing.label(ax, middle, 0.2, said)
    for place, area in enumerate(areas):
        colour = PURPLE if place == center else MAIN if place in context else PALE
        drawing.token(ax, area, tokens[place], colour, shade=0.3 if colour != PALE else 0.2)
    for place in context:
        depth = below + 0.2 + 0.12 * abs(place - center)
        x = areas[center].x + 0.05 * (1 if place > center else -1)
        corners = [(x, below), (x, depth), (areas[place].x, depth), (areas[place].x, below)]
        drawing.arrow(ax, corners)
    drawing.label(ax, 0.15, top, "pairs", ha="left", weight="bold")
    for number, line in enumerate(lines):
        drawing.label(ax, 0.7, top + drawing.LINE * number, line, ha="left")
    describe(
        ax,
        f"In {' '.join(tokens)!r}, with a window of {window} on each side, {tokens[center]!r} "
        f"makes {counted(len(pairs), 'pair')} with its context: {', '.join(pairs)}.",
    )
    return ax


def _in_lines(parts: Sequence[str], available: float) -> list[str]:
    """Parts joined by blanks, as many per line as fit into so many inches."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}  {part}" if lines else part
        if lines and drawing.inches(longer) <= available:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
