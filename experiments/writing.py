"""Letting a model write: five ways to choose the next token, and how much the texts repeat
themselves. Used by objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from course_utils.models import BertForCausalLM
from course_utils.tokenization import SPECIAL_TOKENS, WordPieceTokenizer

STRATEGIES: dict[str, dict[str, float]] = {
    "greedy": {"temperature": 0.0},
    "temperature 0.7": {"temperature": 0.7},
    "temperature 1": {},
    "top-k 40": {"top_k": 40},
    "top-p 0.9": {"top_p": 0.9},
}
NUM_KEPT = 2  # texts of each strategy that are stored
NextTokenLogits = Callable[[torch.Tensor], torch.Tensor]  # ids [texts, seq] to [texts, vocab]


def choose(
    logits: torch.Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> torch.Tensor:
    """One token for each row of logits [texts, vocab]; int64 [texts].

    temperature: 0 always takes the most likely token.
    top_k: only the k most likely tokens may be taken; 0 = all.
    top_p: only the most likely tokens that together reach this probability may be taken.
    """
    if temperature == 0:
        return logits.argmax(-1)
    probs, order = (logits / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    if top_k:
        probs[:, top_k:] = 0
    probability_before = probs.cumsum(-1) - probs
    probs[probability_before >= top_p] = 0
    drawn = torch.multinomial(probs, 1, generator=generator)  # [texts, 1], places in the order
    return order.gather(-1, drawn)[:, 0]


@torch.inference_mode()
def write(
    next_logits: NextTokenLogits,
    starts: torch.Tensor,
    num_tokens: int,
    forbidden: Sequence[int],
    seed: int,
    **strategy: float,
) -> torch.Tensor:
    """Continue texts by `num_tokens` tokens, one at a time; int64 [texts, seq + num_tokens].

    starts: [texts, seq]; forbidden: ids that are never taken; strategy: as `choose` takes it.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_tokens):
        logits = next_logits(starts)  # [texts, vocab]
        logits[:, list(forbidden)] = -torch.inf
        chosen = choose(logits, generator, **strategy)  # [texts]
        starts = torch.cat([starts, chosen[:, None]], dim=1)
    return starts


def next_logits_of(model: nn.Module, tokenizer: WordPieceTokenizer) -> NextTokenLogits:
    """A function from ids [texts, seq] to logits of the next token [texts, vocab].

    A masked model is asked by a [MASK] that is appended to the text.
    """

    def ask_causal(ids: torch.Tensor) -> torch.Tensor:
        return model(ids).logits[:, -1].clone()

    question = torch.tensor([tokenizer.mask_token_id, tokenizer.sep_token_id])

    def ask_masked(ids: torch.Tensor) -> torch.Tensor:
        asked = torch.cat([ids, question.expand(len(ids), 2)], dim=1)  # [texts, seq + 2]
        chosen = torch.zeros_like(asked, dtype=torch.bool)
        chosen[:, ids.shape[1]] = True
        return model(asked, chosen=chosen).mlm_logits

    return ask_causal if isinstance(model, BertForCausalLM) else ask_masked


def distinct_share(text: Sequence[int], size: int) -> float:
    """The different runs of `size` tokens in a text, as a share of all such runs."""
    runs = [tuple(text[start : start + size]) for start in range(len(text) - size + 1)]
    return len(set(runs)) / max(1, len(runs))


def repetition(texts: Sequence[Sequence[int]]) -> dict[str, float]:
    """How much texts repeat themselves, as means over the texts.

    repeated: the share of tokens that occurred earlier in the same text. distinct_2 and distinct_4:
    the different runs of 2 and of 4 tokens, as a share of all such runs.
    """
    means = {}
    for size in (1, 2, 4):
        means[size] = sum(distinct_share(text, size) for text in texts) / len(texts)
    return {"repeated": 1 - means[1], "distinct_2": means[2], "distinct_4": means[4]}


def write_samples(
    model: nn.Module,
    tokenizer: WordPieceTokenizer,
    starts: torch.Tensor,
    num_tokens: int,
    seed: int,
) -> dict[str, Any]:
    """{strategy: how much its texts repeat themselves, and the first two of them}."""
    forbidden = [tokenizer.vocab[token] for token in SPECIAL_TOKENS]
    next_logits = next_logits_of(model, tokenizer)
    found = {}
    for name, strategy in STRATEGIES.items():
        texts = write(next_logits, starts, num_tokens, forbidden, seed, **strategy).tolist()
        added = [text[starts.shape[1] :] for text in texts]
        kept = [tokenizer.decode(text[1:]) for text in texts[:NUM_KEPT]]
        found[name] = {**repetition(added), "texts": kept}
    return found
