"""Behavioural tests: what fails, what passes, and the changes that are made to texts."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.evaluation.behaviour import (
    direction,
    fill,
    invariance,
    minimum_functionality,
    swap_letters,
)

WORDS = {"good": 0.3, "bad": -0.3, "fine": 0.05}


def by_words(texts: Sequence[str]) -> np.ndarray:
    """A model that knows three words."""
    found = []
    for text in texts:
        weights = [weight for word, weight in WORDS.items() if word in text.split()]
        found.append(0.55 + sum(weights))
    return np.array(found)


def test_minimum_functionality_compares_labels() -> None:
    found = minimum_functionality(by_words, ["good", "bad", "not bad", "so so"], [1, 0, 1, 0])
    assert found.failed.tolist() == [False, False, True, True]
    assert found.failure_rate == 0.5
    assert found.before is found.after and found.texts[2] == "not bad"


def test_invariance_fails_where_the_label_turns() -> None:
    found = invariance(by_words, ["good", "good", "bad"], ["bad", "fine", "bda"])
    assert found.failed.tolist() == [True, False, True]
    assert np.allclose(found.before, [0.85, 0.85, 0.25]) and np.allclose(
        found.after, [0.25, 0.6, 0.55]
    )


def test_direction_wants_a_move_the_right_way() -> None:
    before, after = ["x", "x", "x"], ["x good", "x", "x bad"]
    assert direction(by_words, before, after, rises=True).failed.tolist() == [False, True, True]
    assert direction(by_words, before, after, rises=False).failed.tolist() == [True, True, False]


def test_direction_forgives_small_steps_the_wrong_way() -> None:
    before, after = ["x", "x", "x"], ["x fine", "x", "x good"]
    assert direction(by_words, before, after, rises=False, tolerance=0.1).failed.tolist() == [
        False,
        False,
        True,
    ]


def test_each_model_is_asked_once() -> None:
    calls = []

    def model(texts: Sequence[str]) -> np.ndarray:
        calls.append(list(texts))
        return by_words(texts)

    invariance(model, ["a", "b"], ["c", "d"])
    assert calls == [["a", "b", "c", "d"]]


@pytest.mark.parametrize(
    "test",
    [
        lambda texts, others: minimum_functionality(by_words, texts, others),
        lambda texts, others: invariance(by_words, texts, others),
        lambda texts, others: direction(by_words, texts, others, rises=True),
    ],
)
def test_every_text_needs_its_partner(test: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="at least one text and a partner for each, got 2 and 1"):
        test(["good", "bad"], ["good"])
    with pytest.raises(ValueError, match="got 0 and 0"):
        test([], [])


def test_fill_makes_every_text() -> None:
    assert fill("The {thing} was {it}.", thing=("film", "end"), it=("bad", "good")) == [
        "The film was bad.",
        "The film was good.",
        "The end was bad.",
        "The end was good.",
    ]
    assert fill("{it} and {it}", it=("x",)) == ["x and x"]
    assert fill("no slot") == ["no slot"]
    with pytest.raises(KeyError):
        fill("{missing}", it=("x",))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.integers(0, 5))
def test_a_typing_error_swaps_two_neighbours(text: str, seed: int) -> None:
    found = swap_letters(text, seed=seed)
    assert found == swap_letters(text, seed=seed)
    places = [place for place in range(len(text)) if found[place] != text[place]]
    if places:
        first, second = places
        assert second == first + 1 and (found[first], found[second]) == (text[second], text[first])
        assert re.fullmatch(r"[^\W\d_]{4}", text[first - 1 : second + 2])


def test_a_typing_error_needs_a_word_with_a_middle() -> None:
    assert swap_letters("film", seed=0) == "flim"
    assert [
        swap_letters(text, seed=0) for text in ("", "the end", "1234 567", "book", "don't")
    ] == ["", "the end", "1234 567", "book", "don't"]
    assert {swap_letters("a long enough sentence", seed=seed) for seed in range(30)} > {
        "a lnog enough sentence"
    }
