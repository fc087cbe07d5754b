"""Plausible wrong answers to the exercises of notebook 08, and other right ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# --- 08.1 -----------------------------------------------------------------------------------------


def floor(counts: Sequence[int], *, log: Callable[[Any], Any] = np.log, skip: bool = True) -> float:
    """Right as it stands; each option is a mistake."""
    shares = np.array([count for count in counts if count or not skip]) / sum(counts)
    return float(-(shares * log(shares)).sum())


# --- 08.2 -----------------------------------------------------------------------------------------


def padding(
    lengths: Sequence[int],
    batches: Sequence[Sequence[int]],
    multiple_of: int,
    *,
    rounding: str = "up",
    longest_of_all: bool = False,
    mean_of_batches: bool = False,
    full: bool = False,
) -> float:
    """Right as it stands; each option is a mistake."""
    shares, slots, real = [], 0, 0
    for batch in batches:
        longest = max(lengths) if longest_of_all else max(lengths[i] for i in batch)
        padded = {
            "up": -(-longest // multiple_of) * multiple_of,
            "never": longest,
            "always": (longest // multiple_of + 1) * multiple_of,
        }[rounding]
        places = (len(batches[0]) if full else len(batch)) * padded
        slots, real = slots + places, real + sum(lengths[i] for i in batch)
        shares.append(1 - sum(lengths[i] for i in batch) / places)
    return float(np.mean(shares)) if mean_of_batches else 1 - real / slots


def all_texts_count(
    lengths: Sequence[int], batches: Sequence[Sequence[int]], multiple_of: int
) -> float:
    slots = sum(
        len(batch) * -(-max(lengths[i] for i in batch) // multiple_of) * multiple_of
        for batch in batches
    )
    return 1 - sum(lengths) / slots


# --- 08.3 -----------------------------------------------------------------------------------------


def as_printed(
    inputs: np.ndarray,
    labels: np.ndarray,
    masks: np.ndarray,
    learning_rate: float,
    *,
    reset: bool = False,
    clean: bool = False,
    divide: bool = True,
) -> tuple[np.ndarray, float]:
    """The starter's two mistakes; reset and clean mend one each, divide=False makes another."""
    weights = np.zeros(inputs.shape[1])
    gradient = np.zeros(inputs.shape[1])
    for mask in masks:
        if reset:
            gradient = np.zeros(inputs.shape[1])
        seen = inputs * mask
        probs = 1 / (1 + np.exp(-seen @ weights))
        gradient = gradient + seen.T @ (probs - labels) / (len(labels) if divide else 1)
        weights = weights - learning_rate * gradient
    seen = inputs if clean else inputs * masks[-1]
    return weights, float(np.mean((seen @ weights > 0) == (labels == 1)))


def no_dropout_at_all(
    inputs: np.ndarray, labels: np.ndarray, masks: np.ndarray, rate: float
) -> Any:
    return as_printed(inputs, labels, np.ones_like(masks), rate, reset=True, clean=True)


# --- 08.4 -----------------------------------------------------------------------------------------


def cosine(
    step: int,
    num_updates: int,
    num_warmup: int,
    peak: float,
    floor: float,
    *,
    first: int = 1,
    whole_run: bool = False,
    wave: float = 1.0,
    above: bool = False,
    last: int = 0,
    from_floor: bool = False,
    straight: bool = False,
) -> float:
    """Right as it stands; each option is a mistake."""
    if step < num_warmup:
        share = (step + first) / (num_warmup + first)
        return peak * (floor + (1 - floor) * share if from_floor else share)
    way = (
        step / num_updates if whole_run else (step - num_warmup) / (num_updates - last - num_warmup)
    )
    swing = 1 - way if straight else (1 + math.cos(wave * math.pi * way)) / 2
    return peak * (max(floor, swing) if above else floor + (1 - floor) * swing)


# --- 08.5 -----------------------------------------------------------------------------------------

Shapes = Mapping[str, tuple[int, ...]]


