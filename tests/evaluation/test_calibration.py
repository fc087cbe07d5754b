"""Reliability equals scikit-learn's bins, the temperature equals SciPy's minimum."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from course_utils.evaluation.calibration import fit_temperature, reliability, with_temperature


def examples(
    count: int = 400,
    num_labels: int = 2,
    *,
    sharpness: float = 1.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels that are drawn by these very logits,
    which are then made sharper: T = sharpness is right.
    """
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(count, num_labels))
    labels = (special.softmax(logits, axis=1).cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return sharpness * logits, labels


# --- reliability ----------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 25), st.integers(2, 5), st.integers(0, 1000))
def test_bins_are_scikit_learns(count: int, num_bins: int, num_labels: int, seed: int) -> None:
    logits, labels = examples(count, num_labels, seed=seed)
    probabilities = special.softmax(logits, axis=1)
    found = reliability(probabilities, labels, num_bins=num_bins)
    correct = probabilities.argmax(axis=1) == labels
    # both classes must occur for scikit-learn: a right and a wrong prediction of confidence 0 lie
    # in the first bin
    shares, means = calibration_curve(
        np.r_[correct, True, False], np.r_[probabilities.max(axis=1), 0, 0], n_bins=num_bins
    )
    if (
        num_bins > num_labels
    ):  # the first bin ends below 1 / num_labels: only the two added ones lie in it
        assert np.allclose(found.accuracy, shares[1:]) and np.allclose(found.confidence, means[1:])
    assert found.counts.sum() == count and (found.counts > 0).all()


def test_upper_edges_belong_to_their_bin() -> None:
    probabilities = np.array([[0.5, 0.5], [0.2, 0.8], [0.0, 1.0]])
    found = reliability(probabilities, [1, 1, 1], num_bins=2)
    assert found.counts.tolist() == [1, 2]
    assert found.accuracy.tolist() == [0.0, 1.0]  # of a tie, label 0 is the prediction


def test_error_weighs_bins_by_what_they_hold() -> None:
    probabilities = np.array([[0.25, 0.75]] * 4 + [[0.05, 0.95]] * 2)
    found = reliability(probabilities, [1, 1, 0, 0, 1, 1])
    assert found.error == pytest.approx((4 * 0.25 + 2 * 0.05) / 6)


def test_honest_probabilities_have_a_small_error_and_sharpened_ones_a_large_one() -> None:
    logits, labels = examples(20_000)
    honest, sharp = (reliability(with_temperature(logits, t), labels).error for t in (1.0, 0.25))
    assert honest < 0.012 and sharp > 0.08


@pytest.mark.parametrize(
    ("probabilities", "labels", "num_bins"),
    [
        (np.empty((0, 2)), [], 10),
        (np.full((2, 2), 0.5), [1], 10),
        (np.full(2, 0.5), [1, 0], 10),
        (np.full((2, 2), 0.5), [1, 0], 0),
    ],
)
def test_reliability_refuses_what_has_none(
    probabilities: np.ndarray, labels: list[int], num_bins: int
) -> None:
    with pytest.raises(ValueError, match="a label for each and one bin at the least"):
        reliability(probabilities, labels, num_bins=num_bins)


# --- temperature ----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_labels", [2, 3, 7])
@pytest.mark.parametrize("sharpness", [0.2, 1.0, 6.0])
def test_temperature_is_the_minimum_that_scipy_finds(num_labels: int, sharpness: float) -> None:
    logits, labels = examples(500, num_labels, sharpness=sharpness)

    def loss(log_temperature: float) -> float:
        probabilities = special.softmax(logits / np.exp(log_temperature), axis=1)
        return log_loss(labels, probabilities, labels=range(num_labels))

    expected = np.exp(optimize.minimize_scalar(loss, bounds=(-4, 4), options={"xatol": 1e-10}).x)
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-5)


def test_temperature_undoes_sharpness() -> None:
    once, labels = examples(20_000)
    assert fit_temperature(once, labels) == pytest.approx(1, abs=0.05)
    assert fit_temperature(5 * once, labels) == pytest.approx(
        5 * fit_temperature(once, labels), rel=1e-5
    )
    assert fit_temperature(once + 300, labels) == pytest.approx(
        fit_temperature(once, labels), rel=1e-5
    )
    assert fit_temperature(1e4 * once.astype(np.float32), labels) > 9e3  # nothing overflows


def test_temperature_leaves_predictions_and_sums_alone() -> None:
    logits, _ = examples(50, 4)
    for temperature in (0.01, 1.0, 30.0):
        found = with_temperature(logits, temperature)
        assert np.allclose(found, special.softmax(logits / temperature, axis=1))
        if temperature >= 1:  # then no power overflows
            powers = np.exp(logits / temperature)
            assert np.allclose(found, powers / powers.sum(axis=1, keepdims=True))
        assert (found.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_no_temperature_where_none_is_best() -> None:
    with pytest.raises(ValueError, match="all 2 predictions are right"):
        fit_temperature(np.array([[2.0, 1.0], [0.0, 1.0]]), [0, 1])
    with pytest.raises(ValueError, match="no more than chance"):
        fit_temperature(np.array([[2.0, 1.0], [0.0, 1.0]]), [1, 0])
    with pytest.raises(ValueError, match="no more than chance"):
        fit_temperature(np.zeros((2, 2)), [1, 0])


def test_no_temperature_where_ties_and_right_ones_are_all() -> None:
    """Surer would always be better, as where all are right."""
    with pytest.raises(ValueError, match="all 2 predictions are right"):
        fit_temperature([[1, 1], [2, 0]], [1, 0])


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([[np.nan, 1], [2, 0], [0, 3]], [1, 0, 0]),
        ([[np.inf, 1], [2, 0], [0, 3]], [1, 0, 0]),
        (np.zeros((0, 2)), []),
        (np.zeros((0, 2)), np.zeros(0, dtype=int)),
        ([[1, 0], [2, 0], [0, 3]], [1.0, 0.0, 0.0]),
        ([[1, 0], [2, 0], [0, 3]], [-1, 0, 0]),
        ([[1, 0], [2, 0], [0, 3]], [2, 0, 0]),
        ([[1, 0], [2, 0], [0, 3]], [1, 0]),
        ([[1, 0], [2, 0], [0, 3]], [True, False, False]),
        ([1, 2], [0, 1]),
    ],
)
def test_temperature_refuses_other_shapes_and_kinds(logits: Any, labels: Any) -> None:
    with pytest.raises(
        ValueError, match=r"expected finite logits \[num_examples, num_labels\] .* int label within"
    ):
        fit_temperature(logits, labels)
