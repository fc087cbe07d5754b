"""Plausible wrong answers to the exercises of notebook 01, and other right ones."""

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

Bag = dict[str, int]
Texts = list[str]

# --- 01.2 -----------------------------------------------------------------------------------------


def cosine(
    first: Bag,
    second: Bag,
    *,
    power: int = 2,
    empty: float = 0.0,
    times: Callable[[int, int], int] = int.__mul__,
    root: Callable[[float], float] = math.sqrt,
) -> float:
    """Right as it stands; each option is a mistake."""
    product = sum(times(count, second[word]) for word, count in first.items() if word in second)
    lengths = [root(sum(count**power for count in bag.values())) for bag in (first, second)]
    return product / math.prod(lengths) if all(lengths) else empty


def divides_by_zero(first: Bag, second: Bag) -> float:
    return cosine(first, second, empty=math.nan)


def shared_share(first: Bag, second: Bag) -> float:
    return len(first.keys() & second.keys()) / max(1, len(first.keys() | second.keys()))


def lengths_of_shared_words(first: Bag, second: Bag) -> float:
    shared = first.keys() & second.keys()
    return cosine({word: first[word] for word in shared}, {word: second[word] for word in shared})


# --- 01.3 -----------------------------------------------------------------------------------------


def bag(
    train_texts: Texts,
    text: str,
    *,
    built: Callable[[str], str] = str.lower,
    asked: Callable[[str], str] = str.lower,
    most: int = 1_000,
) -> list[int]:
    """Right as it stands; each option is a mistake."""
    vocabulary = sorted({word for one in train_texts for word in built(one).split()})
    words = asked(text).split()
    return [min(most, words.count(word)) for word in vocabulary]


def lowers_too_late(train_texts: Texts, text: str) -> list[int]:
    vocabulary = [
        word.lower() for word in sorted({word for one in train_texts for word in one.split()})
    ]
    return [text.lower().split().count(word) for word in vocabulary]


def vocabulary_of_the_text(train_texts: Texts, text: str) -> list[int]:
    return bag([*train_texts, text], text)


# --- 01.4 -----------------------------------------------------------------------------------------


def fits_on_both(train: Texts, test: Texts) -> tuple[Any, Any]:
    vectorizer = TfidfVectorizer().fit(train + test)
    return vectorizer.transform(train), vectorizer.transform(test)


def fits_twice(train: Texts, test: Texts) -> tuple[Any, Any]:
    return TfidfVectorizer().fit_transform(train), TfidfVectorizer().fit_transform(test)


def same_columns_other_idf(train: Texts, test: Texts) -> tuple[Any, Any]:
    words = TfidfVectorizer().fit(train).vocabulary_
    return tuple(TfidfVectorizer(vocabulary=words).fit_transform(texts) for texts in (train, test))


def idf_of_both(train: Texts, test: Texts) -> tuple[Any, Any]:
    vectorizer = TfidfVectorizer(vocabulary=TfidfVectorizer().fit(train).vocabulary_).fit(
        train + test
    )
    return vectorizer.transform(train), vectorizer.transform(test)


def only_counts(train: Texts, test: Texts) -> tuple[Any, Any]:
    vectorizer = CountVectorizer().fit(train)
    return vectorizer.transform(train), vectorizer.transform(test)


def honest(train: Texts, test: Texts) -> tuple[Any, Any]:
    vectorizer = TfidfVectorizer().fit(train)
    return vectorizer.transform(train), vectorizer.transform(test)


# --- 01.7 -----------------------------------------------------------------------------------------


def same(text: str) -> str:
    return text


def shout(text: str) -> str:
    return text.upper()  # the vectorizer lowers it again: no difference at all


def no_negation(text: str) -> str:
    return re.sub(r"\b(?:not|no|never)\b", "", text)


def first_words(text: str) -> str:
    return " ".join(text.split()[:10])


def breaks(text: str) -> str:
    return text[text.index("<br") :]


