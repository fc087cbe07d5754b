"""Two models on the same examples: McNemar's test and the paired bootstrap, by definition."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.evaluation import mcnemar, paired_bootstrap


def answers(
    both: int, only_first: int, only_second: int, neither: int
) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, only_first, only_second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test(only_first: int, only_second: int) -> None:
    found = mcnemar(*answers(7, only_first, only_second, 5))
    expected = (
        stats.binomtest(only_first, only_first + only_second).pvalue
        if only_first + only_second
        else 1.0
    )
    assert found[:2] == (only_first, only_second)
    assert found[2] == pytest.approx(expected, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_twice_the_smaller_tail_of_fair_coins(only_first: int, only_second: int) -> None:
    total, smaller = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(total, heads) for heads in range(smaller + 1))  # whole numbers: exact
    expected = min(Fraction(1), Fraction(2 * tail, 2**total))
    found = mcnemar(*answers(7, only_first, only_second, 5))
    assert found[2] == pytest.approx(float(expected), rel=1e-9)


def test_mcnemar_is_exact_where_powers_of_two_overflow() -> None:
    found = mcnemar(*answers(0, 2000, 2200, 0))  # 2**4200 is no float
    assert found[2] == pytest.approx(stats.binomtest(2000, 4200).pvalue, rel=1e-9)


def test_mcnemar_depends_on_neither_order_nor_what_both_have() -> None:
    first, second = answers(50, 4, 11, 9)
    assert mcnemar(second, first) == (11, 4, mcnemar(first, second)[2])
    assert mcnemar(*answers(5000, 4, 11, 0)) == mcnemar(first, second)


def test_paired_bootstrap_is_that_of_resampling_pairs() -> None:
    first, second = answers(300, 30, 55, 15)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 400, size=(20_000, 400))  # the bootstrap by its definition
    resampled = second[draws].mean(axis=1) - first[draws].mean(axis=1)
    for confidence in (0.95, 0.5):
        found = paired_bootstrap(first, second, seed=0, num_resamples=20_000, confidence=confidence)
        expected = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
        assert np.abs(np.array(found) - expected).max() <= 1 / 400 + 1e-9
    assert paired_bootstrap(first, second, seed=1) == paired_bootstrap(first, second, seed=1)


def test_paired_bootstrap_knows_which_is_better() -> None:
    first, second = answers(60, 2, 30, 8)
    low, high = paired_bootstrap(first, second, seed=0)
    assert 0 < low < 0.28 < high
    assert paired_bootstrap(first, first, seed=0) == (0.0, 0.0)
    low, high = paired_bootstrap(second, first, seed=0)
    assert low < -0.28 < high < 0


@pytest.mark.parametrize("compare", [mcnemar, partial(paired_bootstrap, seed=0)])
def test_comparison_refuses_what_is_no_pair(compare: Callable[..., object]) -> None:
    with pytest.raises(
        ValueError, match=r"a bool for each of the same examples, got bool \[2\] and bool \[3\]"
    ):
        compare(np.array([True, False]), np.array([True, False, True]))
    with pytest.raises(
        ValueError, match="got int64"
    ):  # predictions, where their being right is wanted
        compare(np.array([1, 0]), np.array([True, False]))
