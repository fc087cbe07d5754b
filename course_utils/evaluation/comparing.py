"""Is the second model better than the first? Paired tests on the same examples."""

from __future__ import annotations

from math import comb

import numpy as np

from course_utils.evaluation.metrics import check_bootstrap


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> tuple[int, int, float]:
    """Compare two models: (only the first is right, only the second is right, p-value).

    first_correct, second_correct: bool [num_examples], of the same examples in the same order. The
    first two values are numbers of examples. If the models were equally good, each example on which
    they differ would be a fair coin; the p-value, two-sided and exact, is how often as many coins
    fall at least as unevenly (McNemar, Psychometrika 12, 1947, in its exact form). It is 1 for
    models that never differ. Raises ValueError for shapes that differ.
    """
    differences = _differences(first_correct, second_correct)
    only_first = int((differences < 0).sum())
    only_second = int((differences > 0).sum())
    num_coins = only_first + only_second
    # In whole numbers, so exact: `scipy.stats.binomtest` differs in the last digits.
    tail = sum(comb(num_coins, heads) for heads in range(min(only_first, only_second) + 1))
    return only_first, only_second, min(1.0, 2 * tail / 2**num_coins)


def paired_bootstrap(
    first_correct: np.ndarray,
    second_correct: np.ndarray,
    *,
    seed: int,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the second's accuracy minus the first's.

    Examples are drawn, each with the answers of both models. Arrays as for `mcnemar`; raises what
    `bootstrap_interval` raises, and ValueError for shapes that differ.
    """
    differences = _differences(first_correct, second_correct)
    check_bootstrap(len(differences), num_resamples, confidence)
    num_examples = len(differences)
    shares = [np.mean(differences == value) for value in (-1, 0, 1)]
    # How often each difference comes up among as many examples, drawn with replacement.
    draws = np.random.default_rng(seed).multinomial(
        num_examples, shares, size=num_resamples
    )  # [num_resamples, 3]
    found = (draws[:, 2] - draws[:, 0]) / num_examples  # [num_resamples]
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _differences(first_correct: np.ndarray, second_correct: np.ndarray) -> np.ndarray:
    """1 where only the second is right, -1 where only the first is, else 0;
    int64 [num_examples].
    """
    first, second = np.asarray(first_correct), np.asarray(second_correct)  # [num_examples] each
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
