"""Pre-training: texts in, a BERT (masked) or a GPT (causal) out."""

from course_utils.tasks.pretraining.held_out import (
    HeldOutScore,
    score_held_out,
    unigram_log_probs,
)
from course_utils.tasks.pretraining.objectives import (
    causal_loss,
    collate_causal,
    collate_masked,
    masked_loss,
    pair_examples,
    token_examples,
)
from course_utils.tasks.pretraining.run import pretrain, training_texts

__all__ = [
    "HeldOutScore",
    "causal_loss",
    "collate_causal",
    "collate_masked",
    "masked_loss",
    "pair_examples",
    "pretrain",
    "score_held_out",
    "token_examples",
    "training_texts",
    "unigram_log_probs",
]
