"""Behavioural tests: what a model has to get right, whatever its accuracy on a test set.

After Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList", ACL 2020:
minimum functionality (simple texts with a known label), invariance (a change that must not matter),
direction (a change that must move the answer one way).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

# Texts to the probability of label 1, float [num_texts].
Predict = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """What came of one test, case by case; all arrays are [num_cases].

    texts: as the model saw them last. before, after: probability of label 1 of the text as it was
    and as it was changed (the same, where nothing is changed). failed: bool.
    """

    texts: Sequence[str]
    before: np.ndarray
    after: np.ndarray
    failed: np.ndarray

    @property
    def failure_rate(self) -> float:
        """Share of the cases that failed, in [0, 1]."""
        return float(self.failed.mean())


def minimum_functionality(predict: Predict, texts: Sequence[str], labels: Sequence[int]) -> Outcome:
    """A case fails if the model gives the text another label (0 or 1) than its own.

    Raises ValueError for no texts or another number of labels.
    """
    _check_pairs(texts, labels)
    probabilities = predict(texts)  # [num_texts]
    failed = (probabilities > 0.5) != np.asarray(labels, dtype=bool)
    return Outcome(texts, before=probabilities, after=probabilities, failed=failed)


def invariance(predict: Predict, texts: Sequence[str], changed: Sequence[str]) -> Outcome:
    """A case fails if the change, which should not matter, turns the model's label.

    Raises ValueError for no texts or another number of changed ones.
    """
    _check_pairs(texts, changed)
    before, after = np.split(predict([*texts, *changed]), 2)  # [num_texts] each
    return Outcome(changed, before, after, failed=(before > 0.5) != (after > 0.5))


def direction(
    predict: Predict,
    texts: Sequence[str],
    changed: Sequence[str],
    *,
    rises: bool,
    tolerance: float = 0.0,
) -> Outcome:
    """A case fails if the change does not move the probability of label 1 the right way.

    rises: whether the right way is up. tolerance: how far the probability may move the wrong way
    and still pass; with 0 it must move the right way. Raises ValueError for no texts or another
    number of changed ones.
    """
    _check_pairs(texts, changed)
    before, after = np.split(predict([*texts, *changed]), 2)  # [num_texts] each
    moved = after - before if rises else before - after
    return Outcome(changed, before, after, failed=moved <= -tolerance)


def _check_pairs(texts: Sequence[str], others: Sequence[object]) -> None:
    if not len(texts) or len(texts) != len(others):
        raise ValueError(
            f"expected at least one text and a partner for each, got {len(texts)} and {len(others)}"
        )


def fill(template: str, **slots: Sequence[str]) -> list[str]:
    """Every text that a template makes, the last slot changing fastest.

    fill("{a} film", a=("Good", "Bad")) gives "Good film" and "Bad film". Raises KeyError for a slot
    of the template without words.
    """
    texts = []
    for words in product(*slots.values()):
        filled = dict(zip(slots, words, strict=True))
        texts.append(template.format(**filled))
    return texts


def swap_letters(text: str, *, seed: int) -> str:
    """A typing error: two neighbouring letters in the middle of one word change places.

    The word has four letters or more, its first and last letter stay, and the two differ; a text
    without such a word stays as it is. The choice depends on the seed and the text alone.
    """
    places = []
    for word in re.finditer(r"[^\W\d_]{4,}", text):
        middle = range(word.start() + 1, word.end() - 2)
        places += [place for place in middle if text[place] != text[place + 1]]
    if not places:
        return text
    place = random.Random(f"{seed}:{text}").choice(places)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
