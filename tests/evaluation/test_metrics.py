"""Metrics equal scikit-learn's, and intervals cover as often as they say."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from course_utils.evaluation import accuracy_by, bootstrap_interval, score


def noisy_logits(labels: np.ndarray, num_labels: int, seed: int = 1) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(len(labels), num_labels))
    logits[np.arange(len(labels)), labels] += 1.0
    return logits.astype(np.float32)


@pytest.mark.parametrize("num_labels", [2, 4])
def test_metrics_equal_scikit_learn(num_labels: int) -> None:
    labels = np.random.default_rng(0).integers(0, num_labels, 203)
    logits = noisy_logits(labels, num_labels)
    found, predictions = score(labels, logits), logits.argmax(1)
    average = "binary" if num_labels == 2 else "macro"
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predictions), abs=1e-15)
    assert found.precision == pytest.approx(
        metrics.precision_score(labels, predictions, average=average), abs=1e-15
    )
    assert found.recall == pytest.approx(
        metrics.recall_score(labels, predictions, average=average), abs=1e-15
    )
    assert found.f1 == pytest.approx(
        metrics.f1_score(labels, predictions, average=average), abs=1e-15
    )
    assert found.loss == pytest.approx(metrics.log_loss(labels, found.probabilities), rel=1e-12)
    assert np.array_equal(found.confusion, metrics.confusion_matrix(labels, predictions))
    assert np.array_equal(found.predictions, predictions) and np.array_equal(found.labels, labels)
    assert np.allclose(found.probabilities, torch.tensor(logits).softmax(-1), atol=1e-6)
    assert found.num_examples == 203


def test_confusion_is_true_by_predicted_and_positive_is_one() -> None:
    logits = np.array([[2, 0], [0, 2], [0, 2], [0, 2], [2, 0], [2, 0], [2, 0]], dtype=np.float32)
    found = score([0, 0, 0, 1, 1, 1, 1], logits)
    assert found.confusion == ((1, 2), (3, 1))
    assert (found.precision, found.recall) == (1 / 3, 1 / 4)


def test_one_class_predicted_gives_zero_without_a_warning() -> None:
    found = score([0, 1, 1], np.array([[1.0, 0], [1, 0], [1, 0]]))
    assert (found.precision, found.recall, found.f1) == (0, 0, 0)


def test_loss_stays_exact_where_probabilities_vanish() -> None:
    assert score([0, 1], np.array([[0.0, 1000], [0, 1000]])).loss == 500


def test_evaluation_as_json_has_scalars_only() -> None:
    found = score([0, 1, 1], np.array([[1.0, 0], [1, 0], [0, 1]]))
    saved = json.loads(json.dumps(found.to_dict()))
    assert saved["accuracy"] == 2 / 3 and saved["confusion"] == [[1, 0], [1, 1]]
    assert set(saved) == {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "loss",
        "confusion",
        "interval",
        "num_examples",
    }
    assert "probabilities" not in repr(found) and found == score(
        found.labels, np.array([[1.0, 0], [1, 0], [0, 1]])
    )


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0, 1], np.zeros((3, 2)), r"one label for each of 3 rows of logits, got \[2\]"),
        ([], np.zeros((0, 2)), "no examples to score"),
        ([0, 1], np.zeros(2), r"\[num_examples, num_labels >= 2\], got shape \[2\]"),
        ([0, 0], np.zeros((2, 1)), r"got shape \[2, 1\]"),
        ([0.0, 1.0], np.zeros((2, 2)), "labels must be integers, got float64"),
        (
            [0, 1, 2, -1],
            np.zeros((4, 2)),
            r"2 of 4 labels lie outside 0 to 1, the first at index 2 \(2\)",
        ),
        (
            [1, 1, 1],
            np.zeros((3, 2)),
            "all 3 labels are 1; with one class only.*Was sorted data cut",
        ),
    ],
)
def test_unfit_labels_say_what_came(labels: list, logits: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(labels, logits)


def test_score_refuses_nan() -> None:
    with pytest.raises(FloatingPointError, match="the first at index 1"):
        score([0, 1], np.array([[0, 1], [np.nan, 0]]))


def test_interval_is_that_of_resampling() -> None:
    correct = np.arange(400) < 340  # 85 %
    rng = np.random.default_rng(0)
    resampled = [
        rng.choice(correct, 400).mean() for _ in range(20_000)
    ]  # the bootstrap by its definition
    low, high = bootstrap_interval(correct, seed=0, num_resamples=20_000)
    expected = np.quantile(resampled, [0.025, 0.975])
    assert (
        np.abs(np.array([low, high]) - expected).max() <= 1 / 400 + 1e-9
    )  # one example, the grain of both
    narrow = bootstrap_interval(correct, seed=0, num_resamples=20_000, confidence=0.5)
    assert np.abs(np.array(narrow) - np.quantile(resampled, [0.25, 0.75])).max() <= 1 / 400 + 1e-9


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for trial in range(1000):
        low, high = bootstrap_interval(rng.random(500) < 0.8, seed=trial)
        hits += low <= 0.8 <= high
    assert 925 <= hits <= 970  # 950, give or take what 1,000 trials and 500 examples allow


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1), st.integers(0, 1000))
def test_interval_is_ordered_and_repeatable(correct: list[bool], seed: int) -> None:
    low, high = bootstrap_interval(np.array(correct), seed=seed)
    assert 0 <= low <= high <= 1
    assert (low, high) == bootstrap_interval(np.array(correct), seed=seed)


@pytest.mark.parametrize("wrong", [{"num_resamples": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_interval_refuses_what_makes_none(wrong: dict[str, float]) -> None:
    with pytest.raises(
        ValueError, match="expected one example, one resample and a confidence between 0 and 1"
    ):
        bootstrap_interval(np.array([True]), seed=0, **wrong)
    with pytest.raises(ValueError, match=r"got 0, 1000 and 0\.95"):
        bootstrap_interval(np.array([]), seed=0)


def test_accuracy_by_group() -> None:
    found = score([0, 1, 1, 0], np.array([[1.0, 0], [1, 0], [0, 1], [1, 0]]))
    assert accuracy_by(["plain", "negation", "negation", "plain"], found) == {
        "negation": (0.5, 2),
        "plain": (1.0, 2),
    }
    assert list(accuracy_by(["b", "a", "b", "c"], found)) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="one group for each of 4 examples, got 1"):
        accuracy_by(["plain"], found)
