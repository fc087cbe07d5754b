"""Pictures of text itself: the pieces into which tokenizers cut it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from course_utils.plots.theme import BAD, INK, NORMAL, PAPER, describe, ink, new_axes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TINTS = (
    "#CFE6F5",
    "#FBE3B5",
    "#CDEBDF",
)  # pale blue, orange, green: neighbours differ, dark ink is read on each
_COLUMNS = 72  # characters per line
_LINE, _HEADING, _GAP = 1.0, 1.0, 0.55  # heights, in lines
_CHARACTER, _LINE_POINTS = 0.6 * NORMAL, 15.5  # of monospaced letters, in points


def text_pieces(
    text: str, pieces: Mapping[str, Sequence[tuple[int, ...]]], ax: Axes | None = None
) -> Axes:
    """The same text once for each tokenizer, one coloured box per piece,
    with the number of pieces beside the name.

    pieces: {tokenizer: spans}, a span being (start, end) in `text`, in order, or (start, end,
    False) for a piece that the tokenizer does not know: framed, in red. What lies in no span has no
    box. Lines break at the same blanks for all. Letters are of equal width, so the text should be
    of a script that a monospaced font has. Raises ValueError for an empty text, no tokenizers, or
    spans that are out of order or outside the text.
    """
    if not text.strip() or not pieces:
        raise ValueError(
            "expected a text and at least one tokenizer's pieces, "
            f"got {text!r:.50} and {len(pieces)}"
        )
    for name, spans in pieces.items():
        _check_spans(name, spans, len(text))
    lines = _lines_of(text)
    block = _HEADING + _LINE * len(lines) + _GAP
    width = 0.4 + _COLUMNS * _CHARACTER / 72
    height = 0.5 + _LINE_POINTS * block * len(pieces) / 72
    ax = ax or new_axes(width, height)[0]
    style(
        ax,
        "one box, one piece; framed in red: [UNK]"
        if _has_unknown(pieces)
        else "one box, one piece",
    )
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    for number, (name, spans) in enumerate(pieces.items()):
        top = number * block
        heading = f"{name}: {len(spans):,} piece{'s' * (len(spans) != 1)}"
        ax.text(
            0,
            top + _HEADING / 2,
            heading,
            color=INK,
            fontsize=NORMAL,
            weight="bold",
            va="center",
            parse_math=False,
        )
        for place, span in enumerate(spans):
            _draw_piece(ax, text, span, lines, top + _HEADING, _TINTS[place % len(_TINTS)])
    ax.set_xlim(-0.2, _COLUMNS + 0.2)
    ax.set_ylim(block * len(pieces) - _GAP / 2, -0.1)
    listed = [f"{name} into {len(spans):,}" for name, spans in pieces.items()]
    describe(ax, f"A text of {len(text):,} characters, cut into pieces: {', '.join(listed)}.")
    return ax


def _check_spans(name: str, spans: Sequence[tuple[int, ...]], length: int) -> None:
    """Overlaps are allowed: two pieces of one character's bytes have the same span."""
    before = (0, 0)
    for start, end, *_ in spans:
        if not 0 <= start <= end <= length or (start, end) < before:
            raise ValueError(
                f"{name}: expected spans in order within 0 to {length}, got ({start}, {end}) "
                f"after {before}"
            )
        before = (start, end)


def _has_unknown(pieces: Mapping[str, Sequence[tuple[int, ...]]]) -> bool:
    return any(False in span[2:] for spans in pieces.values() for span in spans)


def _lines_of(text: str) -> list[tuple[int, int]]:
    """Where each line starts and ends: as many words as fit, a longer word cut;
    the blank at a break is not drawn.
    """
    found: list[tuple[int, int]] = []
    for word in re.finditer(rf"\S{{1,{_COLUMNS}}}", text):
        if found and word.end() - found[-1][0] <= _COLUMNS:
            found[-1] = (found[-1][0], word.end())
        else:
            found.append(word.span())
    return found


def _within(
    span: tuple[int, ...], lines: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, int]]:
    """The parts of a span as (line, start, end), since a piece may go over the end of a line."""
    for number, (first, last) in enumerate(lines):
        start, end = max(first, span[0]), min(last, span[1])
        if start < end:
            yield number, start, end


def _draw_piece(
    ax: Axes,
    text: str,
    span: tuple[int, ...],
    lines: Sequence[tuple[int, int]],
    top: float,
    tint: str,
) -> None:
    known = False not in span[2:]
    for number, start, end in _within(span, lines):
        x, y = start - lines[number][0], top + _LINE * number
        ax.barh(
            y + 0.5,
            end - start - 0.08,
            0.84,
            x + 0.04,
            color=tint if known else PAPER,
            edgecolor=BAD,
            linewidth=0 if known else 1.2,
        )
        ax.text(
            (x + x + end - start) / 2,
            y + 0.52,
            text[start:end],
            color=INK if known else ink(BAD),
            family="monospace",
            fontsize=NORMAL,
            ha="center",
            va="center",
            parse_math=False,
        )
