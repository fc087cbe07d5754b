"""The baseline is scikit-learn's, and needs every label."""

import numpy as np
import pytest

from course_utils.evaluation import (
    Evaluation,
    accuracy_by,
    score,
    tfidf_baseline,
    tfidf_classifier,
    tfidf_logits,
)

PRAISE = ("a fine film", "what a joy", "truly good", "not bad at all")
BLAME = ("a dull film", "what a bore", "truly bad", "not good at all")


def reviews(count: int) -> tuple[list[str], list[int]]:
    texts = [
        f"{(BLAME, PRAISE)[index % 2][index // 2 % 4]} number {index % 9}" for index in range(count)
    ]
    return texts, [index % 2 for index in range(count)]


def test_baseline_needs_pairs_where_order_tells() -> None:
    train, test = reviews(80), (["not bad at all", "not good at all"] * 5, [1, 0] * 5)
    assert tfidf_baseline(*train, *test).accuracy == 1.0
    texts = ["good not bad", "bad not good"] * 10
    assert (
        tfidf_baseline(texts, [1, 0] * 10, texts, [1, 0] * 10, ngram_range=(1, 1)).accuracy == 0.5
    )
    assert tfidf_baseline(texts, [1, 0] * 10, texts, [1, 0] * 10).accuracy == 1.0


def test_baseline_is_scikit_learn_with_its_probabilities() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    (train_texts, train_labels), (test_texts, test_labels) = reviews(1200), reviews(30)
    train_texts[7] += " hapax"  # in one text of 1,000 and more: left out
    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(1, 2))
    classifier = LogisticRegression(C=10, max_iter=1000).fit(
        vectorizer.fit_transform(train_texts), train_labels
    )
    found = tfidf_baseline(train_texts, train_labels, test_texts, test_labels)
    assert "hapax" not in vectorizer.vocabulary_
    assert np.allclose(
        found.probabilities, classifier.predict_proba(vectorizer.transform(test_texts)), atol=1e-12
    )


def test_baseline_takes_more_labels_and_columns_of_a_dataset() -> None:
    from datasets import Dataset

    texts, labels = reviews(60)
    rows = Dataset.from_dict({"text": texts + ["so so"] * 9, "label": labels + [2] * 9})
    found = tfidf_baseline(rows["text"], rows["label"], rows["text"], rows["label"])
    assert isinstance(found, Evaluation) and found.probabilities.shape == (69, 3)
    assert found.accuracy == 1.0
    assert accuracy_by(rows["text"], found)["so so"] == (1.0, 9)


def test_baseline_is_its_classifier_scored() -> None:
    (texts, labels), (test_texts, test_labels) = reviews(200), reviews(40)
    classifier = tfidf_classifier(texts, labels)
    logits = tfidf_logits(classifier, test_texts)
    assert logits.shape == (40, 2) and (logits[:, 0] == 0).all()
    assert np.allclose(
        np.exp(logits[:, 1]) / (1 + np.exp(logits[:, 1])),
        classifier.predict_proba(test_texts)[:, 1],
    )
    assert score(test_labels, logits) == tfidf_baseline(texts, labels, test_texts, test_labels)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [0, 2, 0]])
def test_baseline_needs_every_label(labels: list[int]) -> None:
    with pytest.raises(
        ValueError, match=r"training labels 0 to num_labels - 1 with an example of each, got \["
    ):
        tfidf_baseline(["a b", "c d", "e f"], labels, ["a b", "c d"], [0, 1])
