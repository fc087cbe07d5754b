"""From texts and a checkpoint to a classifier, and from a fine-tuned folder to probabilities."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import (
    publish,
    same,
    tiny_config,
    tiny_model,
    tiny_reviews,
    weights,
    write_reviews,
)
from transformers import (
    AutoModelForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from course_utils import data
from course_utils.config import ClassificationConfig
from course_utils.data import collate, hub, registry
from course_utils.data.hub import fetch_checkpoint, shipped_folder
from course_utils.models import BertForSequenceClassification, load_pretrained, their_name
from course_utils.tasks.classification import (
    compute_loss,
    encode,
    finetune,
    label_names,
    load_classifier,
    predict_probabilities,
    start_from,
    trained_cut,
)
from course_utils.tasks.classification.inputs import collate_for
from course_utils.tasks.classification.run import _splits
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training.records import _thin_curve
from course_utils.training.runs import checkpoint_name

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [row["text"] for row in tiny_reviews(24)]
SHORT = ClassificationConfig(max_length=32)
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "film",
    "of",
    "words",
    "dull",
    "lovely",
    "!",
]


def tiny_tokenizer():
    return WordPieceTokenizer(WORDS)


def their_tokenizer():
    return BertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)})


@pytest.fixture
def encoder(tmp_path):
    """A pre-trained encoder with no head, in half precision,
    whose tokenizer cuts and pads: as some are published.
    """
    tokenizer = their_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=4)
    publish(tmp_path, tiny_model(BertModel).half(), tokenizer)
    return tmp_path


# --- a start --------------------------------------------------------------------------------------


def test_a_random_start_is_the_same_each_time():
    (tokenizer, model), (again, twin) = (
        start_from("tiny-random", TEXTS, SHORT, seed=3) for _ in range(2)
    )
    assert tokenizer.vocab == again.vocab
    assert same(weights(model), weights(twin))
    other = start_from("tiny-random", TEXTS, SHORT, seed=4)[1]
    assert not same(weights(model), weights(other))


def test_a_random_start_knows_the_words_of_its_texts():
    tokenizer, model = start_from("tiny-random", TEXTS, SHORT, seed=0)
    assert tokenizer.tokenize("The FILM") == ["the", "film"]
    assert (tokenizer.pad_token_id, model.config.pad_token_id) == (0, 0)
    assert tokenizer.vocab_size == model.config.vocab_size
    assert list(tokenizer.tokens[:5]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert label_names(model) == ("neg", "pos")


def test_course_berts_network_can_start_untrained():
    (tokenizer, trained), (same_tokenizer, fresh) = (
        start_from(name, TEXTS, SHORT, seed=3) for name in ("course-bert", "course-bert-random")
    )
    assert tokenizer.vocab == same_tokenizer.vocab
    assert {name: tensor.shape for name, tensor in weights(fresh).items()} == {
        name: tensor.shape for name, tensor in weights(trained).items()
    }
    assert all(tensor.dtype == torch.float32 for tensor in fresh.parameters())
    assert all(
        abs(tensor.std() - 0.02) < 0.001 for tensor in fresh.parameters() if tensor.numel() > 10_000
    )
    twin, other = (start_from("course-bert-random", TEXTS, SHORT, seed=seed)[1] for seed in (3, 4))
    assert same(weights(fresh), weights(twin)) and not same(weights(fresh), weights(other))


def test_a_published_encoder_gets_a_head_of_its_seed(encoder):
    config = ClassificationConfig(
        max_length=32, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2
    )
    _, model = start_from(str(encoder), TEXTS, config, seed=1)
    assert all(tensor.dtype == torch.float32 for tensor in model.parameters())
    expected = tiny_model(BertModel).half().float()
    named = {their_name(name): tensor for name, tensor in weights(model.bert).items()}
    buffers = {"embeddings.position_ids", "embeddings.token_type_ids"}
    published = weights(expected)
    assert same(named, {name: published[name] for name in published.keys() - buffers})
    assert (model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob) == (
        0.3,
        0.2,
    )
    assert model.bert.encoder.layers[0].dropout.p == 0.3
    again, other = (start_from(str(encoder), TEXTS, config, seed=seed)[1] for seed in (1, 2))
    assert torch.equal(model.classifier.weight, again.classifier.weight)
    assert not torch.equal(model.classifier.weight, other.classifier.weight)


def test_the_shipped_checkpoint_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path(shipped_folder("course-bert"))
    assert (
        folder == ROOT / "data" / "checkpoints" / "course-bert" == fetch_checkpoint("course-bert")
    )
    (
        tmp_path / "course-bert"
    ).mkdir()  # one's own of that name is no rival, and can be had by its path
    (tmp_path / "course-bert" / "config.json").write_text("{}")
    assert fetch_checkpoint("course-bert") == folder
    assert (
        fetch_checkpoint("./course-bert")
        == fetch_checkpoint(Path("course-bert"))
        == Path("course-bert")
    )
    assert shipped_folder("tiny-random") == "tiny-random"


def test_a_copy_without_the_shipped_checkpoint_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_SHIPPED", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"course-bert ships with the course, .*git clone.*tiny-random"
    ):
        start_from("course-bert", TEXTS, SHORT, seed=0)


def test_the_shipped_checkpoint_is_read_whole_and_by_the_courses_own_tokenizer():
    tokenizer, model = start_from("course-bert", TEXTS, SHORT, seed=0)
    own = load_pretrained(shipped_folder("course-bert"))
    assert isinstance(model, BertForSequenceClassification)
    assert same(weights(own), weights(model.bert))
    assert all(tensor.dtype == torch.float32 for tensor in model.parameters())
    ours = WordPieceTokenizer.load(shipped_folder("course-bert"))
    reviews = data.load_reviews("course")
    odd = ["naïve Ⅷ 电影 😀 un\u0301 [MASK] don't", ""]
    texts = [*reviews["handwritten"]["text"], *reviews["test"]["text"][:200], *odd]
    assert tokenizer.encode_batch(texts) == [ours.encode(text) for text in texts]


def test_nothing_is_printed(encoder, capfd):
    start_from(str(encoder), TEXTS, SHORT, seed=0)
    start_from("tiny-random", TEXTS, SHORT, seed=0)
    assert capfd.readouterr() == ("", "")


def test_a_checkpoint_without_all_of_its_encoder_is_refused(encoder):
    shallow = tiny_model(BertModel, num_hidden_layers=1)
    shallow.config.num_hidden_layers = 2
    publish(encoder, shallow, their_tokenizer())
    with pytest.raises(
        ValueError, match=r"lacks weights of the encoder \(bert.encoder.layer.1\..*16 in all\)"
    ):
        start_from(str(encoder), TEXTS, SHORT, seed=0)


def test_more_tokens_than_positions_are_refused(encoder):
    with pytest.raises(ValueError, match="max_length=65 exceeds the 64 positions"):
        start_from(str(encoder), TEXTS, ClassificationConfig(max_length=65), seed=0)


def test_another_kind_of_model_is_refused_by_its_settings(tmp_path):
    """DistilBERT calls its dropout by other names, so that what is asked for would be
    passed over in silence.
    """
    config = DistilBertConfig(
        vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=64
    )
    publish(tmp_path, DistilBertForSequenceClassification(config), their_tokenizer())
    with pytest.raises(
        ValueError, match=r"is a distilbert, which knows no hidden_dropout_prob, .*expected a BERT"
    ):
        start_from(str(tmp_path), TEXTS, SHORT, seed=0)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    publish(tmp_path, tiny_model(BertModel, vocab_size=8), their_tokenizer())
    with pytest.raises(
        ValueError,
        match="the tokenizer has 12 tokens, the model 8; they belong to different checkp",
    ):
        start_from(str(tmp_path), TEXTS, SHORT, seed=0)


def test_weights_that_are_pickled_are_not_read(encoder):
    (encoder / "model.safetensors").unlink()
    torch.save(tiny_model(BertModel).state_dict(), encoder / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"model\.safetensors"):
        start_from(str(encoder), TEXTS, SHORT, seed=0)


# --- features -------------------------------------------------------------------------------------


def test_texts_are_cleaned_cut_in_the_middle_and_labelled():
    features = encode(
        tiny_tokenizer(),
        ["a<br />film", "a film of words a film of words dull !"],
        [1, 0],
        max_length=7,
        tail_share=0.4,
    )
    assert features[0] == {"input_ids": [2, 5, 6, 3], "labels": 1}
    assert features[1] == {"input_ids": [2, 5, 6, 7, 9, 11, 3], "labels": 0}
    assert encode(tiny_tokenizer(), []) == []
    many = ["a film", "of words dull", "good"] * 700  # more than are tokenized at once
    assert encode(tiny_tokenizer(), many, [0, 1, 0] * 700) == 700 * encode(
        tiny_tokenizer(), many[:3], [0, 1, 0]
    )


def test_one_text_or_half_a_label_is_refused():
    with pytest.raises(
        TypeError, match=r"expected a list of texts, got one str: 'a film'; put it into a list"
    ):
        encode(tiny_tokenizer(), "a film")
    for label in (0.7, "1", None, torch.tensor(0.7)):
        with pytest.raises(TypeError):
            encode(tiny_tokenizer(), ["a film"], [label])
    labels = [
        feature["labels"] for feature in encode(tiny_tokenizer(), ["a"] * 3, [np.int64(1), True, 0])
    ]
    assert labels == [1, 1, 0] and {type(label) for label in labels} == {int}


def test_a_tokenizers_own_cut_and_padding_are_switched_off(encoder):
    tokenizer, _ = start_from(str(encoder), TEXTS, SHORT, seed=0)
    (feature,) = encode(tokenizer, ["a film of words a film of words dull !"])
    assert feature == {"input_ids": [2, 5, 6, 7, 8, 5, 6, 7, 8, 9, 11, 3]}
    (feature,) = encode(tokenizer, ["a"])
    assert feature == {"input_ids": [2, 5, 3]}


def test_the_loss_is_that_of_transformers():
    model = tiny_model()
    batch = collate(
        [{"input_ids": [2, 7, 3], "labels": 1}, {"input_ids": [2, 9, 8, 3], "labels": 0}]
    )
    assert compute_loss(model, batch).item() == pytest.approx(model(**batch).loss.item())
    first = {name: tensor[:1] for name, tensor in batch.items()}
    batch["labels"][1] = -100
    assert compute_loss(model, batch).item() == pytest.approx(compute_loss(model, first).item())


# --- the record -----------------------------------------------------------------------------------


def test_a_long_curve_is_thinned_to_means():
    history = [
        {"step": step, "loss": float(step), "learning_rate": 1 / step} for step in range(1, 1001)
    ]
    history.insert(500, {"step": 500, "eval_accuracy": 0.5})
    curve = _thin_curve(history)
    assert len(curve) == 200
    assert (
        curve[0] == {"step": 5, "loss": 3.0, "learning_rate": 1 / 5} and curve[-1]["step"] == 1000
    )
    assert _thin_curve(history[:3]) == history[:3]


def test_a_folder_is_named_without_its_place(tmp_path, monkeypatch):
    (tmp_path / "my model").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(tmp_path / "my model"), "my model", "my model/", "~/my model"):
        assert checkpoint_name(name) == "my model"
    assert checkpoint_name(".") == tmp_path.name
    assert checkpoint_name("owner/name") == "owner/name"


# --- predictions ----------------------------------------------------------------------------------


@pytest.fixture
def classifier(tmp_path):
    model = tiny_model(initializer_range=0.5)
    model.config.id2label = {0: "neg", 1: "pos"}
    publish(tmp_path, model, their_tokenizer())
    return tmp_path


def test_probabilities_are_those_of_the_model(classifier):
    tokenizer, model = load_classifier(classifier)
    assert not model.training
    texts = ["a dull film", "lovely", "words words words a film !"]
    found = predict_probabilities(tokenizer, model, texts)
    own = AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    with torch.no_grad():
        expected = [
            own(**their_tokenizer()(text, return_tensors="pt")).logits.softmax(-1).numpy()[0]
            for text in texts
        ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert np.ptp(found[:, 0]) > 0.01


@pytest.mark.parametrize(
    "text",
    [
        "😀🎬",
        "这部电影很好看",
        "<script>alert(1)</script> dull",
        "dull " * 20_000,
        "a\0film\n\tof",
        "é" * 5000,
        "\ud800 film",
    ],
)
def test_any_text_gets_probabilities(text, classifier):
    found = predict_probabilities(*load_classifier(classifier), [text], max_length=64)
    assert found.shape == (1, 2) and found.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("text", ["", " \n\t", "<br /><br />", "<script>alert(1)</script>"])
def test_a_text_that_is_empty_is_named(text, classifier):
    with pytest.raises(
        ValueError, match=r"text 1 is empty after cleaning: .*expected at least one word"
    ):
        predict_probabilities(*load_classifier(classifier), ["dull", text])


def test_a_folder_that_is_not_fine_tuned_is_refused(encoder, tmp_path):
    with pytest.raises(
        ValueError, match=r"is not fine-tuned: it lacks classifier.bias, classifier.weight"
    ):
        load_classifier(encoder)
    os.unlink(encoder / "model.safetensors")
    for folder in (encoder, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"found none in .*course_utils.finetune"):
            load_classifier(folder)


def test_the_cut_of_training_is_read_from_the_result(tmp_path):
    (tmp_path / "result.json").write_text(
        '{"config": {"max_length": 8, "tail_share": 0.25, "seed": 0}}'
    )
    assert trained_cut(tmp_path) == {"max_length": 8, "tail_share": 0.25}
    assert trained_cut(Path("nowhere")) == {}


each_load = pytest.mark.parametrize(
    "load", [load_classifier, lambda folder: start_from(str(folder), TEXTS, SHORT, seed=0)]
)


@each_load
@pytest.mark.parametrize("damage", ["cut", "emptied", "other json"])
def test_a_tokenizer_that_is_damaged_is_named(classifier, damage, load):
    file = classifier / "tokenizer.json"
    file.write_bytes({"cut": file.read_bytes()[:-40], "emptied": b"", "other json": b"[]"}[damage])
    with pytest.raises(
        ValueError, match=rf"the tokenizer in {classifier} cannot be read .*copy tokenizer\.json"
    ):
        load(classifier)


@each_load
def test_a_folder_without_a_tokenizer_is_refused(classifier, load):
    for name in ("tokenizer.json", "vocab.txt"):
        (classifier / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"holds no tokenizer; expected tokenizer\.json"):
        load(classifier)


def test_weights_that_are_cut_short_are_named(classifier):
    file = classifier / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(hub.DataError, match=r"model\.safetensors"):
        load_classifier(classifier)


def test_a_result_without_settings_gives_no_cut(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    assert trained_cut(tmp_path) == {}


def test_more_training_reviews_than_there_are_is_refused_and_all_of_them_is_not():
    task = ClassificationConfig(train_examples=6000)
    assert len(_splits(task, seed=0).train) == 6000
    with pytest.raises(ValueError, match="train_examples=6,001 exceeds the 6,000 training reviews"):
        _splits(ClassificationConfig(train_examples=6001), seed=0)


# --- lengths --------------------------------------------------------------------------------------


def test_a_model_is_trained_and_used_up_to_its_last_position(tmp_path, monkeypatch):
    """100 positions, no multiple of 16: batches may not be padded beyond."""

    def long_reviews(seed):
        return [
            {**row, "text": f"{('dull', 'lovely')[row['label']]} film of words {'a ' * number}" * 8}
            for number, row in enumerate(tiny_reviews(16, seed=seed))
        ]

    splits = {split: long_reviews(seed) for seed, split in enumerate(("train", "test"))}
    monkeypatch.setattr(registry, "COURSE_FOLDER", write_reviews(tmp_path / "reviews", **splits))
    publish(tmp_path, tiny_model(BertModel, max_position_embeddings=100), their_tokenizer())
    task, folder = ClassificationConfig(checkpoint=str(tmp_path), max_length=100), tmp_path / "run"
    threads = torch.get_num_threads()
    assert finetune(task, tiny_config(num_train_epochs=1), folder)["num_updates"] == 4
    torch.set_num_threads(threads)
    texts = ["dull", "film " * 97, "lovely " * 98, "words " * 5000]
    tokenizer, model = load_classifier(folder)
    assert [len(one["input_ids"]) for one in encode(tokenizer, texts, **trained_cut(folder))] == [
        3,
        99,
        100,
        100,
    ]
    found = predict_probabilities(tokenizer, model, texts, **trained_cut(folder))
    alone = [
        predict_probabilities(tokenizer, model, [text], **trained_cut(folder))[0] for text in texts
    ]
    np.testing.assert_allclose(found, alone, atol=1e-6)
    (folder / "result.json").unlink()  # as in a folder that others made: no word of its length
    assert trained_cut(folder) == {}
    np.testing.assert_allclose(predict_probabilities(tokenizer, model, texts), found, atol=1e-6)


@pytest.mark.parametrize(
    ("positions", "num_ids", "width"),
    [(100, 98, 100), (100, 90, 96), (512, 98, 112), (99, 98, 99), (99, 79, 80), (99, 99, 99)],
)
def test_padding_is_coarse_where_there_is_room_for_it(positions, num_ids, width):
    collate = collate_for(tiny_tokenizer(), tiny_model(max_position_embeddings=positions))
    assert collate([{"input_ids": [5] * num_ids}])["input_ids"].shape == (1, width)
