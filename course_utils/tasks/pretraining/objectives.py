"""The pre-training objectives, masked, next sentence and causal: texts to examples, examples to
batches, batches to losses.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from course_utils import data
from course_utils.data import Features
from course_utils.tokenization import SPECIAL_TOKENS, WordPieceTokenizer
from course_utils.training import Batch

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def token_examples(
    texts: Iterable[str], tokenizer: WordPieceTokenizer, max_length: int
) -> list[Features]:
    """[CLS] ... [SEP] examples of at most `max_length` ids;
    a longer text is cut into equal chunks.
    """
    examples: list[Features] = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        num_chunks = -(-len(ids) // (max_length - 2))
        cuts = [len(ids) * number // num_chunks for number in range(num_chunks + 1)] if ids else []
        examples += [
            {"input_ids": [tokenizer.cls_token_id, *ids[start:end], tokenizer.sep_token_id]}
            for start, end in pairwise(cuts)
        ]
    return examples


def pair_examples(
    texts: Iterable[str],
    tokenizer: WordPieceTokenizer,
    max_length: int,
    *,
    generator: torch.Generator,
) -> list[Features]:
    """[CLS] A [SEP] B [SEP] examples for next sentence prediction,
    "labels" 0 (B follows A) or 1 (from elsewhere).

    A text's sentences are gathered into stretches of about `max_length` ids, each cut into A and B
    at random.
    """
    room = max_length - 3
    stretches: list[list[list[int]]] = []
    for text in texts:
        stretch: list[list[int]] = []
        for sentence in _SENTENCE_END.split(text):
            ids = tokenizer.encode(sentence, add_special_tokens=False)[: room // 2]
            if stretch and sum(map(len, stretch)) + len(ids) > room:
                stretches.append(stretch)
                stretch = []
            stretch.append(ids)
        stretches.append(stretch)
    examples: list[Features] = []
    for first, second, label in data.sentence_pairs(stretches, generator=generator):
        second = second[: room - min(len(first), room - 1)]
        first = first[: room - len(second)]
        ids = [
            tokenizer.cls_token_id,
            *first,
            tokenizer.sep_token_id,
            *second,
            tokenizer.sep_token_id,
        ]
        examples.append(
            {"input_ids": ids, "token_type_ids": tokenizer.token_type_ids(ids), "labels": label}
        )
    return examples


def collate_masked(
    examples: Sequence[Features],
    tokenizer: WordPieceTokenizer,
    *,
    generator: torch.Generator | None = None,
    static: bool = False,
) -> Batch:
    """Pad and corrupt: "labels" [batch_size, seq_length] hold the chosen tokens;
    a pair's go to "next_sentence_label".

    generator: of the choice, None for torch's global one (which a saved run restores). static: a
    choice that depends on the example's ids alone, the same in each epoch.
    """
    batch = data.collate(examples, pad_token_id=tokenizer.pad_token_id)
    if "labels" in batch:
        batch["next_sentence_label"] = batch.pop("labels")  # [batch]
    mask = partial(
        data.mask_tokens,
        mask_token_id=tokenizer.mask_token_id,
        vocab_size=tokenizer.vocab_size,
        special_ids=[tokenizer.vocab[token] for token in SPECIAL_TOKENS],
    )
    if not static:
        generator = generator or torch.default_generator
        batch["input_ids"], batch["labels"] = mask(batch["input_ids"], generator=generator)
        return batch
    rows, labels = [], []
    for example, ids in zip(examples, batch["input_ids"], strict=True):
        seed = zlib.crc32(json.dumps(example["input_ids"]).encode())
        corrupted, chosen = mask(ids, generator=torch.Generator().manual_seed(seed))  # [seq] each
        rows.append(corrupted)
        labels.append(chosen)
    batch["input_ids"], batch["labels"] = torch.stack(rows), torch.stack(labels)  # [batch, seq]
    return batch


def collate_causal(examples: Sequence[Features], tokenizer: WordPieceTokenizer) -> Batch:
    """Pad; "labels" [batch_size, seq_length] hold the next token,
    -100 at the last one and on padding.
    """
    batch = data.collate(examples, pad_token_id=tokenizer.pad_token_id)
    following = batch["input_ids"].roll(-1, dims=1)  # [batch, seq]
    has_next = batch["attention_mask"].roll(-1, dims=1).bool()
    has_next[:, -1] = False
    batch["labels"] = following.masked_fill(~has_next, -100)
    return batch


def masked_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the chosen tokens in nats,
    plus that of the pairs where the batch has any.

    With gradient accumulation or several processes, `fit` weighs a part by its chosen tokens, for
    its pairs too.
    """
    chosen = filled_up(batch["labels"] != -100)  # [batch, seq]
    output = model(
        batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids"), chosen=chosen
    )
    loss = nn.functional.cross_entropy(output.mlm_logits, batch["labels"][chosen])
    if "next_sentence_label" in batch:
        loss = loss + nn.functional.cross_entropy(output.nsp_logits, batch["next_sentence_label"])
    return loss


def filled_up(chosen: torch.Tensor, multiple: int = 64) -> torch.Tensor:
    """The mask with the first places that are not chosen added, up to a multiple in all;
    bool, the same shape.

    Each batch has another number of chosen tokens, and oneDNN keeps a program, with its memory, for
    each size of matrix that it has met: half a gigabyte after some hundred updates of a small BERT.
    """
    free = (~chosen).flatten().nonzero().flatten()
    filled = chosen.flatten().clone()
    filled[free[: -int(filled.sum()) % multiple]] = True
    return filled.view_as(chosen)


def causal_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the next tokens in nats."""
    logits = model(batch["input_ids"], batch["attention_mask"]).logits  # [batch, seq, vocab]
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
