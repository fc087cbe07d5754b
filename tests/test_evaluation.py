"""Predictions that do not depend on batches or processes, metrics that equal scikit-learn's,
and the baseline.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from course_utils import data
from course_utils.evaluation import (
    Evaluation,
    accuracy_by,
    bootstrap_interval,
    evaluate,
    mcnemar,
    paired_bootstrap,
    predict_logits,
    score,
    tfidf_baseline,
    tfidf_classifier,
    tfidf_logits,
)

ROOT = Path(__file__).resolve().parent.parent
collate = partial(data.collate, pad_token_id=0)


def tiny_bert(num_labels: int = 2) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=80,
        num_labels=num_labels,
        initializer_range=0.5,
    )  # large weights: the logits differ from text to text
    return BertForSequenceClassification(config)


def random_features(count: int, seed: int = 0, max_length: int = 60) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "input_ids": rng.integers(1, 50, rng.integers(3, max_length)).tolist(),
            "labels": index % 2,
        }
        for index in range(count)
    ]


class Recorder(nn.Module):
    """A "classifier" whose logits are the length and the first id of each text;
    remembers what it was given.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.calls: list[dict[str, torch.Tensor]] = []
        self.seen: list[tuple[bool, bool, torch.dtype]] = []

    def forward(self, **inputs: torch.Tensor) -> object:
        self.calls.append(inputs)
        product = torch.ones(2, 2) @ torch.ones(2, 2)  # what autocast would make bf16
        self.seen.append((self.training, torch.is_grad_enabled(), product.dtype))
        first, length = inputs["input_ids"][:, 0], inputs["attention_mask"].sum(1)
        return type(
            "Output", (), {"logits": torch.stack([first, length], dim=1).float() + self.weight}
        )


# --- predictions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_logits_do_not_depend_on_batches_or_padding(batch_size: int) -> None:
    model, features = tiny_bert().eval(), random_features(23)  # 23: the last batch is uneven
    with torch.no_grad():  # one by one, with no padding at all
        alone = np.concatenate(
            [model(torch.tensor([f["input_ids"]])).logits.numpy() for f in features]
        )
    together = predict_logits(model, features, collate=collate, batch_size=batch_size)
    assert together.dtype == np.float32 and together.shape == (23, 2)
    assert (
        np.ptp(alone, axis=0).min() > 0.5
    )  # the texts differ, so that a wrong order could not pass
    assert np.abs(together - alone).max() < 1e-5


def test_batches_are_longest_first_and_order_is_kept() -> None:
    features = random_features(10)
    model = Recorder()
    logits = predict_logits(model, features, collate=collate, batch_size=4)
    assert logits.tolist() == [[f["input_ids"][0], len(f["input_ids"])] for f in features]
    lengths = [length for call in model.calls for length in call["attention_mask"].sum(1).tolist()]
    assert lengths == sorted(lengths, reverse=True)
    assert [len(call["input_ids"]) for call in model.calls] == [4, 4, 2]


def test_labels_stay_outside_the_model() -> None:
    model = Recorder()
    predict_logits(model, random_features(3), collate=collate)
    assert set(model.calls[0]) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_eval_without_gradients_and_then_restored(training: bool) -> None:
    model = Recorder().train(training)
    model.frozen = nn.Dropout().train(not training)
    predict_logits(model, random_features(3), collate=collate)
    assert model.seen == [(False, False, torch.float32)]
    assert model.training is training and model.frozen.training is not training


def test_mode_is_restored_after_an_error() -> None:
    model = tiny_bert().train()
    with pytest.raises(IndexError):
        predict_logits(
            model, [{"input_ids": [1, 99, 2]}], collate=collate
        )  # 99: beyond the vocabulary
    assert model.training


def test_training_goes_on_after_a_prediction() -> None:
    model, features = tiny_bert().train(), random_features(4)
    predict_logits(model, features, collate=collate)
    model(**collate(features)).loss.backward()
    assert model.classifier.weight.grad.abs().max() > 0


def test_autocast_of_the_accelerator_is_used() -> None:
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    accelerator, model = Accelerator(cpu=True, mixed_precision="bf16"), Recorder()
    logits = predict_logits(model, random_features(3), collate=collate, accelerator=accelerator)
    AcceleratorState._reset_state()
    assert model.seen[0][2] == torch.bfloat16
    assert logits.dtype == np.float32


