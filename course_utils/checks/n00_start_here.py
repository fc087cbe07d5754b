"""The exercises of notebook 00: accuracy, what it has to be compared with,
and a mean that is none.
"""

from __future__ import annotations

from collections import Counter

from course_utils.checks.engine import Case, Exercise


def _accuracy(predictions: list[int], labels: list[int]) -> float:
    return sum(p == label for p, label in zip(predictions, labels, strict=True)) / len(labels)


def _majority_accuracy(labels: list[int]) -> float:
    return max(Counter(labels).values()) / len(labels)


def _is_better_than(interval: tuple[float, float], number: float) -> bool:
    return interval[0] > number


def _overall_accuracy(batches: list[tuple[list[int], list[int]]]) -> float:
    pairs = [
        pair for predictions, labels in batches for pair in zip(predictions, labels, strict=True)
    ]
    return sum(p == label for p, label in pairs) / len(pairs)


EXERCISES = {
    "1": Exercise(
        title="Accuracy",
        reference=_accuracy,
        hint="How many pairs are equal, of how many?",
        cases=lambda: [
            Case(args=([1], [1]), hint="One review, and it is right: a share, not a percentage."),
            Case(
                args=([1, 0], [0, 1]),
                hint="Nothing is right, though the same labels occur on both sides.",
            ),
            Case(
                args=([0, 0, 1, 1], [0, 1, 1, 1]),
                hint="A predicted 0 that is right counts as much as a 1.",
            ),
            Case(
                args=([2, 1, 0], [2, 1, 2]),
                hint="There may be more than two labels, and wrong is just wrong.",
            ),
        ],
    ),
    "2": Exercise(
        title="What always saying the same would score",
        reference=_majority_accuracy,
        hint="Which label is the most frequent one, and what is its share?",
        cases=lambda: [
            Case(args=([1, 1, 1],), hint="Only one label occurs: saying it is always right."),
            Case(args=([1, 1, 0, 1],)),
            Case(args=([0, 0, 0, 1],), hint="The most frequent label need not be 1."),
            Case(
                args=([0, 1, 2, 2, 1, 2],),
                hint="There may be more than two labels; which one is said most often?",
            ),
            Case(
                args=([0, 2, 1, 0, 2, 0],),
                hint="Labels are names: the one in the middle means nothing.",
            ),
        ],
    ),
    "3": Exercise(
        title="Better, or just lucky?",
        reference=_is_better_than,
        hint="The true accuracy may lie anywhere in the interval. "
        "When is all of it above the number?",
        cases=lambda: [
            Case(args=((0.60, 0.70), 0.50)),
            Case(
                args=((0.48, 0.56), 0.50),
                hint="The middle is above the number, but the interval reaches below it.",
            ),
            Case(args=((0.40, 0.45), 0.50), hint="All of the interval lies below the number."),
            Case(args=((0.50, 0.75), 0.50), hint="Touching is not beating."),
            Case(args=((0.60, 0.70), 0.65), hint="The number is not always 0.5."),
        ],
    ),
    "4": Exercise(
        title="An accuracy over batches",
        reference=_overall_accuracy,
        hint="Each review should count the same, in whichever batch it is.",
        cases=lambda: [
            Case(args=([([1, 1], [1, 0])],)),
            Case(
                args=([([1, 1, 1, 1], [1, 1, 1, 1]), ([0], [1])],),
                hint="The last batch has one review. "
                "How much does it weigh in a mean of two batches?",
            ),
            Case(
                args=([([0], [1]), ([1, 1, 0], [1, 1, 1])],),
                hint="A small batch may come first as well.",
            ),
            Case(
                args=([([1], [1]), ([], [])],),
                hint="A batch without reviews has nothing to say, and no mean.",
            ),
        ],
    ),
}
