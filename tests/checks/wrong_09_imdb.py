"""Plausible wrong answers to the exercises of notebook 09, and other right ones."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


# --- 09.1 -----------------------------------------------------------------------------------------


def steps_of(
    examples: int,
    batch_size: int,
    epochs: int,
    share: float,
    *,
    to_batches: Callable[[float], int] = math.ceil,
    to_warmup: Callable[[float], float] = int,
) -> tuple[int, float]:
    """Right as it stands; each option is a mistake."""
    num_updates = epochs * to_batches(examples / batch_size)
    return num_updates, to_warmup(share * num_updates)


def across_epochs(examples: int, batch_size: int, epochs: int, share: float) -> tuple[int, int]:
    num_updates = math.ceil(epochs * examples / batch_size)
    return num_updates, int(share * num_updates)


def warmup_of_one_epoch(
    examples: int, batch_size: int, epochs: int, share: float
) -> tuple[int, int]:
    batches = math.ceil(examples / batch_size)
    return epochs * batches, int(share * batches)


# --- 09.2 -----------------------------------------------------------------------------------------


def head_and_tail(
    ids: Sequence[int],
    max_length: int,
    *,
    taken: int = 2,
    odd_to_the_end: bool = False,
    always: bool = False,
    without_zero: bool = False,
) -> list[int]:
    """Right as it stands; each option is a mistake."""
    if len(ids) <= max_length and not always:
        return list(ids)
    room = max_length - taken
    num_tail = room - room // 2 if odd_to_the_end else room // 2
    body = list(ids)[1:-1]
    tail = body[-num_tail:] if without_zero else body[len(body) - num_tail :]
    return [ids[0], *body[: room - num_tail], *tail, ids[-1]]


def head_only(ids: Sequence[int], max_length: int) -> list[int]:
    return list(ids) if len(ids) <= max_length else [*list(ids)[: max_length - 1], ids[-1]]


def two_halves(ids: Sequence[int], max_length: int) -> list[int]:
    half = max_length // 2
    return list(ids) if len(ids) <= max_length else [*list(ids)[:half], *list(ids)[-half:]]


def ends_with_their_frame(ids: Sequence[int], max_length: int) -> list[int]:
    """Right: [CLS] belongs to the head, [SEP] to the tail."""
    half = max_length // 2
    return (
        list(ids)
        if len(ids) <= max_length
        else [*list(ids)[: max_length - half], *list(ids)[-half:]]
    )


# --- 09.3 -----------------------------------------------------------------------------------------


def minutes(
    train: int,
    epochs: float,
    test: int,
    speed: float,
    *,
    faster: float = 3.0,
    unit: float = 60.0,
    tests: float = 1.0,
) -> float:
    """Right as it stands; each option is a mistake."""
    return (epochs * train + tests * test / faster) / speed / unit


# --- 09.4 -----------------------------------------------------------------------------------------


def go_on(
    state: dict[str, Any],
    examples: Sequence[float],
    last_step: int,
    *,
    forgets: bool = False,
    from_the_start: bool = False,
    one_ahead: bool = False,
    counts_anew: bool = False,
) -> dict[str, Any]:
    """Right as it stands; each option is a mistake."""
    weight, velocity = state["weight"], 0.0 if forgets else state["velocity"]
    for step in range(state["step"], last_step):
        place = step - state["step"] * from_the_start + one_ahead
        velocity = 0.9 * velocity + 2 * (weight - examples[place % len(examples)])
        weight = weight - 0.1 * velocity
    return {"weight": weight, "velocity": velocity, "step": last_step - state["step"] * counts_anew}


def as_printed(state: dict[str, Any], examples: Sequence[float], last_step: int) -> dict[str, Any]:
    weight, velocity = state["weight"], 0.0
    for example in examples[: last_step - state["step"]]:
        velocity = 0.9 * velocity + 2 * (weight - example)
        weight = weight - 0.1 * velocity
    return {"weight": weight, "step": last_step}


def no_second_round(
    state: dict[str, Any], examples: Sequence[float], last_step: int
) -> dict[str, Any]:
    weight, velocity = state["weight"], state["velocity"]
    for example in examples[state["step"] : last_step]:
        velocity = 0.9 * velocity + 2 * (weight - example)
        weight = weight - 0.1 * velocity
    return {"weight": weight, "velocity": velocity, "step": last_step}


# --- 09.5 -----------------------------------------------------------------------------------------


def sum_of_errors(first: float, second: float, num_examples: int) -> float:
    errors = [math.sqrt(p * (1 - p) / num_examples) for p in (first, second)]
    return abs(first - second) / sum(errors)


def error_of_one(first: float, second: float, num_examples: int) -> float:
    return abs(first - second) / math.sqrt(first * (1 - first) / num_examples)


def no_root(first: float, second: float, num_examples: int) -> float:
    return abs(first - second) / ((first * (1 - first) + second * (1 - second)) / num_examples)


def signed(first: float, second: float, num_examples: int) -> float:
    return (first - second) / math.sqrt(
        (first * (1 - first) + second * (1 - second)) / num_examples
    )


def of_twice_as_many(first: float, second: float, num_examples: int) -> float:
    mean = (first + second) / 2
    return abs(first - second) / math.sqrt(mean * (1 - mean) / (2 * num_examples))


WRONG: dict[str, list[Any]] = {
    "1": [
        with_option(steps_of, to_batches=int),
        with_option(steps_of, to_warmup=round),
        with_option(steps_of, to_warmup=math.ceil),
        with_option(steps_of, to_warmup=float),
        across_epochs,
        warmup_of_one_epoch,
        lambda *args: steps_of(*args)[0],
    ],
    "2": [
        head_only,
        two_halves,
        with_option(head_and_tail, taken=0),
        with_option(head_and_tail, odd_to_the_end=True),
        with_option(head_and_tail, always=True),
        with_option(head_and_tail, without_zero=True),
        lambda ids, max_length: list(ids)[:max_length],
    ],
    "3": [
        with_option(minutes, faster=1.0),
        with_option(minutes, unit=1.0),
        with_option(minutes, unit=3600.0),
        with_option(minutes, tests=0.0),
        with_option(minutes, faster=1 / 3),
        lambda train, epochs, test, speed: epochs * (train + test / 3) / speed / 60,
    ],
    "4": [
        as_printed,
        no_second_round,
        with_option(go_on, forgets=True),
        with_option(go_on, from_the_start=True),
        with_option(go_on, one_ahead=True),
        with_option(go_on, counts_anew=True),
    ],
    "5": [
        sum_of_errors,
        error_of_one,
        no_root,
        signed,
        of_twice_as_many,
        lambda first, second, num_examples: 100 * abs(first - second),
    ],
}
GIVEAWAYS = {
    "1": ("ceil", "//", "int("),
    "2": ("// 2", "len(body)", "body["),
    "3": ("/ 60", "/ 3", "test_examples"),
    "4": ("%", 'state["velocity"]', "range("),
    "5": ("sqrt", "abs("),
}
RIGHT: dict[str, list[Any]] = {
    "1": [
        steps_of,
        lambda n, size, epochs, share: np.array(steps_of(n, size, epochs, share)).tolist(),
    ],
    "2": [head_and_tail, ends_with_their_frame],
    "3": [minutes],
    "4": [go_on],
    "5": [
        lambda first, second, n: float(
            np.hypot(0, first - second)
            * np.sqrt(n)
            / np.sqrt(first * (1 - first) + second * (1 - second))
        )
    ],
}
