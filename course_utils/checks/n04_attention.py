"""The exercises of notebook 04: one query, the gradient of softmax, masks, heads, a count,
a head backwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils.checks.engine import Case, Exercise

Array = np.ndarray


def _softmax(scores: Array) -> Array:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


# --- 04.1: one query ------------------------------------------------------------------------------


def _attend_one(query: Array, keys: Array, values: Array) -> tuple[Array, Array]:
    shares = _softmax(keys @ query / np.sqrt(len(query)))  # [seq]
    return shares, shares @ values


def _attend_one_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=(np.array([1.0]), np.array([[0.0], [0.0]]), np.array([[2.0], [4.0]])),
            hint="Both scores are 0, so both words get the same share, and the shares sum to 1. "
            "Return two things: the shares, and the mean of the values by these shares.",
        ),
        Case(
            args=(np.array([1.0]), np.array([[1.0], [0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])),
            hint="The scores are 1 and 0 here, and a key of one number leaves them as they are. "
            "What is e to the 1, as a share of what?",
        ),
        Case(
            args=(
                np.array([1.0, 1.0, 1.0, 1.0]),
                np.array([[1.0, 1.0, 1.0, 1.0], [0.0] * 4]),
                np.eye(2),
            ),
            hint="The dot products are 4 and 0, and the query has four numbers. What are they "
            "divided by, before they become shares?",
        ),
        Case(
            args=(rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))),
            hint="Five words, keys of three numbers, values of two: "
            "which of these sizes stands under the root?",
        ),
        Case(
            args=(
                np.array([1000.0]),
                np.array([[1.0], [0.999], [-1.0], [-1.0], [-1.0], [-1.0]]),
                np.arange(1.0, 7.0)[:, None],
            ),
            hint="e to the 1000 is too large for a computer. Shares stay as they are if all scores "
            "become smaller by the same amount; by which amount is no exponential ever too large?",
        ),
    ]


# --- 04.2: the gradient of softmax ----------------------------------------------------------------


def _softmax_gradient(scores: Array, for_probs: Array) -> Array:
    probs = _softmax(scores)
    return probs * (for_probs - np.einsum("rs,rs->r", probs, for_probs)[:, None])


def _softmax_gradient_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            args=(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]])),
            hint="Both shares are one half, and the loss depends on the first share only. But its "
            "score moves the second share, too, and the second score moves the first share.",
        ),
        Case(
            args=(np.array([[0.0, 0.0, 0.0]]), np.array([[5.0, 5.0, 5.0]])),
            hint="All shares are worth the same to the loss, and they always sum to 1: "
            "what can a score change?",
        ),
        Case(
            args=(np.array([[0.0, 1.0, 2.0]]), np.array([[1.0, -1.0, 0.5]])),
            hint="Step 3 of the derivation: each share, times how far its own gradient is from the "
            "average of them. Whose shares weigh that average?",
        ),
        Case(
            args=(rng.normal(size=(4, 6)), rng.normal(size=(4, 6))),
            hint="Each row is a word of its own, with an average of its own.",
        ),
    ]


# --- 04.3: masks ----------------------------------------------------------------------------------


def _masked_shares(scores: Array, attention_mask: Array, causal: bool) -> Array:
    visible = np.broadcast_to(attention_mask[:, None, :] == 1, scores.shape)
    if causal:
        visible = visible & np.tri(scores.shape[1], dtype=bool)
    return _softmax(np.where(visible, scores, -np.inf))


def _masked_shares_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    ragged = (np.arange(4) < np.array([[4], [1], [3]])).astype(int)
    return [
        Case(
            args=(np.zeros((1, 2, 2)), np.array([[1, 1]]), False),
            hint="Nothing to hide: the plain softmax.",
        ),
        Case(
            args=(np.zeros((1, 2, 2)), np.array([[1, 0]]), False),
            hint="The second token is padding, so every query attends to the first alone. Do the "
            "rows still sum to 1? A mask after the softmax takes shares away and gives them to "
            "nobody. And a column is hidden, not a row.",
        ),
        Case(
            args=(np.zeros((1, 3, 3)), np.array([[1, 1, 1]]), True),
            hint="The first word hears itself only, the last one attends to all. Which triangle is "
            "that, and does the diagonal belong to it?",
        ),
        Case(
            args=(rng.normal(size=(3, 4, 4)), ragged, False),
            hint="Hide the keys at padding: a whole column of each text's table, for every query.",
        ),
        Case(
            args=(rng.normal(size=(1, 3, 3)) + np.array([0, 0, 1e6]), np.array([[1, 1, 0]]), False),
            hint="What is hidden may have the highest score of all: it must be gone before the "
            "largest is looked for.",
        ),
        Case(
            args=(rng.normal(size=(3, 4, 4)), ragged, True),
            hint="Padding and the future, both at once.",
        ),
        Case(
            args=(rng.normal(size=(1, 3, 3)) - 1e6, np.array([[1, 1, 0]]), False),
            hint="All scores lie near minus a million here. What is hidden must be lower than any "
            "score, and the exponentials must not all become 0: what did 04.1 subtract?",
        ),
    ]


# --- 04.4: heads ----------------------------------------------------------------------------------


def _split_into_heads(projected: Array, num_heads: int) -> Array:
    return np.stack(np.split(projected, num_heads, axis=-1), axis=1)


def _split_into_heads_cases() -> list[Case]:
    count = np.arange(12.0)
    return [
        Case(
            args=(count[:4].reshape(1, 1, 4), 2),
            hint="One word of four numbers, two heads: the first head gets the "
            "first two numbers. Which shape is asked for?",
        ),
        Case(
            args=(count[:8].reshape(1, 2, 4), 2),
            hint="Two words: 0 1 2 3 and 4 5 6 7. Head 0 must see 0 1 and 4 5, a piece of *each* "
            "word. Cut the last axis in two first; then move an axis.",
        ),
        Case(
            args=(count.reshape(1, 2, 6), 3),
            hint="Three heads of two numbers: which of the two numbers, the count "
            "or the width, comes first when the last axis is cut?",
        ),
        Case(
            args=(np.arange(48.0).reshape(2, 3, 8), 4),
            hint="The texts of a batch stay apart, and the order of the "
            "axes is batch, heads, words, numbers.",
        ),
    ]


# --- 04.5: a count --------------------------------------------------------------------------------

_HIDDEN = 768


def _count_hint(got: Any) -> str | None:
    known = {
        2 * _HIDDEN: (
            "That is where the square meets the four matrices of attention. A layer has more."
        ),
        4 * _HIDDEN: (
            "That leaves out the four matrices of attention: "
            "the square meets the feed-forward part there."
        ),
        12 * _HIDDEN: "The square comes from two products, scores and context.",
        3
        * _HIDDEN: "Half of the whole means: as much as all the rest. Write down both sides again.",
        512: (
            "That is BERT's longest text, where the square is a tenth. "
            "Solve for the length at which it is half."
        ),
    }
    return known.get(got) if isinstance(got, int | float) else None


# --- 04.6: a head backwards -----------------------------------------------------------------------


def _attention_gradients(
    query: Array, key: Array, value: Array, for_context: Array
) -> tuple[Array, Array, Array]:
    root = np.sqrt(query.shape[1])
    probs, for_probs = _softmax(query @ key.T / root), for_context @ value.T  # [seq, seq] each
    for_scores = (
        probs * (for_probs - np.sum(probs * for_probs, axis=1, keepdims=True)) / root
    )  # [seq, seq]
    return for_scores @ key, for_scores.T @ query, probs.T @ for_context


def _attention_gradients_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    one, two = np.array([[1.0]]), np.array([[1.0], [2.0]])
    return [
        Case(
            args=(one, one, one, np.array([[3.0]])),
            hint="One word alone gives itself all its attention, whatever the score. So query and "
            "key change nothing; the value does.",
        ),
        Case(
            args=(
                np.array([[0.0], [1.0]]),
                np.array([[2.0], [0.0]]),
                0 * two,
                np.array([[1.0], [0.0]]),
            ),
            hint="Both values are 0, so only they have a gradient. Only the first word's context "
            "counts, and it hears both values, half and half: what does each value get, "
            "from the queries that attend to it?",
        ),
        Case(
            args=(two, np.array([[1.0], [0.0]]), two, np.array([[1.0], [-1.0]])),
            hint="Through which table do query and key reach the loss? Result 1: the softmax "
            "backwards, row by row, less the row's average. Results 2 and 3: a key and a value are "
            "met by all queries, so they sum over the queries: a transposed table.",
        ),
        Case(
            args=tuple(rng.normal(size=(4, 3, 4))),
            hint="With four numbers a query, the scores were divided. The chain rule meets that "
            "division, too, once.",
        ),
        Case(
            args=tuple(rng.normal(size=(4, 6, 2))),
            hint="Each row of the softmax has an average of its own.",
        ),
    ]


EXERCISES = {
    "1": Exercise(
        title="One word listens",
        reference=_attend_one,
        cases=_attend_one_cases,
        hint="Scores, root, softmax, mean of the values.",
    ),
    "2": Exercise(
        title="The gradient of softmax",
        reference=_softmax_gradient,
        cases=_softmax_gradient_cases,
        hint="The shares first, then step 3 of the derivation.",
    ),
    "3": Exercise(
        title="Masks, mended",
        reference=_masked_shares,
        cases=_masked_shares_cases,
        hint="Hide before the softmax.",
    ),
    "4": Exercise(
        title="Heads, mended",
        reference=_split_into_heads,
        cases=_split_into_heads_cases,
        hint="Cut the last axis, then change the order of the axes.",
    ),
    "5": Exercise(
        title="Where the square takes half",
        value=lambda: 6 * _HIDDEN,
        hints_for=_count_hint,
        hint="Set the two parts of the formula equal, with h = 768, and solve for n.",
    ),
    "6": Exercise(
        title="A head backwards",
        reference=_attention_gradients,
        cases=_attention_gradients_cases,
        hint="From the context back to the shares, from these to the scores, "
        "from these to query and key.",
    ),
}
