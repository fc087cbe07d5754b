"""The exercises of notebook 03: look-ups, the gradient of skip-gram, padding, LayerNorm,
a count and a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from course_utils.checks.engine import Case, Exercise, Verdict
from course_utils.checks.values import is_exactly, is_whole_number

Array = np.ndarray

# --- 03.1: a look-up as a product -----------------------------------------------------------------


def _lookup(ids: Array, table: Array) -> Array:
    return table[ids]


def _lookup_cases() -> list[Case]:
    table = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return [
        Case(
            args=(np.array([1]), table),
            hint="One token: one row, with a single 1 at the place of its "
            "id. The row is as long as the table has rows.",
        ),
        Case(
            args=(np.array([2, 0]), table),
            hint="Row after row: each token's one-hot vector in the tokens' order. "
            "How many columns must it have to be multiplied by the table?",
        ),
        Case(args=(np.array([1, 1, 0, 2, 1]), table), hint="A token may come several times."),
        Case(
            args=(np.array([4, 3, 9, 0]), np.random.default_rng(0).normal(size=(10, 3))),
            hint="A vocabulary is larger than a text: "
            "the identity matrix has the vocabulary's size.",
        ),
    ]


# --- 03.2: the gradient of negative sampling ------------------------------------------------------


def _gradients(center: Array, context: Array, negatives: Array) -> tuple[Array, Array, Array]:
    targets = np.concatenate([context[None], negatives])  # [1 + K, hidden]
    error = 1 / (1 + np.exp(-targets @ center))  # [1 + K]
    error[0] -= 1
    to_targets = error[:, None] * center  # [1 + K, hidden]
    return error @ targets, to_targets[0], to_targets[1:]


def _gradient_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=(np.array([1.0]), np.array([0.0]), np.array([[0.0]])),
            hint="All scores are 0 here, so every σ is one half. The errors of the real pair and "
            "of the noise differ in sign. And each gradient has the shape of what it belongs to.",
        ),
        Case(
            args=(np.array([1.0, 0.0]), np.array([0.0, 2.0]), np.array([[2.0, 0.0]])),
            hint="Each score is a dot product with the centre. "
            "Which vector does each error multiply?",
        ),
        Case(
            args=(rng.normal(size=3), rng.normal(size=3), rng.normal(size=(4, 3))),
            hint="The centre hears from the real word and from all noise words; "
            "the noise gets one row each.",
        ),
        Case(
            args=(rng.normal(size=8), rng.normal(size=8), rng.normal(size=(1, 8))),
            hint="One noise word still makes a matrix: shape [1, hidden_size].",
        ),
    ]


# --- 03.3: a mean that leaves out the padding -----------------------------------------------------


def _mean_vectors(hidden_states: Array, attention_mask: Array) -> Array:
    summed = np.einsum("bsh,bs->bh", hidden_states, attention_mask.astype(float))  # [batch, hidden]
    return summed / np.maximum(1, attention_mask.sum(axis=1, keepdims=True))


def _mean_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=(np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([[1, 1]])),
            hint="No padding: the plain mean.",
        ),
        Case(
            args=(np.array([[[1.0, 2.0], [9.0, 9.0]]]), np.array([[1, 0]])),
            hint="The second vector is padding: neither its numbers nor its position may count.",
        ),
        Case(
            args=(np.array([[[0.0, 0.0], [4.0, 2.0], [7.0, 7.0]]]), np.array([[1, 1, 0]])),
            hint="The mask alone says what is padding. A real token's vector may happen to be 0.",
        ),
        Case(
            args=(
                np.array([[[5.0, 5.0], [6.0, 6.0]], [[1.0, 1.0], [3.0, 5.0]]]),
                np.array([[0, 0], [1, 1]]),
            ),
            hint="A text without a real token: there is nothing to divide by.",
        ),
        Case(
            args=(
                rng.normal(size=(4, 6, 3)),
                (np.arange(6) < np.array([[6], [1], [3], [5]])).astype(int),
            ),
            hint="Each text has a length of its own.",
        ),
    ]


# --- 03.4: how many parameters --------------------------------------------------------------------

_ROWS, _HIDDEN = 30_522 + 512 + 2, 768


def _count_hint(got: Any) -> str | None:
    known = {
        _ROWS * _HIDDEN: (
            "2 × 768 are missing. Are these LayerNorm's two vectors, "
            "or the two rows of a third table?"
        ),
        (30_522 + 512) * _HIDDEN: "Two tables are not three, and LayerNorm has parameters as well.",
        30_522 * _HIDDEN: "That is the table of tokens alone.",
        _ROWS * _HIDDEN
        + 2: "LayerNorm's scale and centre are no single numbers: one for each number of a vector.",
        _ROWS * _HIDDEN
        + _HIDDEN: "LayerNorm has a scale for each number, and something else for each number.",
    }
    return known.get(got) if is_whole_number(got) else None


# --- 03.5: LayerNorm ------------------------------------------------------------------------------


def _layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    centered = x - x.mean(axis=-1, keepdims=True)
    return gamma * centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + eps) + beta


def _layer_norm_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    ones, zeros = np.ones(2), np.zeros(2)
    return [
        Case(
            args=(np.array([1.0, 3.0]), ones, zeros, 1e-12),
            hint="Mean 2, and the squared distances from it are 1 and 1. "
            "Their mean is divided by how many?",
        ),
        Case(
            args=(np.array([[1.0, 3.0], [10.0, 50.0]]), ones, zeros, 1e-12),
            hint="Each token is normalized for itself: whatever the others in the batch are. "
            "Along which axis, then?",
        ),
        Case(
            args=(np.array([[5.0, 5.0]]), ones, zeros, 1e-12),
            hint="All numbers equal: what keeps 0 / 0 away?",
        ),
        Case(
            args=(np.array([[0.0, 2.0]]), ones, zeros, 3.0),
            hint="With a large eps one sees where it stands in the formula: "
            "what exactly is under the root?",
        ),
        Case(
            args=(rng.normal(size=(2, 3, 4)), rng.normal(size=4), rng.normal(size=4), 1e-12),
            hint="Batches have three axes; the hidden one is always the last.",
        ),
    ]


# --- 03.6: a plan ---------------------------------------------------------------------------------

_KEYS = ("change", "values", "measure", "num_seeds")
_SEVERAL = (list, tuple, set, range, Array)


def _judge_plan(plan: Any) -> Verdict | None:
    """None for a plan that answers the question; else what is missing, one thing at a time."""
    if not isinstance(plan, Mapping) or set(plan) != set(_KEYS):
        return Verdict(
            expected=f"a dict with the keys {', '.join(_KEYS)}", got=plan, hint="Fill in all four."
        )
    if plan["change"] != "window":
        return Verdict(
            expected="the setting that the suspicion is about",
            got=plan["change"],
            hint="Read the suspicion again: which number is small in one run "
            "and large in the other?",
        )
    values = list(plan["values"]) if isinstance(plan["values"], _SEVERAL) else []
    sizes = {value for value in values if is_whole_number(value) and value > 0}
    if len(sizes) < 2 or len(sizes) != len(values) or max(sizes) < 2 * min(sizes):
        return Verdict(
            expected="two or more different whole numbers above 0, "
            "the largest at least twice the smallest",
            got=plan["values"],
            hint="To see a difference, compare what differs clearly.",
        )
    measure = plan["measure"]
    if not isinstance(measure, str) or "neighbours" not in measure or "loss" in measure:
        return Verdict(
            expected="a measure that asks all runs the same question",
            got=measure,
            hint="With another window the pairs are other pairs. "
            "Is a loss on other pairs comparable?",
        )
    seeds = plan["num_seeds"]
    if isinstance(seeds, _SEVERAL):
        return Verdict(
            expected="one number: how many",
            got=seeds,
            hint="How many runs of each setting, not which.",
        )
    if not is_whole_number(seeds) or seeds < 3:
        return Verdict(
            expected="enough runs to see how far luck alone moves the result",
            got=seeds,
            hint="One run is an anecdote, and two cannot tell which of them is the odd one.",
        )
    return None


EXERCISES = {
    "1": Exercise(
        title="A look-up as a product",
        reference=_lookup,
        cases=_lookup_cases,
        hint="Which matrix, times the table, picks out rows?",
    ),
    "2": Exercise(
        title="The gradient of negative sampling",
        reference=_gradients,
        cases=_gradient_cases,
        hint="Three gradients, each with the shape of what it belongs to.",
    ),
    "3": Exercise(
        title="A mean without padding",
        reference=_mean_vectors,
        cases=_mean_cases,
        hint="Padding must count neither in the sum nor in the number one divides by.",
    ),
    "4": Exercise(
        title="Parameters of BERT's input",
        value=lambda: _ROWS * _HIDDEN + 2 * _HIDDEN,
        same=is_exactly,
        hints_for=_count_hint,
        hint="Rows times columns for each table; then LayerNorm's two vectors.",
    ),
    "5": Exercise(
        title="LayerNorm, mended",
        reference=_layer_norm,
        cases=_layer_norm_cases,
        hint="Compare with the formula: the axis, the divisor, the place of eps.",
    ),
    "6": Exercise(title="Plan of an experiment", judge=_judge_plan),
}
