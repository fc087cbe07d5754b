"""What a batch holds: padding in three ways, and what is kept of a text that is too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course_utils.plots.diagrams import drawing
from course_utils.plots.diagrams.drawing import Area, counted
from course_utils.plots.theme import BLUE, GREEN, GREY, NEUTRAL, PALE, describe, tint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TEXTS = 64  # lines of a panel, so that each can still be seen
_BETWEEN = 0.12  # inches between two batches
_REAL, _PADDING = (BLUE, 0.7), (GREY, 0.15)  # colour and share of it


@dataclass(frozen=True)
class _Layout:
    """One way to pad: the lengths in each batch, and how long each batch is made."""

    title: str
    batches: list[list[int]]
    widths: list[int]

    @property
    def share_of_padding(self) -> float:
        """Padding tokens, as a share of all tokens of all batches."""
        pairs = zip(self.batches, self.widths, strict=True)
        total = sum(len(batch) * width for batch, width in pairs)
        return 1 - sum(map(sum, self.batches)) / total


def padding(
    lengths: Sequence[int], batch_size: int, max_length: int, *, ax: Axes | None = None
) -> Axes:
    """The same texts padded in three ways, with the share of padding of each.

    To max_length; to the longest text of each batch, in the given order; and likewise, but with
    texts of similar length in a batch. lengths: tokens per text, longer ones cut at max_length.
    Raises ValueError for no texts, more than 64, or numbers below 1.
    Text alternative: "{n} texts in batches of {size}. Padded to {max_length}: {a} % padding; ..."
    """
    if not 1 <= len(lengths) <= _MOST_TEXTS:
        raise ValueError(f"expected 1 to {_MOST_TEXTS} lengths to draw, got {len(lengths)}")
    if min(*lengths, batch_size, max_length) < 1:
        raise ValueError(
            "lengths, batch_size and max_length must be at least 1, got a shortest length of "
            f"{min(lengths)}, batch_size={batch_size} and max_length={max_length}"
        )
    layouts = _layouts([min(length, max_length) for length in lengths], batch_size, max_length)
    num_batches = len(layouts[0].batches)
    line = min(0.13, 3.2 / len(lengths))
    height = 0.95 + line * len(lengths) + _BETWEEN * (num_batches - 1)
    ax = drawing.page(height + 0.4, ax)
    panel = 2.14
    for place, layout in enumerate(layouts):
        left = 0.1 + place * (panel + 0.19)
        drawing.heading(ax, left, 0.18, layout.title, ha="left")
        share = f"{100 * layout.share_of_padding:.0f} % padding"
        drawing.label(ax, left, 0.45, share, ha="left")
        _draw_batches(ax, layout, Area(left, 0.68, panel, line), max_length)
    y = height + 0.15
    for left, look, name in ((0.1, _REAL, "real tokens"), (1.4, _PADDING, "[PAD]")):
        drawing.square(ax, left, y - 0.06, 0.24, 0.12, tint(*look), edge=GREY)
        drawing.label(ax, left + 0.32, y, name, ha="left")
    shares = [f"{layout.title}: {100 * layout.share_of_padding:.0f} %" for layout in layouts]
    describe(
        ax,
        f"{len(lengths)} texts in batches of {batch_size}, padded in three ways, with the share "
        f"of all tokens that is padding. {'; '.join(shares)}.",
    )
    return ax


def _layouts(lengths: Sequence[int], batch_size: int, max_length: int) -> list[_Layout]:
    """The three ways."""
    in_order = _batches_of(lengths, batch_size)
    by_length = _batches_of(sorted(lengths, reverse=True), batch_size)
    return [
        _Layout(f"all to {max_length}", in_order, [max_length] * len(in_order)),
        _Layout("longest of the batch", in_order, [max(batch) for batch in in_order]),
        _Layout("similar length", by_length, [max(batch) for batch in by_length]),
    ]


def _batches_of(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    starts = range(0, len(lengths), batch_size)
    return [list(lengths[start : start + batch_size]) for start in starts]


def _draw_batches(ax: Axes, layout: _Layout, first: Area, max_length: int) -> None:
    """One line per text, one block per batch. first: the area of the first line at max_length."""
    y = first.top
    for batch, width in zip(layout.batches, layout.widths, strict=True):
        for length in batch:
            full = first.width * width / max_length
            drawing.square(ax, first.left, y, full, first.height, tint(*_PADDING))
            real = first.width * length / max_length
            drawing.square(ax, first.left, y, real, first.height, tint(*_REAL))
            y += first.height
        y += _BETWEEN


# --- head and tail --------------------------------------------------------------------------------

_SPECIAL, _STRIP = 0.46, 0.3  # width of [CLS] and [SEP], and height of the text, in inches


@dataclass(frozen=True)
class _Part:
    """A stretch of the text, and what becomes of it."""

    name: str
    count: int
    colour: str
    shade: float
    place: str


def head_and_tail(
    num_tokens: int, max_length: int, tail_share: float, *, ax: Axes | None = None
) -> Axes:
    """Which tokens of a long text are kept: [CLS], the beginning, the end, and [SEP].

    num_tokens: of the whole text, [CLS] and [SEP] included. Of the room between these two,
    `tail_share` goes to the end of the text, as `data.truncate_ids` cuts it.
    Raises ValueError for fewer than 3 tokens, max_length below 3, or a share outside [0, 1].
    Text alternative: "Of {n} tokens, {max_length} are kept: [CLS], {a} from the beginning, ..."
    """
    head, left_out, tail = parts = _parts(num_tokens, max_length, tail_share)
    body = num_tokens - 2
    room = head.count + tail.count
    ax = drawing.page(2.95, ax)
    scale = (drawing.PAGE - 0.2 - 2 * _SPECIAL) / body
    long_left = 0.1 + _SPECIAL
    short_left = drawing.PAGE / 2 - room * scale / 2
    _draw_ends(ax, long_left, body * scale, 0.35)
    _draw_ends(ax, short_left, room * scale, 1.45)
    drawing.label(ax, 0.1, 0.16, f"the text: {num_tokens:,} tokens", ha="left", weight="bold")
    drawing.label(ax, 0.1, 1.93, f"kept: {room + 2:,} tokens", ha="left", weight="bold")
    for part in parts:
        width = part.count * scale
        fill = tint(part.colour, part.shade)
        drawing.square(ax, long_left, 0.35, width, _STRIP, fill)
        if part.name != "left out" and part.count:
            for side in (0.0, width):
                corners = [(long_left + side, 0.35 + _STRIP), (short_left + side, 1.45)]
                drawing.arrow(ax, corners, PALE, head=False)
            drawing.square(ax, short_left, 1.45, width, _STRIP, fill)
            short_left += width
        long_left += width
    for number, part in enumerate(parts):
        y = 2.25 + 0.25 * number
        drawing.square(ax, 0.1, y - 0.07, 0.3, 0.14, tint(part.colour, part.shade), edge=GREY)
        drawing.label(
            ax, 0.5, y, f"{part.name}: {counted(part.count, 'token')} {part.place}", ha="left"
        )
    describe(
        ax,
        f"Of a text of {num_tokens:,} tokens, {room + 2:,} are kept: [CLS], {head.count:,} from "
        f"the beginning, {tail.count:,} from the end, and [SEP]; {left_out.count:,} in between are "
        "left out.",
    )
    return ax


def _parts(num_tokens: int, max_length: int, tail_share: float) -> tuple[_Part, _Part, _Part]:
    """Beginning, middle and end of the tokens between [CLS] and [SEP]."""
    if num_tokens < 3 or max_length < 3:
        raise ValueError(
            "num_tokens and max_length must be at least 3 ([CLS], one token, [SEP]), got "
            f"{num_tokens} and {max_length}"
        )
    if not 0 <= tail_share <= 1:
        raise ValueError(f"tail_share must lie in [0, 1], got {tail_share}")
    body = num_tokens - 2
    room = min(body, max_length - 2)
    num_tail = round(room * tail_share) if body > room else 0
    num_head = room - num_tail
    num_cut = body - room

    return (
        _Part("head", num_head, BLUE, 0.7, "from the beginning"),
        _Part("left out", num_cut, PALE, 0.5, "in between"),
        _Part("tail", num_tail, GREEN, 0.4, "from the end"),
    )


def _draw_ends(ax: Axes, left: float, width: float, top: float) -> None:
    """[CLS] and [SEP] at both ends of a strip."""
    for start, token in ((left - _SPECIAL, "[CLS]"), (left + width, "[SEP]")):
        drawing.square(ax, start, top, _SPECIAL, _STRIP, tint(NEUTRAL, 0.25))
        drawing.label(ax, start + _SPECIAL / 2, top + _STRIP / 2, token)
