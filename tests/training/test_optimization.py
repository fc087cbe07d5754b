"""Which parameters decay, who learns how fast, and the learning rate's rise and fall."""

import pytest
import torch
from helpers import tiny_config, tiny_features, tiny_fit, tiny_model
from transformers import BertForMaskedLM

from course_utils.training.optimization import linear_schedule, parameter_groups


def settings_by_name(model, config):
    """{parameter name: (peak learning rate, weight decay)};
    every parameter must be in exactly one group.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [
        (names[id(parameter)], (group["lr"], group["weight_decay"]))
        for group in parameter_groups(model, config)
        for parameter in group["params"]
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def test_schedule_rises_then_falls_straight_to_the_end():
    rates = [linear_schedule(step, num_updates=10, num_warmup=4) for step in range(10)]
    assert rates == pytest.approx(
        [1 / 5, 2 / 5, 3 / 5, 4 / 5, 6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )


def test_schedule_without_warmup_starts_at_the_peak():
    assert [linear_schedule(step, 4, 0) for step in range(4)] == pytest.approx(
        [1, 3 / 4, 2 / 4, 1 / 4]
    )


def test_schedule_of_warmup_alone_never_reaches_the_peak():
    assert [linear_schedule(step, 3, 3) for step in range(3)] == pytest.approx(
        [1 / 4, 2 / 4, 3 / 4]
    )


def test_fit_follows_the_schedule():
    config = tiny_config(
        num_train_epochs=2, num_warmup_steps=3, learning_rate=0.01
    )  # 20 examples: 10 updates
    history = tiny_fit(tiny_model(), tiny_features(20), config).history
    assert [entry["learning_rate"] for entry in history] == pytest.approx(
        [0.01 * linear_schedule(step, 10, 3) for step in range(10)]
    )


def test_biases_and_layer_norms_do_not_decay():
    model = tiny_model()
    found = settings_by_name(model, tiny_config(weight_decay=0.05))
    assert found.keys() == dict(model.named_parameters()).keys()
    for name, (_, decay) in found.items():
        assert decay == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.05), name
    assert {decay for _, decay in found.values()} == {0.0, 0.05}


def test_frozen_parameters_are_left_out():
    model = tiny_model()
    model.bert.embeddings.requires_grad_(False)
    assert not [name for name in settings_by_name(model, tiny_config()) if "embeddings" in name]


def test_tied_weights_are_updated_once():
    model = tiny_model(BertForMaskedLM)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert settings_by_name(model, tiny_config()).keys() == dict(model.named_parameters()).keys()


def test_each_layer_learns_slower_than_the_one_above():
    found = settings_by_name(
        tiny_model(), tiny_config(learning_rate=1.0, layer_learning_rate_decay=0.5)
    )
    expected = {
        "classifier.weight": 1.0,
        "bert.pooler.dense.bias": 1.0,
        "bert.encoder.layer.1.attention.self.query.weight": 0.5,
        "bert.encoder.layer.1.output.dense.bias": 0.5,
        "bert.encoder.layer.0.output.LayerNorm.weight": 0.25,
        "bert.embeddings.word_embeddings.weight": 0.125,
        "bert.embeddings.LayerNorm.bias": 0.125,
    }
    assert {name: found[name][0] for name in expected} == expected
    assert {rate for rate, _ in found.values()} == {1.0, 0.5, 0.25, 0.125}


def test_the_rates_of_the_layers_reach_the_weights():
    """AdamW's first step is as long as the learning rate,
    whatever the gradient: so the rates can be read off.
    """
    model = tiny_model(initializer_range=0.2)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    config = tiny_config(
        num_train_epochs=1,
        batch_size=8,
        learning_rate=0.01,
        layer_learning_rate_decay=0.5,
        weight_decay=0.0,
        num_warmup_steps=0,
        max_grad_norm=0.0,
    )
    tiny_fit(model, tiny_features(8), config)
    for name, rate in (
        ("classifier.weight", 0.01),
        ("bert.encoder.layer.1.output.dense.weight", 0.005),
        ("bert.encoder.layer.0.output.dense.weight", 0.0025),
        ("bert.embeddings.position_embeddings.weight", 0.00125),
    ):
        moved = (model.get_parameter(name) - before[name]).abs().max().item()
        assert moved == pytest.approx(rate, rel=0.02), name


def test_decay_alone_shrinks_weights_and_leaves_biases():
    model = tiny_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    config = tiny_config(
        num_train_epochs=1, batch_size=8, learning_rate=0.1, weight_decay=0.5, num_warmup_steps=0
    )
    tiny_fit(
        model, [{**feature, "labels": -100} for feature in tiny_features(8)], config
    )  # no label, no gradient
    for name, parameter in model.named_parameters():
        expected = 1.0 if parameter.ndim == 1 else 1 - 0.1 * 0.5
        assert torch.allclose(parameter, torch.tensor(expected)), name
