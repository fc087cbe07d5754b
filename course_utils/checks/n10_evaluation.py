"""The exercises of notebook 10: F1, a threshold, two bugs, calibration, a temperature,
an invariance, a decision.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np

from course_utils.checks.engine import Case, Exercise

Array = np.ndarray

# --- 10.1: F1 -------------------------------------------------------------------------------------


def _f1(true_pos: int, false_pos: int, false_neg: int) -> float:
    return 2 * true_pos / (2 * true_pos + false_pos + false_neg) if true_pos else 0.0


def _f1_cases() -> list[Case]:
    return [
        Case(
            args=(5, 0, 0),
            hint="All found, no false alarm: precision and recall are 1, and so is their mean.",
        ),
        Case(
            args=(1, 3, 0),
            hint="Precision 1/4, recall 1. The harmonic mean is twice the product over the sum.",
        ),
        Case(
            args=(32, 194, 18),
            hint="Which of the counts belong to the alarms, and which to the complaints?",
        ),
        Case(
            args=(2, 1, 6),
            hint="Precision and recall are different shares here: each counts what the other does "
            "not.",
        ),
        Case(
            args=(0, 4, 3), hint="Nothing found: both shares are 0, and 0 cannot be divided by 0."
        ),
        Case(
            args=(0, 0, 0),
            hint="Nothing to find and no alarm: a share of nothing counts as 0 here.",
        ),
    ]


# --- 10.2: a threshold ----------------------------------------------------------------------------


def _threshold(scores: Array, wanted: Array, recall: float) -> float:
    ours = np.sort(scores[wanted])
    reached = np.array([(ours >= score).mean() for score in ours])  # falls with the score
    return float(ours[reached >= recall - 1e-9].max())


def _threshold_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    scores, wanted = rng.random(40), rng.random(40) < 0.4
    return [
        Case(
            args=(np.array([0.9, 0.2]), np.array([True, False]), 1.0),
            hint="One complaint: it is found as long as the threshold does not exceed its score.",
        ),
        Case(
            args=(np.array([0.9, 0.7, 0.5, 0.3]), np.array([True] * 4), 0.5),
            hint="Half of four complaints: the two most suspicious. "
            "Where may the threshold be at most?",
        ),
        Case(
            args=(np.array([0.1, 0.8, 0.6, 0.4]), np.array([False, True, False, True]), 1.0),
            hint="Only complaints count for the recall: leave out the others.",
        ),
        Case(
            args=(np.array([0.9, 0.7, 0.5]), np.array([True] * 3), 0.5),
            hint="A half of three is one and a half: one is not enough, so it takes two.",
        ),
        Case(
            args=(np.array([0.4, 0.8, 0.8, 0.8]), np.array([True] * 4), 0.25),
            hint="Ties: who reaches the threshold is found, three at once here.",
        ),
        Case(
            args=(np.array([0.9, 0.5, 0.5, 0.5]), np.array([True] * 4), 0.5),
            hint="Four complaints, though three have the same score: half of four is two.",
        ),
        Case(
            args=(scores, wanted, 0.9),
            hint="Put the complaints in order, the highest score first. How many must be in?",
        ),
    ]


# --- 10.3: McNemar --------------------------------------------------------------------------------


def _mcnemar(first_right: Any, second_right: Any) -> tuple[int, int, float]:
    first, second = (np.asarray(values, dtype=bool) for values in (first_right, second_right))
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    return only_first, only_second, _p_value(only_first, only_second)


def _p_value(only_first: int, only_second: int) -> float:
    total = only_first + only_second
    tail = sum(comb(total, heads) for heads in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**total)


def _answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[Array, Array]:
    counts = (both, only_first, only_second, neither)
    return (
        np.repeat([True, True, False, False], counts),
        np.repeat([True, False, True, False], counts),
    )


def _mcnemar_cases() -> list[Case]:
    return [
        Case(
            args=([True, False], [False, True]),
            hint="Each has one review that the other has not: as even as can be, "
            "and a probability is at most 1.",
        ),
        Case(
            args=_answers(18, 0, 6, 0),
            hint="Six coins, all on one side: that is 1/64 on either side. And what "
            "only the first has right comes first.",
        ),
        Case(
            args=_answers(900, 5, 15, 80),
            hint="Reviews on which both are right, or both wrong, tell nothing about "
            "which is better.",
        ),
        Case(
            args=_answers(10, 15, 5, 3),
            hint="The order is: only the first, only the second. A test on two sides "
            "does not care which is larger.",
        ),
        Case(
            args=_answers(4, 0, 0, 2),
            hint="No review on which they differ: nothing speaks against equality, so p is 1.",
        ),
    ]


# --- 10.4: the bootstrap --------------------------------------------------------------------------


def _resampled(labels: Array, predictions: Array, draws: Array) -> Array:
    return (labels == predictions)[draws].mean(axis=1)


def _bootstrap_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 30)
    return [
        Case(
            args=(np.array([0, 1]), np.array([0, 1]), np.array([[0, 0], [1, 0]])),
            hint="Perfect predictions stay perfect: "
            "a review and what was said of it are drawn together.",
        ),
        Case(
            args=(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([[1, 1, 1], [0, 2, 1]])),
            hint="A review that is drawn three times counts three times.",
        ),
        Case(
            args=(
                labels,
                np.where(rng.random(30) < 0.8, labels, 1 - labels),
                rng.integers(0, 30, (4, 30)),
            ),
            hint="One accuracy a row of draws, from exactly the reviews of that row.",
        ),
        Case(
            args=(np.array([2, 0, 1]), np.array([2, 2, 1]), np.array([[0, 2], [1, 0]])),
            hint="Labels may be more than two, and a draw smaller than the whole.",
        ),
    ]


# --- 10.5: the calibration error ------------------------------------------------------------------


def _error(confidences: Array, correct: Array, num_bins: int) -> float:
    edges = np.linspace(0, 1, num_bins + 1)
    places = np.searchsorted(edges[1:-1], confidences)
    gaps = np.bincount(places, weights=correct - confidences, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(confidences))


def _error_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.5, 1, 200)
    return [
        Case(
            args=(np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, True, False]), 10),
            hint="Three of four right, and 0.75 was said: no gap.",
        ),
        Case(
            args=(np.array([0.9, 0.9]), np.array([True, False]), 1),
            hint="One bin: the gap between the share right and the mean confidence.",
        ),
        Case(
            args=(np.array([0.55, 0.95, 0.95, 0.95]), np.array([True, False, False, True]), 2),
            hint="Within one bin, what is too much and what is too little cancel "
            "before the gap is taken.",
        ),
        Case(
            args=(np.array([0.55, 0.95, 0.95, 0.95]), np.array([True, False, False, True]), 10),
            hint="A bin with three predictions weighs three times as much as a bin with one; "
            "empty bins weigh nothing.",
        ),
        Case(
            args=(np.array([0.5, 0.5, 0.7, 1.0]), np.array([False, False, True, True]), 2),
            hint="The upper edge belongs to the bin: 0.5 lies in the lower of two, "
            "1.0 in the upper.",
        ),
        Case(
            args=(confidences, rng.random(200) < confidences - 0.1, 15),
            hint="The bins are equally wide, from 0 to 1, whatever the confidences are.",
        ),
    ]


# --- 10.6: a temperature --------------------------------------------------------------------------


def _temperature(logits: Array, labels: Array, grid: Array) -> float:
    scaled = logits[None] / np.asarray(grid, dtype=float)[:, None, None]  # [grid, examples, labels]
    shifted = scaled - scaled.max(axis=2, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    losses = -log_probs[:, np.arange(len(labels)), labels].mean(axis=1)
    return float(grid[int(losses.argmin())])


def _temperature_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    logits = rng.normal(size=(60, 3)) + 1.2 * np.eye(3)[labels]
    return [
        Case(
            args=(np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([0, 1]), np.array([0.5, 1.0, 8.0])),
            hint="As sure of a right as of a wrong answer: the milder, the lower the loss.",
        ),
        Case(
            args=(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]), np.array([0.5, 1.0, 2.0])),
            hint="All right: the surer, the better. The logits are divided by the temperature.",
        ),
        Case(
            args=(logits, labels, np.array([0.25, 0.5, 1.0, 2.0, 4.0])),
            hint="Which probability does the loss look at? "
            "That of the label, in nats, on the mean.",
        ),
        Case(
            args=(4 * logits, labels, np.array([0.5, 1.0, 2.0, 4.0, 8.0])),
            hint="Four times the logits: four times the temperature gives the same probabilities.",
        ),
        Case(
            args=(
                np.array([[8.0, 0.0]] * 3 + [[1.0, 0.0]] * 2),
                np.array([0, 0, 1, 0, 0]),
                np.array([0.5, 1.0, 2.0, 4.0]),
            ),
            hint="One sure answer is wrong. Cross-entropy asks what was said of the label, and "
            "does not forgive a 0.",
        ),
        Case(
            args=(
                np.array([[2000.0, 0.0], [0.0, 1.0], [0.0, -1.0]]),
                np.array([0, 1, 1]),
                np.array([1.0, 3.0]),
            ),
            hint="The exponential of 2000 is more than a computer can hold. "
            "What may one subtract from a whole row?",
        ),
        Case(
            args=(np.array([[2000.0, 0.0], [0.0, 1.0]]), np.array([1, 1]), np.array([1.0, 2.0])),
            hint="Sure, and wrong: a loss of 2,000 nats, at temperature 2 of 1,000. As a "
            "probability both are 0, which has no logarithm: stay with logarithms all the way.",
        ),
        Case(
            args=(
                np.array([[2000.0, 1999.0], [2000.0, 1999.0]]),
                np.array([0, 1]),
                np.array([1.0, 8.0]),
            ),
            hint="Large numbers may differ by little, and that little is what counts: "
            "cut nothing off.",
        ),
    ]


# --- 10.7: short forms ----------------------------------------------------------------------------


def _expand(text: str) -> str:
    for short, whole in (
        ("can't", "cannot"),
        ("Can't", "Cannot"),
        ("won't", "will not"),
        ("Won't", "Will not"),
    ):
        text = text.replace(short, whole)
    return text.replace("n't", " not")


def _expand_cases() -> list[Case]:
    return [
        Case(args=("I liked it.",), hint="Nothing to do: the text stays as it is."),
        Case(
            args=("I didn't like it.",),
            hint="The word loses three characters and gets a space and a word.",
        ),
        Case(args=("It isn't good, and it wasn't short.",), hint="There may be more than one."),
        Case(args=("Don't go. Wasn't worth it.",), hint="Capitals at the beginning stay."),
        Case(args=("I can't say why.",), hint="One of the two irregular ones: ca is no word."),
        Case(
            args=("It won't win, it will not.",),
            hint="The other irregular one: wo is no word either.",
        ),
        Case(
            args=("He can't, and I won't.",),
            hint="What stands behind a word, a comma say, is no part of it.",
        ),
        Case(args=("Can't wait. Won't go.",), hint="The irregular ones may begin a sentence, too."),
    ]


# --- 10.8: a decision -----------------------------------------------------------------------------


def _decide(only_a: int, only_b: int, num_examples: int, least_gain: float) -> str:
    shown, gain = _p_value(only_a, only_b) < 0.05, (only_b - only_a) / num_examples
    if gain < 0 or (shown and gain < least_gain):
        return "keep"
    return "replace" if shown and gain >= least_gain else "undecided"


def _decide_cases() -> list[Case]:
    return [
        Case(
            args=(85, 142, 2000, 0.01),
            hint="Section 4's own counts: p = 0.0002 and almost three points.",
        ),
        Case(
            args=(142, 85, 2000, 0.01),
            hint="B is worse here. A test on two sides does not tell which is better: "
            "look at the counts.",
        ),
        Case(
            args=(10, 14, 200, 0.01),
            hint="Two points more, but 24 coins fall like that often: nothing is shown.",
        ),
        Case(args=(400, 500, 25_000, 0.01), hint="Shown, but 0.4 points: not worth the trouble."),
        Case(
            args=(0, 0, 100, 0.01),
            hint="They never differ: no gain, and nothing shown. B is not worse, either.",
        ),
        Case(args=(2, 9, 50, 0.0), hint="Eleven coins, nine on one side: what is p on both sides?"),
        Case(args=(0, 6, 50, 0.12), hint="A gain that is just the least one is enough."),
        Case(
            args=(12, 10, 300, 0.01), hint="Worse, though by little: no reason to replace anything."
        ),
    ]


EXERCISES = {
    "1": Exercise(
        title="F1 from counts",
        reference=_f1,
        cases=_f1_cases,
        hint="Precision, recall, harmonic mean.",
    ),
    "2": Exercise(
        title="A threshold for a wanted recall",
        reference=_threshold,
        cases=_threshold_cases,
        hint="Sort the complaints by score.",
    ),
    "3": Exercise(
        title="McNemar, mended",
        reference=_mcnemar,
        cases=_mcnemar_cases,
        hint="Three results: two counts and p.",
    ),
    "4": Exercise(
        title="The bootstrap, mended",
        reference=_resampled,
        cases=_bootstrap_cases,
        hint="An array with one accuracy a row of draws.",
    ),
    "5": Exercise(
        title="The calibration error",
        reference=_error,
        cases=_error_cases,
        hint="A mean of gaps, weighted by how many predictions each bin holds.",
    ),
    "6": Exercise(
        title="A temperature by grid",
        reference=_temperature,
        cases=_temperature_cases,
        hint="Divide, softmax, mean surprise at the labels; the lowest wins.",
    ),
    "7": Exercise(
        title="Short forms",
        reference=_expand,
        cases=_expand_cases,
        hint="Return the whole text, changed.",
    ),
    "8": Exercise(
        title="Replace, keep or undecided",
        reference=_decide,
        cases=_decide_cases,
        hint='One of "replace", "keep" and "undecided".',
    ),
}
