"""Plausible wrong answers to the exercises of notebook 05, and other right ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# --- 05.1 -----------------------------------------------------------------------------------------

Ids = Sequence[int]
Pair = tuple[list[int], list[int]]


def pair(
    first: Ids,
    second: Ids | None,
    cls: int,
    sep: int,
    *,
    last: bool = True,
    middle: bool = True,
    second_cls: bool = False,
    early: int = 0,
    single: int = 0,
) -> Pair:
    """Right as it stands; each option is a mistake."""
    one = [cls, *first, *[sep] * (middle or second is None)]
    if second is None:
        return one, [single] * len(one)
    other = [*[cls] * second_cls, *second, *[sep] * last]
    return one + other, [0] * (len(one) - early) + [1] * (len(other) + early)


def searches_for_the_end(first: Ids, second: Ids | None, cls: int, sep: int) -> Pair:
    ids = pair(first, second, cls, sep)[0]
    end = ids.index(sep) + 1
    return ids, [0] * end + [1] * (len(ids) - end)


def empty_is_none(first: Ids, second: Ids | None, cls: int, sep: int) -> Pair:
    return pair(first, second or None, cls, sep)


def marks_the_segment_by_a_token(first: Ids, second: Ids | None, cls: int, sep: int) -> Pair:
    ids = [cls, 0, *first, 1, *(second or []), sep]
    return ids, [0] * len(ids)


# --- 05.2 -----------------------------------------------------------------------------------------


def pooled(
    states: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    row: Callable[..., Any] | None = None,
    bend: Callable[[Any], Any] = np.tanh,
    turned: bool = True,
    shift: bool = True,
) -> np.ndarray:
    """Right as it stands; each option is a mistake."""
    rows = row(states) if row else states[:, 0]
    return bend(rows @ (weight.T if turned else weight) + shift * bias)


# --- 05.3 -----------------------------------------------------------------------------------------

TABLES, WIDENING, POOLER = 30_514 * 128 + 256, 128 * 768 + 768, 768 * 768 + 768
LAYER = 4 * (768 * 768 + 768) + 768 * 3072 + 3072 + 3072 * 768 + 768 + 4 * 768
ALBERT = TABLES + WIDENING + LAYER + POOLER

# --- 05.5 -----------------------------------------------------------------------------------------

Shapes = Mapping[str, tuple[int, ...]]


def config(
    shapes: Shapes,
    *,
    layers: Callable[[set[int]], int] = len,
    digits: slice = slice(None),
    intermediate: Callable[[tuple[int, ...]], int] = lambda shape: shape[0],
    swapped: bool = False,
    positions: str = "position",
) -> dict[str, int]:
    """Right as it stands; each option is a mistake."""
    rows, width = shapes["embeddings.token_embeddings.weight"][:: -1 if swapped else 1]
    numbers = {
        int(name.split(".")[2][digits]) for name in shapes if name.startswith("encoder.layers")
    }
    return {
        "vocab_size": rows,
        "hidden_size": width,
        "num_hidden_layers": layers(numbers),
        "intermediate_size": intermediate(
            shapes["encoder.layers.0.feed_forward.intermediate.weight"]
        ),
        "max_position_embeddings": shapes[f"embeddings.{positions}_embeddings.weight"][0],
    }


def last_name_in_the_alphabet(shapes: Shapes) -> dict[str, int]:
    last = max(name for name in shapes if name.startswith("encoder.layers."))
    return config(shapes) | {"num_hidden_layers": int(last.split(".")[2]) + 1}


def last_name_in_the_file(shapes: Shapes) -> dict[str, int]:
    last = [name for name in shapes if name.startswith("encoder.layers.")][-1]
    return config(shapes) | {"num_hidden_layers": int(last.split(".")[2]) + 1}


def invents_heads(shapes: Shapes) -> dict[str, int]:
    return config(shapes) | {"num_attention_heads": 12}


# --- 05.6 -----------------------------------------------------------------------------------------

Loss = tuple[float, np.ndarray]


def cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    stable: bool = True,
    divide: bool = True,
    divide_gradient: bool = True,
    by_all: bool = False,
    ignored: bool = True,
    sign: float = 1.0,
    log: Callable[[Any], Any] = np.log,
    forget_right: bool = False,
    shift: Callable[..., Any] = np.max,
    of_probs: bool = False,
) -> Loss:
    """Right as it stands; each option is a mistake."""
    asked = labels != -100 if ignored else np.ones(len(labels), dtype=bool)
    shifted = logits - (shift(logits, axis=1, keepdims=True) if stable else 0)
    probs = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    rows, right = np.flatnonzero(asked), labels[asked] % logits.shape[1]
    log_sums = log(np.exp(shifted).sum(axis=1))
    losses = -np.log(probs[rows, right]) if of_probs else log_sums[rows] - shifted[rows, right]
    gradient = probs * asked[:, None]
    gradient[rows, right] -= not forget_right
    count = len(labels) if by_all else len(rows)
    return losses.sum() / (count if divide else 1), sign * gradient / (
        count if divide_gradient else 1
    )


def gradient_everywhere(logits: np.ndarray, labels: np.ndarray) -> Loss:
    loss, gradient = cross_entropy(logits, labels)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return loss, np.where((labels != -100)[:, None], gradient, probs / len(labels))


def only_rows_that_are_asked(logits: np.ndarray, labels: np.ndarray) -> Loss:
    loss, gradient = cross_entropy(logits, labels)
    return loss, gradient[labels != -100]


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


WRONG: dict[str, list[Any]] = {
    "1": [
        *(
            with_option(pair, **mistake)
            for mistake in (
                {"last": False},
                {"middle": False},
                {"second_cls": True},
                {"early": 1},
                {"single": 1},
            )
        ),
        searches_for_the_end,
        empty_is_none,
        marks_the_segment_by_a_token,
        lambda *args: pair(*args)[0],
        lambda *args: pair(*args)[::-1],
    ],
    "2": [
        *(
            with_option(pooled, **mistake)
            for mistake in (
                {"row": lambda states: states.mean(axis=1)},
                {"row": lambda states: states[:, -1]},
                {"row": lambda states: states.max(axis=1)},
                {"row": lambda states: states.sum(axis=1)},
                {"row": lambda states: states[0]},
                {"row": lambda states: states},
                {"bend": lambda x: x},
                {"bend": lambda x: 1 / (1 + np.exp(-x))},
                {"turned": False},
                {"shift": False},
            )
        )
    ],
    "3": [
        TABLES + WIDENING + 12 * LAYER + POOLER,
        ALBERT - WIDENING,
        ALBERT - 768,
        ALBERT - 256 + 2 * 768,
        ALBERT - 256,
        ALBERT - POOLER,
        ALBERT - 4 * 768,
        ALBERT - 2 * 768,
        30_514 * 768 + 2 * 768 + LAYER + POOLER,
        109_482_240,
        109_081_344,
        ALBERT + 1,
        12_000_000,
        "11.7 million",
    ],
    "4": [
        16 * 109_482_240 - 840,
        4 * 109_482_240,
        8 * 109_482_240,
        12 * 109_482_240,
        1.75,
        1752,
        16 * 110_106_428,
        16 * 110_000_000,
        16,
        109_482_240,
        "1.75 GB",
    ],
    "5": [
        *(
            with_option(config, **mistake)
            for mistake in (
                {"layers": max},
                {"layers": lambda numbers: max(numbers) + 2},
                {"digits": slice(0, 1)},
                {"swapped": True},
                {"intermediate": lambda shape: shape[1]},
                {"intermediate": lambda shape: 4 * shape[1]},
                {"positions": "token_type"},
            )
        ),
        last_name_in_the_alphabet,
        last_name_in_the_file,
        invents_heads,
        lambda shapes: tuple(config(shapes).values()),
    ],
    "6": [
        *(
            with_option(cross_entropy, **mistake)
            for mistake in (
                {"of_probs": True},
                {"stable": False},
                {"divide": False},
                {"divide_gradient": False},
                {"by_all": True},
                {"ignored": False},
                {"sign": -1.0},
                {"log": np.log2},
                {"forget_right": True},
                {"shift": np.mean},
            )
        ),
        gradient_everywhere,
        only_rows_that_are_asked,
        lambda *args: cross_entropy(*args)[0],
        lambda *args: cross_entropy(*args)[::-1],
    ],
}
GIVEAWAYS = {
    "1": ("len(second) + 1", "[0] *"),
    "2": ("[:, 0]", "weight.T", "tanh("),
    "3": ("11683584", "11,683,584", "11_683_584"),
    "4": ("1751715840", "1,751,715,840", "16 *"),
    "5": ("split", "len("),
    "6": ("np.exp", "logits.max", "/ len("),
}
RIGHT: dict[str, list[Any]] = {
    "1": [
        pair,
        lambda *args: list(pair(*args)),
        lambda *args: tuple(np.array(row) for row in pair(*args)),
    ],
    "2": [
        pooled,
        lambda states, weight, bias: np.tanh(
            np.stack([weight @ rows[0] for rows in states]) + bias
        ),
    ],
    "3": [ALBERT, 11_683_584.0],
    "4": [4 * 4 * 109_482_240, 1_751_715_840.0],
    "5": [config, lambda shapes: dict(sorted(config(shapes).items()))],
    "6": [cross_entropy, lambda *args: list(cross_entropy(*args))],
}