def test_progress_is_shown_when_asked(capsys: pytest.CaptureFixture) -> None:
    predict_logits(Recorder(), random_features(3), collate=collate)
    assert capsys.readouterr() == ("", "")
    predict_logits(Recorder(), random_features(3), collate=collate, batch_size=2, progress=True)
    assert "2/2" in capsys.readouterr().err


def test_no_features_is_an_error() -> None:
    with pytest.raises(ValueError, match="no examples to predict; expected at least one"):
        predict_logits(Recorder(), [], collate=collate)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        predict_logits(Recorder(), random_features(1), collate=collate, batch_size=0)


def test_logits_that_are_not_finite_name_the_first_example() -> None:
    model, features = Recorder(), random_features(9)
    huge = {5: float("nan"), 7: float("inf")}

    def poison(module: nn.Module, args: tuple, output: object) -> None:
        for index, value in huge.items():
            output.logits[output.logits[:, 1] == len(features[index]["input_ids"]), 0] = value

    features[5]["input_ids"], features[7]["input_ids"] = [1] * 70, [1] * 71
    model.register_forward_hook(poison)
    with pytest.raises(
        FloatingPointError, match=r"2 of 9 examples are not finite, the first at index 5 \(\[nan"
    ):
        predict_logits(model, features, collate=collate, batch_size=2)


def test_a_model_that_is_no_classifier_is_refused() -> None:
    model = Recorder()
    model.register_forward_hook(
        lambda module, args, output: type("Output", (), {"logits": torch.zeros(3, 8, 50)})
    )
    with pytest.raises(
        ValueError, match=r"expected logits of shape \[3, num_labels\].* got \[3, 8, 50\]"
    ):
        predict_logits(model, random_features(3), collate=collate)


TWO_PROCESSES = """
import sys
sys.path[:0] = sys.argv[1:3]
import numpy as np, torch
from accelerate import Accelerator
from torch.nn.parallel import DistributedDataParallel
from test_evaluation import collate, random_features, tiny_bert
from course_utils.evaluation import evaluate, predict_logits

torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == 2
model = tiny_bert()
options = {"collate": collate, "batch_size": 4, "accelerator": accelerator}
whole = predict_logits(model, random_features(27), **options)  # seven batches: four and three, the last uneven
wrapped = predict_logits(DistributedDataParallel(model), random_features(27), **options)
single = predict_logits(model, random_features(1), **options)  # the second process has nothing to do
accuracy = evaluate(model, random_features(27), **options).accuracy
np.savez(f"{sys.argv[3]}/{accelerator.process_index}.npz", whole=whole, wrapped=wrapped, single=single,
         accuracy=accuracy)
accelerator.end_training()
"""


def test_two_processes_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(ROOT),
        str(ROOT / "tests"),
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    model, threads = tiny_bert(), torch.get_num_threads()
    torch.set_num_threads(1)
    whole = predict_logits(model, random_features(27), collate=collate, batch_size=4)
    single = predict_logits(model, random_features(1), collate=collate, batch_size=4)
    torch.set_num_threads(threads)
    accuracy = score([f["labels"] for f in random_features(27)], whole).accuracy
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            assert np.array_equal(found["whole"], whole)
            assert np.array_equal(found["wrapped"], whole)
            assert np.array_equal(found["single"], single)
            assert found["accuracy"] == accuracy


# --- metrics --------------------------------------------------------------------------------------


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


def test_evaluate_is_predict_then_score() -> None:
    model, features = tiny_bert(), random_features(301)
    found = evaluate(model, features, collate=collate, seed=3)
    logits, labels = (
        predict_logits(model, features, collate=collate),
        [feature["labels"] for feature in features],
    )
    assert found == score(labels, logits, seed=3)
    assert found.interval != score(labels, logits, seed=4).interval


def test_evaluate_needs_labels() -> None:
    with pytest.raises(ValueError, match='every feature needs "labels"'):
        evaluate(Recorder(), [{"input_ids": [1, 2]}], collate=collate)


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


# --- two models -----------------------------------------------------------------------------------


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


# --- the baseline ---------------------------------------------------------------------------------

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