def groups(
    shapes: Shapes,
    frozen: Sequence[str],
    *,
    decays: Callable[[str, tuple[int, ...]], bool] | None = None,
    is_frozen: Callable[[str, str], bool] = str.startswith,
) -> tuple[list[str], list[str]]:
    """Right as it stands; each option is a mistake."""
    decays = decays or (lambda name, shape: len(shape) > 1)
    names = [name for name in shapes if not any(is_frozen(name, prefix) for prefix in frozen)]
    return (
        [name for name in names if decays(name, shapes[name])],
        [name for name in names if not decays(name, shapes[name])],
    )


# --- 08.6 -----------------------------------------------------------------------------------------


def pool(
    states: np.ndarray,
    mask: np.ndarray,
    how: str,
    *,
    divide_by_all: bool = False,
    hidden: float = -np.inf,
    use_mask: bool = True,
    cls: slice | int = 0,
    one_number: bool = False,
) -> np.ndarray:
    """Right as it stands; each option is a mistake."""
    real = ((mask == 1) if use_mask else np.ones_like(mask, dtype=bool))[:, :, None]
    if how == "cls":
        return states[:, cls]
    if how == "mean":
        count = states.shape[1] if divide_by_all else real.sum(axis=1)
        return np.where(real, states, 0.0).sum(axis=1) / count
    found = np.where(real, states, hidden).max(axis=1)
    return np.broadcast_to(found.max(axis=1, keepdims=True), found.shape) if one_number else found


