"""Plausible wrong answers to the exercises of notebook 03, and other right ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

# --- 03.1 -----------------------------------------------------------------------------------------


def square_of_the_text(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    return np.eye(len(ids), len(table)) @ table


def too_few_columns(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    return np.eye(ids.max() + 1)[ids] @ table[: ids.max()]


def one_row_for_all(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    ones = np.zeros(len(table))
    ones[ids] = 1
    return ones @ table


def transposed(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    return (np.eye(len(table))[ids] @ table).T


# --- 03.2 -----------------------------------------------------------------------------------------

Gradients = tuple[np.ndarray, np.ndarray, np.ndarray]


def gradients(
    center: np.ndarray,
    context: np.ndarray,
    negatives: np.ndarray,
    *,
    label: float = 1.0,
    noise_sign: float = 1.0,
    squash: Callable[[Any], Any] | None = None,
) -> Gradients:
    """Right as it stands; each option is a mistake."""
    sigmoid = squash or (lambda score: 1 / (1 + np.exp(-score)))
    error, errors = sigmoid(context @ center) - label, noise_sign * sigmoid(negatives @ center)
    return error * context + errors @ negatives, error * center, errors[:, None] * center


def ascends(*args: np.ndarray) -> Gradients:
    return tuple(-gradient for gradient in gradients(*args))


def averages_the_noise(center: np.ndarray, context: np.ndarray, negatives: np.ndarray) -> Gradients:
    to_center, to_context, to_negatives = gradients(center, context, negatives)
    only_context = gradients(center, context, negatives[:0])[0]
    return (
        only_context + (to_center - only_context) / len(negatives),
        to_context,
        to_negatives / len(negatives),
    )


def sums_over_the_noise(*args: np.ndarray) -> Gradients:
    to_center, to_context, to_negatives = gradients(*args)
    return to_center, to_context, to_negatives.sum(axis=0)


# --- 03.3 -----------------------------------------------------------------------------------------


def counts_padding(hidden_states: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    return hidden_states.mean(axis=1)


def divides_by_all(hidden_states: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    return (hidden_states * attention_mask[:, :, None]).mean(axis=1)


def sums_padding(hidden_states: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    return hidden_states.sum(axis=1) / np.maximum(1, attention_mask.sum(axis=1, keepdims=True))


def divides_by_zero(hidden_states: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (hidden_states * attention_mask[:, :, None]).sum(axis=1) / attention_mask.sum(
            axis=1, keepdims=True
        )


def guesses_padding_from_zeros(hidden_states: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    real = hidden_states * attention_mask[:, :, None]
    return real.sum(axis=1) / np.maximum(1, real.any(axis=2).sum(axis=1, keepdims=True))


# --- 03.5 -----------------------------------------------------------------------------------------


def layer_norm(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    *,
    axis: int = -1,
    ddof: int = 0,
    outside: bool = False,
    shift: bool = True,
) -> np.ndarray:
    """Right as it stands; each option is a mistake."""
    centered, variance = (
        x - x.mean(axis=axis, keepdims=True),
        x.var(axis=axis, ddof=ddof, keepdims=True),
    )
    scale = np.sqrt(variance) + eps if outside else np.sqrt(variance + eps)
    return gamma * centered / scale + shift * beta


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


PLAN = {
    "change": "window",
    "values": [1, 5],
    "measure": "neighbours of fixed words, judged by a fixed list",
    "num_seeds": 3,
}
WRONG: dict[str, list[Any]] = {
    "1": [square_of_the_text, too_few_columns, one_row_for_all, transposed],
    "2": [
        ascends,
        averages_the_noise,
        sums_over_the_noise,
        with_option(gradients, label=0.0),
        with_option(gradients, noise_sign=-1.0),
        with_option(gradients, squash=np.tanh),
        lambda *args: gradients(*args)[::-1],
    ],
    "3": [
        counts_padding,
        divides_by_all,
        sums_padding,
        divides_by_zero,
        guesses_padding_from_zeros,
    ],
    "4": [
        30_522 * 768,
        31_036 * 768,
        31_034 * 768,
        31_036 * 768 + 2,
        31_036 * 768 + 768,
        23_837_186,
        110_000_000,
    ],
    "5": [
        with_option(layer_norm, axis=0),
        with_option(layer_norm, ddof=1),
        with_option(layer_norm, outside=True),
        with_option(layer_norm, axis=1),
        with_option(layer_norm, shift=False),
    ],
    "6": [
        {**PLAN, "change": "learning_rate"},
        {**PLAN, "values": [5]},
        {**PLAN, "values": [5, 5]},
        {**PLAN, "measure": "held-out loss"},
        {**PLAN, "num_seeds": 1},
        {**PLAN, "measure": "training loss, not neighbours"},
        {**PLAN, "measure": ["training loss", "neighbours"]},
        {**PLAN, "num_seeds": [0, 1, 2]},
        {"change": "window"},
        "a larger window",
    ],
}
GIVEAWAYS = {
    "1": ("np.eye(len(table))", "table[ids]"),
    "2": ("- 1)", "[:, None]"),
    "3": ("np.maximum", "[:, :, None]"),
    "4": ("23837184", "23,837,184", "23_837_184"),
    "5": ("axis=-1", "ddof=0"),
    "6": ('window"', "at least 3"),
}
RIGHT: dict[str, list[Any]] = {
    "1": [
        lambda ids, table: table[ids],
        lambda ids, table: (np.arange(len(table)) == ids[:, None]) @ table,
    ],
    "2": [gradients, lambda *args: list(gradients(*args))],
    "3": [
        lambda hidden_states, attention_mask: np.stack(
            [
                real.sum(axis=0) / max(1, len(real))
                for real in (
                    rows[mask == 1]
                    for rows, mask in zip(hidden_states, attention_mask, strict=True)
                )
            ]
        )
    ],
    "4": [23_837_184.0],
    "5": [layer_norm],
    "6": [
        PLAN,
        {**PLAN, "values": (2, 4, 8)},
        {**PLAN, "values": {2, 10}},
        {**PLAN, "values": range(1, 6)},
        {**PLAN, "values": np.array([2, 10])},
        {**PLAN, "values": [np.int64(2), np.int32(8)], "num_seeds": np.int64(3)},
    ],
}
