"""Metrics with intervals, exact over batches and processes; comparing two models; the baseline that any has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import comb
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from sklearn import metrics
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from torch import nn
from tqdm.auto import tqdm

from course_utils.data import Features

Collate = Callable[[Sequence[Features]], dict[str, torch.Tensor]]


def predict_logits(model: nn.Module, features: Sequence[Features], *, collate: Collate, batch_size: int = 32,
                   accelerator: Accelerator | None = None, progress: bool = False) -> np.ndarray:
    """Logits of a classifier, float32 [num_examples, num_labels], in the order of `features`.

    model: called with the tensors of collate(examples), "labels" excepted, on the model's device; returns an object
    with `.logits` [batch_size, num_labels]. It runs in eval mode without gradients, and gets its former mode back.
    accelerator: its autocast is used. With several processes each computes a share of the batches, the same batches
    as one process would, and all return the whole array.
    Raises ValueError for no features or logits of another shape, FloatingPointError for NaN or infinity.
    """
    if not len(features):
        raise ValueError("there are no examples to predict; expected at least one")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    # Similar lengths pad little; and if the longest batch does not fit into memory, that shows at once.
    order = sorted(range(len(features)), key=lambda index: -len(features[index]["input_ids"]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    modes = [(module, module.training) for module in model.modules()]  # a frozen part may stay in eval mode
    model.eval()
    try:
        parts = _predict_batches(model, features, batches, collate, accelerator, progress)
    finally:
        for module, mode in modes:
            module.training = mode
    logits = np.empty((len(features), parts[0][1].shape[1]), dtype=np.float32)  # [num_examples, num_labels]
    for indices, rows in parts:
        logits[indices] = rows
    _check_finite(logits)
    return logits


@torch.no_grad()  # not inference_mode: what a model caches in a forward pass must remain usable in training
def _predict_batches(model: nn.Module, features: Sequence[Features], batches: list[list[int]], collate: Collate,
                     accelerator: Accelerator | None, progress: bool) -> list[tuple[list[int], np.ndarray]]:
    """(indices, logits) of every batch; process r of several computes batches r::world, and gets those of all."""
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module  # the wrapper would wait for the other processes, which may have a batch less
    device = next(model.parameters()).device
    autocast = accelerator.autocast if accelerator else nullcontext
    parts = []
    for indices in tqdm(batches[rank::world], desc="predict", unit="batch", disable=not progress or rank > 0):
        batch = collate([features[index] for index in indices])
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        with autocast():
            logits = model(**inputs).logits
        if logits.ndim != 2 or len(logits) != len(indices):
            raise ValueError(f"expected logits of shape [{len(indices)}, num_labels], one row an example, got "
                             f"{list(logits.shape)}; is the model a sequence classifier?")
        parts.append((indices, logits.float().cpu().numpy()))
    return gather_object(parts) if world > 1 else parts


def _check_finite(logits: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise FloatingPointError(
            f"the logits of {len(bad):,} of {len(logits):,} examples are not finite, the first at index {bad[0]} "
            f"({logits[bad[0]].tolist()}); the weights have diverged, or the precision is too low: try fp32")


@dataclass(frozen=True)
class Evaluation:
    """How well predictions match labels. Shares lie in [0, 1].

    precision, recall, f1: of label 1 if there are two labels; of more, the plain mean over all labels that occur
    (macro). A share of nothing, such as the precision of a label never predicted, counts as 0.
    loss: mean cross-entropy in nats. confusion[true][predicted]: numbers of examples. interval: bootstrap bounds
    (low, high) of the accuracy. labels, predictions: int64 [num_examples]; probabilities: float64
    [num_examples, num_labels], each row summing to 1.
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
        scalars = {name: getattr(self, name) for name in ("accuracy", "precision", "recall", "f1", "loss")}
        return {**scalars, "confusion": [list(row) for row in self.confusion], "interval": list(self.interval),
                "num_examples": self.num_examples}


def evaluate(model: nn.Module, features: Sequence[Features], *, collate: Collate, batch_size: int = 32,
             accelerator: Accelerator | None = None, seed: int = 0, progress: bool = False) -> Evaluation:
    """Predict all features and score them against their "labels" (one int each).

    See `predict_logits` for the model, devices and processes, and `score` for the metrics; raises what they raise.
    """
    if not all("labels" in feature for feature in features):
        raise ValueError('every feature needs "labels" (an int) to be evaluated; predict_logits works without')
    logits = predict_logits(model, features, collate=collate, batch_size=batch_size, accelerator=accelerator,
                            progress=progress)
    return score([feature["labels"] for feature in features], logits, seed=seed)


