"""The exercises of notebook 01: idf, a cosine, a lost word, a leak, two pairs with the same bag,
an experiment.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from course_utils.checks.engine import Case, Exercise, Verdict
from course_utils.checks.values import same

# --- 01.1: inverse document frequency -------------------------------------------------------------


def _idf(num_texts: int, num_with_word: Any) -> Any:
    return np.log(num_texts / num_with_word)


def _idf_cases() -> list[Case]:
    return [
        Case(
            args=(10, 10),
            hint="A word that every text has tells nothing: how surprised are you to meet it?",
        ),
        Case(
            args=(10, 1),
            hint="A rare word is a great surprise, and a surprise is never negative. In nats: "
            "which logarithm is that?",
        ),
        Case(
            args=(6000, 1461),
            hint="The share of texts with the word comes first, then its surprise.",
        ),
        Case(
            args=(20_000, np.array([20_000, 400, 3])),
            hint="An array comes with one number a word; NumPy's functions "
            "take all of them at once, those of math do not.",
        ),
    ]


# --- 01.2: the cosine of two bags -----------------------------------------------------------------


def _cosine(first: Mapping[str, int], second: Mapping[str, int]) -> float:
    product = sum(count * second.get(word, 0) for word, count in first.items())
    lengths = math.hypot(*first.values()) * math.hypot(*second.values())
    return product / (lengths or 1.0)


def _cosine_cases() -> list[Case]:
    return [
        Case(args=({"good": 1}, {"good": 1}), hint="The same bag: the angle is 0."),
        Case(args=({"good": 1}, {"bad": 1}), hint="No word in common: a right angle."),
        Case(
            args=({"good": 3}, {"good": 1}),
            hint="The direction is the same; the texts' lengths must not matter.",
        ),
        Case(
            args=({"good": 1, "film": 1}, {"good": 1}), hint="How long is a vector with two ones?"
        ),
        Case(
            args=({"film": 1, "plot": 2, "dull": 2}, {"film": 2, "dull": 1, "cast": 2}),
            hint="Each word of both bags adds the product of its two counts; "
            "each length needs all words of its bag.",
        ),
        Case(
            args=({}, {"good": 1}),
            hint="An empty bag has length 0, and nothing can be divided by that.",
        ),
        Case(args=({}, {}), hint="Two empty bags: like nothing, so 0."),
    ]


# --- 01.3: words lost between the vocabulary and the look-up --------------------------------------


def _bag(train_texts: list[str], text: str) -> list[int]:
    vocabulary = sorted({word for one in train_texts for word in one.lower().split()})
    words = text.lower().split()
    return [words.count(word) for word in vocabulary]


def _bag_cases() -> list[Case]:
    lost = "In which case does a word stand in the vocabulary, and in which is it looked up?"
    return [
        Case(
            args=(["fine film"], "fine fine film"),
            hint="One count for each word of the vocabulary, in its order.",
        ),
        Case(args=(["Bravo"], "bravo"), hint=lost),
        Case(
            args=(["Bravo", "bravo film"], "BRAVO"),
            hint="One word in two cases is one word: one column.",
        ),
        Case(
            args=(["Zest and zeal", "A film"], "a Film and a ZEAL"),
            hint="One column for each word of training, "
            "however short; their order is that of the words in lower case.",
        ),
        Case(
            args=(["fine film"], "dull plot"), hint="Words that training never saw have no column."
        ),
    ]


# --- 01.4: nothing may leak from the test texts ---------------------------------------------------


def _vectors(train_texts: list[str], test_texts: list[str]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer()
    return vectorizer.fit_transform(train_texts), vectorizer.transform(test_texts)


def _vector_cases() -> list[Case]:
    train = ["a dull film", "a fine film", "fine fine cast"]
    return [
        Case(
            args=(train, ["a fine plot"]),
            hint="A word that only test texts have cannot have a column: nobody had "
            "heard of it when the columns were made.",
        ),
        Case(
            args=(train, ["dull film", "dull dull cast", "dull"]),
            hint="In training, dull is rare. Its weight must stay that of the training texts, "
            "however often test texts say it.",
        ),
        Case(
            args=(train, ["film"]),
            hint="Even one test text alone needs all the columns of training.",
        ),
    ]


def _same_vectors(got: Any, expected: tuple[Any, Any]) -> bool:
    """Two matrices, sparse or not, in their order."""
    return (
        isinstance(got, tuple | list)
        and len(got) == 2
        and all(map(same, map(_dense, got), map(_dense, expected)))
    )


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


def _show_vectors(value: Any) -> str:
    if isinstance(value, tuple | list) and any(hasattr(part, "shape") for part in value):
        parts = (
            np.array2string(np.asarray(_dense(part)), precision=2, separator=", ") for part in value
        )
        return " and ".join(" ".join(part.split()) for part in parts)
    return repr(value)


# --- 01.5 and 01.6: same bag, other order ---------------------------------------------------------


def _neighbours(text: str) -> list[str]:
    """Each pair of words that stand side by side, as one string."""
    return [" ".join(pair) for pair in pairwise(_words(text))]


def _words(text: str) -> list[str]:
    return re.findall(r"\b\w\w+\b", text.lower())  # as scikit-learn's vectorizers do


def _judge_pair(pair: Any) -> Verdict | None:
    """None for two texts of the same words with the same counts, in another order."""
    if not (
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and all(isinstance(text, str) for text in pair)
    ):
        return Verdict("two texts, each a str", pair, "Put each review between quotation marks.")
    first, second = map(_words, pair)
    if Counter(first) != Counter(second):
        return Verdict(
            "the same words, each as often",
            f"only in praise: {_surplus(first, second)}; only in blame: {_surplus(second, first)}",
            "Write one of them, then move its words about.",
        )
    if first == second:
        return Verdict(
            "another order of the words",
            " ".join(first) or "no words",
            "Case, punctuation and words of one letter do not count: to the bag, "
            "these are one text.",
        )
    return None


def _judge_pair_of_pairs(pair: Any) -> Verdict | None:
    """None if, besides, the same neighbours stand side by side, each as often."""
    if verdict := _judge_pair(pair):
        return verdict
    first, second = _neighbours(pair[0]), _neighbours(pair[1])
    if Counter(first) == Counter(second):
        return None
    return Verdict(
        "the same pairs of neighbours, each as often",
        f"only in praise: {_surplus(first, second)}; only in blame: {_surplus(second, first)}",
        "What changes places must have the same neighbours at both places. "
        "Longer texts make that easier.",
    )


def _surplus(some: list[str], others: list[str]) -> str:
    return ", ".join(sorted((Counter(some) - Counter(others)).elements())) or "nothing"


# --- 01.7: which step of preparation matters ------------------------------------------------------


def _judge_experiment(answer: Any) -> Verdict | None:
    """None for one control, two steps that do something or more,
    and the right winner on validation.
    """
    steps, most = answer if isinstance(answer, tuple | list) and len(answer) == 2 else (None, None)
    if not isinstance(steps, Mapping) or not all(map(callable, steps.values())):
        return Verdict(
            "steps as {name: function from text to text}, and a name",
            answer,
            "The functions themselves belong into the dictionary, by their names, "
            "without calling them.",
        )
    train, validation = _course_reviews()
    try:
        changed: dict[str, bool] = {}
        prepared: dict[str, tuple[list[str], list[str]]] = {}
        for name, step in steps.items():
            prepared[name] = (list(map(step, train[0])), list(map(step, validation[0])))
            changed[name] = prepared[name][1] != list(validation[0])
    except (Exception, SystemExit) as error:
        return Verdict(
            "steps that take every review",
            f"{type(error).__name__}: {error}",
            "Try each on one text.",
        )
    if any(
        not isinstance(text, str) for pair in prepared.values() for texts in pair for text in texts
    ):
        return Verdict(
            "steps that return a str", "another type", "What does each step return for one review?"
        )
    if (controls := [name for name in steps if not changed[name]]) == [] or len(controls) > 1:
        return Verdict(
            "one control, which changes no review",
            f"{len(controls)} of {len(steps)} steps change none",
            "Without a control there is nothing to compare with; "
            "a step that changes nothing is no step.",
        )
    if len(steps) < 3 or most not in [name for name in steps if name not in controls]:
        return Verdict(
            "two steps or more besides the control, and the name of one of them",
            f"{len(steps) - 1} besides the control, and the name {most!r}",
            "Is the name spelt as in steps?",
        )
    try:
        accuracy = {
            name: _accuracy(pair, train[1], validation[1]) for name, pair in prepared.items()
        }
    except ValueError as error:
        return Verdict(
            "reviews with words in them",
            f"ValueError: {error}",
            "One of the steps leaves too little.",
        )
    moves = {name: abs(value - accuracy[controls[0]]) for name, value in accuracy.items()}
    if moves[most] >= max(moves.values()) - 1e-9:
        return None
    return Verdict(
        "the step that moves the accuracy furthest",
        most,
        "Another of your steps moves it further. Up and down count alike; "
        "on validation, not on test.",
    )


@cache
def _course_reviews() -> tuple[tuple[list[str], list[int]], ...]:
    from course_utils.data import load_reviews

    reviews = load_reviews("course")
    return tuple(
        (reviews[split]["text"][:], reviews[split]["label"][:]) for split in ("train", "validation")
    )


def _accuracy(texts: list[list[str]], train_labels: list[int], labels: list[int]) -> float:
    from course_utils.evaluation import tfidf_baseline

    return tfidf_baseline(texts[0], train_labels, texts[1], labels, ngram_range=(1, 1)).accuracy


EXERCISES = {
    "1": Exercise(title="The surprise of a word", reference=_idf, cases=_idf_cases),
    "2": Exercise(title="The cosine of two bags", reference=_cosine, cases=_cosine_cases),
    "3": Exercise(title="The lost words", reference=_bag, cases=_bag_cases),
    "4": Exercise(
        title="No leak",
        reference=_vectors,
        cases=_vector_cases,
        same=_same_vectors,
        show=_show_vectors,
    ),
    "5": Exercise(title="The same bag", judge=_judge_pair),
    "6": Exercise(title="The same pairs", judge=_judge_pair_of_pairs),
    "7": Exercise(title="Which step matters", judge=_judge_experiment, seconds=120.0),
}
