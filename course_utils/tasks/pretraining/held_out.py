"""How well a pre-trained model guesses held-out text, beside the unigram baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from course_utils.data import Features
from course_utils.models import BertForCausalLM
from course_utils.tasks.pretraining.objectives import filled_up
from course_utils.training import Batch, hardware


@dataclass(frozen=True)
class HeldOutScore:
    """How well a model guesses held-out tokens and pairs of sentences.

    loss: nats per target, of the model. A target is a token behind [MASK]; under "clm", every next
        token.
    unigram_loss: the same, of the train texts' token frequencies: the unigram baseline.
    accuracy: share of targets guessed right.
    num_targets: how many there were.
    nsp_accuracy: share of pairs classified right; None without pairs.
    num_pairs: how many there were.
    """

    loss: float
    unigram_loss: float
    accuracy: float
    num_targets: int
    nsp_accuracy: float | None
    num_pairs: int


@dataclass(frozen=True)
class _Guesses:
    """A model's answers to one batch.

    targets: int64 [num_targets]; logits: [num_targets, vocab_size]; pair_logits: [batch_size, 2],
    None without pairs.
    """

    targets: torch.Tensor
    logits: torch.Tensor
    pair_logits: torch.Tensor | None = None


def unigram_log_probs(examples: Sequence[Features], vocab_size: int) -> torch.Tensor:
    """log of each token's share in the examples, one added to every count; float32 [vocab_size]."""
    counts = torch.ones(vocab_size, dtype=torch.float64)
    for example in examples:
        counts += torch.bincount(torch.tensor(example["input_ids"]), minlength=vocab_size)
    return (counts / counts.sum()).log().float()


@torch.inference_mode()
def score_held_out(
    model: nn.Module,
    batches: Iterable[Batch],
    unigrams: torch.Tensor,
    *,
    mask_token_id: int,
    accelerator: Accelerator | None = None,
) -> HeldOutScore:
    """Measure a model on corrupted (or causal) batches;
    `unigrams` as `unigram_log_probs` gives them.

    Of the chosen tokens only those count that were replaced by [MASK]: a kept or a random one would
    flatter or blur.
    """
    model.eval()
    accelerator = accelerator or hardware.make_accelerator()
    # The batches go where the model is, which need not be the accelerator's device.
    first = next(model.parameters(), None)
    device = accelerator.device if first is None else first.device
    loss = unigram_loss = 0.0
    num_targets = num_right = num_pairs = num_right_pairs = 0
    for batch in batches:
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        guesses = _guess(model, batch, mask_token_id, accelerator)
        targets, logits = guesses.targets, guesses.logits.float()
        loss += nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        unigram_loss -= unigrams[targets.cpu()].sum().item()
        num_targets += len(targets)
        num_right += (logits.argmax(-1) == targets).sum().item()
        if "next_sentence_label" in batch:
            pairs = batch["next_sentence_label"]
            num_pairs += len(pairs)
            num_right_pairs += (guesses.pair_logits.argmax(-1) == pairs).sum().item()
    if not num_targets:
        raise ValueError("no token was masked in the held-out batches; give more text")
    return HeldOutScore(
        loss=loss / num_targets,
        unigram_loss=unigram_loss / num_targets,
        accuracy=num_right / num_targets,
        num_targets=num_targets,
        nsp_accuracy=num_right_pairs / num_pairs if num_pairs else None,
        num_pairs=num_pairs,
    )


def _guess(
    model: nn.Module, batch: Batch, mask_token_id: int, accelerator: Accelerator
) -> _Guesses:
    chosen = batch["labels"] != -100  # [batch, seq]
    with accelerator.autocast():
        if isinstance(model, BertForCausalLM):
            logits = model(batch["input_ids"], batch["attention_mask"]).logits
            return _Guesses(batch["labels"][chosen], logits[chosen])
        chosen &= batch["input_ids"] == mask_token_id
        filled = filled_up(chosen)
        output = model(
            batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids"), chosen=filled
        )
        targets = batch["labels"][chosen]
        return _Guesses(targets, output.mlm_logits[chosen[filled]], output.nsp_logits)