def score(labels: Sequence[int] | np.ndarray, logits: np.ndarray, *, seed: int = 0, num_resamples: int = 1000,
          confidence: float = 0.95) -> Evaluation:
    """Metrics of logits [num_examples, num_labels] against labels [num_examples]; see `Evaluation`.

    seed, num_resamples, confidence: of the accuracy's bootstrap interval. Raises ValueError for no examples, labels
    and logits that do not match, or labels all alike; FloatingPointError for logits that are not finite.
    """
    labels, logits = _check_labels(labels, logits)
    log_probs = torch.from_numpy(logits.astype(np.float64)).log_softmax(-1).numpy()  # [num_examples, num_labels]
    predictions, num_labels = logits.argmax(axis=1), logits.shape[1]
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predictions, average="binary" if num_labels == 2 else "macro", zero_division=0)
    confusion = metrics.confusion_matrix(labels, predictions, labels=range(num_labels))
    correct, true_log_probs = predictions == labels, log_probs[np.arange(len(labels)), labels]  # [num_examples]
    return Evaluation(
        accuracy=float(correct.mean()), precision=float(precision), recall=float(recall), f1=float(f1),
        loss=float(-true_log_probs.mean()), confusion=tuple(map(tuple, confusion.tolist())),
        interval=bootstrap_interval(correct, seed=seed, num_resamples=num_resamples, confidence=confidence),
        num_examples=len(labels), labels=labels, predictions=predictions, probabilities=np.exp(log_probs))


