"""From ids to batches: cutting, padding, and batches of similar length."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch

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
    rows = [feature["input_ids"] for feature in features]
    longest = max(len(row) for row in rows)
    rounded_up = -(-longest // multiple_of) * multiple_of
    seq_length = max(longest, min(limit, rounded_up))

    real = [[1] * len(row) for row in rows]
    batch = {
        "input_ids": _pad(rows, seq_length, pad_token_id),  # [batch, seq]
        "attention_mask": _pad(real, seq_length, 0),  # [batch, seq]
    }
    if "token_type_ids" in features[0]:
        types = [feature["token_type_ids"] for feature in features]
        batch["token_type_ids"] = _pad(types, seq_length, 0)  # [batch, seq]
    if "labels" in features[0]:
        labels = [feature["labels"] for feature in features]
        one_each = isinstance(labels[0], int)
        batch["labels"] = torch.tensor(labels) if one_each else _pad(labels, seq_length, -100)
    return batch


def _pad(rows: Sequence[Sequence[int]], seq_length: int, value: int) -> torch.Tensor:
    """Rows filled up with `value`, int64 [num_rows, seq_length]."""
    padded = []
    for row in rows:
        padding = [value] * (seq_length - len(row))
        padded.append([*row, *padding])
    return torch.tensor(padded)


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
        grouped: list[int] = []
        for start in range(0, len(order), stretch):
            grouped += sorted(order[start : start + stretch], key=lambda index: -lengths[index])
        order = grouped
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if group_by_length:
        # Within a stretch the batches now run from long to short: shuffle them.
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        batches = [batches[number] for number in shuffled]
    return batches
