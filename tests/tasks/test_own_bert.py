"""The BERT that is fine-tuned is the course's own: equal to the library's, at every update."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import FIXED, losses, tiny_reviews, weights, write_reviews
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from course_utils import data, models
from course_utils.config import BertConfig, ClassificationConfig, TrainConfig
from course_utils.data import registry
from course_utils.models import BertForSequenceClassification
from course_utils.tasks import classification
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import Objective, fit

ROOT = Path(__file__).resolve().parents[2]
COURSE_BERT = ROOT / "data" / "checkpoints" / "course-bert"
NUM_UPDATES = 20


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a small BERT with a head for three labels."""
    folder = tmp_path_factory.mktemp("start")
    tokenizer = WordPieceTokenizer.train([row["text"] for row in tiny_reviews(60)], 200)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config, label_names=("bad", "fair", "good"))
    classification.save_classifier(folder, model, tokenizer)
    return folder


def theirs(folder: Path, attention: str, **options: object) -> nn.Module:
    """The library's model of a folder, float32, without dropout."""
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation=attention,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **options,
    )


def trained(model: nn.Module, features: list[dict], **settings: object) -> tuple[list, dict]:
    """Losses of every update, and the weights after the last one by the library's names."""
    config = TrainConfig(
        batch_size=8, learning_rate=3e-4, num_train_epochs=4, **{**FIXED, **settings}
    )
    assert config.num_updates(len(features)) == NUM_UPDATES
    threads = torch.get_num_threads()
    objective = Objective(classification.compute_loss, partial(data.collate, limit=64))
    try:
        found = losses(fit(model, features, config, objective))
    finally:
        torch.set_num_threads(threads)
    named = weights(model)
    if isinstance(model, BertForSequenceClassification):
        named = {models.their_name(name): tensor for name, tensor in named.items()}
    return found, named


def review_features(tokenizer: WordPieceTokenizer, num_labels: int) -> list[dict]:
    texts = [row["text"] for row in tiny_reviews(40, seed=5)]
    labels = [number % num_labels for number in range(40)]
    return classification.encode(tokenizer, texts, labels, max_length=48)


@pytest.mark.parametrize(("ours", "library"), [("sdpa", "sdpa"), ("explicit", "eager")])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_twenty_updates_are_those_of_the_library(
    ours: str, library: str, accumulation: int, start: Path
) -> None:
    tokenizer, _ = classification.load_classifier(start)
    features = review_features(tokenizer, 3)
    settings = {"gradient_accumulation_steps": accumulation}
    own = models.load_pretrained(start, model_class=BertForSequenceClassification, attention=ours)
    own_losses, own_weights = trained(own, features, **settings)
    their_losses, their_weights = trained(theirs(start, library), features, **settings)
    assert len(own_losses) == NUM_UPDATES
    assert own_losses == pytest.approx(their_losses, abs=1e-5)
    buffers = {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}
    assert own_weights.keys() == their_weights.keys() - buffers
    for name, weight in own_weights.items():
        assert (weight - their_weights[name]).abs().max() < 1e-5, name


@pytest.mark.skipif(not COURSE_BERT.is_dir(), reason="needs data/checkpoints/course-bert")
def test_course_bert_starts_and_learns_as_in_the_library() -> None:
    """The same start, head included, drawn from the same seed; then twenty updates."""
    task = ClassificationConfig(max_length=48)
    tokenizer, own = classification.start_from("course-bert", [], task, seed=7)
    torch.manual_seed(7)
    library = theirs(COURSE_BERT, "sdpa", num_labels=2)
    named = {models.their_name(name): weight for name, weight in own.state_dict().items()}
    for name, weight in weights(library).items():
        if not name.endswith(("position_ids", "token_type_ids")):  # buffers, not weights
            assert torch.equal(weight, named[name]), name
    features = review_features(tokenizer, 2)
    own_losses, own_weights = trained(own, features)
    their_losses, their_weights = trained(library, features)
    assert own_losses == pytest.approx(their_losses, abs=1e-5)
    for name, weight in own_weights.items():
        assert (weight - their_weights[name]).abs().max() < 1e-5, name


def test_the_saved_folder_is_one_of_transformers(start: Path) -> None:
    texts = ["the film was warm", "a dull scene; the actor and then"]
    tokenizer, model = classification.load_classifier(start)
    their_tokenizer = AutoTokenizer.from_pretrained(start)
    their_model = theirs(start, "eager").eval()
    assert their_tokenizer(texts)["input_ids"] == tokenizer.encode_batch(texts)
    batch = data.collate([{"input_ids": ids} for ids in tokenizer.encode_batch(texts)])
    with torch.inference_mode():
        found, expected = model(**batch).logits, their_model(**batch).logits
    assert (found - expected).abs().max() < 1e-6
    assert their_model.config.id2label == {0: "bad", 1: "fair", 2: "good"}
    answers = pipeline("text-classification", str(start), device="cpu")(texts)
    best = classification.predict_probabilities(tokenizer, model, texts).argmax(1)
    assert [answer["label"] for answer in answers] == [model.label_names[row] for row in best]


def test_a_head_is_kept_where_it_fits_and_drawn_where_it_does_not(start: Path) -> None:
    task = ClassificationConfig(max_length=48)
    saved = models.load_pretrained(start, model_class=BertForSequenceClassification)
    names = ("bad", "fair", "good")
    _, same = classification.start_from(str(start), [], task, seed=1, label_names=names)
    assert torch.equal(same.classifier.weight, saved.classifier.weight)
    for seed in (1, 2):
        _, other = classification.start_from(str(start), [], task, seed=seed)
        assert other.classifier.weight.shape == (2, 32)
        assert torch.equal(other.bert.pooler.dense.weight, saved.bert.pooler.dense.weight)
        torch.manual_seed(seed)
        drawn = torch.empty(2, 32).normal_(std=0.02)
        assert torch.equal(other.classifier.weight, drawn)


def test_three_classes_from_texts_to_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of labels, with the names that the data set gives them."""
    words = ("dull", "usual", "lovely")
    rows = [
        {"text": f"the film is {words[label]} {number}", "label": label, "phenomenon": "plain"}
        for number, label in enumerate([0, 1, 2] * 30)
    ]
    folder = write_reviews(tmp_path / "reviews", train=rows, test=rows[:30])
    spec = registry.DATASETS["course"]
    three = dict(registry.DATASETS)
    three["course"] = replace(spec, label_names=("bad", "fair", "good"))
    monkeypatch.setattr(registry, "DATASETS", three)
    monkeypatch.setattr(registry, "COURSE_FOLDER", folder)
    task = ClassificationConfig(checkpoint="tiny-random", max_length=16)
    recipe = TrainConfig(num_train_epochs=20, batch_size=8, learning_rate=3e-3, **FIXED)
    result = classification.finetune(task, recipe, tmp_path / "run")
    assert result["label_names"] == ["bad", "fair", "good"]
    assert result["accuracy"] == 1.0 and len(result["metrics"]["confusion"]) == 3
    tokenizer, model = classification.load_classifier(tmp_path / "run")
    assert classification.label_names(model) == ("bad", "fair", "good")
    found = classification.predict_probabilities(tokenizer, model, ["the film is usual"])
    assert found.shape == (1, 3) and found[0].argmax() == 1