def _check_labels(labels: Sequence[int] | np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 and logits as an array, or an error that says what came."""
    labels, logits = np.asarray(labels), np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"expected logits [num_examples, num_labels >= 2], got shape {list(logits.shape)}")
    if labels.shape != logits.shape[:1]:
        raise ValueError(f"expected one label for each of {len(logits):,} rows of logits, got {list(labels.shape)}")
    if not len(labels):
        raise ValueError("there are no examples to score; expected at least two, of different labels")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    outside = np.flatnonzero((labels < 0) | (labels >= logits.shape[1]))
    if len(outside):
        raise ValueError(f"{len(outside):,} of {len(labels):,} labels lie outside 0 to {logits.shape[1] - 1}, the "
                         f"first at index {outside[0]} ({labels[outside[0]]})")
    if (labels == labels[0]).all():
        raise ValueError(f"all {len(labels):,} labels are {labels[0]}; with one class only, always guessing it would "
                         "score 100 %. Was sorted data cut before it was shuffled?")
    _check_finite(logits)
    return labels.astype(np.int64), logits


def bootstrap_interval(correct: np.ndarray, *, seed: int, num_resamples: int = 1000,
                       confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the share of True in bool [num_examples].

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; ValueError for too few examples.
    """
    _check_bootstrap(len(correct), num_resamples, confidence)
    # Each of n draws with replacement is right with probability mean(correct): their sum is exactly binomial.
    draws = np.random.default_rng(seed).binomial(len(correct), np.mean(correct), size=num_resamples)
    low, high = np.quantile(draws / len(correct), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _check_bootstrap(num_examples: int, num_resamples: int, confidence: float) -> None:
    if not num_examples or num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError("expected one example, one resample and a confidence between 0 and 1 at the least, got "
                         f"{num_examples}, {num_resamples} and {confidence}")


def accuracy_by(groups: Sequence[str], evaluation: Evaluation) -> dict[str, tuple[float, int]]:
    """{name: (accuracy, number of examples)} of each group, in the order of their names.

    groups: one name an example, such as the phenomenon of each review; another number of them raises ValueError.
    """
    if len(groups) != evaluation.num_examples:
        raise ValueError(f"expected one group for each of {evaluation.num_examples:,} examples, got {len(groups):,}")
    names, correct = np.asarray(list(groups)), evaluation.labels == evaluation.predictions
    return {str(name): (float(correct[names == name].mean()), int((names == name).sum()))
            for name in np.unique(names)}


# --- is the second better than the first? ------------------------------------------------------------------------


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> tuple[int, int, float]:
    """Examples that only the first, and only the second model gets right, and the two-sided exact p-value.

    first_correct, second_correct: bool [num_examples], of the same examples in the same order. If the models were
    equally good, each example on which they differ would be a fair coin; p is how often n such coins fall at least as
    unevenly (McNemar, Psychometrika 12, 1947, in its exact form). Raises ValueError for shapes that differ.
    """
    differences = _differences(first_correct, second_correct)
    only_first, only_second = int((differences < 0).sum()), int((differences > 0).sum())
    total = only_first + only_second
    tail = sum(comb(total, heads) for heads in range(min(only_first, only_second) + 1))  # whole numbers: exact
    return only_first, only_second, min(1.0, 2 * tail / 2**total)


def paired_bootstrap(first_correct: np.ndarray, second_correct: np.ndarray, *, seed: int, num_resamples: int = 1000,
                     confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the second's accuracy minus the first's on the same examples.

    Examples are drawn, each with the answers of both models. Arrays as for `mcnemar`; raises what `bootstrap_interval`
    raises, and ValueError for shapes that differ.
    """
    differences = _differences(first_correct, second_correct)
    _check_bootstrap(len(differences), num_resamples, confidence)
    shares = [np.mean(differences == value) for value in (-1, 0, 1)]
    draws = np.random.default_rng(seed).multinomial(len(differences), shares, size=num_resamples)  # [resamples, 3]
    found = (draws[:, 2] - draws[:, 0]) / len(differences)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _differences(first_correct: np.ndarray, second_correct: np.ndarray) -> np.ndarray:
    """1 where only the second is right, -1 where only the first is, else 0; int64 [num_examples]."""
    first, second = np.asarray(first_correct), np.asarray(second_correct)
    if first.shape != second.shape or first.ndim != 1 or {first.dtype.kind, second.dtype.kind} != {"b"}:
        raise ValueError("expected for both models a bool for each of the same examples, got "
                         f"{first.dtype} {list(first.shape)} and {second.dtype} {list(second.shape)}")
    return second.astype(np.int64) - first.astype(np.int64)


# --- the baseline ------------------------------------------------------------------------------------------------


def tfidf_classifier(texts: Sequence[str], labels: Sequence[int], *, ngram_range: tuple[int, int] = (1, 2)) -> Pipeline:
    """Logistic regression on TF-IDF weighted n-grams, fitted: scikit-learn's pipeline, which takes lists of texts.

    Terms count that occur in two texts, or in one where these are fewer than 1,000. Deterministic. Raises ValueError
    if the labels are not 0 to num_labels - 1 with an example of each.
    """
    min_df = 2 if len(texts) >= 1000 else 1
    present = sorted({int(label) for label in labels})
    if present != list(range(max(2, len(present)))):
        raise ValueError(f"expected training labels 0 to num_labels - 1 with an example of each, got {present}")
    return make_pipeline(TfidfVectorizer(min_df=min_df, sublinear_tf=True, ngram_range=ngram_range),
                         LogisticRegression(C=10, max_iter=1000)).fit(texts, list(labels))


def tfidf_logits(classifier: Pipeline, texts: Sequence[str]) -> np.ndarray:
    """Logits of a `tfidf_classifier`, float64 [num_texts, num_labels], of which softmax makes its probabilities."""
    logits = classifier.decision_function(texts)
    if logits.ndim == 1:  # of two labels, scikit-learn gives the log-odds of label 1 alone
        logits = np.stack([np.zeros_like(logits), logits], axis=1)  # [num_texts, 2]
    return logits


def tfidf_baseline(train_texts: Sequence[str], train_labels: Sequence[int], test_texts: Sequence[str],
                   test_labels: Sequence[int], *, ngram_range: tuple[int, int] = (1, 2)) -> Evaluation:
    """A `tfidf_classifier`, scored: what counting words and word pairs achieves.

    On the official IMDb split: 90.7 % with pairs, 88.4 % with single words. Raises ValueError where
    `tfidf_classifier` and `score` do.
    """
    classifier = tfidf_classifier(train_texts, train_labels, ngram_range=ngram_range)
    return score(list(test_labels), tfidf_logits(classifier, test_texts))
