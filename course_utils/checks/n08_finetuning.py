"""The exercises of notebook 08: a floor, padding, a loop's bugs, a schedule, groups,
pooling, a decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from course_utils.checks.engine import Case, Exercise

Array = np.ndarray

# --- 08.1: the floor of a constant answer ---------------------------------------------------------


def _lowest_constant_loss(counts: Sequence[int]) -> float:
    shares = np.array([count for count in counts if count]) / sum(counts)
    return float(-(shares * np.log(shares)).sum())


def _floor_cases() -> list[Case]:
    return [
        Case(
            args=([1, 1, 1],),
            hint="One example of each: no label deserves more than the others. The number stands "
            "in the text above.",
        ),
        Case(
            args=([5, 5],),
            hint="Two labels, equally many. How many examples there are must not matter.",
        ),
        Case(
            args=([90, 10],),
            hint="Whoever knows how many there are of each label says so, and is surprised less: "
            "which probabilities should be said? Then take the mean of the "
            "surprises over all examples.",
        ),
        Case(
            args=([3, 0, 1],),
            hint="A label that nobody has costs nothing, and its logarithm must not be taken.",
        ),
        Case(args=([7],), hint="One label only: nothing is left to be surprised at."),
    ]


# --- 08.2: wasted padding -------------------------------------------------------------------------


def _padding_share(
    lengths: Sequence[int], batches: Sequence[Sequence[int]], multiple_of: int
) -> float:
    slots = tokens = 0
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        slots += len(batch) * multiple_of * math.ceil(longest / multiple_of)
        tokens += sum(lengths[i] for i in batch)
    return 1 - tokens / slots


def _padding_cases() -> list[Case]:
    lengths = np.random.default_rng(0).integers(5, 90, size=40).tolist()
    ascending = sorted(range(40), key=lengths.__getitem__)
    return [
        Case(
            args=([4, 4], [[0, 1]], 1), hint="Two texts of the same length need no padding at all."
        ),
        Case(
            args=([4, 2], [[0, 1]], 1),
            hint="The shorter one is padded to the longer: eight places. How many of the "
            "eight are not text?",
        ),
        Case(
            args=([4, 2, 9, 9], [[0, 1], [2, 3]], 1),
            hint="Each batch is padded to its own longest text; then count the places of all "
            "batches together. A mean of the batches' shares weighs short batches as long ones.",
        ),
        Case(
            args=([5, 3], [[0, 1]], 8),
            hint="The batch is as long as its longest text, rounded up to the multiple.",
        ),
        Case(args=([8, 3], [[0, 1]], 8), hint="8 is a multiple of 8: nothing to round up."),
        Case(
            args=([4, 2, 50], [[0, 1]], 1),
            hint="A text that is in no batch has no place, and no padding.",
        ),
        Case(
            args=(lengths, [ascending[i : i + 6] for i in range(0, 40, 6)], 16),
            hint="The last batch has fewer texts than the others. "
            "And a batch holds places in the list, not lengths.",
        ),
    ]


# --- 08.3: find the bugs --------------------------------------------------------------------------


def _train_and_score(
    inputs: Array, labels: Array, masks: Array, learning_rate: float
) -> tuple[Array, float]:
    weights = np.zeros(inputs.shape[1])
    for mask in masks:
        seen = inputs * mask
        probs = 1 / (1 + np.exp(-seen @ weights))
        weights = weights - learning_rate * seen.T @ (probs - labels) / len(labels)
    return weights, float(np.mean((inputs @ weights > 0) == (labels == 1)))


def _loop_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(12, 3))
    labels = (inputs @ np.array([1.0, -2.0, 0.5]) > 0).astype(int)
    one, alternating = np.ones((1, 1)), np.array([[2.0, 0.0], [0.0, 2.0]] * 2)
    return [
        Case(
            args=(np.array([[1.0], [-1.0]]), np.array([1, 0]), one, 0.5),
            hint="One update and no dropout: here nothing is wrong yet.",
        ),
        Case(
            args=(np.array([[1.0], [-1.0]]), np.array([1, 0]), np.ones((3, 1)), 0.5),
            hint="Three updates, no dropout. What does the second update still know of the "
            "first one's gradient?",
        ),
        Case(
            args=(
                np.array([[1.0, 2.0], [2.0, -1.0], [-1.0, -3.0]]),
                np.array([1, 1, 0]),
                alternating,
                0.5,
            ),
            hint="Dropout is for training: the updates see the masked inputs, "
            "the score the whole ones.",
        ),
        Case(
            args=(inputs, labels, 2.0 * (rng.random((8, 3)) < 0.5), 0.3),
            hint="Both mistakes, on more examples: each update from its own gradient, "
            "the score without dropout.",
        ),
    ]


# --- 08.4: a schedule -----------------------------------------------------------------------------


def _cosine_rate(step: int, num_updates: int, num_warmup: int, peak: float, floor: float) -> float:
    if step < num_warmup:
        return peak * (step + 1) / (num_warmup + 1)
    way = (step - num_warmup) / (num_updates - num_warmup)
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * way)) / 2)


def _cosine_cases() -> list[Case]:
    return [
        Case(args=(0, 10, 0, 1.0, 0.0), hint="No warm-up: the first update has the peak."),
        Case(
            args=(0, 10, 4, 2.0, 0.0),
            hint="The warm-up is that of the text above, in this many steps to the peak.",
        ),
        Case(args=(3, 10, 4, 2.0, 0.0), hint="The last update of the warm-up: not yet the peak."),
        Case(
            args=(1, 10, 4, 2.0, 0.25),
            hint="The floor belongs to the way down: the warm-up is as it was.",
        ),
        Case(
            args=(4, 10, 4, 2.0, 0.0),
            hint="The first update after the warm-up has the peak: the cosine starts here, "
            "not at update 0.",
        ),
        Case(
            args=(5, 10, 0, 1.0, 0.0),
            hint="Half-way down, a half wave of the cosine is at its middle.",
        ),
        Case(
            args=(2, 8, 0, 1.0, 0.0),
            hint="A wave is no straight line: after a quarter of the way, most is left.",
        ),
        Case(
            args=(8, 10, 2, 3.0, 0.1),
            hint="It comes down to floor times the peak, not to 0. How much is left to be "
            "given up on the way?",
        ),
        Case(args=(9, 10, 2, 3.0, 0.1), hint="The last update is one before the end of the wave."),
    ]


# --- 08.5: who decays -----------------------------------------------------------------------------


def _decay_groups(
    shapes: Mapping[str, tuple[int, ...]], frozen: Sequence[str]
) -> tuple[list[str], list[str]]:
    learning = [name for name in shapes if not name.startswith(tuple(frozen))]
    return (
        [name for name in learning if len(shapes[name]) > 1],
        [name for name in learning if len(shapes[name]) < 2],
    )


def _group_cases() -> list[Case]:
    body = {
        "embeddings.word_embeddings.weight": (8192, 256),
        "embeddings.LayerNorm.weight": (256,),
        "embeddings.LayerNorm.bias": (256,),
        "encoder.layer.0.output.dense.weight": (256, 1024),
        "encoder.layer.0.output.dense.bias": (256,),
        "classifier.weight": (2, 256),
        "classifier.bias": (2,),
    }
    many = {f"encoder.layer.{number}.dense.weight": (4, 4) for number in range(12)}
    return [
        Case(
            args=({"classifier.weight": (2, 256), "classifier.bias": (2,)}, []),
            hint="A matrix and a bias: two lists, first the names that decay.",
        ),
        Case(
            args=(body, []),
            hint="The gain of a LayerNorm is called weight and is no matrix. What do all that must "
            "not decay have in common?",
        ),
        Case(
            args=(
                {"bias_layer.weight": (4, 4), "head.gain": (4,), "pooler.dense.weight": (4, 4)},
                [],
            ),
            hint="Names mislead: bias_layer.weight is a matrix, "
            "and head.gain says neither bias nor LayerNorm.",
        ),
        Case(
            args=(body, ["embeddings."]),
            hint="What is frozen belongs to no group: an optimizer would decay it all the same.",
        ),
        Case(
            args=(body, ["classifier.", "embeddings."]),
            hint="Any of the strings will do, not the first one alone.",
        ),
        Case(
            args=(many, ["encoder.layer.1."]),
            hint="Only names that begin like this. Do the layers 10 and 11?",
        ),
        Case(
            args=({"bert.embeddings.x": (2, 2), "x.bert.embeddings": (2, 2)}, ["bert.embeddings"]),
            hint="Begin with, not contain.",
        ),
    ]


# --- 08.6: pooling --------------------------------------------------------------------------------


def _pool(hidden_states: Array, attention_mask: Array, how: str) -> Array:
    real = (attention_mask == 1)[:, :, None]
    if how == "cls":
        return hidden_states[:, 0]
    if how == "mean":
        return np.where(real, hidden_states, 0.0).sum(axis=1) / real.sum(axis=1)
    return np.where(real, hidden_states, -np.inf).max(axis=1)


def _pool_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 5, 2))
    ragged = (np.arange(5) < np.array([[5], [2], [3]])).astype(int)
    one = np.array([[[1.0], [3.0], [100.0]]])
    return [
        Case(
            args=(one, np.array([[1, 1, 1]]), "cls"),
            hint="One vector a text, shape [batch_size, hidden_size]: that of the first token.",
        ),
        Case(
            args=(one, np.array([[1, 1, 1]]), "mean"),
            hint="No padding: the plain mean over the tokens.",
        ),
        Case(
            args=(one, np.array([[1, 1, 0]]), "mean"),
            hint="The third place is padding: neither its numbers nor its "
            "place may count. By how many is the sum divided?",
        ),
        Case(
            args=(one, np.array([[1, 1, 0]]), "max"),
            hint="The third place is padding, and it would win.",
        ),
        Case(
            args=(-one, np.array([[1, 1, 0]]), "max"),
            hint="All numbers are below 0 here, so a padded 0 would win.",
        ),
        Case(
            args=(np.array([[[1.0], [3.0], [np.nan]]]), np.array([[1, 1, 0]]), "mean"),
            hint="What stands at padded places must not matter, whatever it is: "
            "nan times 0 is nan.",
        ),
        Case(
            args=(np.array([[[1.0], [3.0], [np.nan]]]), np.array([[1, 1, 0]]), "max"),
            hint="nan less any number is nan, too: put something else in its place.",
        ),
        Case(
            args=(states, ragged, "mean"), hint="Each text is divided by its own number of tokens."
        ),
        Case(
            args=(states, ragged, "max"),
            hint="Each of the hidden_size numbers has a largest of its own.",
        ),
    ]


# --- 08.7: a decision -----------------------------------------------------------------------------


def _choose(candidates: Mapping[str, tuple[Sequence[float], float]]) -> str:
    found = {
        name: (np.mean(accuracies), np.var(accuracies, ddof=1) / len(accuracies))
        for name, (accuracies, _) in candidates.items()
    }
    best, best_variance = max(found.values(), key=lambda pair: pair[0])
    as_good = [
        name
        for name, (mean, variance) in found.items()
        if best - mean <= 2 * math.sqrt(variance + best_variance)
    ]
    return min(as_good, key=lambda name: candidates[name][1])


def _choose_cases() -> list[Case]:
    return [
        Case(
            args=({"a": ([0.80, 0.82], 10.0), "b": ([0.90, 0.91], 99.0)},),
            hint="Ten points apart, with hardly any spread: here the price does not matter.",
        ),
        Case(
            args=({"a": ([0.86, 0.92], 10.0), "b": ([0.90, 0.91], 99.0)},),
            hint="The means are one and a half points apart, and the seeds of a scatter by more. "
            "If nobody can tell which is better, what decides?",
        ),
        Case(
            args=(
                {"b": ([0.90, 0.91], 99.0), "a": ([0.88, 0.92], 10.0), "c": ([0.50, 0.51], 1.0)},
            ),
            hint="Cheapest of those that are as good as the best; "
            "the cheapest of all is no bargain.",
        ),
        Case(
            args=(
                {
                    "b": ([0.920, 0.921], 50.0),
                    "c": ([0.890, 0.930], 80.0),
                    "a": ([0.900, 0.901], 5.0),
                },
            ),
            hint="The best has the highest mean; c only has the luckiest seed.",
        ),
        Case(
            args=({"a": ([0.901, 0.902, 0.903], 5.0), "b": ([0.90, 0.91, 0.92], 50.0)},),
            hint="The spread of b counts, too: the variance of a difference is the sum of both "
            "variances. And a mean of k seeds varies by the k-th part of what one seed does.",
        ),
        Case(
            args=({"a": ([0.90, 0.92], 5.0), "b": ([0.922, 0.942], 50.0)},),
            hint="From two seeds the standard deviation is estimated with k - 1 "
            "below the fraction bar.",
        ),
        Case(
            args=(
                {
                    "a": ([0.900, 0.910, 0.905, 0.905], 5.0),
                    "b": ([0.907, 0.917, 0.912, 0.912], 50.0),
                },
            ),
            hint="Four seeds: the error of a mean is smaller than that of one seed. Seven tenths "
            "of a point are much here.",
        ),
        Case(
            args=({"a": ([0.89, 0.91], 5.0), "b": ([0.925, 0.945], 50.0)},),
            hint="Two standard errors do not add up: their squares do.",
        ),
    ]


EXERCISES = {
    "1": Exercise(
        title="The loss of a constant answer",
        reference=_lowest_constant_loss,
        cases=_floor_cases,
        hint="The best constant answer is each label's share; its mean surprise is asked for.",
    ),
    "2": Exercise(
        title="Wasted padding",
        reference=_padding_share,
        cases=_padding_cases,
        hint="All places of all batches, and how many of them are text.",
    ),
    "3": Exercise(
        title="A loop, mended",
        reference=_train_and_score,
        cases=_loop_cases,
        hint="Follow the gradient through two updates, and the mask to the last line.",
    ),
    "4": Exercise(
        title="Another schedule",
        reference=_cosine_rate,
        cases=_cosine_cases,
        hint="Up as before, then down a half wave.",
    ),
    "5": Exercise(
        title="Who decays",
        reference=_decay_groups,
        cases=_group_cases,
        hint="Leave out what is frozen, then look at the shapes.",
    ),
    "6": Exercise(
        title="One vector a text",
        reference=_pool,
        cases=_pool_cases,
        hint="What is padding must not count, whatever stands there.",
    ),
    "7": Exercise(
        title="The cheapest that is as good",
        reference=_choose,
        cases=_choose_cases,
        hint="The best mean first; then who is within two standard errors of it; then the price.",
    ),
}
