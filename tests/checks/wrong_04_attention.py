"""Plausible wrong answers to the exercises of notebook 04, and other right ones."""

from collections.abc import Callable
from typing import Any

import numpy as np


def softmax(
    scores: np.ndarray, axis: int | None = -1, shift: Callable[..., Any] = np.max
) -> np.ndarray:
    shares = np.exp(scores - shift(scores, axis=axis, keepdims=True))
    return shares / shares.sum(axis=axis, keepdims=True)


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


# --- 04.1 -----------------------------------------------------------------------------------------

Row = tuple[np.ndarray, np.ndarray]


def attend_one(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    *,
    divisor: Callable[..., float] = lambda query, keys, values: np.sqrt(len(query)),
    shift: Callable[..., Any] = np.max,
) -> Row:
    """Right as it stands; another divisor is a mistake, and so is another shift."""
    shares = softmax(keys @ query / divisor(query, keys, values), shift=shift)
    return shares, shares @ values


def overflows(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> Row:
    shares = np.exp(keys @ query / np.sqrt(len(query)))
    return shares / shares.sum(), shares @ values / shares.sum()


def shares_by_plain_division(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> Row:
    shares = keys @ query / max(1e-9, np.sum(keys @ query))
    return shares, shares @ values


def only_the_loudest(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> Row:
    shares = np.eye(len(keys))[(keys @ query).argmax()]
    return shares, shares @ values


def context_only(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    return attend_one(query, keys, values)[1]


# --- 04.2 -----------------------------------------------------------------------------------------


def softmax_gradient(
    scores: np.ndarray, for_probs: np.ndarray, *, axis: int | None = -1
) -> np.ndarray:
    """Right as it stands; another axis is a mistake."""
    probs = softmax(scores)
    return probs * (for_probs - (probs * for_probs).sum(axis=axis, keepdims=True))


def own_share_only(scores: np.ndarray, for_probs: np.ndarray) -> np.ndarray:
    return softmax(scores) * (1 - softmax(scores)) * for_probs


def no_average(scores: np.ndarray, for_probs: np.ndarray) -> np.ndarray:
    return softmax(scores) * for_probs


def plain_average(scores: np.ndarray, for_probs: np.ndarray) -> np.ndarray:
    return softmax(scores) * (for_probs - for_probs.mean(axis=-1, keepdims=True))


def shares_forgotten(scores: np.ndarray, for_probs: np.ndarray) -> np.ndarray:
    return for_probs - (softmax(scores) * for_probs).sum(axis=-1, keepdims=True)


# --- 04.3 -----------------------------------------------------------------------------------------


def masked_shares(
    scores: np.ndarray,
    attention_mask: np.ndarray,
    causal: bool,
    *,
    hidden: float = -1e300,
    rows: bool = False,
    triangle: Callable[[np.ndarray], np.ndarray] = np.tril,
) -> np.ndarray:
    """Right as it stands; each option is a mistake."""
    visible = (attention_mask[:, :, None] if rows else attention_mask[:, None, :]) * np.ones(
        scores.shape
    )
    if causal:
        visible = visible * triangle(np.ones(scores.shape[1:]))
    return softmax(np.where(visible == 1, scores, hidden))


def as_printed(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> np.ndarray:
    shares = softmax(scores) * attention_mask[:, None, :]
    return shares * np.triu(np.ones(scores.shape[1:])) if causal else shares


def mask_as_a_factor(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> np.ndarray:
    return softmax(scores * attention_mask[:, None, :])


def divides_what_is_left(
    scores: np.ndarray, attention_mask: np.ndarray, causal: bool
) -> np.ndarray:
    shares = (
        np.exp(scores) * attention_mask[:, None, :] * (np.tri(scores.shape[1]) if causal else 1)
    )
    return shares / shares.sum(axis=-1, keepdims=True)


def softmax_before_mask(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> np.ndarray:
    return divides_what_is_left(np.log(softmax(scores)), attention_mask, causal)


# --- 04.4 -----------------------------------------------------------------------------------------


def reshaped_only(projected: np.ndarray, num_heads: int) -> np.ndarray:
    return projected.reshape(len(projected), num_heads, projected.shape[1], -1)


def interleaved(projected: np.ndarray, num_heads: int) -> np.ndarray:
    return projected.reshape(*projected.shape[:2], -1, num_heads).transpose(0, 3, 1, 2)


def heads_behind_words(projected: np.ndarray, num_heads: int) -> np.ndarray:
    return projected.reshape(*projected.shape[:2], num_heads, -1)


def width_before_words(projected: np.ndarray, num_heads: int) -> np.ndarray:
    return projected.reshape(*projected.shape[:2], num_heads, -1).transpose(0, 2, 3, 1)


def heads_before_texts(projected: np.ndarray, num_heads: int) -> np.ndarray:
    return np.stack(np.split(projected, num_heads, axis=-1))


# --- 04.6 -----------------------------------------------------------------------------------------

Gradients = tuple[np.ndarray, np.ndarray, np.ndarray]


def gradients(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    for_context: np.ndarray,
    *,
    axis: int | None = 1,
    root: float = 0.5,
    turned: bool = True,
    average: bool = True,
) -> Gradients:
    """Right as it stands; each option is a mistake."""
    width = query.shape[1]
    probs, for_probs = softmax(query @ key.T / width**0.5), for_context @ value.T
    for_scores = (
        probs
        * (for_probs - average * (probs * for_probs).sum(axis=axis, keepdims=True))
        / width**root
    )
    return (
        for_scores @ key,
        (for_scores.T if turned else for_scores) @ query,
        (probs.T if turned else probs) @ for_context,
    )


def key_and_query_exchanged(*args: np.ndarray) -> Gradients:
    for_query, for_key, for_value = gradients(*args)
    return for_key, for_query, for_value


WRONG: dict[str, list[Any]] = {
    "1": [
        with_option(attend_one, divisor=lambda *args: 1.0),
        with_option(attend_one, divisor=lambda query, keys, values: len(query)),
        with_option(attend_one, divisor=lambda query, keys, values: np.sqrt(len(keys))),
        with_option(attend_one, divisor=lambda query, keys, values: np.sqrt(values.shape[1])),
        with_option(attend_one, shift=np.mean),
        overflows,
        shares_by_plain_division,
        only_the_loudest,
        context_only,
    ],
    "2": [
        own_share_only,
        no_average,
        plain_average,
        shares_forgotten,
        with_option(softmax_gradient, axis=None),
        with_option(softmax_gradient, axis=0),
        lambda *args: -softmax_gradient(*args),
    ],
    "3": [
        as_printed,
        mask_as_a_factor,
        divides_what_is_left,
        softmax_before_mask,
        *(
            with_option(masked_shares, **mistake)
            for mistake in (
                {"hidden": 0.0},
                {"hidden": -1e4},
                {"rows": True},
                {"triangle": np.triu},
                {"triangle": lambda ones: np.tril(ones, -1)},
                {"triangle": lambda ones: ones},
            )
        ),
    ],
    "4": [reshaped_only, interleaved, heads_behind_words, width_before_words, heads_before_texts],
    "5": [1536, 3072, 9216, 2304, 512, 768, 2 * 768 * 768],
    "6": [
        with_option(gradients, root=0.0),
        with_option(gradients, root=1.0),
        with_option(gradients, turned=False),
        with_option(gradients, average=False),
        with_option(gradients, axis=0),
        with_option(gradients, axis=None),
        key_and_query_exchanged,
        lambda *args: tuple(-gradient for gradient in gradients(*args)),
    ],
}
GIVEAWAYS = {
    "1": ("sqrt", "max", "exp("),
    "2": ("probs *", "keepdims"),
    "3": ("np.tri", "-np.inf", "np.where"),
    "4": ("transpose", "swapaxes", "[0, 2, 1, 3]", "(0, 2, 1, 3)"),
    "5": ("4608", "4,608", "4_608", "6 * 768", "6h"),
    "6": (".T", "@", "sqrt"),
}
RIGHT: dict[str, list[Any]] = {
    "1": [attend_one, lambda *args: list(attend_one(*args))],
    "2": [softmax_gradient],
    "3": [masked_shares],
    "4": [
        lambda projected, num_heads: np.einsum(
            "bshd->bhsd", projected.reshape(*projected.shape[:2], num_heads, -1)
        )
    ],
    "5": [4608.0, 6 * 768],
    "6": [gradients],
}
