"""Is the second model better than the first? Paired tests on the same examples."""

from __future__ import annotations

from math import comb

import numpy as np

from course_utils.evaluation.metrics import check_bootstrap

# --- is the second better than the first? ---------------------------------------------------------


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> tuple[int, int, float]:
    """Examples that only the first, and only the second model gets right,
    and the two-sided exact p-value.

    first_correct, second_correct: bool [num_examples], of the same examples in the same order. If
    the models were equally good, each example on which they differ would be a fair coin; p is how
    often n such coins fall at least as unevenly (McNemar, Psychometrika 12, 1947, in its exact
    form). Raises ValueError for shapes that differ.
    """
    differences = _differences(first_correct, second_correct)
    only_first, only_second = int((differences < 0).sum()), int((differences > 0).sum())
    total = only_first + only_second
    tail = sum(
        comb(total, heads) for heads in range(min(only_first, only_second) + 1)
    )  # whole numbers: exact
    return only_first, only_second, min(1.0, 2 * tail / 2**total)


def paired_bootstrap(
    first_correct: np.ndarray,
    second_correct: np.ndarray,
    *,
    seed: int,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the second's accuracy minus the first's
    on the same examples.

    Examples are drawn, each with the answers of both models. Arrays as for `mcnemar`; raises what
    `bootstrap_interval` raises, and ValueError for shapes that differ.
    """
    differences = _differences(first_correct, second_correct)
    check_bootstrap(len(differences), num_resamples, confidence)
    shares = [np.mean(differences == value) for value in (-1, 0, 1)]
    draws = np.random.default_rng(seed).multinomial(
        len(differences), shares, size=num_resamples
    )  # [resamples, 3]
    found = (draws[:, 2] - draws[:, 0]) / len(differences)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _differences(first_correct: np.ndarray, second_correct: np.ndarray) -> np.ndarray:
    """1 where only the second is right, -1 where only the first is, else 0;
    int64 [num_examples].
    """
    first, second = np.asarray(first_correct), np.asarray(second_correct)
    if (
        first.shape != second.shape
        or first.ndim != 1
        or {first.dtype.kind, second.dtype.kind} != {"b"}
    ):
        raise ValueError(
            "expected for both models a bool for each of the same examples, got "
            f"{first.dtype} {list(first.shape)} and {second.dtype} {list(second.shape)}"
        )
    return second.astype(np.int64) - first.astype(np.int64)
