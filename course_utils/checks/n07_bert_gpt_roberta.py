"""The exercises of notebook 07: a prefix mask, the causal loss, temperature, top-p, perplexity,
a choice of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from course_utils.checks.engine import Case, Exercise, Verdict

Array = np.ndarray

# --- 07.1: who may see whom -----------------------------------------------------------------------


def _prefix_mask(attention_mask: Array, prefix_lengths: Array) -> Array:
    places = np.arange(attention_mask.shape[1])
    past = places[None, :] <= places[:, None]  # [seq, seq]
    in_prefix = places[None, :] < prefix_lengths[:, None]  # [batch, seq]
    return (past[None] | in_prefix[:, None, :]) & attention_mask.astype(bool)[:, None, :]


def _prefix_cases() -> list[Case]:
    return [
        Case(
            args=(np.array([[1, 1, 1]]), np.array([0])),
            hint="Without a prefix it is the causal mask: a token sees itself and what stands "
            "before it. The row is the query, the column the key; shape [batch_size, "
            "seq_length, seq_length], True and False.",
        ),
        Case(
            args=(np.array([[1, 1, 1]]), np.array([3])),
            hint="Everything is prefix: each token sees each other, as in BERT.",
        ),
        Case(
            args=(np.array([[1, 1, 1, 1]]), np.array([2])),
            hint="Within the prefix all see each other, later ones too. "
            "Nobody sees what comes later in the rest.",
        ),
        Case(
            args=(np.array([[1, 1, 0], [1, 1, 1]]), np.array([1, 3])),
            hint="Each text has its own prefix; and padding is seen by nobody, "
            "whatever it may see itself.",
        ),
        Case(
            args=(np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]), np.array([2, 0])),
            hint="A column of padding is hidden in every row, those of padding included.",
        ),
    ]


# --- 07.2: the causal loss ------------------------------------------------------------------------


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _causal_loss(logits: Array, input_ids: Array, attention_mask: Array) -> float:
    log_probs = _log_softmax(logits[:, :-1])  # [batch, seq - 1, vocab]
    of_next = np.take_along_axis(log_probs, input_ids[:, 1:, None], axis=-1)[..., 0]
    real = attention_mask[:, 1:].astype(bool)
    return float(-of_next[real].mean())


def _loss_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    sure = 8.0 * np.eye(4)
    return [
        Case(
            args=(sure[[1, 2, 3]][None], np.array([[0, 1, 2]]), np.ones((1, 3), dtype=int)),
            hint="Row i of the logits speaks about token i + 1. Here each row is nearly sure of "
            "the right one: the loss is nearly 0. It is the mean, in nats, "
            "over the tokens that are asked for.",
        ),
        Case(
            args=(np.zeros((1, 3, 4)), np.array([[3, 1, 2]]), np.ones((1, 3), dtype=int)),
            hint="Equal logits over four tokens: ln 4 for each token that is asked. "
            "How many are asked, of three?",
        ),
        Case(
            args=(
                rng.normal(size=(1, 5, 6)),
                np.array([[2, 4, 5, 1, 3]]),
                np.ones((1, 5), dtype=int),
            ),
            hint="The last row speaks about a token that is not there: it is not asked. Nor is "
            "anybody asked for the first token.",
        ),
        Case(
            args=(
                rng.normal(size=(2, 4, 5)),
                np.array([[2, 4, 3, 0], [2, 1, 0, 0]]),
                np.array([[1, 1, 1, 0], [1, 1, 0, 0]]),
            ),
            hint="Padding is no token to be guessed: what counts is whether the token that is "
            "asked for is real. The mean is over those, one mean for all texts together.",
        ),
        Case(
            args=(
                rng.normal(size=(2, 5, 7)),
                np.array([[2, 0, 4, 0, 3], [2, 0, 3, 0, 0]]),
                np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
            ),
            hint="The id 0 may be a real token here: only attention_mask says what is padding. And "
            "the mean is over all tokens of the batch, not over the means of the texts.",
        ),
        Case(
            args=(
                np.array([[[2000.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0] * 4]]),
                np.array([[3, 0, 2]]),
                np.ones((1, 3), dtype=int),
            ),
            hint="The exponential of 2000 is more than a computer can hold, and that of -2000 is 0 "
            "to it: what does notebook 05 subtract, and from which numbers?",
        ),
        Case(
            args=(
                np.array([[[1000.0, 0.0], [0.0, 1000.0], [0.0, 0.0]]]),
                np.array([[0, 1, 1]]),
                np.ones((1, 3), dtype=int),
            ),
            hint="Sure, and wrong: a loss of 1,000 nats. As a probability that is 0, and 0 has no "
            "logarithm: stay with logarithms all the way.",
        ),
    ]


# --- 07.3: temperature ----------------------------------------------------------------------------


def _with_temperature(logits: Array, temperature: float) -> Array:
    if temperature == 0:
        return np.eye(len(logits))[np.argmax(logits)]
    return np.exp(_log_softmax(logits / temperature))


def _temperature_cases() -> list[Case]:
    logits = np.array([2.0, 1.0, 0.0])
    return [
        Case(args=(logits, 1.0), hint="At temperature 1 it is the plain softmax."),
        Case(
            args=(logits, 0.5),
            hint="Below 1 the best gets more. Are the logits divided, or multiplied?",
        ),
        Case(args=(logits, 4.0), hint="Above 1 the shares come closer to each other."),
        Case(
            args=(np.array([1.0, 3.0, -2.0]), 0.0),
            hint="At 0 the best token gets everything; and nothing may be divided by 0.",
        ),
        Case(
            args=(np.array([1.0, 3.0, 3.0]), 0.0),
            hint="Two are equally good at temperature 0: the one with the "
            "lower id is taken, as argmax does.",
        ),
        Case(
            args=(np.array([5.0, 4.0, -5.0]), 0.001),
            hint="Logits in the thousands, after the division: what may one "
            "subtract from all of them?",
        ),
    ]


# --- 07.4: top-p ----------------------------------------------------------------------------------


def _top_p(probs: Array, p: float) -> Array:
    order = np.argsort(-probs, kind="stable")
    before = np.cumsum(probs[order]) - probs[order]
    kept = np.zeros_like(probs)
    inside = order[before < p - 1e-12]
    kept[inside] = probs[inside]
    return kept / kept.sum()


def _top_p_cases() -> list[Case]:
    probs = np.array([0.5, 0.25, 0.125, 0.125])
    return [
        Case(
            args=(probs, 0.7),
            hint="The best ones are kept until their sum is at least p; then all are divided by "
            "what is kept, so that they sum to 1.",
        ),
        Case(
            args=(probs[[2, 0, 3, 1]], 0.7),
            hint="The tokens come in any order: the best may stand anywhere, and "
            "each probability goes back to its own place.",
        ),
        Case(
            args=(probs, 0.75),
            hint="The first two reach 0.75 exactly: that is at least p, and no third one is "
            "needed.",
        ),
        Case(args=(probs, 0.2), hint="The best token alone exceeds p. One is always kept."),
        Case(
            args=(np.array([0.125, 0.375, 0.125, 0.375]), 0.8),
            hint="Of equally likely tokens, those with the lower "
            "ids are taken first, and no more than needed.",
        ),
        Case(args=(probs, 1.0), hint="p = 1 keeps everything."),
    ]


# --- 07.5: perplexity -----------------------------------------------------------------------------


def _perplexity(token_log_probs: list[float]) -> float:
    return float(np.exp(-np.mean(token_log_probs)))


def _perplexity_of_texts(texts: list[list[float]]) -> float:
    return _perplexity([value for text in texts for value in text])


def _perplexity_cases() -> list[Case]:
    half, quarter = float(np.log(0.5)), float(np.log(0.25))
    return [
        Case(
            args=([[half, half, half]],),
            hint="Each token had the probability one half: as if there were two to "
            "choose from, each time.",
        ),
        Case(args=([[half, quarter]],), hint="The logarithms are averaged, not the probabilities."),
        Case(
            args=([[half, half], [quarter]],),
            hint="All texts together: one mean over all tokens, each of them "
            "counting alike. A mean of the texts' perplexities is something else.",
        ),
        Case(
            args=([[-0.1], [], [-3.0, -2.0, -1.0]],), hint="A text may have nothing to be guessed."
        ),
        Case(
            args=([[-2.0] * 2000],),
            hint="The product of 2,000 probabilities is 0 to a computer; stay with logarithms.",
        ),
    ]


# --- 07.6: which model for which task -------------------------------------------------------------

_TASKS = {
    "finish a half-typed sentence": "causal",
    "restore a word under an ink blot": "masked",
    "sort reviews into good and bad": "masked",
    "answer in a chat, word by word": "causal",
    "find the odd word in a finished sentence": "masked",
}
_WHY = {
    "finish a half-typed sentence": "What stands to the right of the cursor?",
    "restore a word under an ink blot": "What stands on both sides of the blot?",
    "sort reviews into good and bad": (
        "The whole text is there before the answer is wanted. "
        "Which mask lets each word hear all of it?"
    ),
    "answer in a chat, word by word": (
        "The text to be read for the next word is the one written so far."
    ),
    "find the odd word in a finished sentence": (
        "Is anything hidden from you in a finished sentence?"
    ),
}


def _judge_tasks(answer: Any) -> Verdict | None:
    if not isinstance(answer, Mapping) or set(answer) != set(_TASKS):
        return Verdict(
            "a dictionary with the five tasks as keys", answer, "Change the values only."
        )
    for task, wanted in _TASKS.items():
        if answer[task] not in ("causal", "masked"):
            return Verdict(
                f'"causal" or "masked" for: {task}',
                answer[task],
                "One of these two words, in quotes.",
            )
        if answer[task] != wanted:
            return Verdict(f"another one for: {task}", answer[task], _WHY[task])
    return None


EXERCISES = {
    "1": Exercise(
        title="Who may see whom, with a prefix",
        reference=_prefix_mask,
        cases=_prefix_cases,
        hint="True where the row's token may attend to the column's.",
    ),
    "2": Exercise(
        title="The causal loss",
        reference=_causal_loss,
        cases=_loss_cases,
        hint="The mean surprise, in nats, at the next token of each row that has one.",
    ),
    "3": Exercise(
        title="Temperature",
        reference=_with_temperature,
        cases=_temperature_cases,
        hint="A softmax of the logits, each divided by the temperature.",
    ),
    "4": Exercise(
        title="Top-p",
        reference=_top_p,
        cases=_top_p_cases,
        hint="The smallest number of best tokens whose probabilities sum to p at least.",
    ),
    "5": Exercise(
        title="Perplexity",
        reference=_perplexity_of_texts,
        cases=_perplexity_cases,
        hint="e to the mean surprise of a token.",
    ),
    "6": Exercise(
        title="Which model for which task",
        judge=_judge_tasks,
        hint="Is the right side there when the answer is wanted?",
    ),
}
