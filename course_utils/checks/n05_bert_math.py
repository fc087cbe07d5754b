"""The exercises of notebook 05: a pair, the pooler, two counts, a config from shapes,
a loss with its gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from course_utils.checks.engine import Case, Exercise
from course_utils.checks.values import is_exactly, is_whole_number

Array = np.ndarray

# --- 05.1: the input of a pair --------------------------------------------------------------------


def _pair_input(
    first: Sequence[int], second: Sequence[int] | None, cls_token_id: int, sep_token_id: int
) -> tuple[list[int], list[int]]:
    texts = [[cls_token_id, *first, sep_token_id]] + (
        [] if second is None else [[*second, sep_token_id]]
    )
    places = [(token, number) for number, text in enumerate(texts) for token in text]
    return [token for token, _ in places], [number for _, number in places]


def _pair_cases() -> list[Case]:
    return [
        Case(
            args=([7], None, 2, 3),
            hint="A single text: [CLS] before it, [SEP] after it, and how many segments?",
        ),
        Case(
            args=([7], [8], 2, 3),
            hint="Each text has its own end. To which text does the first [SEP] belong, and is "
            "there a second [CLS]?",
        ),
        Case(
            args=([7, 8, 9], [5, 6], 2, 3),
            hint="Each id needs one segment, those of the special tokens included.",
        ),
        Case(
            args=([3], [3, 3], 101, 3),
            hint="Ids are only numbers: a text may hold any of them. Count places, do "
            "not search for values.",
        ),
        Case(
            args=([4, 5], [], 101, 102),
            hint="A text without tokens is not the same as no text: its end is there.",
        ),
    ]


# --- 05.2: the pooler -----------------------------------------------------------------------------


def _pooled(sequence_output: Array, weight: Array, bias: Array) -> Array:
    return np.tanh(np.einsum("bi,oi->bo", sequence_output[:, 0], weight) + bias)


def _pooler_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=(np.array([[[2.0]]]), np.array([[0.5]]), np.array([-0.25])),
            hint="One text, one token, one number: multiply, add, and bend. "
            "What keeps the result between -1 and 1?",
        ),
        Case(
            args=(np.array([[[1.0], [5.0]]]), np.array([[1.0]]), np.array([-0.5])),
            hint="Two tokens: only one of them speaks for the text. Which place is [CLS] at?",
        ),
        Case(
            args=(
                np.array([[[1.0, 0.0], [3.0, 3.0]]]),
                np.array([[0.1, 0.2], [0.3, 0.4]]),
                np.zeros(2),
            ),
            hint="Torch's layout is [out, in]: which of its axes meets the vector?",
        ),
        Case(
            args=(rng.normal(size=(4, 5, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)),
            hint="Each text of the batch gets one vector: shape [batch_size, hidden_size].",
        ),
    ]


# --- 05.3: ALBERT's parameters --------------------------------------------------------------------

_V, _P, _S, _E, _H, _M = 30_000, 512, 2, 128, 768, 3_072
_TABLES, _WIDENING, _POOLER = (_V + _P + _S) * _E + 2 * _E, _E * _H + _H, _H * _H + _H
_LAYER = 4 * (_H * _H + _H) + (_H * _M + _M) + (_M * _H + _H) + 2 * 2 * _H


def _albert_hint(got: Any) -> str | None:
    right = _TABLES + _WIDENING + _LAYER + _POOLER
    known = {
        _TABLES
        + _WIDENING
        + 12 * _LAYER
        + _POOLER: "Used twelve times; but how often is it stored?",
        right - _WIDENING: "How does a row of 128 numbers get into a layer that wants 768?",
        right - _H: "A dense layer has a bias, the widening one as well.",
        right - 2 * _E + 2 * _H: "The LayerNorm after the tables is as wide as the tables.",
        right - 2 * _E: "A LayerNorm follows the tables.",
        right - _POOLER: "The pooler is missing.",
        right - 4 * _H: "Each layer has two LayerNorms.",
        right - 2 * _H: "Each layer has two LayerNorms, and each of them two vectors.",
        (_V + _P + _S) * _H + 2 * _H + 12 * _LAYER + _POOLER: (
            "That is how BERT would count. ALBERT's tables are E numbers wide, "
            "and one layer is used twelve times."
        ),
        (_V + _P + _S) * _H + 2 * _H + _LAYER + _POOLER: "The tables are E numbers wide, not h.",
    }
    return known.get(got) if is_whole_number(got) else None


# --- 05.4: the memory of training -----------------------------------------------------------------

_BASE = 109_482_240  # parameters of BERT-base's body, as the notebook counts them


def _memory_hint(got: Any) -> str | None:
    known = {
        4 * _BASE: "Those are the weights alone.",
        8 * _BASE: "Weights and gradients. What does Adam remember?",
        12 * _BASE: "Three of four. Adam remembers more than one number for each parameter.",
        4 * 4: "That is one parameter's share.",
    }
    if isinstance(got, int | float) and not isinstance(got, bool):
        if abs(got - 4 * _BASE) < 1:
            return (
                "That many numbers; or the weights alone, in bytes. How many bytes has a float32?"
            )
        if 0 < got < 10_000:
            return "In bytes, please, not in millions or billions of them."
        if got == 16 * 110_106_428:
            return "The body alone, without the heads of pre-training."
        if abs(got / (16 * _BASE) - 1) < 0.02:
            return "Right, but rounded: to the byte, please."
    return known.get(got) if is_whole_number(got) else None


# --- 05.5: a config from shapes -------------------------------------------------------------------

Shapes = Mapping[str, tuple[int, ...]]


def _config(shapes: Shapes) -> dict[str, int]:
    layers = {name.split(".")[2] for name in shapes if name.startswith("encoder.layers.")}
    vocab_size, hidden_size = shapes["embeddings.token_embeddings.weight"]
    return {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": len(layers),
        "intermediate_size": shapes["encoder.layers.0.feed_forward.intermediate.bias"][0],
        "max_position_embeddings": shapes["embeddings.position_embeddings.weight"][0],
    }


def _shapes(
    vocab_size: int, hidden_size: int, num_layers: int, intermediate_size: int, positions: int
) -> Shapes:
    """The shapes of all tensors of a BertModel of these sizes, by our names."""
    h, m = hidden_size, intermediate_size
    tables = {"token": vocab_size, "position": positions, "token_type": 2}
    found: dict[str, tuple[int, ...]] = {
        f"embeddings.{name}_embeddings.weight": (size, h) for name, size in tables.items()
    }
    dense = {f"attention.{name}": (h, h) for name in ("query", "key", "value", "output")}
    dense |= {"feed_forward.intermediate": (m, h), "feed_forward.output": (h, m)}
    named = {
        f"encoder.layers.{number}.{name}": shape
        for number in range(num_layers)
        for name, shape in dense.items()
    }
    norms = [
        "embeddings.layer_norm",
        *(
            f"encoder.layers.{number}.{name}"
            for number in range(num_layers)
            for name in ("attention_norm", "feed_forward_norm")
        ),
    ]
    for name, shape in {**named, "pooler.dense": (h, h)}.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return found | {f"{name}.{part}": (h,) for name in norms for part in ("weight", "bias")}


def _shape_cases() -> list[Case]:
    return [
        Case(
            args=(_shapes(100, 8, 1, 32, 16),),
            hint="Which tensor has a row for each token, and which one for each "
            "position? The first number of a table's shape counts its rows. Five sizes, each "
            "under its name in BertConfig, and nothing else.",
        ),
        Case(
            args=(_shapes(100, 8, 3, 32, 16),),
            hint="Each layer's names hold its number; they start at 0.",
        ),
        Case(
            args=(_shapes(50, 12, 2, 20, 64),),
            hint="intermediate_size is usually four times hidden_size, but not "
            "always: look it up. Torch's layout is [out, in].",
        ),
        Case(
            args=(_shapes(9, 4, 12, 16, 5),),
            hint="Twelve layers: their numbers have two digits, and names in "
            "alphabetical order put 10 before 2.",
        ),
        Case(
            args=(dict(reversed(_shapes(3000, 6, 11, 24, 7).items())),),
            hint="The order of names in a file means nothing.",
        ),
    ]


# --- 05.6: cross-entropy and its gradient ---------------------------------------------------------


def _cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    asked = labels != -100
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # [tokens, labels]
    wanted = np.eye(logits.shape[1])[np.where(asked, labels, 0)] * asked[:, None]
    return float(-(wanted * log_probs).sum() / asked.sum()), (
        np.exp(log_probs) * asked[:, None] - wanted
    ) / asked.sum()


def _cross_entropy_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=(np.array([[0.0, 0.0]]), np.array([1])),
            hint="Two equal logits: each class has one half, and the surprise is ln 2. The "
            "gradient is what the model said, minus what was right.",
        ),
        Case(
            args=(np.array([[1.0, 0.0, -1.0]]), np.array([0])),
            hint="Which logit belongs to the right class? "
            "The loss is in nats, by the natural logarithm.",
        ),
        Case(
            args=(np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([0, 0])),
            hint="Two tokens: the loss is their mean. What does that do to the gradient?",
        ),
        Case(
            args=(np.array([[0.0, 2.0], [3.0, 0.0], [1.0, 1.0]]), np.array([1, -100, 0])),
            hint="A token with -100 adds nothing to the loss, does not count in the mean, "
            "and has no gradient.",
        ),
        Case(
            args=(rng.normal(size=(6, 5)), np.array([-100, 4, 0, -100, 2, 2])),
            hint="In Python, -100 and -1 are places counted from the end: "
            "take out what is not asked first.",
        ),
        Case(
            args=(
                np.array([[1000.0, 998.0] + [-1000.0] * 3, [-1000.0] + [0.0] * 4]),
                np.array([1, 1]),
            ),
            hint="The exponential of 1000 is more than a computer can hold. "
            "What may one subtract from a whole row?",
        ),
        Case(
            args=(np.array([[1000.0, 0.0]]), np.array([1])),
            hint="A probability can be too small to be stored, and 0 has no logarithm: take the "
            "logarithm on paper, -z_y + ln(sum of all e^z).",
        ),
    ]


EXERCISES = {
    "1": Exercise(
        title="The input of a pair",
        reference=_pair_input,
        cases=_pair_cases,
        hint="Two lists of equal length, the ids first.",
    ),
    "2": Exercise(
        title="The pooler",
        reference=_pooled,
        cases=_pooler_cases,
        hint="A dense layer and tanh, on one row of each text.",
    ),
    "3": Exercise(
        title="Parameters of ALBERT",
        value=lambda: _TABLES + _WIDENING + _LAYER + _POOLER,
        same=is_exactly,
        hints_for=_albert_hint,
        hint="Part by part: three narrow tables and their LayerNorm, the widening layer, one layer "
        "as in BERT, the pooler. Each dense layer has a bias.",
    ),
    "4": Exercise(
        title="The memory of training",
        value=lambda: 16 * _BASE,
        same=is_exactly,
        hints_for=_memory_hint,
        hint="How many numbers for each parameter, and how many bytes is each of them?",
    ),
    "5": Exercise(
        title="A config from shapes",
        reference=_config,
        cases=_shape_cases,
        show=lambda value: (
            f"the shapes of {len(value)} tensors"
            if isinstance(value, Mapping) and "embeddings.token_embeddings.weight" in value
            else repr(value)
        ),
        hint="A dictionary with five sizes, each read off a shape or counted in names.",
    ),
    "6": Exercise(
        title="Cross-entropy and its gradient",
        reference=_cross_entropy,
        cases=_cross_entropy_cases,
        hint="Two results: the loss, a number, and its gradient, of the shape of the logits.",
    ),
}
