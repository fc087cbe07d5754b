"""From ids to batches: cutting, padding, and batches of similar length."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:  # datasets takes most of a second to import, and batches do without it
    pass


# --- batches --------------------------------------------------------------------------------------

Features = Mapping[str, object]  # one example: "input_ids", maybe "token_type_ids", and "labels"


def truncate_ids(
    input_ids: Sequence[int], max_length: int, *, tail_share: float = 0.0
) -> list[int]:
    """Cut `[CLS] ... [SEP]` to `max_length` ids: the beginning,
    and `tail_share` of the room for the end.

    A review often keeps its verdict for the last line, so head and tail together say more than the
    head alone (Sun et al., 2019, "How to fine-tune BERT for text classification?", section 5.3.1).
    Raises ValueError unless max_length >= 3 and tail_share lies in [0, 1].
    """
    if max_length < 3:
        raise ValueError(
            f"max_length must be at least 3 ([CLS], one token, [SEP]), got {max_length}"
        )
    if not 0 <= tail_share <= 1:
        raise ValueError(f"tail_share must lie in [0, 1], got {tail_share}")
    if len(input_ids) <= max_length:
        return list(input_ids)
    room = max_length - 2
    num_tail = round(room * tail_share)
    body = input_ids[1:-1]
    return [input_ids[0], *body[: room - num_tail], *body[len(body) - num_tail :], input_ids[-1]]


def cut_text(
    text: str, spans: Sequence[tuple[int, int]], max_length: int, *, tail_share: float = 0.0
) -> str:
    """What is left of a text when its ids are cut by `truncate_ids`: so that another model
    can be given the same.

    spans: where each of the text's tokens came from, (start, end), as a tokenizer's `offsets` says;
    without the two special tokens, for which `max_length` leaves room. Raises ValueError where
    `truncate_ids` does.
    """
    numbers = truncate_ids(range(-1, len(spans) + 1), max_length, tail_share=tail_share)[1:-1]
    if len(numbers) == len(spans):
        return text
    num_head = next(
        (place for place, number in enumerate(numbers) if place != number), len(numbers)
    )
    head = text[: spans[num_head - 1][1]] if num_head else ""
    tail = text[spans[numbers[num_head]][0] :] if num_head < len(numbers) else ""
    return f"{head} {tail}".strip()


def collate(
    features: Sequence[Features],
    *,
    pad_token_id: int = 0,
    multiple_of: int = 16,
    limit: int = sys.maxsize,
) -> dict[str, torch.Tensor]:
    """Pad examples to the longest of them, rounded up to a multiple (few shapes keep the memory
    small) within `limit`.

    Returns int64 tensors `input_ids` and `attention_mask` (1 = real) of shape
    [batch_size, seq_length], and `token_type_ids` and `labels` where the examples have them: labels
    [batch_size] if each is one number, else [batch_size, seq_length], padded with -100 (= ignored).
    """
    longest = max(len(feature["input_ids"]) for feature in features)
    seq_length = max(longest, min(limit, -(-longest // multiple_of) * multiple_of))

    def pad(rows: list[Sequence[int]], value: int) -> torch.Tensor:
        return torch.tensor(
            [[*row, *[value] * (seq_length - len(row))] for row in rows]
        )  # [batch, seq]

    rows = [feature["input_ids"] for feature in features]
    batch = {
        "input_ids": pad(rows, pad_token_id),
        "attention_mask": pad([[1] * len(row) for row in rows], 0),
    }
    if "token_type_ids" in features[0]:
        batch["token_type_ids"] = pad([feature["token_type_ids"] for feature in features], 0)
    if "labels" in features[0]:
        labels = [feature["labels"] for feature in features]
        batch["labels"] = torch.tensor(labels) if isinstance(labels[0], int) else pad(labels, -100)
    return batch


def make_batches(
    lengths: Sequence[int],
    batch_size: int,
    *,
    generator: torch.Generator,
    group_by_length: bool = True,
) -> list[list[int]]:
    """Shuffle the indices of one epoch into batches; with `group_by_length`, of similar length.

    Grouping sorts within stretches of 50 batches of the shuffled order, so that a batch pads little
    and the order of batches stays random. Every index comes exactly once; only the last batch of
    the order may be smaller.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    if group_by_length:
        stretch = 50 * batch_size
        order = [
            index
            for start in range(0, len(order), stretch)
            for index in sorted(order[start : start + stretch], key=lambda i: -lengths[i])
        ]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if group_by_length:
        batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return batches