STEPS = {"control": same, "shout": shout, "first ten words": first_words}
WRONG: dict[str, list[Any]] = {
    "1": [
        lambda n, df: np.log(df / n),
        lambda n, df: n / df,
        lambda n, df: np.log10(n / df),
        lambda n, df: np.log2(n / df),
        lambda n, df: np.log((1 + n) / (1 + df)) + 1,
        lambda n, df: 1 - df / n,
        lambda n, df: np.log(n / (1 + df)),
        lambda n, df: math.log(n / df),
    ],
    "2": [
        lambda a, b: cosine(a, b, times=min),
        lambda a, b: cosine(a, b, power=1, root=float),
        divides_by_zero,
        lambda a, b: cosine(a, b, empty=1.0),
        lambda a, b: cosine(a, b, root=float),
        shared_share,
        lengths_of_shared_words,
        lambda a, b: math.acos(min(1, cosine(a, b))),
    ],
    "3": [
        lambda train, text: bag(train, text, built=str),
        lambda train, text: bag(train, text, built=str, asked=str),
        lambda train, text: bag(train, text, asked=str),
        lambda train, text: bag(train, text, most=1),
        lowers_too_late,
        vocabulary_of_the_text,
        lambda train, text: Counter(text.lower().split()),
    ],
    "4": [
        fits_on_both,
        fits_twice,
        same_columns_other_idf,
        idf_of_both,
        only_counts,
        lambda *texts: honest(*texts)[::-1],
        lambda *texts: honest(*texts)[1],
    ],
    "5": [
        ("A great film.", "A bad film."),
        ("A great film!", "a GREAT film"),
        ("Good, not bad.", "Bad, not not good."),
        ("not a good film", "not good a film"),
        "Good, not bad.",
        ("Good", 1),
        ("", ""),
    ],
    "6": [
        ("It was not bad, it was good.", "It was not good, it was bad."),
        ("fine", "dull"),
        ("I loved the book and hated the film.", "I hated the book and loved the film."),
        ("The film is good, the book bad.", "The book is good, the film bad."),
        ("a fine film", "a fine film"),
    ],
    "7": [
        (STEPS, "shout"),
        (STEPS, "something else"),
        ({"control": same, "shout": shout}, "shout"),
        ({"shout": shout, "first": first_words, "no": no_negation}, "first"),
        ({**STEPS, "again": same}, "again"),
        ({**STEPS, "cut": breaks}, "cut"),
        ({**STEPS, "words": str.split}, "words"),
        ({**STEPS, "empty": lambda text: ""}, "empty"),
        (STEPS, ["first ten words"]),
        "no stop words",
        ({"control": "text"}, "control"),
        ({"control": same, "lower": str.lower, "upper": str.upper}, "control"),
    ],
}
GIVEAWAYS = {
    "1": ("np.log(", "num_texts /"),
    "2": ("sqrt", ".get("),
    "3": ("one.lower()", ".lower().split()"),
    "4": (".fit(", "fit_transform"),
    "5": ("bad", "good"),
    "6": ("They say", "right and wrong"),
    "7": ("stop words", "ten words"),
}
PAIR = (
    "I loved the book of course and hated the film of course.",
    "I loved the film of course and hated the book of course.",
)
RIGHT: dict[str, list[Any]] = {
    "1": [lambda n, df: -np.log(df / n), lambda n, df: np.log(n) - np.log(df)],
    "2": [cosine, lambda a, b: np.float64(cosine(b, a))],
    "3": [bag, lambda train, text: np.array(bag(train, text))],
    "4": [honest, lambda *texts: [matrix.toarray() for matrix in honest(*texts)]],
    "5": [
        ("Good, not bad.", "Bad, not good."),
        ["dull at first then fine", "fine at first then dull"],
        PAIR,
    ],
    "6": [PAIR, ("The film is good and the book is bad.", "The book is good and the film is bad.")],
    "7": [(STEPS, "first ten words")],
}
