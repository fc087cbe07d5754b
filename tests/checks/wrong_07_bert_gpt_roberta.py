"""Plausible wrong answers to the exercises of notebook 07, and other right ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# --- 07.1 -----------------------------------------------------------------------------------------


def prefix_mask(
    attention_mask: np.ndarray,
    prefix_lengths: np.ndarray,
    *,
    turned: bool = False,
    strict: bool = False,
    inclusive: bool = False,
    only_prefix_rows: bool = False,
    padding: str = "columns",
    first_only: bool = False,
    numbers: bool = False,
) -> np.ndarray:
    """Right as it stands; each option is a mistake."""
    batch_size, seq_length = attention_mask.shape
    visible = np.zeros((batch_size, seq_length, seq_length), dtype=bool)
    for text in range(batch_size):
        prefix = prefix_lengths[0 if first_only else text] + inclusive
        for row in range(seq_length):
            for column in range(seq_length):
                past = column < row if strict else column <= row
                within = column < prefix and (row < prefix or not only_prefix_rows)
                visible[text, row, column] = past or within
    if padding == "columns":
        visible &= attention_mask.astype(bool)[:, None, :]
    if padding == "rows":
        visible &= attention_mask.astype(bool)[:, :, None]
    if padding == "both":
        visible &= attention_mask.astype(bool)[:, :, None] & attention_mask.astype(bool)[:, None, :]
    visible = visible.transpose(0, 2, 1) if turned else visible
    return visible.astype(float) if numbers else visible


def prefix_sees_only_itself_backwards(
    attention_mask: np.ndarray, prefix_lengths: np.ndarray
) -> np.ndarray:
    causal = np.tril(np.ones((attention_mask.shape[1],) * 2, dtype=bool))
    return causal[None] & attention_mask.astype(bool)[:, None, :]


# --- 07.2 -----------------------------------------------------------------------------------------


def causal_loss(
    logits: np.ndarray,
    ids: np.ndarray,
    mask: np.ndarray,
    *,
    shift: int = 1,
    by_id: bool = False,
    padded: bool = False,
    row_mask: bool = False,
    by_text: bool = False,
    stable: bool = True,
    total: bool = False,
    sign: float = 1.0,
    log: Callable[..., Any] = np.log,
    divide_by_all: bool = False,
    shift_by: Callable[..., Any] = np.max,
) -> float:
    """Right as it stands; each option is a mistake."""
    length = ids.shape[1] - shift
    rows, wanted = logits[:, :length], ids[:, shift:]
    rows = rows - (shift_by(rows, axis=-1, keepdims=True) if stable else 0)
    log_probs = rows / (1 if log is np.log else np.log(2)) - log(
        np.exp(rows).sum(axis=-1, keepdims=True)
    )
    losses = -np.take_along_axis(log_probs, wanted[..., None], axis=-1)[..., 0]  # [batch, length]
    real = mask[:, :length] if row_mask else mask[:, shift:]
    real = wanted != 0 if by_id else np.ones_like(wanted) if padded else real
    if by_text:
        return float(np.mean((losses * real).sum(1) / real.sum(1)))
    return float(
        sign * (losses * real).sum() / (1 if total else ids.size if divide_by_all else real.sum())
    )


# --- 07.3 -----------------------------------------------------------------------------------------


def warm(
    logits: np.ndarray,
    temperature: float,
    *,
    multiply: bool = False,
    zero: str = "first",
    stable: bool = True,
    power: float = 1.0,
) -> np.ndarray:
    """Right as it stands; each option is a mistake."""
    if temperature == 0 and zero == "first":
        return np.eye(len(logits))[int(np.argmax(logits))]
    if temperature == 0 and zero == "shared":
        best = logits == logits.max()
        return best / best.sum()
    if temperature == 0 and zero == "last":
        return np.eye(len(logits))[np.flatnonzero(logits == logits.max())[-1]]
    scaled = logits * temperature if multiply else logits / temperature**power
    grown = np.exp(scaled - (scaled.max() if stable else 0))
    return grown / grown.sum()


def divides_the_probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    probs = np.exp(logits) / np.exp(logits).sum()
    return probs / (temperature or 1)


# --- 07.4 -----------------------------------------------------------------------------------------


def nucleus(
    probs: np.ndarray,
    p: float,
    *,
    renormalize: bool = True,
    one_more: bool = False,
    short: bool = False,
    sorted_out: bool = False,
    all_ties: bool = False,
    later_first: bool = False,
    by_threshold: bool = False,
) -> np.ndarray:
    """Right as it stands; each option is a mistake."""
    order = sorted(
        range(len(probs)), key=lambda token: (-probs[token], -token if later_first else token)
    )
    kept: list[int] = []
    for token in order:
        have = sum(probs[other] for other in kept)
        if short and have + probs[token] > p:
            break
        if have > p or (have == p and not one_more):
            break
        kept.append(token)
    if all_ties:
        kept = [token for token in range(len(probs)) if probs[token] >= probs[kept[-1]]]
    if by_threshold:
        kept = [token for token in range(len(probs)) if probs[token] >= 1 - p]
    result = np.zeros_like(probs)
    result[kept] = probs[kept]
    result = result[order] if sorted_out else result
    return result / result.sum() if renormalize else result


def first_ones_as_they_come(probs: np.ndarray, p: float) -> np.ndarray:
    kept = np.where(np.cumsum(probs) - probs < p, probs, 0)
    return kept / kept.sum()


# --- 07.5 -----------------------------------------------------------------------------------------

LogProbs = Sequence[Sequence[float]]


def flat(texts: LogProbs) -> list[float]:
    return [value for text in texts for value in text]


def by_product(texts: LogProbs) -> float:
    return float(np.prod(np.exp(flat(texts))) ** (-1 / len(flat(texts))))


def mean_of_texts(texts: LogProbs) -> float:
    return float(np.mean([np.exp(-np.mean(text)) for text in texts if text]))


def mean_of_mean_losses(texts: LogProbs) -> float:
    return float(np.exp(np.mean([-np.mean(text) for text in texts if text])))


def one_over_mean_probability(texts: LogProbs) -> float:
    return float(1 / np.mean(np.exp(flat(texts))))


# --- 07.6 -----------------------------------------------------------------------------------------

TASKS = {
    "finish a half-typed sentence": "causal",
    "restore a word under an ink blot": "masked",
    "sort reviews into good and bad": "masked",
    "answer in a chat, word by word": "causal",
    "find the odd word in a finished sentence": "masked",
}


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


WRONG: dict[str, list[Any]] = {
    "1": [
        *(
            with_option(prefix_mask, **mistake)
            for mistake in (
                {"turned": True},
                {"strict": True},
                {"inclusive": True},
                {"only_prefix_rows": True, "strict": True},
                {"padding": "none"},
                {"padding": "rows"},
                {"padding": "both"},
                {"first_only": True},
                {"numbers": True},
            )
        ),
        prefix_sees_only_itself_backwards,
        lambda *args: prefix_mask(*args)[:, None],
    ],
    "2": [
        *(
            with_option(causal_loss, **mistake)
            for mistake in (
                {"shift": 0},
                {"shift": 2},
                {"by_id": True},
                {"padded": True},
                {"row_mask": True},
                {"by_text": True},
                {"stable": False},
                {"total": True},
                {"sign": -1.0},
                {"log": np.log2},
                {"divide_by_all": True},
                {"shift_by": np.mean},
                {"shift_by": lambda rows, **of_a_row: np.max(rows)},
            )
        )
    ],
    "3": [
        *(
            with_option(warm, **mistake)
            for mistake in (
                {"multiply": True},
                {"zero": "shared"},
                {"zero": "last"},
                {"zero": "none"},
                {"stable": False},
                {"power": 2.0},
            )
        ),
        divides_the_probabilities,
    ],
    "4": [
        *(
            with_option(nucleus, **mistake)
            for mistake in (
                {"renormalize": False},
                {"one_more": True},
                {"short": True},
                {"sorted_out": True},
                {"all_ties": True},
                {"later_first": True},
                {"by_threshold": True},
            )
        ),
        first_ones_as_they_come,
    ],
    "5": [
        by_product,
        mean_of_texts,
        mean_of_mean_losses,
        one_over_mean_probability,
        lambda texts: float(-np.mean(flat(texts))),
        lambda texts: float(2 ** -np.mean(flat(texts))),
        lambda texts: float(np.exp(np.mean(flat(texts)))),
        lambda texts: float(np.exp(-np.sum(flat(texts)))),
    ],
    "6": [
        dict.fromkeys(TASKS, "causal"),
        dict.fromkeys(TASKS, "masked"),
        TASKS | {"sort reviews into good and bad": "causal"},
        TASKS | {"restore a word under an ink blot": "BERT"},
        [*TASKS.values()],
        {"causal": 2, "masked": 3},
    ],
}
GIVEAWAYS = {
    "1": ("np.tril", "<=", "|"),
    "2": ("[:, 1:]", "[:, :-1]", "take_along"),
    "3": ("np.exp", "logits /", "argmax(logits"),
    "4": ("cumsum", "argsort", "< p"),
    "5": ("np.exp", "np.mean", "exp(-"),
    "6": ("is causal", "is masked", '"causal",'),
}
RIGHT: dict[str, list[Any]] = {
    "1": [prefix_mask, with_option(prefix_mask, only_prefix_rows=True)],
    "2": [causal_loss, lambda *args: np.float64(causal_loss(*args))],
    "3": [warm],
    "4": [nucleus],
    "5": [lambda texts: float(np.exp(-np.mean(flat(texts))))],
    "6": [TASKS, dict(reversed(TASKS.items()))],
}
