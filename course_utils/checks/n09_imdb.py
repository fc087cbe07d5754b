"""The exercises of notebook 09: the steps of a recipe, head and tail, minutes, a broken resume,
luck between trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from course_utils.checks.engine import Case, Exercise

# --- 09.1: the steps of a recipe ------------------------------------------------------------------


def _steps_of(
    num_examples: int, batch_size: int, num_train_epochs: int, warmup_share: float
) -> tuple[int, int]:
    num_updates = num_train_epochs * math.ceil(num_examples / batch_size)
    return num_updates, int(warmup_share * num_updates)


def _steps_cases() -> list[Case]:
    return [
        Case(
            args=(64, 32, 1, 0.0),
            hint="64 reviews fill how many batches of 32? Return two numbers: all updates, and "
            "those of the warm-up.",
        ),
        Case(
            args=(65, 32, 1, 0.0),
            hint="One review is left over after two full batches. It is trained on as well.",
        ),
        Case(
            args=(65, 32, 3, 0.0),
            hint="Each epoch ends with a small batch of its own: no batch reaches into the "
            "next epoch.",
        ),
        Case(
            args=(25_000, 32, 2, 0.1),
            hint="The warm-up is a tenth of all 1,564 updates, not of one "
            "epoch's, and counts whole ones only.",
        ),
        Case(
            args=(100, 32, 5, 0.19),
            hint="A warm-up of 3.8 updates: only whole ones count, and rounding is not asked for.",
        ),
    ]


# --- 09.2: head and tail --------------------------------------------------------------------------


def _head_and_tail(input_ids: Sequence[int], max_length: int) -> list[int]:
    room = max_length - 2
    if len(input_ids) <= max_length:
        return list(input_ids)
    num_tail = room // 2
    body = list(input_ids[1:-1])
    return [input_ids[0], *body[: room - num_tail], *body[len(body) - num_tail :], input_ids[-1]]


def _head_and_tail_cases() -> list[Case]:
    return [
        Case(args=([2, 11, 12, 3], 6), hint="It fits: nothing is cut."),
        Case(
            args=([2, 11, 12, 13, 14, 15, 16, 3], 6),
            hint="[CLS] (2) and [SEP] (3) stay and take two of the six places. Four are left: two "
            "from the beginning, two from the end.",
        ),
        Case(
            args=([2, 11, 12, 13, 14, 15, 16, 3], 7),
            hint="Five places for words: which half gets the odd one?",
        ),
        Case(
            args=([2, 11, 12, 13, 14, 3], 3),
            hint="One place for words, so none is left for the end. "
            "What is a slice [-0:] of a list?",
        ),
        Case(
            args=([2, 11, 12, 13, 14, 3], 6),
            hint="Exactly as long as there is room: nothing is cut.",
        ),
        Case(args=([2, *range(100, 700), 3], 128), hint="A long review: 63 words from each side."),
    ]


# --- 09.3: how long will it take ------------------------------------------------------------------


def _expected_minutes(
    train_examples: int, num_train_epochs: float, test_examples: int, examples_per_second: float
) -> float:
    return (num_train_epochs * train_examples + test_examples / 3) / examples_per_second / 60


def _minutes_cases() -> list[Case]:
    return [
        Case(
            args=(600, 1, 0, 10.0),
            hint="600 reviews at 10 a second, and nothing to test: how many seconds, and how "
            "many minutes are these?",
        ),
        Case(args=(600, 2, 0, 10.0), hint="Two epochs show each review twice."),
        Case(
            args=(0, 1, 1800, 10.0),
            hint="Testing alone. A forward pass is one of the three parts of a step, so "
            "testing goes three times as fast as training.",
        ),
        Case(
            args=(25_000, 2, 25_000, 13.6),
            hint="Training and testing, one after the other. Each test review is "
            "read once, however many epochs there were.",
        ),
        Case(args=(1000, 0.5, 300, 5.0), hint="Half an epoch is half of the reviews."),
    ]


# --- 09.4: a resume that forgets ------------------------------------------------------------------


def _go_on(state: dict[str, Any], examples: Sequence[float], last_step: int) -> dict[str, Any]:
    weight, velocity = state["weight"], state["velocity"]
    for step in range(state["step"], last_step):
        velocity = 0.9 * velocity + 2 * (weight - examples[step % len(examples)])
        weight -= 0.1 * velocity
    return {"weight": weight, "velocity": velocity, "step": max(state["step"], last_step)}


def _go_on_cases() -> list[Case]:
    fresh, examples = {"weight": 0.0, "velocity": 0.0, "step": 0}, [1.0, 2.0, 4.0]
    return [
        Case(
            args=(fresh, [1.0], 1),
            hint="One step from a fresh state. The new state has the old one's entries.",
        ),
        Case(
            args=(fresh, [1.0], 2),
            hint="The second step adds nine tenths of the first one's velocity; and after the "
            "last example comes the first again.",
        ),
        Case(
            args=({"weight": 1.0, "velocity": 0.5, "step": 0}, [1.0], 1),
            hint="The weight is where it should be, the gradient is 0, and it still moves: what "
            "did the state bring?",
        ),
        Case(
            args=({"weight": 0.5, "velocity": 0.0, "step": 1}, examples, 2),
            hint="One step was done before, on the first example. Which one is next?",
        ),
        Case(
            args=({"weight": 0.7, "velocity": -0.3, "step": 2}, examples, 7),
            hint="From step 2 on, through the end of the examples and around: "
            "which example belongs to step 3?",
        ),
        Case(
            args=({"weight": 0.7, "velocity": -0.3, "step": 4}, examples, 4),
            hint="All is done: nothing may change.",
        ),
    ]


# --- 09.5: luck between trials --------------------------------------------------------------------


def _errors_apart(first: float, second: float, num_examples: int) -> float:
    variance = (first * (1 - first) + second * (1 - second)) / num_examples
    return abs(first - second) / math.sqrt(variance)


def _errors_apart_cases() -> list[Case]:
    return [
        Case(args=(0.5, 0.5, 100), hint="No difference is no standard error apart."),
        Case(
            args=(0.6, 0.5, 100),
            hint="The variances of both accuracies add up, p(1 - p)/n each; then the root. Is "
            "there one root, or two? And the distance has no sign.",
        ),
        Case(
            args=(0.5, 0.6, 100),
            hint="How far apart two numbers are does not depend on which one comes first.",
        ),
        Case(
            args=(0.888, 0.875, 2500),
            hint="Two trials of section 9, as shares of 1, not in percent.",
        ),
        Case(
            args=(0.9346, 0.9068, 25_000),
            hint="Ten times as many reviews: the error falls with the root of their number.",
        ),
    ]


EXERCISES = {
    "1": Exercise(
        title="The steps of a recipe",
        reference=_steps_of,
        cases=_steps_cases,
        hint="Batches an epoch, times epochs.",
    ),
    "2": Exercise(
        title="Head and tail",
        reference=_head_and_tail,
        cases=_head_and_tail_cases,
        hint="First and last id stay; the words between them are cut in their middle.",
    ),
    "3": Exercise(
        title="Minutes to expect",
        reference=_expected_minutes,
        cases=_minutes_cases,
        hint="Reviews to read, over reviews a second.",
    ),
    "4": Exercise(
        title="A resume that forgets nothing",
        reference=_go_on,
        cases=_go_on_cases,
        hint="Everything that moves has to come from the state and go into the new one.",
    ),
    "5": Exercise(
        title="Better, or lucky?",
        reference=_errors_apart,
        cases=_errors_apart_cases,
        hint="The difference, over the standard error of the difference.",
    ),
}
