"""From texts to a classifier's batches, and its loss."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from course_utils import data, evaluation
from course_utils.tasks.classification.classifiers import num_positions
from course_utils.text import clean
from course_utils.tokenization import Tokenizer

# A tokenizer's own record of a text can be many times as large as its ids, so texts go in parts.
TEXTS_AT_ONCE = 1000


def encode(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    labels: Sequence[int] | None = None,
    *,
    max_length: int = 256,
    tail_share: float = 0.5,
) -> list[dict[str, Any]]:
    """Clean, tokenize and cut texts: one {"input_ids": list[int], "labels": int} per text.

    Without `labels`, the examples have none. A text of more than `max_length` tokens keeps its
    beginning, and `tail_share` of the room for its end (see `data.truncate_ids`). Raises TypeError
    for one str instead of a list of texts, and for a label that is no whole number.
    """
    if isinstance(texts, str):
        raise TypeError(f"expected a list of texts, got one str: {texts!r:.50}; put it into a list")
    features: list[dict[str, Any]] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        cleaned = [clean(text) for text in texts[start : start + TEXTS_AT_ONCE]]
        for ids in tokenizer.encode_batch(cleaned):
            cut = data.truncate_ids(ids, max_length, tail_share=tail_share)
            features.append({"input_ids": cut})
    if labels is not None:
        for feature, label in zip(features, labels, strict=True):
            feature["labels"] = operator.index(label)  # int() would make 0 of 0.7
    return features


def collate_for(tokenizer: Tokenizer, model: nn.Module) -> evaluation.Collate:
    """`data.collate` that pads with the tokenizer's [PAD], within the model's positions."""
    return partial(data.collate, pad_token_id=tokenizer.pad_token_id, limit=num_positions(model))


def compute_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy of the batch, in nats; rows labelled -100 do not count."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    return nn.functional.cross_entropy(model(**inputs).logits, batch["labels"])
