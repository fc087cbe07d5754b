"""Plausible wrong answers to the exercises of notebook 00, and other right ones."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Batches = list[tuple[list[int], list[int]]]


def only_positives(predictions: list[int], labels: list[int]) -> float:
    return sum(p and label for p, label in zip(predictions, labels, strict=True)) / len(labels)


def compares_counts(predictions: list[int], labels: list[int]) -> float:
    return sum((Counter(predictions) & Counter(labels)).values()) / len(labels)


def mean_of_batches(batches: Batches) -> float:
    shares = [np.mean(np.equal(*batch)) for batch in batches if batch[1]]
    return float(np.mean(shares))


def weighs_by_the_first(batches: Batches) -> float:
    right = [sum(p == label for p, label in zip(*batch, strict=True)) for batch in batches]
    return sum(right) / (len(batches) * len(batches[0][1]))


def leaves_out_the_last(batches: Batches) -> float:
    whole = [batch for batch in batches if len(batch[1]) == len(batches[0][1])]
    return sum(np.equal(*batch).sum() for batch in whole) / sum(len(labels) for _, labels in whole)


WRONG: dict[str, list[Any]] = {
    "1": [
        lambda p, y: 100 * np.mean(np.equal(p, y)),
        lambda p, y: sum(map(int.__eq__, p, y)),
        only_positives,
        compares_counts,
        lambda p, y: float(p == y),
        lambda p, y: 1 - np.mean(np.equal(p, y)),
        0.8,
        lambda p, y: 1 - np.mean(np.abs(np.subtract(p, y))),
    ],
    "2": [
        lambda labels: 1 / len(set(labels)),
        lambda labels: sum(labels) / len(labels),
        lambda labels: Counter(labels).most_common(1)[0][0],
        lambda labels: max(Counter(labels).values()),
        lambda labels: max(np.mean(np.equal(labels, 0)), np.mean(np.equal(labels, 1))),
        lambda labels: labels.count(sorted(labels)[len(labels) // 2]) / len(labels),
    ],
    "3": [
        lambda interval, bar: sum(interval) / 2 > bar,
        lambda interval, bar: interval[1] > bar,
        lambda interval, bar: interval[0] >= bar,
        lambda interval, bar: not interval[0] < bar < interval[1],
        lambda interval, bar: interval[0] - bar,
        lambda interval, bar: interval[0] > 0.5,
    ],
    "4": [
        mean_of_batches,
        weighs_by_the_first,
        leaves_out_the_last,
        lambda batches: sum(np.equal(*batch).sum() for batch in batches),
    ],
}
GIVEAWAYS = {
    "1": ("zip", "len(labels)"),
    "2": ("Counter", "max("),
    "3": ("low > number", "interval[0]"),
    "4": ("sum(", "add up"),
}
RIGHT: dict[str, list[Callable[..., Any]]] = {
    "1": [lambda p, y: np.mean(np.equal(p, y))],
    "2": [lambda labels: np.bincount(labels).max() / len(labels)],
    "3": [
        lambda interval, bar: bool(np.greater(interval[0], bar)),
        lambda interval, bar: np.array(interval[0] > bar),
        lambda interval, bar: torch.tensor(interval[0]) > bar,
    ],
    "4": [
        lambda batches: np.mean([p == y for batch in batches for p, y in zip(*batch, strict=True)])
    ],
}
