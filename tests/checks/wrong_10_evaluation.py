"""Plausible wrong answers to the exercises of notebook 10, and other right ones."""

from collections.abc import Callable, Sequence
from math import comb
from typing import Any

import numpy as np

Array = np.ndarray

# --- 10.1 -----------------------------------------------------------------------------------------


def f1(
    tp: int,
    fp: int,
    fn: int,
    *,
    mean: Callable[[float, float], float] = lambda p, r: 2 * p * r / (p + r),
) -> float:
    """Right as it stands, but for the mean."""
    return mean(tp / (tp + fp), tp / (tp + fn)) if tp else 0.0


# --- 10.2 -----------------------------------------------------------------------------------------


def threshold(
    scores: Array,
    wanted: Array,
    recall: float,
    *,
    ours: bool = True,
    shift: int = 0,
    rising: bool = False,
    rounding: Callable[[Any], Any] = np.ceil,
    sort: Callable[[Any], Any] = np.sort,
) -> float:
    """Right as it stands; each option is a mistake."""
    kept = sort(scores[wanted] if ours else scores)
    place = int(rounding(recall * len(kept) - 1e-9)) - 1 + shift
    return float((kept if rising else kept[::-1])[np.clip(place, 0, len(kept) - 1)])


# --- 10.3 and 10.8 --------------------------------------------------------------------------------


def p_value(one: int, other: int, *, sides: int = 2, cap: float = 1.0, beyond: int = 1) -> float:
    """Right as it stands; each option is a mistake."""
    total = one + other
    return min(
        cap, sides * sum(comb(total, heads) for heads in range(min(one, other) + beyond)) / 2**total
    )


def mcnemar(
    first: Sequence[bool],
    second: Sequence[bool],
    *,
    order: int = 1,
    cells: str = "differ",
    **mistake: Any,
) -> tuple[int, int, float]:
    """Right as it stands; each option is a mistake."""
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if cells == "right":
        one, other = a.sum(), b.sum()
    elif cells == "same":
        one, other = (a & b).sum(), (~a & ~b).sum()
    else:
        one, other = (a & ~b).sum(), (~a & b).sum()
    return (*(int(one), int(other))[::order], p_value(int(one), int(other), **mistake))


