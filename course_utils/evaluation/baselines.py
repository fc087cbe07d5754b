"""The strongest cheap baseline: TF-IDF and logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from course_utils.evaluation.metrics import Evaluation, score


def tfidf_classifier(
    texts: Sequence[str], labels: Sequence[int], *, ngram_range: tuple[int, int] = (1, 2)
) -> Pipeline:
    """Logistic regression on TF-IDF weighted n-grams: scikit-learn's pipeline, fitted.

    A term must occur in two texts, or in one if there are fewer than 1,000 texts. Deterministic.
    Raises ValueError if the labels are not 0 to num_labels - 1 with an example of each.
    """
    min_df = 2 if len(texts) >= 1000 else 1
    present = sorted({int(label) for label in labels})
    if present != list(range(max(2, len(present)))):
        raise ValueError(
            f"expected training labels 0 to num_labels - 1 with an example of each, got {present}"
        )
    return make_pipeline(
        TfidfVectorizer(min_df=min_df, sublinear_tf=True, ngram_range=ngram_range),
        LogisticRegression(C=10, max_iter=1000),
    ).fit(texts, list(labels))


def tfidf_logits(classifier: Pipeline, texts: Sequence[str]) -> np.ndarray:
    """Logits of a `tfidf_classifier`, float64 [num_texts, num_labels].

    Their softmax gives its probabilities.
    """
    logits = classifier.decision_function(texts)
    if logits.ndim == 1:  # of two labels, scikit-learn gives the log-odds of label 1 alone
        logits = np.stack([np.zeros_like(logits), logits], axis=1)  # [num_texts, 2]
    return logits


def tfidf_baseline(
    train_texts: Sequence[str],
    train_labels: Sequence[int],
    test_texts: Sequence[str],
    test_labels: Sequence[int],
    *,
    ngram_range: tuple[int, int] = (1, 2),
) -> Evaluation:
    """A `tfidf_classifier`, scored: what counting words and word pairs achieves.

    On the official IMDb split: 90.7 % with pairs, 88.4 % with single words. Raises ValueError where
    `tfidf_classifier` and `score` do.
    """
    classifier = tfidf_classifier(train_texts, train_labels, ngram_range=ngram_range)
    return score(list(test_labels), tfidf_logits(classifier, test_texts))