def times_the_mask(states: np.ndarray, mask: np.ndarray, how: str) -> np.ndarray:
    if how == "mean":
        return (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return pool(states, mask, how)


def less_a_billion(states: np.ndarray, mask: np.ndarray, how: str) -> np.ndarray:
    return (
        (states - 1e9 * (1 - mask[:, :, None])).max(axis=1)
        if how == "max"
        else pool(states, mask, how)
    )


# --- 08.7 -----------------------------------------------------------------------------------------

Candidates = Mapping[str, tuple[Sequence[float], float]]


def choose(
    candidates: Candidates,
    *,
    ddof: int = 1,
    of_mean: bool = True,
    errors: float = 2.0,
    spreads: tuple[bool, bool] = (True, True),
    luckiest: bool = False,
) -> str:
    """Right as it stands; each option is a mistake. spreads: whether the best's and the
    candidate's own count.
    """
    found = {
        name: (np.mean(scores), np.var(scores, ddof=ddof) / (len(scores) if of_mean else 1))
        for name, (scores, _) in candidates.items()
    }
    top = max(found, key=lambda name: max(candidates[name][0]) if luckiest else found[name][0])
    best, spread = found[top]
    good = [
        name
        for name, (mean, variance) in found.items()
        if best - mean <= errors * math.sqrt(spread * spreads[0] + variance * spreads[1])
    ]
    return min(good, key=lambda name: candidates[name][1])


def adds_errors(candidates: Candidates) -> str:
    found = {
        name: (np.mean(scores), np.std(scores, ddof=1) / math.sqrt(len(scores)))
        for name, (scores, _) in candidates.items()
    }
    best, error = max(found.values(), key=lambda pair: pair[0])
    good = [name for name, (mean, own) in found.items() if best - mean <= 2 * (own + error)]
    return min(good, key=lambda name: candidates[name][1])


def with_option(right: Callable[..., Any], **mistake: Any) -> Callable[..., Any]:
    return lambda *args: right(*args, **mistake)


WRONG: dict[str, list[Any]] = {
    "1": [
        lambda counts: math.log(len(counts)),
        lambda counts: math.log(sum(count > 0 for count in counts)),
        lambda counts: -math.log(max(counts) / sum(counts)),
        lambda counts: math.log(sum(counts)),
        with_option(floor, log=np.log2),
        with_option(floor, skip=False),
        lambda counts: -floor(counts),
        lambda counts: floor(counts) * sum(counts),
    ],
    "2": [
        *(
            with_option(padding, **mistake)
            for mistake in (
                {"rounding": "never"},
                {"rounding": "always"},
                {"longest_of_all": True},
                {"mean_of_batches": True},
                {"full": True},
            )
        ),
        all_texts_count,
        lambda *args: 1 - padding(*args),
        lambda *args: 100 * padding(*args),
    ],
    "3": [
        as_printed,
        with_option(as_printed, reset=True),
        with_option(as_printed, clean=True),
        no_dropout_at_all,
        with_option(as_printed, reset=True, clean=True, divide=False),
        lambda *args: as_printed(*args, reset=True, clean=True)[0],
        lambda *args: as_printed(*args, reset=True, clean=True)[::-1],
    ],
    "4": [
        *(
            with_option(cosine, **mistake)
            for mistake in (
                {"first": 0},
                {"whole_run": True},
                {"wave": 0.5},
                {"wave": 2.0},
                {"above": True},
                {"last": 1},
                {"from_floor": True},
                {"straight": True},
            )
        ),
        lambda step, num_updates, num_warmup, peak, floor: cosine(
            step, num_updates, num_warmup, peak, 0.0, straight=True
        ),
        lambda step, num_updates, num_warmup, peak, floor: cosine(
            step, num_updates, num_warmup, 1.0, floor
        ),
        lambda step, num_updates, num_warmup, peak, floor: cosine(
            step, num_updates, num_warmup, peak, 0.0
        ),
    ],
    "5": [
        *(
            with_option(groups, decays=rule)
            for rule in (
                lambda name, shape: not name.endswith("bias"),
                lambda name, shape: "bias" not in name,
                lambda name, shape: name.endswith("weight"),
                lambda name, shape: "bias" not in name and "Norm" not in name,
                lambda name, shape: True,
            )
        ),
        with_option(groups, is_frozen=lambda name, prefix: prefix in name),
        with_option(groups, is_frozen=lambda name, prefix: name.startswith(prefix.rstrip("."))),
        lambda shapes, frozen: groups(shapes, frozen[:1]),
        lambda shapes, frozen: groups(shapes, []),
        lambda *args: groups(*args)[::-1],
    ],
    "6": [
        *(
            with_option(pool, **mistake)
            for mistake in (
                {"divide_by_all": True},
                {"hidden": 0.0},
                {"use_mask": False},
                {"cls": -1},
                {"cls": slice(0, 1)},
                {"one_number": True},
            )
        ),
        times_the_mask,
        less_a_billion,
    ],
    "7": [
        *(
            with_option(choose, **mistake)
            for mistake in (
                {"ddof": 0},
                {"of_mean": False},
                {"spreads": (True, False)},
                {"spreads": (False, True)},
                {"luckiest": True},
                {"errors": 0.0},
                {"errors": 1e9},
                {"errors": 1.0},
                {"of_mean": False, "errors": math.sqrt(2)},
            )
        ),  # twice the root of the mean of both variances, whatever n is
        adds_errors,
        lambda candidates: max(candidates, key=lambda name: np.mean(candidates[name][0])),
        lambda candidates: min(candidates, key=lambda name: candidates[name][1]),
        lambda candidates: 0.9,
    ],
}
GIVEAWAYS = {
    "1": ("-sum", "log(", "p ln p", "entropy"),
    "2": ("ceil", "//", "max("),
    "3": ("zeros", "inputs @", "gradient ="),
    "4": ("cos(", "math.pi", "1 +"),
    "5": ("len(", "startswith", "ndim", "> 1"),
    "6": ("-np.inf", "inf", "np.where", "[:, 0]"),
    "7": ("ddof", "sqrt", "var("),
}
RIGHT: dict[str, list[Any]] = {
    "1": [
        floor,
        lambda counts: sum(-c / sum(counts) * math.log(c / sum(counts)) for c in counts if c),
    ],
    "2": [padding],
    "3": [with_option(as_printed, reset=True, clean=True)],
    "4": [cosine],
    "5": [groups, lambda *args: list(groups(*args))],
    "6": [pool, with_option(pool, hidden=-1e30)],
    "7": [choose, lambda candidates: np.str_(choose(candidates))],
}
