"""Does a model know how sure it may be? Reliability, its error,
and the one number that mends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reliability:
    """Predictions sorted into bins by their confidence;
    one entry a bin that holds any, in rising order.

    confidence: mean probability of the predicted label, float64 [num_bins]. accuracy: share that
    was right, float64 [num_bins]. counts: predictions in the bin, int64 [num_bins].
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean of |accuracy - confidence| over predictions,
        each as its bin has it.

        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
        """
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.counts))


def reliability(
    probabilities: np.ndarray, labels: Sequence[int] | np.ndarray, *, num_bins: int = 10
) -> Reliability:
    """How often predictions are right, by how sure they were.

    probabilities: [num_examples, num_labels], each row summing to 1; labels: int [num_examples].
    The bins are equally wide and cover (0, 1], upper edges included, as in scikit-learn's
    `calibration_curve`. The prediction of a tie is the first label. Raises ValueError for no
    examples, labels that do not match, or no bins.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if (
        probabilities.ndim != 2
        or not len(probabilities)
        or labels.shape != probabilities.shape[:1]
        or num_bins < 1
    ):
        raise ValueError(
            "expected probabilities [num_examples, num_labels], a label for each and one bin at "
            f"the least, got shapes {list(probabilities.shape)} and {list(labels.shape)}, "
            f"{num_bins} bins"
        )
    confidence, correct = (
        probabilities.max(axis=1),
        probabilities.argmax(axis=1) == labels,
    )  # [num_examples] each
    edges = np.linspace(0, 1, num_bins + 1)
    places = np.searchsorted(edges[1:-1], confidence)  # [num_examples]: the bin of each
    counts = np.bincount(places, minlength=num_bins)
    sums = [
        np.bincount(places, weights=values, minlength=num_bins) for values in (confidence, correct)
    ]
    filled = counts > 0
    return Reliability(
        sums[0][filled] / counts[filled], sums[1][filled] / counts[filled], counts[filled]
    )


def fit_temperature(logits: np.ndarray, labels: Sequence[int] | np.ndarray) -> float:
    """The T above 0 for which the probabilities softmax(logits / T) have the
    lowest mean cross-entropy.

    logits: float [num_examples, num_labels]; labels: int [num_examples]. Above 1 the model was too
    sure, below 1 not sure enough. No prediction changes (Guo et al., 2017, section 4.2). Accurate
    to a millionth.
    Raises ValueError for other shapes or kinds, and where there is no such T: all predictions right
    (surer would always be better), or no better than chance (a coin would be better).
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if (
        logits.ndim != 2
        or not len(logits)
        or labels.shape != logits.shape[:1]
        or labels.dtype.kind not in "iu"
        or not np.isfinite(logits).all()
        or not 0 <= labels.min() <= labels.max() < logits.shape[1]
    ):
        raise ValueError(
            "expected finite logits [num_examples, num_labels] and for each an int label within, "
            f"got shapes {list(logits.shape)} and {list(labels.shape)}, "
            f"labels of type {labels.dtype}"
        )
    true_logits = logits[np.arange(len(labels)), labels]  # [num_examples]

    def slope(sharpness: float) -> float:
        """Of the mean cross-entropy by 1 / T: what the model expects its logits to be,
        minus those of the labels.
        """
        scaled = sharpness * (logits - logits.max(axis=1, keepdims=True))
        probs = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
        return float(np.mean((probs * logits).sum(axis=1) - true_logits))

    if slope(0.0) >= 0:
        raise ValueError(
            "no temperature helps: the logits speak for the labels no more than chance does"
        )
    if (true_logits == logits.max(axis=1)).all():
        raise ValueError(
            f"all {len(labels):,} predictions are right: no temperature is best, "
            "take harder examples"
        )
    low, high = 0.0, 1.0
    while slope(high) < 0:
        low, high = high, 2 * high
    while (
        high - low > 1e-7 * high
    ):  # the slope rises with 1 / T (the cross-entropy is convex): it is 0 in one place
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def with_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities softmax(logits / temperature), float64,
    of the shape of the logits [num_examples, num_labels].
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
