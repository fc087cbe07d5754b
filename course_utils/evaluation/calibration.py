"""Does a model know how sure it may be? Reliability, its error, and the temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special


@dataclass(frozen=True)
class Reliability:
    """Predictions sorted into bins by their confidence.

    One entry for each bin that holds any predictions, in rising order.

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
    confidence = probabilities.max(axis=1)  # [num_examples]
    correct = probabilities.argmax(axis=1) == labels  # [num_examples]

    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.searchsorted(edges[1:-1], confidence)  # [num_examples]: the bin of each
    counts = np.bincount(bins, minlength=num_bins)
    confidence_sums = np.bincount(bins, weights=confidence, minlength=num_bins)
    correct_sums = np.bincount(bins, weights=correct, minlength=num_bins)

    filled = counts > 0
    return Reliability(
        confidence=confidence_sums[filled] / counts[filled],
        accuracy=correct_sums[filled] / counts[filled],
        counts=counts[filled],
    )


def fit_temperature(logits: np.ndarray, labels: Sequence[int] | np.ndarray) -> float:
    """The T above 0 for which softmax(logits / T) has the lowest mean cross-entropy.

    logits: float [num_examples, num_labels]; labels: int [num_examples]. Above 1 the model was too
    sure, below 1 not sure enough. No prediction changes (Guo et al., 2017, section 4.2).
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
        """The derivative of the mean cross-entropy by sharpness = 1 / T.

        It is what the model expects its logits to be, minus the logits of the labels.
        """
        probs = special.softmax(sharpness * logits, axis=1)  # [num_examples, num_labels]
        expected_logits = (probs * logits).sum(axis=1)  # [num_examples]
        return float(np.mean(expected_logits - true_logits))

    if slope(0.0) >= 0:
        raise ValueError(
            "no temperature helps: the logits speak for the labels no more than chance does"
        )
    if (true_logits == logits.max(axis=1)).all():
        raise ValueError(
            f"all {len(labels):,} predictions are right: no temperature is best, "
            "take harder examples"
        )

    # The cross-entropy is convex in 1 / T, so its slope rises, and is 0 in one place.
    high = 1.0
    while slope(high) < 0:
        high *= 2
    return 1 / optimize.brentq(slope, 0.0, high, xtol=1e-15, rtol=1e-12)


def with_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities softmax(logits / temperature), float64 [num_examples, num_labels]."""
    return special.softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
