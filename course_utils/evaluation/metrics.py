"""Accuracy, precision, recall, F1 and loss, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from accelerate import Accelerator
from scipy import special
from sklearn import metrics
from torch import nn

from course_utils.data import Features
from course_utils.evaluation.predictions import Collate, check_finite, predict_logits


@dataclass(frozen=True)
class Evaluation:
    """How well predictions match labels. Shares lie in [0, 1].

    precision, recall, f1: of label 1 if there are two labels; of more, the plain mean over all
    labels that occur (macro). A share of nothing, such as the precision of a label never predicted,
    counts as 0.
    loss: mean cross-entropy in nats. confusion[true][predicted]: numbers of examples. interval:
    bootstrap bounds (low, high) of the accuracy. labels, predictions: int64 [num_examples];
    probabilities: float64 [num_examples, num_labels], each row summing to 1.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    loss: float
    confusion: tuple[tuple[int, ...], ...]
    interval: tuple[float, float]
    num_examples: int
    labels: np.ndarray = field(repr=False, compare=False)
    predictions: np.ndarray = field(repr=False, compare=False)
    probabilities: np.ndarray = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """All but the arrays, ready for JSON."""
        scalars = {
            name: getattr(self, name) for name in ("accuracy", "precision", "recall", "f1", "loss")
        }
        return {
            **scalars,
            "confusion": [list(row) for row in self.confusion],
            "interval": list(self.interval),
            "num_examples": self.num_examples,
        }


def evaluate(
    model: nn.Module,
    features: Sequence[Features],
    *,
    collate: Collate,
    batch_size: int = 32,
    accelerator: Accelerator | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Predict all features and score them against their "labels" (one int each).

    See `predict_logits` for the model, devices and processes, and `score` for the metrics; raises
    what they raise.
    """
    if not all("labels" in feature for feature in features):
        raise ValueError(
            'every feature needs "labels" (an int) to be evaluated; predict_logits works without'
        )
    logits = predict_logits(
        model,
        features,
        collate=collate,
        batch_size=batch_size,
        accelerator=accelerator,
        progress=progress,
    )
    return score([feature["labels"] for feature in features], logits, seed=seed)


def score(
    labels: Sequence[int] | np.ndarray,
    logits: np.ndarray,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> Evaluation:
    """Metrics of logits [num_examples, num_labels] against labels [num_examples]; see `Evaluation`.

    seed, num_resamples, confidence: of the accuracy's bootstrap interval. Raises ValueError for no
    examples, labels and logits that do not match, or labels all alike; FloatingPointError for
    logits that are not finite.
    """
    labels, logits = _check_labels(labels, logits)
    num_labels = logits.shape[1]
    log_probs = special.log_softmax(logits.astype(np.float64), axis=1)  # [num_examples, num_labels]
    true_log_probs = log_probs[np.arange(len(labels)), labels]  # [num_examples]
    predictions = logits.argmax(axis=1)  # [num_examples]
    correct = predictions == labels  # [num_examples]
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predictions, average="binary" if num_labels == 2 else "macro", zero_division=0
    )
    confusion = metrics.confusion_matrix(labels, predictions, labels=range(num_labels))
    return Evaluation(
        accuracy=float(correct.mean()),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        loss=float(-true_log_probs.mean()),
        confusion=tuple(map(tuple, confusion.tolist())),
        interval=bootstrap_interval(
            correct, seed=seed, num_resamples=num_resamples, confidence=confidence
        ),
        num_examples=len(labels),
        labels=labels,
        predictions=predictions,
        probabilities=np.exp(log_probs),
    )


def _check_labels(
    labels: Sequence[int] | np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 and logits as an array, or an error that says what came."""
    labels, logits = np.asarray(labels), np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"expected logits [num_examples, num_labels >= 2], got shape {list(logits.shape)}"
        )
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"expected one label for each of {len(logits):,} rows of logits, got "
            f"{list(labels.shape)}"
        )
    if not len(labels):
        raise ValueError(
            "there are no examples to score; expected at least two, of different labels"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    outside = np.flatnonzero((labels < 0) | (labels >= logits.shape[1]))
    if len(outside):
        raise ValueError(
            f"{len(outside):,} of {len(labels):,} labels lie outside 0 to {logits.shape[1] - 1}, "
            f"the first at index {outside[0]} ({labels[outside[0]]})"
        )
    if (labels == labels[0]).all():
        raise ValueError(
            f"all {len(labels):,} labels are {labels[0]}; with one class only, always guessing it "
            "would score 100 %. Was sorted data cut before it was shuffled?"
        )
    check_finite(logits)
    return labels.astype(np.int64), logits


def bootstrap_interval(
    correct: np.ndarray, *, seed: int, num_resamples: int = 1000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the share of True in bool [num_examples].

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; ValueError for too
    few examples.
    """
    check_bootstrap(len(correct), num_resamples, confidence)
    # Each of n draws with replacement is right with probability mean(correct), so the number of
    # right ones is exactly binomial.
    draws = np.random.default_rng(seed).binomial(len(correct), np.mean(correct), size=num_resamples)
    low, high = np.quantile(draws / len(correct), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def check_bootstrap(num_examples: int, num_resamples: int, confidence: float) -> None:
    """Raise ValueError for numbers from which no interval can be made."""
    if not num_examples or num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            "expected one example, one resample and a confidence between 0 and 1 at the least, got "
            f"{num_examples}, {num_resamples} and {confidence}"
        )


def accuracy_by(groups: Sequence[str], evaluation: Evaluation) -> dict[str, tuple[float, int]]:
    """{name: (accuracy, number of examples)} of each group, in the order of their names.

    groups: one name for each example, such as the phenomenon of each review; another number of them
    raises ValueError.
    """
    if len(groups) != evaluation.num_examples:
        raise ValueError(
            f"expected one group for each of {evaluation.num_examples:,} examples, "
            f"got {len(groups):,}"
        )
    names = np.asarray(list(groups))  # [num_examples]
    correct = evaluation.labels == evaluation.predictions  # [num_examples]
    found = {}
    for name in np.unique(names):
        in_group = names == name  # [num_examples]
        found[str(name)] = (float(correct[in_group].mean()), int(in_group.sum()))
    return found