def chi_square(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    from math import erfc, sqrt

    one, other, _ = mcnemar(first, second)
    return one, other, erfc(sqrt((one - other) ** 2 / max(1, one + other) / 2))


def decide(
    only_a: int,
    only_b: int,
    count: int,
    least: float,
    *,
    enough: bool = True,
    worse: bool = True,
    share: bool = True,
    strict: bool = False,
    shown_is_enough: bool = False,
    **mistake: Any,
) -> str:
    """Right as it stands; each option is a mistake."""
    shown = p_value(only_a, only_b, **mistake) < 0.05
    gain = (only_b - only_a) / (count if share else max(1, only_a + only_b))
    if not worse:
        gain = abs(gain)
    if gain < 0 or (enough and shown and (gain <= least if strict else gain < least)):
        return "keep"
    return "replace" if shown or (shown_is_enough and gain >= least) else "undecided"


# --- 10.4 -----------------------------------------------------------------------------------------


def apart(labels: Array, predictions: Array, draws: Array) -> Array:
    return (labels[draws] == predictions[draws[::-1]]).mean(axis=1)


def labels_drawn_alone(labels: Array, predictions: Array, draws: Array) -> Array:
    return (labels[draws] == predictions[: draws.shape[1]]).mean(axis=1)


def without_repeats(labels: Array, predictions: Array, draws: Array) -> Array:
    return np.array([(labels == predictions)[np.unique(row)].mean() for row in draws])


# --- 10.5 -----------------------------------------------------------------------------------------


def error(
    confidences: Array,
    correct: Array,
    num_bins: int,
    *,
    weighted: bool = True,
    side: str = "left",
    by: Array | None = None,
    start: float = 0.0,
    power: int = 1,
) -> float:
    """Right as it stands; each option is a mistake."""
    edges = np.linspace(start, 1, num_bins + 1)
    places = np.searchsorted(edges[1:-1], confidences if by is None else by, side=side)
    gaps = {
        place: abs(correct[places == place].mean() - confidences[places == place].mean()) ** power
        for place in np.unique(places)
    }
    weights = [(places == place).mean() if weighted else 1 / len(gaps) for place in gaps]
    return float(np.dot(list(gaps.values()), weights))


# --- 10.6 -----------------------------------------------------------------------------------------


def temperature(
    logits: Array,
    labels: Array,
    grid: Array,
    *,
    stable: bool = True,
    times: bool = False,
    best: Callable[[Any], Any] = np.argmin,
    loss: Callable[[Any], Any] | None = None,
    measure: Callable[[Array, Array], float] | None = None,
) -> float:
    """Right as it stands; each option is a mistake."""
    losses = []
    for t in grid:
        scaled = logits * t if times else logits / t
        shifted = scaled - (scaled.max(axis=1, keepdims=True) if stable else 0)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        of_label, probs = log_probs[np.arange(len(labels)), labels], np.exp(log_probs)
        losses.append(
            measure(probs, labels)
            if measure
            else np.mean(loss(np.exp(of_label)) if loss else -of_label)
        )
    return float(grid[int(best(losses))])


def brier_score(probs: Array, labels: Array) -> float:
    return float(((probs - np.eye(probs.shape[1])[labels]) ** 2).sum(axis=1).mean())


def calibration_error(probs: Array, labels: Array, *, num_bins: int = 15) -> float:
    return error(probs.max(axis=1), probs.argmax(axis=1) == labels, num_bins)


# --- 10.7 -----------------------------------------------------------------------------------------


def expand(
    text: str,
    *,
    irregular: Sequence[tuple[str, str]] = (
        ("can't", "cannot"),
        ("won't", "will not"),
        ("Can't", "Cannot"),
        ("Won't", "Will not"),
    ),
    gap: str = " ",
    count: int = -1,
) -> str:
    """Right as it stands; each option is a mistake."""
    for short, whole in irregular:
        text = text.replace(short, whole)
    return text.replace("n't", f"{gap}not", count)


def word_by_word(text: str) -> str:
    words = {"can't": "cannot", "won't": "will not", "Can't": "Cannot", "Won't": "Will not"}
    return " ".join(words.get(word, word.replace("n't", " not")) for word in text.split(" "))


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


def options(right: Callable[..., Any], *mistakes: dict[str, Any]) -> list[Callable[..., Any]]:
    return [with_option(right, **mistake) for mistake in mistakes]


WRONG: dict[str, list[Any]] = {
    "1": [
        *options(
            f1,
            *(
                {"mean": mean}
                for mean in (
                    lambda p, r: (p + r) / 2,
                    lambda p, r: (p * r) ** 0.5,
                    lambda p, r: p * r / (p + r),
                    min,
                )
            ),
        ),
        lambda tp, fp, fn: tp / (tp + fp),
        lambda tp, fp, fn: tp / (tp + fn),
        lambda tp, fp, fn: f1(tp, tp, fn),
        lambda tp, fp, fn: 2 * tp / (2 * tp + fp + fn),
    ],
    "2": [
        *options(
            threshold,
            {"ours": False},
            {"rounding": np.floor},
            {"rounding": np.round},
            {"shift": 1},
            {"shift": -1},
            {"rising": True},
            {"sort": np.unique},
        ),
        lambda scores, wanted, recall: float(np.quantile(scores[wanted], 1 - recall)),
        lambda scores, wanted, recall: float(scores[wanted].min()),
        lambda scores, wanted, recall: 1 - recall,
    ],
    "3": [
        *options(
            mcnemar,
            {"order": -1},
            {"cells": "right"},
            {"cells": "same"},
            {"sides": 1},
            {"cap": 9.0},
            {"beyond": 0},
        ),
        chi_square,
        lambda *args: mcnemar(*args)[2],
        lambda *args: mcnemar(*args)[:2],
    ],
    "4": [
        apart,
        labels_drawn_alone,
        without_repeats,
        lambda labels, predictions, draws: np.full(len(draws), (labels == predictions).mean()),
        lambda labels, predictions, draws: (labels == predictions)[draws].mean(),
        lambda labels, predictions, draws: (labels == predictions)[draws].sum(axis=1),
        lambda labels, predictions, draws: (
            1 - np.abs(labels[draws] - predictions[draws]).mean(axis=1)
        ),
    ],
    "5": [
        *options(error, {"weighted": False}, {"side": "right"}, {"start": 0.5}, {"power": 2}),
        lambda conf, right, bins: abs(right.mean() - conf.mean()),
        lambda conf, right, bins: np.abs(right - conf).mean(),
        lambda conf, right, bins: error(conf, right, bins, by=right.astype(float)),
        lambda conf, right, bins: error(conf, right, 10),
    ],
    "6": [
        lambda logits, labels, grid: float(
            grid[
                np.argmin(
                    [
                        np.mean(
                            [
                                -row[label] + np.log(np.exp(row).sum())
                                for row, label in zip(
                                    np.clip(logits / t, -500, 500), labels, strict=True
                                )
                            ]
                        )
                        for t in grid
                    ]
                )
            ]
        ),
        *options(
            temperature,
            {"stable": False},
            {"times": True},
            {"best": np.argmax},
            {"loss": lambda p: 1 - p},
            {"loss": lambda p: np.log(p)},
            {"loss": lambda p: -np.log(p)},
            {"loss": lambda p: -np.log(np.clip(p, 1e-7, 1))},
            {"measure": brier_score},
            {"measure": calibration_error},
            {"measure": with_option(calibration_error, num_bins=1)},
        ),
        lambda logits, labels, grid: float(grid[0]),
        lambda logits, labels, grid: int(temperature(logits, labels, grid) > 1),
        lambda logits, labels, grid: 1 / temperature(logits, labels, grid),
    ],
    "7": [
        *options(
            expand,
            {"irregular": ()},
            {"irregular": (("can't", "cannot"),)},
            {"gap": ""},
            {"count": 1},
            {"irregular": (("can't", "cannot"), ("won't", "will not"))},
        ),
        lambda text: expand(text.lower()),
        lambda text: text.replace(" didn't", " did not"),
        word_by_word,
        str.split,
    ],
    "8": [
        *options(
            decide,
            {"enough": False},
            {"worse": False},
            {"share": False},
            {"strict": True},
            {"sides": 1},
            {"shown_is_enough": True},
        ),
        lambda a, b, count, least: "replace" if b > a else "keep",
        lambda a, b, count, least: decide(b, a, count, least),
    ],
}
GIVEAWAYS = {
    "1": ("2 * true_pos", "false_pos + false_neg", "if true_pos"),
    "2": ("ceil", "[::-1]", "np.sort"),
    "3": ("first & ~second", "only_first", "comb"),
    "4": ("[draws]", "labels == predictions", "axis=1"),
    "5": ("searchsorted", "linspace", "bincount"),
    "6": ("argmin", ".max(", "np.exp"),
    "7": ("cannot", "will not", "replace("),
    "8": ("< 0.05 and", "only_b - only_a", "/ num_examples"),
}
RIGHT: dict[str, list[Any]] = {
    "1": [f1, lambda tp, fp, fn: tp and 2 / (2 + (fp + fn) / tp)],
    "2": [
        threshold,
        lambda scores, wanted, recall: max(
            score for score in scores[wanted] if np.mean(scores[wanted] >= score) >= recall
        ),
    ],
    "3": [mcnemar, lambda *args: list(mcnemar(*args))],
    "4": [
        lambda labels, predictions, draws: (labels[draws] == predictions[draws]).mean(axis=1),
        lambda labels, predictions, draws: [
            float((labels == predictions)[row].mean()) for row in draws
        ],
    ],
    "5": [error, lambda conf, right, bins: np.float64(error(conf, right, bins))],
    "6": [temperature, lambda logits, labels, grid: np.float64(temperature(logits, labels, grid))],
    "7": [expand, lambda text: np.str_(expand(text))],
    "8": [decide, lambda *args: np.str_(decide(*args))],
}
