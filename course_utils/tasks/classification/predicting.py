"""A fine-tuned folder at work: probabilities for texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from course_utils import evaluation, files
from course_utils.tasks.classification.classifiers import num_positions
from course_utils.tasks.classification.inputs import collate_for, encode
from course_utils.text import clean
from course_utils.tokenization import Tokenizer


def trained_cut(folder: Path) -> dict[str, Any]:
    """The max_length and tail_share that a fine-tuned folder's texts were cut with, by its
    result.json.
    """
    path = folder / "result.json"
    config = files.read_json(path).get("config", {}) if path.exists() else {}
    return {name: config[name] for name in ("max_length", "tail_share") if name in config}


def predict_probabilities(
    tokenizer: Tokenizer,
    model: nn.Module,
    texts: Sequence[str],
    *,
    max_length: int = 256,
    tail_share: float = 0.5,
) -> np.ndarray:
    """Probability of each class, float32 [num_texts, num_labels].

    A text is cut to max_length tokens, or to the model's positions where these are fewer. Raises
    ValueError for a text that is empty.
    """
    for number, text in enumerate(texts):
        if not clean(text):
            raise ValueError(
                f"text {number} is empty after cleaning: {text!r}; expected at least one word"
            )
    length = min(max_length, num_positions(model))
    features = encode(tokenizer, texts, max_length=length, tail_share=tail_share)
    logits = evaluation.predict_logits(model, features, collate=collate_for(tokenizer, model))
    return torch.from_numpy(logits).softmax(-1).numpy()
