"""Settings: what is out of range is refused with its values, and what is kept survives JSON."""

import dataclasses
import json

import numpy as np
import pytest

from course_utils.config import BertConfig, ClassificationConfig, PretrainConfig, TrainConfig

KINDS = (BertConfig, TrainConfig, ClassificationConfig, PretrainConfig)
NUMBERS = [
    (kind, setting.name)
    for kind in KINDS
    for setting in dataclasses.fields(kind)
    if type(setting.default) in (int, float)
]


def test_defaults_are_bert_base():
    config = BertConfig()
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers, config.head_dim) == (
        30522,
        768,
        12,
        64,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_and_whole_after_json(kind):
    config = kind()
    assert kind.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.anything = 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_says_what_it_is(kind):
    for setting in dataclasses.fields(kind):
        assert len(setting.metadata["help"]) > 10, setting.name


def test_unknown_keys_are_all_named():
    with pytest.raises(
        ValueError, match=r"TrainConfig knows no epochs, lr; it knows .*learning_rate"
    ):
        TrainConfig.from_dict({"lr": 1, "epochs": 2, "seed": 0})


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        (BertConfig, {"hidden_size": 100}, ["hidden_size=100", "num_attention_heads=12"]),
        (BertConfig, {"pad_token_id": 30522}, ["pad_token_id=30522", "vocab_size=30522"]),
        (BertConfig, {"num_hidden_layers": 0}, ["num_hidden_layers", "0"]),
        (BertConfig, {"hidden_dropout_prob": 1.0}, ["hidden_dropout_prob", "1.0"]),
        (
            TrainConfig,
            {"batch_size": 10, "gradient_accumulation_steps": 4},
            ["batch_size=10", "gradient_accumulation_steps=4"],
        ),
        (TrainConfig, {"learning_rate": 0.0}, ["learning_rate", "0.0"]),
        (TrainConfig, {"learning_rate": float("nan")}, ["learning_rate", "nan"]),
        (TrainConfig, {"num_train_epochs": float("inf")}, ["num_train_epochs", "inf"]),
        (TrainConfig, {"weight_decay": -0.1}, ["weight_decay", "-0.1"]),
        (TrainConfig, {"weight_decay": float("nan")}, ["weight_decay", "nan"]),
        (TrainConfig, {"average_decay": 1.0}, ["average_decay", "1.0"]),
        (TrainConfig, {"layer_learning_rate_decay": 0.0}, ["layer_learning_rate_decay", "0.0"]),
        (TrainConfig, {"seed": 2**32}, ["seed", "4294967296"]),
        (TrainConfig, {"num_threads": 10_000}, ["num_threads", "10000"]),
        (TrainConfig, {"precision": "half"}, ["precision", "half", "bf16"]),
        (TrainConfig, {"num_warmup_steps": float("inf")}, ["num_warmup_steps", "finite", "inf"]),
        (TrainConfig, {"learning_rate": "1e-4"}, ["learning_rate", "float", "'1e-4'"]),
        (TrainConfig, {"batch_size": 4.0}, ["batch_size", "int", "4.0"]),
        (TrainConfig, {"batch_size": None}, ["batch_size", "int", "None"]),
        (TrainConfig, {"seed": True}, ["seed", "int", "True"]),
        (TrainConfig, {"length_grouping": "no"}, ["length_grouping", "bool", "'no'"]),
        (
            PretrainConfig,
            {
                "max_length": 100,
                "max_position_embeddings": 100,
            },  # which batches would be padded beyond
            ["max_length=100", "112", "max_position_embeddings=100"],
        ),
        (ClassificationConfig, {"max_length": 2}, ["max_length", "2"]),
        (ClassificationConfig, {"tail_share": 1.5}, ["tail_share", "1.5"]),
        (ClassificationConfig, {"scored_split": "train"}, ["scored_split", "train"]),
        (
            ClassificationConfig,
            {"scored_split": "validation"},
            ["scored_split='validation'", "validation_examples", "0"],
        ),
    ],
)
def test_wrong_values_are_named(kind, settings, named):
    with pytest.raises(ValueError) as caught:
        kind(**settings)
    assert all(word in str(caught.value) for word in named), str(caught.value)


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_no_number_is_without_a_lower_bound(kind, name, value):
    with pytest.raises(ValueError, match=rf"\b{name}\b.*{value}"):
        kind(**{name: value})


def test_numpys_numbers_become_pythons():
    config = TrainConfig(
        seed=np.int64(1), learning_rate=np.float32(0.25), length_grouping=np.bool_(False)
    )
    assert [
        type(value) for value in (config.seed, config.learning_rate, config.length_grouping)
    ] == [int, float, bool]
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("max_length", "positions"), [(96, 100), (112, 112), (97, 112)])
def test_a_length_whose_padding_fits_is_taken(max_length, positions):
    assert (
        PretrainConfig(max_length=max_length, max_position_embeddings=positions).max_length
        == max_length
    )


def test_identity_is_all_that_decides_the_weights():
    how = {"gradient_accumulation_steps", "precision", "num_threads", "save_steps", "save_minutes"}
    assert TrainConfig().identity().keys() == TrainConfig().to_dict().keys() - how


@pytest.mark.parametrize(
    ("epochs", "examples", "updates"),
    [
        (1, 32, 1),
        (1, 33, 2),
        (2, 33, 4),
        (0.5, 320, 5),
        (0.55, 320, 6),
        (0.01, 3, 1),
        (0.1, 960, 3),
        (3, 1, 3),
    ],
)
def test_number_of_updates(epochs, examples, updates):
    assert TrainConfig(num_train_epochs=epochs, batch_size=32).num_updates(examples) == updates


@pytest.mark.parametrize(
    ("steps", "of", "updates"),
    [(0.1, 100, 10), (0, 100, 0), (1, 100, 1), (30, 100, 30), (300, 100, 100), (0.1, 5, 0)],
)
def test_number_of_warmup_updates(steps, of, updates):
    assert TrainConfig(num_warmup_steps=steps).warmup_updates(of) == updates
