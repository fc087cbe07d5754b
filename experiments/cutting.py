"""Cutting a text as its ids are cut, so that a baseline reads what a BERT reads."""

from __future__ import annotations

from collections.abc import Sequence

from course_utils.data import truncate_ids


def cut_text(
    text: str, spans: Sequence[tuple[int, int]], max_length: int, *, tail_share: float = 0.0
) -> str:
    """What is left of a text when its ids are cut by `truncate_ids`: so that another model
    can be given the same.

    spans: where each of the text's tokens came from, (start, end), as a tokenizer's `offsets` says;
    without the two special tokens, for which `max_length` leaves room. Raises ValueError where
    `truncate_ids` does.
    """
    # Cut the numbers of the tokens as their ids would be; -1 and the last stand for [CLS], [SEP].
    with_special = range(-1, len(spans) + 1)
    kept = truncate_ids(with_special, max_length, tail_share=tail_share)[1:-1]
    if len(kept) == len(spans):
        return text

    # The head's tokens are numbered 0, 1, 2, ... without a gap; the tail's go up to the last.
    num_head = 0
    while num_head < len(kept) and kept[num_head] == num_head:
        num_head += 1
    head, tail = "", ""
    if num_head > 0:
        _, head_end = spans[num_head - 1]
        head = text[:head_end]
    if num_head < len(kept):
        tail_start, _ = spans[kept[num_head]]
        tail = text[tail_start:]
    return f"{head} {tail}".strip()
