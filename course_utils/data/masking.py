"""What pre-training hides and swaps: masked tokens and pairs of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch


def mask_tokens(
    input_ids: torch.Tensor,
    *,
    mask_token_id: int,
    special_ids: Sequence[int],
    vocab_size: int,
    generator: torch.Generator,
    probability: float = 0.15,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Corrupt ids for masked language modelling: (corrupted ids, labels),
    both int64 of the shape of `input_ids`.

    Each token but those in `special_ids` (padding among them) is chosen with `probability`. Of the
    chosen, 80 % become [MASK], 10 % a random token of the vocabulary, 10 % stay. labels: the true
    id where chosen, else -100 (= ignored). `input_ids` stays as it is, so that each epoch can
    choose anew (Devlin et al., 2019, section 3.1, appendix A.1; anew each time: Liu et al., 2019,
    "RoBERTa", section 4.1). Raises ValueError for a probability outside (0, 1).
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability must lie strictly between 0 and 1, got {probability}")
    special = torch.isin(input_ids, torch.tensor(list(special_ids)))
    chosen = (torch.rand(input_ids.shape, generator=generator) < probability) & ~special
    fate = torch.rand(input_ids.shape, generator=generator)
    random_ids = torch.randint(vocab_size, input_ids.shape, generator=generator)
    corrupted = torch.where(chosen & (fate < 0.8), mask_token_id, input_ids)
    corrupted = torch.where(chosen & (fate >= 0.9), random_ids, corrupted)
    return corrupted, torch.where(chosen, input_ids, -100)


def sentence_pairs(
    documents: Sequence[Sequence[Sequence[int]]], *, generator: torch.Generator
) -> list[tuple[list[int], list[int], int]]:
    """Pairs (A, B, label) for next sentence prediction,
    one for each document of two sentences or more.

    documents: each a list of sentences, each a list of ids without special tokens. A document is
    cut at a random sentence into A and the rest. With label 0 (for half of them, on average) B is
    that rest: B follows A. With label 1 it is the end of another document, also cut at random
    (Devlin et al., 2019, section 3.1 and appendix A.2).
    Raises ValueError unless two documents have two sentences or more.
    """
    usable = [document for document in documents if len(document) >= 2]
    if len(usable) < 2:
        raise ValueError(
            f"expected at least two documents of two sentences or more, got {len(usable)} "
            f"of {len(documents)}"
        )

    pairs = []
    for number, document in enumerate(usable):
        first, second = _cut(document, generator)
        label = _draw(2, generator)
        if label:
            step = 1 + _draw(len(usable) - 1, generator)  # to any document but this one
            other = usable[(number + step) % len(usable)]
            _, second = _cut(other, generator)
        pairs.append((first, second, label))
    return pairs


def _draw(end: int, generator: torch.Generator) -> int:
    """A random whole number from 0 to `end` - 1."""
    return int(torch.randint(end, (), generator=generator))


def _cut(
    document: Sequence[Sequence[int]], generator: torch.Generator
) -> tuple[list[int], list[int]]:
    """The ids of the sentences before and after a random cut, neither part without a sentence."""
    place = 1 + _draw(len(document) - 1, generator)
    before = list(chain.from_iterable(document[:place]))
    after = list(chain.from_iterable(document[place:]))
    return before, after
