"""Guessing one token of a text: how well a masked model, a causal model, token frequencies and a
lookup table do on the same targets. Used by objectives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils import data
from course_utils.data import Features
from course_utils.models import BertForCausalLM, BertForPreTraining
from course_utils.tokenization import WordPieceTokenizer

BATCH_SIZE = 64
Score = dict[str, float]  # loss in nats, and guessed_right, a share


class Target(NamedTuple):
    """A token to be guessed: the one at `place` of a text's input_ids."""

    ids: list[int]
    place: int


LogitsOf = Callable[[Sequence[Target]], torch.Tensor]  # targets to logits [targets, vocab]


def draw_targets(examples: Sequence[Features], per_text: int) -> list[Target]:
    """`per_text` tokens of each text, the same ones for every model, and never [CLS] or the closing
    [SEP].
    """
    generator = torch.Generator().manual_seed(0)
    targets = []
    for example in examples:
        ids = list(example["input_ids"])
        drawn = torch.randperm(len(ids) - 2, generator=generator)[:per_text].tolist()
        for number in sorted(drawn):
            targets.append(Target(ids, 1 + number))
    return targets


# --- models ---------------------------------------------------------------------------------------


@torch.inference_mode()
def score_targets(logits_of: LogitsOf, targets: Sequence[Target]) -> Score:
    """The mean loss in nats, and the share guessed right."""
    loss = 0.0
    num_right = 0
    by_length = sorted(targets, key=lambda target: len(target.ids))  # so that little is padded
    for start in range(0, len(by_length), BATCH_SIZE):
        part = by_length[start : start + BATCH_SIZE]
        logits = logits_of(part)  # [targets, vocab]
        wanted = torch.tensor([target.ids[target.place] for target in part])  # [targets]
        loss += float(cross_entropy(logits, wanted, reduction="sum"))
        num_right += int((logits.argmax(-1) == wanted).sum())
    return {"loss": loss / len(targets), "guessed_right": num_right / len(targets)}


def causal_logits(model: BertForCausalLM, targets: Sequence[Target]) -> torch.Tensor:
    """A causal model's logits for each target, [targets, vocab].

    They stand in the row before the target, which has seen only the tokens to its left.
    """
    batch = data.collate([{"input_ids": target.ids} for target in targets])
    places = torch.tensor([target.place for target in targets])
    logits = model(batch["input_ids"], batch["attention_mask"]).logits  # [targets, seq, vocab]
    return logits[torch.arange(len(targets)), places - 1]


def masked_logits(
    model: BertForPreTraining,
    tokenizer: WordPieceTokenizer,
    targets: Sequence[Target],
    *,
    both_sides: bool,
) -> torch.Tensor:
    """A masked model's logits for each target, [targets, vocab], with [MASK] in its place.

    both_sides: the model sees the whole text around the [MASK]. Otherwise it sees what stands to
    its left, and [SEP] follows the [MASK].
    """
    asked = []
    for ids, place in targets:
        right = ids[place + 1 :] if both_sides else [tokenizer.sep_token_id]
        asked.append({"input_ids": [*ids[:place], tokenizer.mask_token_id, *right]})
    batch = data.collate(asked)

    chosen = torch.zeros_like(batch["input_ids"], dtype=torch.bool)  # [targets, seq]
    places = torch.tensor([target.place for target in targets])
    chosen[torch.arange(len(targets)), places] = True
    return model(batch["input_ids"], batch["attention_mask"], chosen=chosen).mlm_logits


def guess(
    model: nn.Module, tokenizer: WordPieceTokenizer, targets: Sequence[Target]
) -> dict[str, Score]:
    """{"fill": with both sides in sight, "continue": with the left side only}."""
    if isinstance(model, BertForCausalLM):
        found = score_targets(partial(causal_logits, model), targets)
        return {"fill": found, "continue": found}  # it cannot use the right side
    scores = {}
    for task, both_sides in (("fill", True), ("continue", False)):
        logits_of = partial(masked_logits, model, tokenizer, both_sides=both_sides)
        scores[task] = score_targets(logits_of, targets)
    return scores


def guess_by_frequency(unigrams: torch.Tensor, targets: Sequence[Target]) -> dict[str, Score]:
    """The same two scores for the frequencies of the tokens, which see neither side.

    unigrams: log-probabilities [vocab].
    """
    found = score_targets(lambda part: unigrams.expand(len(part), -1), targets)
    return {"fill": found, "continue": found}


# --- without a model ------------------------------------------------------------------------------


class Window(NamedTuple):
    """How many tokens to the left and to the right of a target are looked at."""

    left: int
    right: int

    def around(self, ids: Sequence[int], place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens around `place`: those to its left, and those to its right."""
        before = ids[max(0, place - self.left) : place]
        after = ids[place + 1 : place + 1 + self.right]
        return tuple(before), tuple(after)


# Two neighbours on each side, then fewer, then none.
BETWEEN = (Window(2, 2), Window(1, 1), Window(1, 0), Window(0, 0))
# The last four tokens, then fewer, then none.
AFTER = (Window(4, 0), Window(3, 0), Window(2, 0), Window(1, 0), Window(0, 0))


def count_contexts(texts: Sequence[Sequence[int]], window: Window) -> dict[Any, Counter[int]]:
    """{the tokens around a place: how often each token stood there}. [CLS] is no target."""
    table: dict[Any, Counter[int]] = {}
    for ids in texts:
        for place in range(1, len(ids)):
            table.setdefault(window.around(ids, place), Counter())[ids[place]] += 1
    return table


def guess_by_lookup(
    texts: Sequence[Sequence[int]], targets: Sequence[Target], windows: Sequence[Window]
) -> float:
    """The share guessed right by the token that stood most often between the same neighbours.

    texts: where the neighbours are looked up. Of two equally frequent tokens, the first one seen is
    taken.
    windows: tried in this order, until the neighbours were seen before.
    """
    tables = [count_contexts(texts, window) for window in windows]
    num_right = 0
    for ids, place in targets:
        for table, window in zip(tables, windows, strict=True):
            counts = table.get(window.around(ids, place))
            if counts is not None:
                best = counts.most_common(1)[0][0]
                num_right += best == ids[place]
                break
    return num_right / len(targets)


def pairs_by_length(train: Sequence[Features], held_out: Sequence[Features]) -> float:
    """The share of held-out pairs that their length alone gets right: each length gets the label
    that it has more often in `train`.
    """
    votes: Counter[int] = Counter()
    for pair in train:
        votes[len(pair["input_ids"])] += 1 if pair["labels"] else -1
    num_right = 0
    for pair in held_out:
        says_other = votes[len(pair["input_ids"])] > 0
        num_right += says_other == bool(pair["labels"])
    return num_right / len(held_out)
